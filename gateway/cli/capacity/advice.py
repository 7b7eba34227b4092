"""What is to be set, then? vLLM's flags, the gateway's settings and processors, and a simulator that is as fast."""

import math
from collections.abc import Mapping

from gateway.admission.settings import AdmissionSettings
from gateway.cli.capacity.arithmetic import Capacity

EVENT_CPU_SECS = 55e-6
"""Of the gateway for one token of a stream in a packet of its own: the worst of docs/BENCHMARK.md's paced streams."""
REQUEST_CPU_SECS = 250e-6
"""Of the gateway for a request and its answer: the worst of docs/BENCHMARK.md's JSON requests."""
BUSY_SHARE = 0.5
"""Of a worker's processor, beyond which its answers begin to wait for each other."""
DAY_SECS = 86_400
WAITING = AdmissionSettings.model_fields["queue_timeout_secs"].default
WAITERS_A_SLOT = 2
"""As the defaults have it: 240 wait for 120."""


def vllm_flags(found: Capacity, kv_dtype: str) -> list[str]:
    """`vllm serve`'s arguments for one replica, the model first."""
    engine, given = found.engine, found.engine.assumptions
    flags = [engine.model.name, "--max-model-len", str(found.load.context), "--max-num-seqs", str(found.slots)]
    flags += ["--gpu-memory-utilization", f"{given.memory_share:.2f}", *engine.weights.flags.split()]
    if kv_dtype != "auto":
        flags += ["--kv-cache-dtype", kv_dtype]
    if engine.spread > 1:
        flags += ["--tensor-parallel-size", str(engine.spread)]
    return flags


def settings(found: Capacity, organizations: int) -> Mapping[str, int]:
    """The gateway's settings by name, where so many organizations are busy at the same time."""
    share = math.ceil(found.all_slots / organizations)
    tokens = found.rps * found.load.whole * DAY_SECS
    return {
        "MAX_INFLIGHT_PER_BACKEND": found.slots,
        # Whoever stands further back is not served within QUEUE_TIMEOUT_SECS.
        "MAX_QUEUED_PER_BACKEND": max(1, math.ceil(found.replica_rps * WAITING)),
        "MAX_INFLIGHT_PER_IP": share,
        "MAX_QUEUED_PER_IP": share * WAITERS_A_SLOT,
        "ORG_DAILY_REQUEST_LIMIT": math.floor(found.rps * DAY_SECS / organizations),
        "ORG_DAILY_TOKEN_LIMIT": math.floor(tokens / organizations),
    }


def gateway_workers(found: Capacity) -> int:
    """Workers, of a processor each, that relay all of it and are half idle."""
    cpu = found.rps * (REQUEST_CPU_SECS + found.load.answer * EVENT_CPU_SECS)
    return max(1, math.ceil(cpu / BUSY_SHARE))


def simulator(found: Capacity) -> list[str]:
    """`gateway simulate`'s arguments for one replica that is as fast as this one when it is full."""
    return [
        *(found.engine.model.name, "--max-model-len", str(found.load.context), "--max-num-seqs", str(found.slots)),
        *("--sim-ttft-ms", f"{found.first_secs * 1000:.2f}", "--sim-token-ms", f"{found.each_secs * 1000:.2f}"),
        *("--sim-spread-ms", "0"),
    ]
