"""How is a capacity shown? As text for people and as plain values for scripts."""

import shlex
from dataclasses import asdict
from typing import Any

from gateway.cli.capacity.advice import (
    BUSY_SHARE,
    EVENT_CPU_SECS,
    REQUEST_CPU_SECS,
    gateway_workers,
    settings,
    simulator,
    vllm_flags,
)
from gateway.cli.capacity.arithmetic import Capacity
from gateway.cli.capacity.hardware import GIB

KIB = 2**10
Lines = list[str]


def as_json(found: Capacity, *, kv_dtype: str, organizations: int) -> dict[str, Any]:
    """Plain values; times in seconds, memory in bytes."""
    engine = found.engine
    return {
        "model": engine.model.name,
        "gpu": engine.gpu.name,
        "load": asdict(found.load),
        "assumptions": asdict(engine.assumptions),
        "replica": {
            "gpus": engine.spread,
            "weight_bytes": int(engine.weight_bytes),
            "cache_bytes_per_token": int(engine.token_bytes),
            "cache_tokens": engine.cache_tokens,
            "whole_contexts": found.whole_contexts,
            "slots": found.slots,
            "first_token_secs": round(found.first_secs, 4),
            "secs_per_token": round(found.each_secs, 5),
            "secs_per_token_alone": round(found.alone_secs, 5),
            "request_secs": round(found.stay_secs, 3),
            "requests_per_sec": round(found.replica_rps, 3),
            "output_tokens_per_sec": round(found.replica_rps * found.load.answer, 1),
        },
        "fleet": {
            "replicas": found.replicas,
            "slots": found.all_slots,
            "requests_per_sec": round(found.rps, 3),
            "prompt_tokens_per_sec": round(found.rps * found.load.prompt, 1),
            "output_tokens_per_sec": round(found.rps * found.load.answer, 1),
            "gateway_workers": gateway_workers(found),
        },
        "settings": dict(settings(found, organizations)),
        "vllm": vllm_flags(found, kv_dtype),
        "simulator": simulator(found),
    }


def as_text(found: Capacity, *, kv_dtype: str, organizations: int, gpus: int) -> Lines:
    """Paragraphs: the replica, the fleet, what to set, what was assumed."""
    return [
        *_replica(found),
        "",
        *_fleet(found, gpus),
        "",
        f"To set, where {organizations} organizations are busy at the same time:",
        *(f"  {name}={value}" for name, value in settings(found, organizations).items()),
        "",
        "Each replica:",
        f"  vllm serve {shlex.join(vllm_flags(found, kv_dtype))}",
        "The same without a GPU, as fast as it is when full:",
        f"  gateway simulate {shlex.join(simulator(found))}",
        "",
        *_assumed(found),
    ]


def _replica(found: Capacity) -> Lines:
    engine, load = found.engine, found.load
    full = f"with all {found.slots:,} slots taken {1 / found.each_secs:.1f} tokens/s each" if found.each_secs else ""
    return [
        f"{engine.model.name} on {engine.spread} x {engine.gpu.name}:",
        f"  {engine.weight_bytes / GIB:.1f} GiB of weights",
        f"  {engine.token_bytes / KIB:g} KiB of cache for each token, and room for {engine.cache_tokens:,} of them",
        f"  {found.whole_contexts:,} requests at once of {load.context:,} tokens each",
        f"  {found.slots:,} requests at once of {load.prompt:,} + {load.answer:,}",
        f"  alone {1 / found.alone_secs:.0f} tokens/s, " + (full or "and none after the first"),
        f"  the first token after {found.first_secs:.2f} s, the last after {found.stay_secs:.1f} s when it is full",
        f"  {found.replica_rps:.2f} requests/s",
    ]


def _fleet(found: Capacity, gpus: int) -> Lines:
    load, idle = found.load, gpus - found.replicas * found.engine.spread
    prompts, answers = found.rps * load.prompt, found.rps * load.answer
    return [
        f"Replicas on {gpus} GPUs: {found.replicas}" + (f" ({idle} GPUs idle)" if idle else ""),
        f"  {found.all_slots:,} requests at once, {found.rps:.2f} requests/s",
        f"  {prompts:,.0f} tokens/s of prompts and {answers:,.0f} tokens/s of answers",
        f"  gateway workers, with a processor each: {gateway_workers(found)}",
    ]


def _assumed(found: Capacity) -> Lines:
    given, gpu = found.engine.assumptions, found.engine.gpu
    flops = gpu.flops_at(found.engine.weights.bits)
    event, request = EVENT_CPU_SECS * 1e6, REQUEST_CPU_SECS * 1e6
    facts = [
        f"{gpu.memory / GIB:g} GiB a GPU; vLLM has {given.memory_share:.0%} of them",
        f"{given.overhead / GIB:g} GiB a GPU are neither weights nor cache",
        f"{gpu.bandwidth / 1e9:,.0f} GB/s, of which {given.bandwidth_share:.0%} are reached",
        f"{flops / 1e12:,.0f} TFLOPS, of which {given.compute_share:.0%} are reached",
        f"at most {given.batch} requests at a time in a replica, and no prompt's beginning in its cache",
        f"in the gateway {event:g} us for each token, {request:g} us for each request, and {1 - BUSY_SHARE:.0%} idle",
        found.engine.weights.checkpoint,
    ]
    if found.engine.spread > 1:
        facts.append("GPUs of a replica tell each other everything in no time: without NVLink it is slower")
    if found.slots > found.whole_contexts:
        most, longest = found.whole_contexts, found.load.context
        facts.append(
            f"requests as long as stated: vLLM holds {most:,} of {longest:,} tokens and sets further ones back"
        )
    return ["Computed, not measured. Assumed:", *(f"  {fact}" for fact in facts if fact)]
