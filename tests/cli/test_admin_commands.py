"""Tests of the other commands that ask the admin API: organizations, models, backends, usage, what runs, the trail."""

import csv
import io
import threading
from datetime import UTC, datetime, time

import orjson
import pytest

from gateway.admin.live import Load
from gateway.core.usage_record import UsageRecord
from tests.cli.conftest import Run
from tests.support.admin import TODAY, AdminServer
from tests.support.gateway import wait_until
from tests.support.ledger import sheets

NOON = datetime.combine(TODAY, time(12), UTC).timestamp()


@pytest.fixture(name="used")
def _used(server: AdminServer) -> None:
    """Two organizations have used something today."""
    day = TODAY.toordinal()
    records = [
        UsageRecord(
            f"r{number}",
            NOON,
            organization="org:acme" if number % 2 else "ip:192.0.2.7",
            key_id="key_1" if number % 2 else "",
            model="chat",
            status=200,
            outcome="ok",
            prompt_tokens=1000,
            completion_tokens=number,
        )
        for number in range(4)
    ]
    server.do(server.database.usage.write("host", sheets(records), "epoch", lambda _: (day, 24_322)))


@pytest.mark.usefixtures("used")
def test_single_requests_are_a_table_or_json(gateway: Run) -> None:
    table = gateway("usage", "requests", "--day", "2026-11-21").stdout.splitlines()
    assert [" ".join(line.split()) for line in table[:3]] == [
        "ENDED REQUEST ORG KEY MODEL STATUS OUTCOME PROMPT TOKENS COMPLETION TOKENS",
        "2026-11-21 12:00 r3 org:acme key_1 chat 200 ok 1,000 3",
        "2026-11-21 12:00 r2 ip:192.0.2.7 (GATEWAY_API_KEY) chat 200 ok 1,000 2",
    ]
    assert len(gateway("usage", "requests", "--day", "2026-11-20").stdout.splitlines()) == 1
    found = orjson.loads(gateway("usage", "requests", "--org", "acme", "--json").stdout)
    assert [(one["request_id"], one["key_id"]) for one in found] == [("r3", "key_1"), ("r1", "key_1")]
    assert len(orjson.loads(gateway("usage", "requests", "--last", "1", "--json").stdout)) == 1


@pytest.mark.usefixtures("used")
def test_usage_is_a_table_json_or_csv(gateway: Run) -> None:
    table = gateway("usage", "--by", "org").stdout.splitlines()
    assert table == [
        "ORG           REQUESTS  PROMPT TOKENS  COMPLETION TOKENS  TOKENS",
        "ip:192.0.2.7         2          2,000                  2   2,002",
        "org:acme             2          2,000                  4   2,004",
    ]
    (line,) = orjson.loads(gateway("usage", "--by", "model", "--org", "acme", "--json").stdout)
    assert (line["heading"], line["requests"], line["total_tokens"]) == ("chat", 2, 2004)
    by_key = gateway("usage", "--by", "key", "--from", "2026-11-21", "--to", "2026-11-21").stdout
    assert "(GATEWAY_API_KEY)" in by_key
    rows = list(csv.reader(io.StringIO(gateway("usage", "--by", "day", "--csv").stdout)))
    assert rows == [
        ["day", "requests", "prompt_tokens", "completion_tokens", "total_tokens"],
        ["2026-11-21", "4", "4000", "6", "4006"],
    ]
    assert gateway("usage", "--from", "2026-10-01", "--to", "2026-10-31").stdout.splitlines() == [
        "ORG  REQUESTS  PROMPT TOKENS  COMPLETION TOKENS  TOKENS"
    ]


def test_an_organization_lives_its_life(gateway: Run, server: AdminServer) -> None:
    made = orjson.loads(gateway("orgs", "create", "acme", "--daily-tokens", "5000", "--json").stdout)
    assert (made["id"], made["limits"]["tokens_per_day"]) == ("org:acme", 5000)
    assert made["limits"]["requests_per_day"] == 100_000, "what was not stated is the default"
    server.live.used["org:acme", "tokens_per_day"] = 4900
    shown = gateway("orgs", "show", "acme").stdout
    assert "org:acme: its own limits" in shown
    assert " ".join(shown.splitlines()[3].split()) == "tokens per day 5,000 4,900 100 2030-03-17 17:46"
    assert "acme" in gateway("orgs", "list").stdout
    assert "tokens/day=5000" in gateway("orgs", "list").stdout
    changed = orjson.loads(gateway("orgs", "update", "acme", "--defaults", "--audit-opt-out", "--json").stdout)
    assert (changed["limits"], changed["audit_opt_out"]) == (None, True)
    assert gateway("orgs", "delete", "acme").stdout == "org:acme has the default limits now\n"
    assert "the default limits" in gateway("orgs", "show", "acme").stdout
    six = gateway("orgs", "create", "2001:db8::1", "--rpm", "5", "--json")
    assert orjson.loads(six.stdout)["id"] == "ip:2001:db8::/64"
    assert gateway("orgs", "delete", "2001:db8::").returncode == 0


