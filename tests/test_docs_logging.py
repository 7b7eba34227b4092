"""Tests of docs/logging.md: its lines are what a gateway writes, field by field, its tables what the code does."""

import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import orjson
import pytest

from gateway.audit.choices import AuditLog
from gateway.audit.personal import without_personal_data
from gateway.core.context import Phase
from gateway.observability.families.catalogue import CATALOGUE
from gateway.observability.masking import masked, masked_organizations
from gateway.observability.redaction import Redactor
from gateway.settings import Settings, names
from tests.e2e.conftest import start_fleet
from tests.support.gateway import Gateway, wait_until

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "logging.md").read_text()
LINES = [orjson.loads(block) for block in re.findall(r"```json\n(.*?)\n```", PAGE, re.DOTALL)]
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
CHAT = "/v1/chat/completions"


def table(heading: str) -> list[tuple[str, str]]:
    """The first two cells of the rows under that head."""
    rows = PAGE.partition(f"\n| {heading} |")[2].split("\n\n")[0].splitlines()[2:]
    return [(cells[0].strip(), cells[1].strip()) for cells in (row.strip("|").split("|") for row in rows)]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """A real request's line and its record, by their event."""
    folder = tmp_path_factory.mktemp("gateway")
    with ExitStack() as stack:
        fleet = start_fleet(stack, "chat0")
        settings = {**fleet.settings(), "AUDIT_LOG": "content", "AUDIT_PATH": folder / "audit"}
        gateway = stack.enter_context(Gateway(folder, **settings))
        wait_until(lambda: gateway.events("catalog_written"))
        body = {**LINES[1]["request"], "messages": [{"role": "user", "content": "Write to jane@example.com."}]}
        with gateway.client() as client:
            answer = client.post(CHAT, json=body, headers={"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"})
        line = gateway.access_line(answer.headers["x-request-id"])
        trail = folder / "audit" / "audit.jsonl"
        wait_until(lambda: trail.exists() and trail.read_bytes())
        yield {"request": line, "audit": orjson.loads(trail.read_bytes())}


@pytest.mark.parametrize("shown", LINES, ids=lambda line: line["event"])
def test_a_line_is_as_it_is_shown(written: dict[str, Any], shown: dict[str, Any]) -> None:
    real = written[shown["event"]]
    assert list(shown) == list(real)
    for name, value in shown.items():
        if name not in {"trace_id", "response"}:
            assert type(value) is type(real[name]), name
    fixed = {
        "method",
        "path",
        "model",
        "backend",
        "attempts",
        "status",
        "outcome",
        "streamed",
        "cache",
        "key",
        "disconnect_phase",
    }
    assert {name: shown[name] for name in fixed} == {name: real[name] for name in fixed}
    assert real["trace_id"] == TRACE


def test_the_texts_of_a_record_are_as_they_are_shown(written: dict[str, Any]) -> None:
    shown, real = LINES[1], written["audit"]
    assert real["request"] == shown["request"]
    assert list(real["response"]) == list(shown["response"])


def test_every_field_has_a_row_in_this_order() -> None:
    fields = [name for cell, _ in table("field | what it is") for name in re.findall(r"`(\w+)`", cell)]
    assert fields == list(LINES[0])


def test_every_phase_in_which_a_client_can_leave_is_said() -> None:
    said = dict(table("field | what it is"))["`disconnect_phase`"]
    assert set(re.findall(r"`(\w+)`", said)) == set(Phase) - {Phase.DONE}


def test_what_is_replaced_is_what_the_table_says() -> None:
    rows = table("what was to be written | what is written")
    assert len(rows) > 5
    assert [Redactor().text(before.strip("`")) for before, _ in rows] == [after.strip("`") for _, after in rows]


def test_what_is_masked_is_what_the_table_says() -> None:
    rows = [(before.strip("`"), after.strip("`")) for before, after in table("address | masked")]
    assert len(rows) > 3
    for before, after in rows:
        assert (masked_organizations(before) if before.startswith("ip:") else masked(before)) == after


def test_the_kinds_of_trails_are_the_settings() -> None:
    assert [kind.strip("`") for kind, _ in table("`AUDIT_LOG` | what is kept")] == list(AuditLog)


def test_what_stands_for_personal_data_is_what_is_put_there() -> None:
    text = "a@b.de, +49 30 901820, 4111 1111 1111 1111, DE89 3704 0044 0532 0130 00"
    said = re.findall(r"`(\[[a-z-]+\])`", PAGE.partition("**What names a person")[2].partition("\n- ")[0])
    assert without_personal_data(text).split(", ") == said


def test_every_setting_metric_and_file_that_is_spoken_of_is_one() -> None:
    spoken = set(re.findall(r"\b(?:[A-Z]+_)+[A-Z]+\b", PAGE))
    assert len(spoken) > 10
    assert spoken <= set(names())
    counters = {f"{family.name}_total" for family in CATALOGUE}
    assert set(re.findall(r"gateway_\w+_total", PAGE)) <= counters
    linked = {target.partition("#")[0] for target in re.findall(r"\]\(([^)]+)\)", PAGE)}
    assert [target for target in linked if not (ROOT / "docs" / target).exists()] == []
    assert Settings.model_fields["audit_log"].default is AuditLog.OFF
