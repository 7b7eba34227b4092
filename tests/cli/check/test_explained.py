"""Tests of what `gateway check` says of the fleet and of waits: policy, weights, seats, fallback."""

from pathlib import Path
from typing import Any

import pytest

from gateway.cli.check.doubts import doubts
from gateway.cli.check.explained import fleet, quotas, table, time_outs
from gateway.core.control_wire import SPLIT_NOTICE
from gateway.routing.choices import Balancing
from gateway.server.channel import CONTROL_FOLDER
from gateway.settings import load

FLEET = {
    "gateway_api_key": ["sk-of-a-test"],
    "backend_api_key": "key-of-a-test",
    "chat_backends": ("http://10.0.0.1:8000", "http://10.0.0.2:8000"),
    "text2sql_backend": "http://10.0.0.3:8000",
}


def said(**others: Any) -> str:
    """What is said of the fleet."""
    return "\n".join(fleet(load(None, **FLEET, **others)))


def test_a_folder_that_was_only_made_absolute_does_not_differ_from_the_default() -> None:
    usual = load(None, **FLEET)
    moved = usual.model_copy(update={"data_path": Path("/srv/data")})
    (line,), (other,) = ([line for line in table(known) if " DATA_PATH " in line] for known in (usual, moved))
    assert not line.startswith(" *")
    assert other.startswith(" * ")


def test_quotas_are_told_with_their_calendar_and_what_a_request_sets_aside() -> None:
    chosen = {"org_daily_request_limit": 5000, "org_daily_token_limit": 0, "org_monthly_token_limit": 77_000_000}
    lines = quotas(load(None, **FLEET, **chosen, quota_timezone="Europe/Berlin", max_estimated_tokens=2048))
    assert "the calendar of Europe/Berlin" in lines[0]
    assert lines[1] == "  a day    5,000 requests, any number of tokens"
    assert lines[2] == "  a month  any number of requests, 77,000,000 tokens"
    assert "(2,048 where it states none)" in " ".join(lines)


@pytest.mark.parametrize("policy", Balancing)
def test_every_policy_is_named_and_told_in_words(policy: Balancing) -> None:
    line = next(line for line in said(balancing_policy=policy).splitlines() if "replicas" in line)
    assert line.strip().startswith("2 replicas ")
    assert f"({policy})" in line


def test_weights_are_shown_where_they_count() -> None:
    assert "by their weights 2:1" in said(chat_weights=(2, 1), balancing_policy="weighted_round_robin")
    assert "2:1" not in said(chat_weights=(2, 1))


def test_who_stands_in_is_said_of_each_group() -> None:
    words = said(chat_fallback="text2sql")
    assert "when it is down or full, text2sql answers" in words
    assert words.count("no other group stands in") == 1


def test_seats_are_told_with_where_the_rest_waits() -> None:
    assert "waits inside it" in said()
    words = said(max_inflight_per_backend=30, max_queued_per_backend=77)
    assert "given 30 requests at a time; 77 more for each backend" in words
    assert "waits inside it" not in words


def test_the_wait_for_a_seat_and_its_503_stand_among_the_time_outs_where_seats_are_limited() -> None:
    limited = time_outs(load(None, **FLEET, max_inflight_per_backend=30, queue_timeout_secs=3))
    rest = time_outs(load(None, **FLEET, queue_timeout_secs=3))
    (seat,) = [line for line in limited if line not in rest]
    assert seat.startswith("       3 s  for a seat at a backend")
    assert "503" in seat


def test_fewer_seats_than_slots_of_one_organization_are_doubted() -> None:
    (words,) = doubts(load(None, **FLEET, max_inflight_per_backend=60))
    assert "(60 at text2sql) than MAX_INFLIGHT_PER_IP (120)" in words
    assert doubts(load(None, **FLEET, max_inflight_per_backend=60, max_inflight_per_ip=60)) == []
    assert doubts(load(None, **FLEET)) == []


def test_weights_that_no_policy_reads_are_doubted() -> None:
    (words,) = doubts(load(None, **FLEET, chat_weights=(2, 1)))
    assert words.startswith("CHAT_WEIGHTS counts under BALANCING_POLICY=weighted_round_robin alone")
    assert doubts(load(None, **FLEET, chat_weights=(2, 1), balancing_policy="weighted_round_robin")) == []


ONE_FLEET = {**FLEET, "backends_shared": "on"}
"""Whose servers are the same on all hosts."""


def test_a_database_that_several_hosts_can_use_is_doubted_without_a_server_for_their_limits() -> None:
    secret = "b1946ac92492d2347c6235b4d2611184"
    shared = {**ONE_FLEET, "database_url": "postgresql://gateway@db/gateway", "key_hash_secret": secret}
    (words,) = doubts(load(None, **shared))
    assert words.startswith("DATABASE_URL names a server and REDIS_URL is empty")
    assert doubts(load(None, **shared, redis_url="redis://cache")) == []


def test_other_hosts_that_a_running_gateway_has_seen_are_named_with_what_doubles_and_how_to_mend_it(
    tmp_path: Path,
) -> None:
    notice = tmp_path / CONTROL_FOLDER / SPLIT_NOTICE
    notice.parent.mkdir()
    notice.write_bytes(b'["host-b"]')
    (words,) = doubts(load(None, **ONE_FLEET, limiter_path=tmp_path))
    assert "(host-b)" in words
    assert "quota in full" in words
    assert "set the same REDIS_URL" in words
    assert doubts(load(None, **ONE_FLEET, limiter_path=tmp_path, redis_url="redis://cache")) == []