def test_models_and_backends_of_the_settings_are_listed_and_left_alone(gateway: Run) -> None:
    assert "CHAT_BACKENDS, CHAT_MODEL and CHAT_ALIASES in the settings" in gateway("models", "list").stdout
    refused = gateway("models", "update", "chat", "--model", "other")
    assert refused.returncode == 1
    assert refused.stderr.startswith("gateway: The model `chat` is set by CHAT_BACKENDS")
    assert gateway("backends", "update", "chat0", "--weight", "2").returncode == 1


def test_a_model_and_its_backend_come_and_go(gateway: Run) -> None:
    made = gateway("models", "create", "coder", "--kind", "chat", "--settings", '{"default_parameters": {"top_k": 20}}')
    assert made.returncode == 0, made.stderr
    assert gateway("backends", "create", "coder0", "--model", "coder", "--url", "http://coder:8000").returncode == 0
    backends = orjson.loads(gateway("backends", "list", "--json").stdout)
    assert [one["id"] for one in backends] == ["chat0", "chat1", "coder0"]
    assert gateway("models", "delete", "coder").stderr == (
        "gateway: The model has backends: coder0. Delete them first.\n"
    )
    assert gateway("backends", "update", "coder0", "--inactive").returncode == 0
    assert gateway("backends", "delete", "coder0").stdout == "coder0 is gone\n"
    assert gateway("models", "delete", "coder").returncode == 0


def test_a_drain_is_waited_for(gateway: Run, server: AdminServer) -> None:
    late = gateway("backends", "drain", "chat0", "--wait", "0.2")
    assert late.returncode == 1
    assert late.stdout == "chat0 gets no new requests; 3 in flight\n"
    assert "3 requests still run at chat0 after 0.2 s" in late.stderr
    done: list[int] = []

    def wait() -> None:
        done.append(gateway("backends", "drain", "chat0", "--wait", "60").returncode)

    waiting = threading.Thread(target=wait)
    waiting.start()
    wait_until(lambda: server.do(server.database.backends.drained()))
    server.live.in_flight["chat0"] = 0
    waiting.join()
    assert done == [0]
    assert gateway("backends", "undrain", "chat0").stdout == "chat0 is used; 0 in flight\n"


@pytest.mark.usefixtures("used")
def test_what_runs_and_what_is_left_is_told(gateway: Run, server: AdminServer) -> None:
    server.live.loads_now = [Load("org:acme", 2, 1), Load("ip:192.0.2.7", 5, 0)]
    state = gateway("state").stdout.splitlines()
    assert state[0] == "7 in flight, 1 queued"
    assert state[2].split() == ["ip:192.0.2.7", "5", "0"]
    assert "rpm" not in gateway("limits").stdout
    assert "tokens/day=10000000" in gateway("limits").stdout
    quotas = gateway("quotas").stdout
    assert "org:acme" in quotas
    assert "10,000,000" in quotas


def test_a_cache_is_flushed_and_the_trail_says_so(gateway: Run, server: AdminServer) -> None:
    server.live.cached = 12
    assert gateway("cache", "flush").stdout == "12 answers dropped\n"
    gateway("orgs", "create", "acme", "--rpm", "5")
    gateway("orgs", "update", "acme", "--rpm", "6")
    trail = gateway("audit").stdout.splitlines()
    assert [line.split("  ")[0] for line in trail[1:]] == ["2026-11-21 12:00"] * 3
    assert "organization.update" in trail[1]
    assert "requests_per_minute" in trail[1]
    assert "alice (admin-key-1)" in trail[1]
    assert len(gateway("audit", "--target", "org:acme").stdout.splitlines()) == 3
    assert len(orjson.loads(gateway("audit", "--last", "1", "--json").stdout)) == 1


def test_no_command_that_only_asks_loads_a_web_framework_or_a_database(gateway: Run) -> None:
    loaded = gateway("keys", "list", PYTHONPROFILEIMPORTTIME="1").stderr
    assert "httpx" in loaded
    for heavy in ("fastapi", "sqlalchemy", "starlette"):
        assert f" {heavy}\n" not in loaded
