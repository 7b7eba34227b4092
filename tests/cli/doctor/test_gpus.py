"""Cards, their memory and their shares: each fault that keeps a model server from its card is found."""

from dataclasses import replace
from pathlib import Path

import pytest

from gateway.cli.doctor.finding import Level
from gateway.cli.doctor.gpus import SUBJECT, Facts, cards, gather, needed_gib
from gateway.cli.doctor.host import Answer
from gateway.cli.doctor.site import Site
from gateway.cli.doctor.stack import Service, Stack
from tests.cli.doctor.recorded import RecordedHost, Row, every_check_has_a_fault, fault, findings

LISTING = "".join(
    f"{number}, GPU-0a1b2c3d-000{number}-4e5f-8a9b-0c1d2e3f4a5b, NVIDIA L4, 23034, 1, 8.9, 580.95.05\n"
    for number in range(4)
)
"""Of `nvidia-smi --query-gpu=... --format=csv,noheader,nounits` on a host with four L4."""
VLLM = ("vllm", "serve")
QWEN = ("Qwen/Qwen2.5-7B-Instruct", "--max-model-len", "8192")


def server(name: str, gpu: str, share: str = "0.90", *more: str) -> Service:
    return Service(name, entrypoint=VLLM, command=(*QWEN, "--gpu-memory-utilization", share, *more), gpus=(gpu,))


SERVERS = (
    server("chat0", "0", "0.90", "--quantization", "fp8"),
    server("text2sql", "2"),
    Service(
        "embed", entrypoint=VLLM, command=("BAAI/bge-reranker-v2-m3", "--gpu-memory-utilization=0.30"), gpus=("3",)
    ),
    Service(
        "rerank", entrypoint=VLLM, command=("BAAI/bge-reranker-v2-m3", "--gpu-memory-utilization=0.30"), gpus=("3",)
    ),
)
CLEAN = Facts(Answer(0, LISTING), tuple(cards(LISTING)), SERVERS, info={"Runtimes": {"nvidia": {}, "runc": {}}})
OLD = tuple(card._replace(capability=7.5, name="Tesla T4") for card in CLEAN.cards)
AMPERE = tuple(card._replace(capability=8.6, name="NVIDIA A10G") for card in CLEAN.cards)
SMALL = tuple(card._replace(total_mib=16_384) for card in CLEAN.cards)
MISMATCH = "Failed to initialize NVML: Driver/library version mismatch"
FAULTS = [
    Row(
        "driver",
        replace(CLEAN, smi=Answer(None, err="there is no nvidia-smi here"), cards=(), release="ubuntu"),
        Level.ERROR,
        "there is no nvidia-smi here",
        "ubuntu-drivers install",
    ),
    Row("driver", replace(CLEAN, smi=Answer(18, MISMATCH), cards=()), Level.ERROR, MISMATCH, "reboot"),
    Row("toolkit", replace(CLEAN, info={}), Level.ERROR, "not installed", "nvidia-container-toolkit"),
    Row(
        "toolkit",
        replace(CLEAN, info={}, toolkit=Answer(0, "NVIDIA Container Toolkit CLI version 1.18.0")),
        Level.WARNING,
        "does not know its runtime",
        "nvidia-ctk runtime configure",
    ),
    Row(
        "cards",
        replace(CLEAN, cards=CLEAN.cards[:2]),
        Level.ERROR,
        "no card 2 (for text2sql), 3 (for rerank)",
        "device_ids",
    ),
    Row("memory", replace(CLEAN, cards=SMALL), Level.ERROR, "text2sql gets 14.4 GiB of card 2", "--quantization fp8"),
    Row(
        "shares",
        replace(CLEAN, servers=(server("a", "1", "0.80"), server("b", "1", "0.80"))),
        Level.ERROR,
        "card 1: a 0.8 + b 0.8 = 1.6",
        "0.9 at the most",
    ),
    Row(
        "shares",
        replace(CLEAN, servers=(server("a", "1", "0.46"), server("b", "1", "0.46"))),
        Level.WARNING,
        "= 0.92",
        "0.9 at the most",
    ),
    Row(
        "free",
        replace(CLEAN, cards=(CLEAN.cards[0]._replace(used_mib=9000), *CLEAN.cards[1:])),
        Level.ERROR,
        "9000 MiB of card 0 are in use",
        "--query-compute-apps",
    ),
    Row("generation", replace(CLEAN, cards=OLD, servers=SERVERS[1:2]), Level.ERROR, "7.5", "--dtype half"),
    Row("generation", replace(CLEAN, cards=AMPERE), Level.NOTE, "8.6", ""),
]


