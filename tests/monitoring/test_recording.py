"""Do all windows of an objective say the same? The recorded rates, against each other and against the code's words."""

import re

import pytest
import yaml

from gateway.api.endpoints import ENDPOINTS
from gateway.core.lifeline import Cut
from gateway.observability.families.requests import FIRST_TOKENS
from tests.monitoring.rules import PROMETHEUS, rules

RECORDED = {rule["record"]: " ".join(str(rule["expr"]).split()) for rule in rules("recording")}
SECONDS = {"30m": 1800, "1h": 3600, "2h": 7200, "6h": 21_600, "1d": 86_400, "3d": 259_200, "30d": 2_592_000}
PAIRS = {"valid_requests": "bad_requests", "first_tokens": "slow_first_tokens"}
ALERTS = {(rule["alert"], rule["labels"]["severity"]): rule["expr"] for rule in rules("alerts")}


@pytest.mark.parametrize("window", SECONDS)
@pytest.mark.parametrize("whole", PAIRS)
def test_a_window_adds_up_the_rates_of_five_minutes(whole: str, window: str) -> None:
    part = PAIRS[whole]
    for name in (whole, part):
        added = f"sum_over_time(gateway:{name}:rate5m[{window}]) * 15 / {SECONDS[window]}"
        assert RECORDED[f"gateway:{name}:rate{window}"] == added
    share = f"gateway:{part}:rate{window} / gateway:{whole}:rate{window}"
    assert RECORDED[f"gateway:{part}:ratio_rate{window}"] == share


def test_what_is_added_up_is_recorded_every_15_seconds() -> None:
    groups = yaml.safe_load((PROMETHEUS / "rules" / "recording.yml").read_text())["groups"]
    intervals = {rule["record"]: group.get("interval") for group in groups for rule in group["rules"]}
    assert {intervals[f"gateway:{name}:rate5m"] for pair in PAIRS.items() for name in pair} == {"15s"}


def test_requests_that_count_are_those_of_relayed_paths() -> None:
    said = set(re.findall(r'path=~"([^"]+)"', RECORDED["gateway:valid_requests:rate5m"]))
    assert said == set(re.findall(r'path=~"([^"]+)"', RECORDED["gateway:bad_requests:rate5m"]))
    (pattern,) = said
    relayed = {row.path for row in ENDPOINTS if row.upstream_path}
    assert {row.path for row in ENDPOINTS if re.fullmatch(pattern, row.path)} == relayed


def test_what_a_client_did_is_no_failure_and_what_is_bad_is_a_part_of_what_counts() -> None:
    valid = set(re.findall(r'outcome!~"([^"]+)"', RECORDED["gateway:valid_requests:rate5m"]))
    bad = set(re.findall(r'outcome!~"([^"]+)"', RECORDED["gateway:bad_requests:rate5m"]))
    clients = f"{Cut.CLIENT_GONE}|{Cut.SLOW_CLIENT}"
    assert valid == {clients}
    assert bad == {f"ok|{clients}"}
    assert RECORDED["gateway:bad_requests:rate5m"].count('status!~"4.."') == 2


def test_the_objective_of_first_tokens_is_a_bound_of_the_histogram() -> None:
    (bound,) = set(re.findall(r'le="([^"]+)"', RECORDED["gateway:slow_first_tokens:rate5m"]))
    assert float(bound) in FIRST_TOKENS
    assert bound == str(float(bound))


@pytest.mark.parametrize(
    ("alert", "severity", "part", "budget"),
    [
        ("AvailabilityBurn", "page", "bad_requests", "0.005"),
        ("AvailabilityBurn", "ticket", "bad_requests", "0.005"),
        ("TTFTBurn", "page", "slow_first_tokens", "0.01"),
        ("TTFTBurn", "ticket", "slow_first_tokens", "0.01"),
    ],
)
def test_the_burn_rates_and_their_windows(alert: str, severity: str, part: str, budget: str) -> None:
    name, rows = {
        "page": ("Fast", (("14.4 * ", "1h", "5m"), ("6 * ", "6h", "30m"))),
        "ticket": ("Slow", (("3 * ", "1d", "2h"), ("", "3d", "6h"))),
    }[severity]
    halves = " ".join(ALERTS[alert + name, severity].split()).split(" ) or ( ")
    assert len(halves) == len(rows)
    for half, (factor, long, short) in zip(halves, rows, strict=True):
        assert f'gateway:{part}:ratio_rate{long}{{model!=""}} > {factor}{budget} and' in half
        assert f"and gateway:{part}:ratio_rate{short} > {factor}{budget} and" in half
        assert f"and gateway:{part}:rate{long} * {SECONDS[long]} >= 10" in half
