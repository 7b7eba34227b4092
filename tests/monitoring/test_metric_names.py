"""Is everything that rules name really counted? A misspelt metric, label or word is an alert that never fires."""

import re
from enum import StrEnum

import pytest
import yaml

from gateway.backends.circuit import Standing
from gateway.backends.health import State
from gateway.core.context import Phase
from gateway.core.refusal import Refusal
from gateway.observability.families.catalogue import CATALOGUE
from gateway.observability.families.family import Family, Kind
from gateway.server.life import State as WorkerState
from gateway.simulator.engine import Engine
from gateway.simulator.metrics import Metrics
from gateway.simulator.pace import Pace
from tests.monitoring.check.promql import metrics, selectors
from tests.monitoring.foreign import FOREIGN
from tests.monitoring.rules import PROMETHEUS, TESTS, rules

SCRAPED = {"job", "instance"}
"""What Prometheus adds to every series."""
OF_MODELS = {"model": "all models"}


def shown(family: Family) -> dict[str, set[str]]:
    """The names under which `/metrics` shows a family, and their labels."""
    labels = {*family.labels, *SCRAPED}
    match family.kind:
        case Kind.COUNTER:
            return {f"{family.name}_total": labels}
        case Kind.GAUGE:
            return {family.name: labels}
        case Kind.HISTOGRAM:
            parts = {f"{family.name}_{part}": labels for part in ("count", "sum")}
            return {**parts, f"{family.name}_bucket": {*labels, "le"}}


def servers() -> dict[str, set[str]]:
    """What the simulator shows, which tests/contract holds to vLLM's names; the scrape adds `backend`."""
    told = Metrics("qwen")
    told.watch(Engine(told, pace=Pace(), max_num_seqs=1, max_queued=None, by_priority=False, seed=0))
    text = told.render().decode()
    found: dict[str, set[str]] = {}
    for name, labels in re.findall(r"^(vllm:\w+)\{(.*)\}", text, re.MULTILINE):
        found[name] = {*re.findall(r"(\w+)=", labels), *SCRAPED, "backend"}
    return found


OURS = {name: labels for family in CATALOGUE for name, labels in shown(family).items()}
KNOWN = {**OURS, **servers(), **{name: set(one.labels) for name, one in FOREIGN.items()}}
RULES = [(rule.get("alert") or rule["record"], str(rule["expr"])) for rule in (*rules("recording"), *rules("alerts"))]
RECORDED = {rule["record"] for rule in rules("recording")}
WORDS: dict[tuple[str, str], type[StrEnum]] = {
    ("gateway_backend_state", "state"): State,
    ("gateway_backend_circuit", "standing"): Standing,
    ("gateway_refusals_total", "reason"): Refusal,
    ("gateway_client_disconnects_total", "phase"): Phase,
    ("gateway_workers", "state"): WorkerState,
}
"""The enum whose members a label's values are."""


def compared(query: str) -> list[tuple[str, str, str]]:
    """Each comparison of a query's selectors: metric, label, value."""
    found = []
    for selector in selectors(query):
        metric, _, inside = selector.partition("{")
        found += [(metric, label, value) for label, value in re.findall(r'(\w+)[=!]~?"([^"]*)"', inside)]
    return found


@pytest.mark.parametrize(("name", "query"), RULES, ids=[name for name, _ in RULES])
def test_a_rule_reads_what_is_counted_and_compares_labels_that_it_has(name: str, query: str) -> None:
    assert metrics(query), name
    assert metrics(query) - {*KNOWN, *RECORDED} == set()
    assert [one for one in compared(query) if one[1] not in KNOWN.get(one[0], OF_MODELS)] == []


def test_the_words_that_rules_compare_with_are_the_codes() -> None:
    said = {(metric, label): value for _, query in RULES for metric, label, value in compared(query)}
    for place, words in WORDS.items():
        assert set(said[place].split("|")) <= set(words), place


def test_the_tests_of_rules_have_series_that_there_can_be() -> None:
    for path in TESTS:
        for test in yaml.safe_load(path.read_text())["tests"]:
            for series in test["input_series"]:
                name, _, inside = series["series"].partition("{")
                labels = set(re.findall(r'(\w+)="', inside))
                assert name in KNOWN, test["name"]
                assert labels <= KNOWN[name], test["name"]


def test_no_metric_that_somebody_reads_is_dropped_at_the_scrape() -> None:
    jobs = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())["scrape_configs"]
    dropped = [rule["regex"] for job in jobs for rule in job.get("metric_relabel_configs", [])]
    assert dropped
    assert [name for name in KNOWN for regex in dropped if re.fullmatch(regex, name)] == []


def test_a_list_of_others_names_has_none_that_nobody_reads() -> None:
    read = {name for _, query in RULES for name in metrics(query)}
    assert set(FOREIGN) <= read
