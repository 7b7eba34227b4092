"""`.env`: placeholders, weak keys, unknown names, rights, and lines that Compose and the gateway read differently."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.cli.doctor.environment import SUBJECT, Facts, gather, secrets
from gateway.cli.doctor.finding import Level
from gateway.cli.doctor.host import Answer
from gateway.cli.doctor.site import Site, survey
from gateway.cli.doctor.stack import Service, Stack
from gateway.cli.init import new_key
from gateway.settings import names
from tests.cli.doctor.recorded import RecordedHost, Row, every_check_has_a_fault, fault, findings

CLIENTS, BACKENDS = new_key("sk-"), new_key("")
VALUES = {"GATEWAY_API_KEY": CLIENTS, "BACKEND_API_KEY": BACKENDS}
CLEAN = Facts(Path(".env"), 0o100600, (), (), VALUES, VALUES)
IN_CLEAR = "REDIS_URL is redis:// and leads to another host: password and counters pass in clear"
UNKNOWN = ".env: GATEWAY_WORKRES is no setting: is GATEWAY_WORKERS meant?"
DATABASE = "postgresql://gateway:hunter2@db:5432/gateway"


def stating(**values: str) -> Facts:
    return replace(CLEAN, values={**VALUES, **values}, handed={**VALUES, **values})


FAULTS = [
    Row("file", Facts(Path(".env")), Level.ERROR, "there is no .env", "gateway init"),
    Row("file", Facts(Path(".env"), closed="Permission denied"), Level.ERROR, ".env cannot be read: Perm", "sudo"),
    Row("once", replace(CLEAN, repeated={"GATEWAY_API_KEY": 2}), Level.WARNING, "GATEWAY_API_KEY 2 times", "grep -n"),
    Row("settings", replace(CLEAN, mistakes=(UNKNOWN,)), Level.ERROR, "is GATEWAY_WORKERS meant?", "edit .env"),
    Row(
        "keys",
        stating(BACKEND_API_KEY="sk-demo-of-mine"),
        Level.WARNING,
        "BACKEND_API_KEY has a key of 15",
        "openssl rand",
    ),
    Row("keys", stating(ADMIN_API_KEY="a" * 30 + "bc"), Level.WARNING, "of 32 characters, 3 of them", "openssl rand"),
    Row(
        "keys", stating(GRAFANA_ADMIN_PASSWORD="change-me"), Level.ERROR, "PASSWORD holds a placeholder", "openssl rand"
    ),
    Row("keys", stating(DATABASE_URL=DATABASE), Level.WARNING, "DATABASE_URL has a key of 7", "openssl rand"),
    Row(
        "doors", stating(GRAFANA_ADMIN_PASSWORD=CLIENTS), Level.WARNING, "GATEWAY_API_KEY and GRAFANA_ADMIN", "openssl"
    ),
    Row("in clear", replace(CLEAN, exposed=(IN_CLEAR,)), Level.WARNING, "REDIS_URL is redis://", "gateway check"),
    Row("rights", replace(CLEAN, mode=0o100644), Level.WARNING, "for others too (0644)", "chmod 600 .env"),
    Row(
        "alike",
        replace(CLEAN, handed={**VALUES, "BACKEND_API_KEY": "cut"}),
        Level.ERROR,
        "BACKEND_API_KEY: Compose",
        "'...'",
    ),
    Row(
        "shell",
        replace(CLEAN, exported={"HF_HOME": "/mnt"}),
        Level.WARNING,
        "HF_HOME is set in this shell",
        "unset HF_HOME",
    ),
]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty one, and no settings in the environment."""
    monkeypatch.chdir(tmp_path)
    for name in (*names(), "GATEWAY_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.mark.parametrize("row", FAULTS, ids=str)
def test_a_fault_is_found_with_what_mends_it(row: Row[Facts]) -> None:
    row.holds(SUBJECT)
    said = fault(SUBJECT, row.check, row.facts)
    assert [key for keys in secrets(row.facts.values).values() for key in keys if key in f"{said}"] == []


def test_every_check_has_a_fault_above_and_none_where_all_is_well() -> None:
    every_check_has_a_fault(SUBJECT, CLEAN, FAULTS)


def test_what_the_gateway_itself_refuses_is_said_once() -> None:
    told = replace(stating(GATEWAY_API_KEY="change-me"), mistakes=("GATEWAY_API_KEY holds a placeholder",))
    assert [one.level for one in findings(SUBJECT, "keys", told)] == [Level.OK]
    assert fault(SUBJECT, "settings", told).level is Level.ERROR


def test_each_key_of_a_list_and_the_passwords_of_addresses_are_looked_at() -> None:
    values = {"GATEWAY_API_KEY": "one, two", "REDIS_URL": "redis://:three@h:6379/0", "HF_HOME": "four"}
    assert secrets(values) == {"GATEWAY_API_KEY": ["one", "two"], "REDIS_URL": ["three"]}


def test_the_file_is_read_as_the_gateway_and_as_compose_read_it(folder: Path) -> None:
    lines = (
        "GATEWAY_API_KEY=sk-a$b-0123456789",
        "BACKEND_API_KEY=of-backends-0123456789",
        "CHAT_BACKEND=http://c:8000",
    )
    (folder / ".env").write_text("".join(f"{line}\n" for line in lines))
    (folder / ".env").chmod(0o640)
    (folder / "docker-compose.yml").write_text(
        "services:\n  gateway:\n    image: i\n    environment:\n      BACKEND_API_KEY: x\n"
        "    volumes: ['${HF_HOME:-./hf}:/hf']\n"
    )
    handed = {"GATEWAY_API_KEY": "sk-a-0123456789", "BACKEND_API_KEY": "x"}
    stack = Stack("inference", {"gateway": Service("gateway", environment=handed)})
    host = RecordedHost(
        files={str(folder / "docker-compose.yml"): (folder / "docker-compose.yml").read_text()},
        variables={"HF_HOME": "/mnt/models", "HOME": "/home/alice"},
    )
    facts = gather(host, Site(folder, config=Answer(0), stack=stack))
    assert (facts.mode or 0) & 0o777 == 0o640
    assert any("is CHAT_BACKENDS meant?" in said for said in facts.mistakes)
    assert (facts.compose_sets, facts.exported) == (frozenset({"BACKEND_API_KEY"}), {"HF_HOME": "/mnt/models"})
    assert fault(SUBJECT, "alike", facts).seen.startswith("GATEWAY_API_KEY: Compose")


def test_what_check_says_of_secrets_in_clear_is_said_here_too(folder: Path) -> None:
    text = f"GATEWAY_API_KEY=sk-short-1\nBACKEND_API_KEY={BACKENDS}\nCHAT_BACKENDS=http://c:8000\n"
    (folder / ".env").write_text(f"{text}REDIS_URL=redis://:{BACKENDS}@10.0.0.5:6379/0\n")
    (said,) = gather(RecordedHost(), Site(folder)).exposed
    assert said.startswith("REDIS_URL is redis://")


def test_a_file_that_is_no_text_or_cannot_be_read_is_a_finding(folder: Path) -> None:
    (folder / ".env").write_bytes(f"BACKEND_API_KEY={BACKENDS}\nHTTP_PORT=80\xe9\n".encode("latin-1"))
    facts = gather(RecordedHost(), survey(RecordedHost(), Path()))
    assert [str(facts.mistakes[0]), facts.values["BACKEND_API_KEY"]] == [".env is not UTF-8", BACKENDS]
    (folder / ".env").unlink()
    (folder / ".env").symlink_to(".env")
    closed = gather(RecordedHost(), survey(RecordedHost(), Path()))
    assert "symbolic links" in fault(SUBJECT, "file", closed).seen
    assert [one for row in SUBJECT.checks[1:] for one in row.judge(closed)] == []


def test_a_name_that_stands_twice_is_counted_under_the_value_that_is_in_force(folder: Path) -> None:
    text = f"# HTTP_PORT=80\nGATEWAY_API_KEY=first\nexport GATEWAY_API_KEY={CLIENTS}\nHTTP_PORT=8080\n"
    (folder / ".env").write_text("\ufeff" + text.replace("\n", "\r\n"))
    facts = gather(RecordedHost(), Site(Path()))
    assert (facts.repeated, facts.values) == ({"GATEWAY_API_KEY": 2}, {"GATEWAY_API_KEY": CLIENTS, "HTTP_PORT": "8080"})


def test_what_compose_sets_itself_need_not_stand_in_the_file(folder: Path) -> None:
    (folder / ".env").write_text(f"GATEWAY_API_KEY={CLIENTS}\nBACKEND_API_KEY={BACKENDS}\n")
    compose = "services:\n  gateway:\n    environment:\n      CHAT_BACKENDS: http://chat0:8000\n"
    assert "CHAT_BACKENDS is not set" in gather(RecordedHost(), Site(folder)).mistakes[0]
    (folder / "docker-compose.yml").write_text(compose)
    stack = Stack("inference", {"gateway": Service("gateway", environment={"CHAT_BACKENDS": "http://chat0:8000"})})
    assert gather(RecordedHost(), Site(folder, config=Answer(0), stack=stack)).mistakes == ()


def test_no_file_is_one_finding_and_no_list_of_what_is_missing(folder: Path) -> None:
    facts = gather(RecordedHost(), Site(folder))
    assert [one.level for row in SUBJECT.checks for one in row.judge(facts)] == [Level.ERROR]
    assert "DATABASE_URL" not in os.environ  # noqa: TID251 -- what the fixture promises
