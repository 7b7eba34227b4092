"""Does a simulator that is set as `gateway capacity` says carry what it says? By tokens, on a clock that jumps.

The engine is the simulator's own, set by the very arguments that are printed; only its clock is the test's. That the
simulator is a process that speaks HTTP changes no count, and is looked at once, at the end.
"""

import asyncio
import random
import threading
from pathlib import Path

import pytest

from gateway.cli.capacity.advice import settings, simulator
from gateway.cli.capacity.arithmetic import Assumptions, Capacity, Load, capacity, engine_for
from gateway.cli.capacity.hardware import GPUS
from gateway.cli.capacity.models import KV_BYTES, MODELS, WEIGHTS
from gateway.simulator.argv import parse
from gateway.simulator.engine import Engine, Outbox, Sequence
from gateway.simulator.metrics import _KV_CACHE_TOKENS
from gateway.simulator.pace import LIKE_A_GPU
from gateway.simulator.plan import Plan
from tests.cli.capacity.jumping import JumpingLoop
from tests.simulator.clients import body, post
from tests.support.gateway import BACKEND_KEY, Gateway, wait_until
from tests.support.simulators import Simulator

TOLERANCE = 0.01
"""Of tokens a second: what the rounding of the printed milliseconds may do."""
LOADS = [Load(8192, 1000, 250), Load(8192, 200, 1000), Load(8192, 7000, 100), Load(2048, 512, 1)]


class Counter:
    """A meter that counts tokens and endings, and what ran at the most."""

    engine: Engine

    def __init__(self) -> None:
        self.tokens = 0
        self.finished = 0
        self.most_running = 0

    def token(self, sequence: Sequence, now: float) -> None:
        del sequence, now
        self.tokens += 1
        self.most_running = max(self.most_running, len(self.engine.running))

    def over(self, sequence: Sequence, reason: str, now: float) -> None:
        del sequence, now
        assert reason == "length"
        self.finished += 1

    def rejected(self) -> None:
        raise AssertionError("nobody is turned away")


def reckon(load: Load, dtype: str = "fp8", **assumed: float) -> Capacity:
    given = Assumptions(**assumed)  # type: ignore[arg-type]
    engine = engine_for(GPUS["l4"], MODELS["7b"], WEIGHTS[dtype], KV_BYTES["auto"], load, given)
    return capacity(engine, load, 1)


def engine_as_printed(found: Capacity) -> tuple[Engine, Counter]:
    """The simulator's engine, as its command line would set it."""
    options = parse(simulator(found), {})
    meter = Counter()
    engine = Engine(
        meter,
        pace=options.pace,
        max_num_seqs=options.max_num_seqs,
        max_queued=None,
        by_priority=False,
        seed=options.seed,
    )
    meter.engine = engine
    return engine, meter


def request(load: Load) -> Sequence:
    return Sequence(Plan(("x",) * load.answer, "length"), load.prompt, Outbox(1), interval=0)


def run(main: object) -> None:
    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        runner.run(main)  # type: ignore[arg-type]


@pytest.mark.parametrize("dtype", ["fp8", "bf16"])
@pytest.mark.parametrize("load", LOADS, ids=lambda load: f"{load.prompt}+{load.answer}")
def test_a_full_simulator_makes_the_tokens_that_were_computed_in_the_slots_that_were_computed(
    load: Load, dtype: str
) -> None:
    found = reckon(load, dtype)
    engine, meter = engine_as_printed(found)

    async def main() -> float:
        engine.submit(request(load) for _ in range(5 * found.slots))
        assert (len(engine.running), engine.waiting) == (found.slots, 4 * found.slots)
        await engine.idle()
        seconds = asyncio.get_running_loop().time()
        assert meter.tokens / seconds == pytest.approx(found.replica_rps * load.answer, rel=TOLERANCE)
        return seconds

    run(main())
    assert (meter.finished, meter.tokens) == (5 * found.slots, 5 * found.slots * load.answer)
    assert meter.most_running <= found.slots


