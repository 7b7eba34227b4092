"""Versions that are known to be bad: each row of the table is met by its first bad version, and by no good one."""

from dataclasses import replace
from pathlib import Path

import orjson
import pytest

from gateway.cli.doctor.finding import Level
from gateway.cli.doctor.site import Site
from gateway.cli.doctor.stack import Service, Stack
from gateway.cli.doctor.versions import (
    COMPOSE,
    DRIVER,
    ENGINE,
    KNOWN_BAD,
    NGINX,
    RUNC,
    SUBJECT,
    TOOLKIT,
    VLLM,
    Bad,
    Facts,
    gather,
    satisfied,
    version,
)
from tests.cli.doctor.recorded import RecordedHost, Row, every_check_has_a_fault, findings

GOOD = {
    ENGINE: (28, 2, 2),
    COMPOSE: (2, 40, 3),
    RUNC: (1, 3, 3),
    TOOLKIT: (1, 18, 0),
    DRIVER: (580, 95, 5),
    NGINX: (1, 30, 4),
    VLLM: (0, 32, 0),
}
CLEAN = Facts(GOOD, "v0.32.0")
REQUIRES = "cuda>=13.0 brand=unknown,driver>=535,driver<536 brand=tesla,driver>=570,driver<571"
"""As NVIDIA's images say it."""
SMI = "| NVIDIA-SMI 580.95.05              Driver Version: 580.95.05      CUDA Version: 13.0     |\n"
OLD_DRIVER = replace(CLEAN, versions={**GOOD, DRIVER: (550, 54)})
FAULTS = [
    Row(
        "known bad", replace(CLEAN, versions={RUNC: (1, 2, 7)}), Level.WARNING, "runc 1.2.7, good from 1.2.8", "apt-get"
    ),
    Row("pinned", replace(CLEAN, vllm_tag="latest"), Level.WARNING, "the tag latest", "name a release"),
    Row("driver", OLD_DRIVER, Level.WARNING, "driver 550.54 is older", "-cu129"),
    Row("driver", replace(OLD_DRIVER, requires=REQUIRES, cuda=(12, 4)), Level.ERROR, "speaks CUDA 12.4", "-cu129"),
    Row("driver", replace(OLD_DRIVER, vllm_tag="v0.32.0-cu129"), Level.NOTE, "which driver the image v0.32.0-cu129"),
]


@pytest.mark.parametrize("row", FAULTS, ids=str)
def test_a_fault_is_found_with_what_mends_it(row: Row[Facts]) -> None:
    row.holds(SUBJECT)


def test_every_check_has_a_fault_above_and_none_where_all_is_well() -> None:
    every_check_has_a_fault(SUBJECT, CLEAN, FAULTS)


@pytest.mark.parametrize("bad", KNOWN_BAD, ids=lambda bad: f"{bad.part} {bad.fixed}")
def test_each_row_is_met_by_what_it_names_and_by_no_more(bad: Bad) -> None:
    first = replace(CLEAN, versions={bad.part: (*bad.since, 0, 0)})
    assert [one.means for one in findings(SUBJECT, "known bad", first)] == [bad.means]
    fixed = replace(CLEAN, versions={bad.part: bad.fixed})
    assert bad.means not in [one.means for one in findings(SUBJECT, "known bad", fixed)]


@pytest.mark.parametrize(
    ("cuda", "driver", "good"),
    [
        ((13, 0), (580, 95), True),
        ((12, 8), (570, 172), True),
        ((12, 2), (535, 216), True),
        ((12, 4), (550, 54), False),
    ],
)
def test_what_an_image_requires_is_read_as_alternatives(
    cuda: tuple[int, ...], driver: tuple[int, ...], *, good: bool
) -> None:
    assert satisfied(REQUIRES, cuda, driver) is good


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("2.40.3-3\n", (2, 40, 3)),
        ("20.10.24+dfsg1", (20, 10, 24)),
        ("NVIDIA Container Toolkit CLI version 1.17.4\ncommit: 9b69590c7428470a72f2ae05f826412976af1395", (1, 17, 4)),
        ("1.1.5+ds1", (1, 1, 5)),
        ("latest", ()),
    ],
)
def test_a_version_is_found_in_what_a_program_says(text: str, found: tuple[int, ...]) -> None:
    assert version(text) == found


def test_what_the_programs_say_becomes_facts() -> None:
    image = "vllm/vllm-openai:v0.32.0"
    services = {
        "nginx": Service("nginx", "nginx:1.30-alpine"),
        "chat0": Service("chat0", image, entrypoint=("vllm", "serve"), command=("Qwen/Qwen2.5-7B-Instruct",)),
    }
    components = [{"Name": "Engine", "Version": "28.2.2"}, {"Name": "runc", "Version": "1.2.5"}]
    inspect = "docker image inspect --format {{json .Config.Env}}"
    host = RecordedHost(
        {
            "nvidia-smi": SMI,
            "docker compose version": "v2.40.3\n",
            "docker version": orjson.dumps(components).decode(),
            f"{inspect} nginx": '["PATH=/bin","NGINX_VERSION=1.30.2"]',
            f"{inspect} vllm": f'["NVIDIA_REQUIRE_CUDA={REQUIRES}"]',
        }
    )
    site = Site(Path(), stack=Stack("inference", services), info={"ServerVersion": "28.2.2"})
    facts = gather(host, site)
    assert facts.versions == {
        ENGINE: (28, 2, 2),
        COMPOSE: (2, 40, 3),
        RUNC: (1, 2, 5),
        DRIVER: (580, 95, 5),
        NGINX: (1, 30, 2),
        VLLM: (0, 32, 0),
    }
    assert (facts.vllm_tag, facts.requires, facts.cuda) == ("v0.32.0", REQUIRES, (13, 0))


def test_without_gpus_neither_driver_nor_vllm_is_looked_at() -> None:
    services = {
        "chat0": Service("chat0", "inference-gateway:local", entrypoint=("gateway", "simulate"), command=("Qwen",))
    }
    facts = gather(RecordedHost({"nvidia-smi": SMI}), Site(Path(), simulated=True, stack=Stack("inference", services)))
    assert (facts.versions, facts.vllm_tag) == ({}, None)
