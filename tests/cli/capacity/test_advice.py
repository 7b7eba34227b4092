"""Can what is advised be set, and is it drawn from what was measured?"""

import re
from pathlib import Path

import pytest

from gateway.cli.capacity.advice import (
    EVENT_CPU_SECS,
    REQUEST_CPU_SECS,
    gateway_workers,
    settings,
    simulator,
    vllm_flags,
)
from gateway.cli.capacity.arithmetic import Assumptions, Capacity, Load, capacity, engine_for
from gateway.cli.capacity.hardware import GPUS
from gateway.cli.capacity.models import KV_BYTES, MODELS, WEIGHTS
from gateway.settings import Settings
from gateway.simulator.argv import parse

BENCHMARK = Path(__file__).parents[3] / "docs" / "BENCHMARK.md"
KEYS = {"gateway_api_key": "sk-0123456789", "backend_api_key": "of-the-backends", "chat_backends": "http://a:1"}


def reckon(gpus: int = 4, model: str = "7b", dtype: str = "fp8", load: Load | None = None) -> Capacity:
    load = load or Load(8192, 1000, 250)
    engine = engine_for(GPUS["l4"], MODELS[model], WEIGHTS[dtype], KV_BYTES["auto"], load, Assumptions())
    return capacity(engine, load, gpus)


@pytest.mark.parametrize("organizations", [1, 4, 1000])
@pytest.mark.parametrize("gpus", [1, 4, 64])
def test_the_gateway_takes_the_settings_that_are_advised(gpus: int, organizations: int) -> None:
    advised = settings(reckon(gpus), organizations)
    loaded = Settings(**KEYS, **{name.lower(): value for name, value in advised.items()})  # type: ignore[arg-type]
    assert {name: getattr(loaded, name.lower()) for name in advised} == dict(advised)


def test_busy_organizations_share_the_slots_and_the_day() -> None:
    found = reckon()
    alone, four = settings(found, 1), settings(found, 4)
    assert alone["MAX_INFLIGHT_PER_IP"] == found.all_slots == 256
    assert four["MAX_INFLIGHT_PER_IP"] == 64
    assert four["ORG_DAILY_TOKEN_LIMIT"] == pytest.approx(alone["ORG_DAILY_TOKEN_LIMIT"] / 4, abs=1)
    assert alone["ORG_DAILY_REQUEST_LIMIT"] == int(found.rps * 86_400)


def test_nobody_waits_at_a_backend_who_would_not_be_served_in_time() -> None:
    found = reckon()
    assert settings(found, 1)["MAX_QUEUED_PER_BACKEND"] == 6  # 2.98 a second, for QUEUE_TIMEOUT_SECS=2


def test_vllm_is_told_what_was_reckoned_with() -> None:
    found = reckon(model="32b")
    options = parse(vllm_flags(found, "fp8"), {})
    assert (options.max_num_seqs, options.max_model_len) == (found.slots, 8192)
    words = " ".join(vllm_flags(found, "fp8"))
    assert words.endswith("--quantization fp8 --kv-cache-dtype fp8 --tensor-parallel-size 2")
    assert "kv-cache" not in " ".join(vllm_flags(found, "auto"))


def test_a_simulator_is_told_the_times_of_a_full_replica_and_no_noise() -> None:
    found = reckon()
    pace = parse(simulator(found), {}).pace
    assert (pace.spread, pace.per_prompt_token) == (0, 0)
    assert pace.first == pytest.approx(found.first_secs, abs=1e-5)
    assert pace.each == pytest.approx(found.each_secs, abs=1e-5)


def test_one_worker_carries_four_cards_and_a_hundred_need_more() -> None:
    assert gateway_workers(reckon(4)) == 1
    assert gateway_workers(reckon(100)) == 9


def test_what_the_gateway_costs_is_what_the_benchmark_found_within_a_factor_of_two() -> None:
    page = BENCHMARK.read_text()

    def median(section: str, row: str) -> float:
        under = page.partition(f"\n### {section}\n")[2].partition("\n### ")[0]
        cells = next(line for line in under.splitlines() if line.startswith(f"| {row} |")).split("|")
        found = re.match(r" ([\d.,]+)", cells[-2])
        assert found, f"{section}: {row}"
        return float(found[1].replace(",", ""))

    for mine, section, row in (
        (EVENT_CPU_SECS, "SSE paced c=200", "CPU us/event"),
        (EVENT_CPU_SECS, "SSE paced c=1000", "CPU us/event"),
        (REQUEST_CPU_SECS, "JSON c=32", "CPU us/request"),
        (REQUEST_CPU_SECS, "JSON c=256", "CPU us/request"),
    ):
        assert 0.5 <= mine * 1e6 / median(section, row) <= 2, f"{section}: {row}"