@pytest.mark.parametrize(("share", "waits"), [(0.9, False), (1.2, True)])
def test_requests_that_come_at_random_are_served_up_to_the_rate_that_was_computed(share: float, waits: bool) -> None:  # noqa: FBT001 -- a column of the table
    """Below the rate nearly nobody waits, above it the rest piles up, and what is finished is the rate."""
    load = Load(8192, 512, 30)
    found = reckon(load, batch=16)
    engine, meter = engine_as_printed(found)
    coming = random.Random(7)  # noqa: S311 -- arrivals, not secrets
    while_secs = 5000 / found.replica_rps

    async def main() -> None:
        loop = asyncio.get_running_loop()

        def arrive() -> None:
            engine.submit([request(load)])
            loop.call_later(coming.expovariate(found.replica_rps * share), arrive)

        arrive()
        await asyncio.sleep(while_secs)  # noqa: TID251 -- on the loop's own clock, which jumps
        waited, before = engine.waiting, meter.finished
        await asyncio.sleep(while_secs)  # noqa: TID251 -- the same
        served = (meter.finished - before) / while_secs
        assert served == pytest.approx(found.replica_rps * min(share, 1), rel=0.03)
        assert (engine.waiting > 100 and engine.waiting > waited) is waits
        assert meter.most_running <= found.slots

    run(main())


def test_the_simulators_own_figures_are_of_the_same_card() -> None:
    """Its cache is that of bf16. Its default pace is quicker than an L4 can be: 40 tokens/s of at most 34."""
    bf16, fp8 = reckon(LOADS[0], "bf16"), reckon(LOADS[0], bandwidth_share=1.0)
    assert bf16.engine.cache_tokens == pytest.approx(_KV_CACHE_TOKENS, rel=TOLERANCE)
    assert fp8.alone_secs == pytest.approx(LIKE_A_GPU.each, rel=0.25)
    assert fp8.engine.prefill_secs(4000) / 4000 == pytest.approx(LIKE_A_GPU.per_prompt_token, rel=0.4)


def test_with_the_settings_that_are_printed_the_backlog_waits_in_the_gateway_and_never_at_an_engine(
    tmp_path: Path,
) -> None:
    load = Load(8192, 1000, 250)
    found = capacity(reckon(load, batch=3).engine, load, 2)
    advised = settings(found, 1)
    argv = [*simulator(found), "--api-key", BACKEND_KEY, "--served-model-name", "qwen"]
    with Simulator(argv) as first, Simulator(argv) as second:
        backends = {"CHAT_BACKENDS": f"{first.url},{second.url}", "BALANCING_POLICY": "least_inflight"}
        # One organization asks here, for all of them: the bound that is looked at is the backends'.
        alone = {**advised, "MAX_INFLIGHT_PER_IP": 100, "QUEUE_TIMEOUT_SECS": 60}
        with Gateway(tmp_path, **backends, **alone) as gateway:
            wait_until(gateway.well)
            for simulated in (first, second):
                simulated.set_pace(token_ms=1000)
            asking = [threading.Thread(target=_ask, args=(gateway,)) for _ in range(found.all_slots + 2)]
            for thread in asking:
                thread.start()
            for simulated in (first, second):
                simulated.until_state(running=found.slots, waiting=0)
            wait_until(lambda: _waiting(gateway) == 2)
            for simulated in (first, second):
                simulated.until_state(running=found.slots, waiting=0)
                simulated.set_pace(ttft_ms=0, token_ms=0)
            for thread in asking:
                thread.join()
        rows = [*first.settled(), *second.settled()]
    assert [row["ended"] for row in rows] == ["finished"] * (found.all_slots + 2)
    assert sum(row["completion_tokens"] for row in rows) == (found.all_slots + 2) * 8


def test_a_simulator_that_was_started_so_is_no_quicker_than_was_computed() -> None:
    load = Load(8192, 1000, 10)
    found = reckon(load, batch=4)
    with Simulator([*simulator(found), "--served-model-name", "qwen"]) as chat:
        asking = [
            threading.Thread(target=post, args=(chat, body(max_tokens=load.answer, ignore_eos=True)))
            for _ in range(2 * found.slots)
        ]
        for thread in asking:
            thread.start()
        for thread in asking:
            thread.join()
        rows = chat.settled(requests=2 * found.slots)
    assert sum(row["completion_tokens"] for row in rows) == 2 * found.slots * load.answer
    took = max(row["finished"] for row in rows) - min(row["started"] for row in rows)
    assert took >= 2 * found.stay_secs * (1 - TOLERANCE)


def _ask(gateway: Gateway) -> None:
    with gateway.client() as client:
        answer = client.post("/v1/chat/completions", json=body(max_tokens=8, ignore_eos=True))
        assert answer.status_code == 200, answer.text


def _waiting(gateway: Gateway) -> float:
    return gateway.metrics()['gateway_seats_waiting{group="chat"}']
