"""What does `/metrics` say? The `vllm:` families that a gateway or a dashboard reads, with vLLM's names and labels."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from gateway.simulator.engine import Engine, Sequence

CONTENT_TYPE = CONTENT_TYPE_LATEST

_LABELS = ("engine", "model_name")
_FINISHES = ("stop", "length", "abort", "error", "repetition")
_TTFT = (
    0.001,
    0.005,
    0.01,
    0.02,
    0.04,
    0.06,
    0.08,
    0.1,
    0.25,
    0.5,
    0.75,
    1,
    2.5,
    5,
    7.5,
    10,
    20,
    40,
    80,
    160,
    640,
    2560,
)
_PER_TOKEN = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80)
_LATENCY = (0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 240, 480, 960, 1920, 7680)
_TOKENS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000)
_KV_CACHE_TOKENS = 77_000
"""What a 7B model in bf16 leaves for its cache on an L4 with 24 GB."""


class Metrics:
    """One server's families, all labelled `engine="0"` and with the first served name."""

    def __init__(self, model: str) -> None:
        self.registry = CollectorRegistry()
        self._labels = ("0", model)
        self.prompt_tokens = self._counter("prompt_tokens", "Number of prefill tokens processed.")
        self.generation_tokens = self._counter("generation_tokens", "Number of generation tokens processed.")
        self.prefix_queries = self._counter("prefix_cache_queries", "Prefix cache queries, in tokens.")
        self._counter("prefix_cache_hits", "Prefix cache hits, in tokens.")
        self._counter("num_preemptions", "Cumulative number of preemptions.")
        success = Counter(
            "vllm:request_success",
            "Count of successfully processed requests.",
            [*_LABELS, "finished_reason"],
            registry=self.registry,
        )
        self.success = {finish: success.labels(*self._labels, finish) for finish in _FINISHES}
        rejections = Counter(
            "vllm:admission_rejections",
            "Requests refused before they were queued.",
            ["model_name", "reason"],
            registry=self.registry,
        )
        self.rejections = rejections.labels(model, "max_num_queued_reqs")
        rejections.labels(model, "max_num_queued_tokens")
        self.prompt_sizes = self._histogram("request_prompt_tokens", "Number of prefill tokens.", _TOKENS)
        self.answer_sizes = self._histogram("request_generation_tokens", "Number of generation tokens.", _TOKENS)
        self.ttft = self._histogram("time_to_first_token_seconds", "Time to first token.", _TTFT)
        self.between = self._histogram("inter_token_latency_seconds", "Time between tokens.", _PER_TOKEN)
        self.per_token = self._histogram("request_time_per_output_token_seconds", "Mean time per token.", _PER_TOKEN)
        self.e2e = self._histogram("e2e_request_latency_seconds", "End to end latency.", _LATENCY)
        self.queue = self._histogram("request_queue_time_seconds", "Time in WAITING.", _LATENCY)
        self.prefill = self._histogram("request_prefill_time_seconds", "Time in PREFILL.", _LATENCY)
        self.decode = self._histogram("request_decode_time_seconds", "Time in DECODE.", _LATENCY)
        self.inference = self._histogram("request_inference_time_seconds", "Time in RUNNING.", _LATENCY)
        self._http = Counter(
            "http_requests",
            "Total number of requests by method, status and handler.",
            ["method", "status", "handler"],
            registry=self.registry,
        )

    def watch(self, engine: Engine) -> None:
        """Read the gauges from the engine when they are scraped."""
        self._gauge("num_requests_running", "Requests in model execution batches.", lambda: engine.report[0])
        self._gauge("num_requests_waiting", "Requests waiting to be processed.", lambda: engine.report[1])
        by_reason = Gauge(
            "vllm:num_requests_waiting_by_reason",
            "Requests waiting, by reason.",
            [*_LABELS, "reason"],
            registry=self.registry,
        )
        by_reason.labels(*self._labels, "capacity").set_function(lambda: engine.report[1])
        by_reason.labels(*self._labels, "deferred").set(0)
        self._gauge("kv_cache_usage_perc", "KV-cache usage; 1 means 100 percent.", lambda: _kv_usage(engine))
        sleep = Gauge("vllm:engine_sleep_state", "Sleep state.", [*_LABELS, "sleep_state"], registry=self.registry)
        sleep.labels(*self._labels, "awake").set(1)
        cache = Gauge("vllm:cache_config_info", "The cache.", ["engine", "block_size"], registry=self.registry)
        cache.labels("0", "16").set(1)

    def token(self, sequence: Sequence, now: float) -> None:
        """A token was made."""
        self.generation_tokens.inc()
        if sequence.made:
            self.between.observe(now - sequence.last_token)
            return
        sequence.first_token = now
        self.ttft.observe(now - sequence.arrived)
        self._prefilled(sequence)

    def over(self, sequence: Sequence, reason: str, now: float) -> None:
        """A sequence ended by itself."""
        self.success[reason].inc()
        if not sequence.plan.pieces:
            sequence.first_token = now
            self._prefilled(sequence)
        self.prompt_sizes.observe(sequence.prompt_tokens)
        self.answer_sizes.observe(sequence.made)
        self.e2e.observe(now - sequence.arrived)
        if sequence.started:
            self.queue.observe(sequence.started - sequence.arrived)
            self.inference.observe(now - sequence.started)
        if sequence.first_token:
            self.prefill.observe(sequence.first_token - sequence.started)
            self.decode.observe(now - sequence.first_token)
        if sequence.made > 1:
            self.per_token.observe((now - sequence.first_token) / (sequence.made - 1))

    def rejected(self) -> None:
        """The queue cap turned a request away."""
        self.rejections.inc()

    def answered(self, method: str, handler: str, status: int) -> None:
        """An HTTP answer began. The handler is a known path or `none`, so that the number of series is bounded."""
        self._http.labels(method, f"{status // 100}xx", handler).inc()

    def render(self) -> bytes:
        """The text that /metrics answers."""
        return generate_latest(self.registry)

    def _prefilled(self, sequence: Sequence) -> None:
        self.prompt_tokens.inc(sequence.prompt_tokens)
        self.prefix_queries.inc(sequence.prompt_tokens)

    def _counter(self, name: str, text: str) -> Counter:
        return Counter(f"vllm:{name}", text, _LABELS, registry=self.registry).labels(*self._labels)

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(f"vllm:{name}", text, _LABELS, buckets=buckets, registry=self.registry).labels(*self._labels)

    def _gauge(self, name: str, text: str, read: Callable[[], float]) -> None:
        Gauge(f"vllm:{name}", text, _LABELS, registry=self.registry).labels(*self._labels).set_function(read)


def _kv_usage(engine: Engine) -> float:
    held = sum(sequence.prompt_tokens + sequence.made for sequence in engine.running)
    return min(1.0, held / _KV_CACHE_TOKENS)