@pytest.mark.parametrize("row", FAULTS, ids=str)
def test_a_fault_is_found_with_what_mends_it(row: Row[Facts]) -> None:
    row.holds(SUBJECT)


def test_every_check_has_a_fault_above_and_none_on_the_host_that_the_stack_is_made_for() -> None:
    every_check_has_a_fault(SUBJECT, CLEAN, FAULTS)


def test_the_need_is_that_of_the_weights_in_their_format_and_one_context() -> None:
    fp8, bf16 = needed_gib(SERVERS[0]), needed_gib(SERVERS[1])
    assert [fp8, bf16] == pytest.approx([8.1 + 1.5 + 0.4375, 14.2 + 1.5 + 0.4375], abs=0.05)
    whole = Service("chat", entrypoint=VLLM, command=QWEN[:1])
    assert needed_gib(whole) == pytest.approx(14.2 + 1.5 + 4 * 0.4375, abs=0.05)  # the model's own context of 32k
    small = Service("chat", entrypoint=VLLM, command=(*QWEN, "--kv-cache-dtype", "fp8"))
    assert needed_gib(small) == pytest.approx(14.2 + 1.5 + 0.4375 / 2, abs=0.05)
    assert needed_gib(Service("chat", entrypoint=VLLM, command=(*QWEN, "--quantization", "gguf"))) is None
    for length, tokens in (("8K", 8192), ("8k", 8000), ("0.5M", 2**19), ("auto", 0), ("-1", 0)):
        typed = Service("chat", entrypoint=VLLM, command=(*QWEN, "--max_model_len", length))
        assert needed_gib(typed) == pytest.approx(14.2 + 1.5 + tokens * 56 / 2**20, abs=0.05)
    assert needed_gib(Service("other", entrypoint=VLLM, command=("someone/else",))) is None


def test_a_model_that_is_not_known_is_said_and_not_judged() -> None:
    other = replace(SERVERS[0], entrypoint=VLLM, command=("someone/else",))
    assert fault(SUBJECT, "memory", replace(CLEAN, servers=(other,))).level is Level.NOTE


def test_memory_that_the_running_stack_itself_holds_is_no_fault() -> None:
    full = replace(CLEAN, cards=tuple(card._replace(used_mib=20_000) for card in CLEAN.cards))
    assert [one.level for one in findings(SUBJECT, "free", full)] == [Level.ERROR] * 3
    assert findings(SUBJECT, "free", replace(full, in_use=True)) == []


def test_what_nvidia_smi_and_docker_say_becomes_facts() -> None:
    host = RecordedHost(
        {
            "nvidia-smi --query-gpu=index,uuid": LISTING,
            "nvidia-ctk --version": "NVIDIA Container Toolkit CLI version 1.18.0\n",
        },
        {"/etc/os-release": 'PRETTY_NAME="Ubuntu 24.04.3 LTS"\nID=ubuntu\nID_LIKE=debian\n'},
    )
    running = {"State": {"Running": True}, "Config": {"Labels": {"com.docker.compose.service": "embed"}}}
    stack = Stack("inference", {one.name: one for one in SERVERS})
    facts = gather(host, Site(Path(), stack=stack, info=CLEAN.info, containers=(running,)))
    assert (len(facts.cards), facts.cards[0].total_mib, facts.cards[0].capability) == (4, 23_034, 8.9)
    assert (facts.servers, facts.release, facts.in_use) == (SERVERS, "ubuntu", True)
    assert facts.card("GPU-0a1b2c3d-0002-4e5f-8a9b-0c1d2e3f4a5b") == facts.card("2")


def test_what_a_card_does_not_have_counts_as_none() -> None:
    (card,) = cards("0, GPU-0, Some card, 23034, [N/A], [N/A], 580.1\n")
    assert (card.used_mib, card.capability) == (0, 0)
