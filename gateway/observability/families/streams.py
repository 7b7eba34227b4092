"""How do streams run, and how do they end?"""

from gateway.observability.families.family import Family, Kind

GAPS = (0.002, 0.005, 0.01, 0.015, 0.02, 0.03, 0.04, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0)
"""Fine where a model of 7 billion parameters writes, 10 to 50 ms a token, and up to STREAM_IDLE_TIMEOUT_SECS."""
RATES = (1.0, 2.0, 5.0, 10.0, 15.0, 20.0, 25.0, 30.0, 40.0, 50.0, 75.0, 100.0, 150.0, 200.0, 400.0, 1000.0)
"""Around the speed of reading, some 10 tokens a second, and that of one stream on an L4, 20 to 60."""

INTER_TOKEN = Family(
    Kind.HISTOGRAM,
    "gateway_inter_token_seconds",
    "Seconds between two pieces of a stream that carry tokens, as they are passed on: all of them but a stream's "
    "first. A piece is what comes from the backend at once, as a rule one event. Time for which a slow client kept the "
    "gateway from reading is left out. What a worker saw within 0.1 s before it was killed is lost.",
    ("model",),
    GAPS,
)
OUTPUT_RATE = Family(
    Kind.HISTOGRAM,
    "gateway_output_tokens_per_second",
    "Completion tokens behind a stream's first one over the seconds from the first to the stream's end; of streams "
    "whose backend stated their usage.",
    ("model",),
    RATES,
)
STREAM_ENDINGS = Family(
    Kind.COUNTER,
    "gateway_stream_endings",
    "Streams that had begun, by how they ended: `done`; `length`, at a bound on tokens; `client_left`; "
    "`backend_failed`; `refused`, after keep-alives; `failed` by a fault of the gateway; or cut by it: "
    "`cut_slow_client`, `cut_idle`, `cut_first_token`, `cut_lifetime`, `cut_shutdown`.",
    ("model", "ending"),
)
