"""Tests of the Prometheus that is asked: what it is given of the repository's configuration, and that it answers."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.monitoring.check.questions import WHOLE, Question
from tests.monitoring.check.run import Run
from tests.monitoring.check.server import CONFIGURATION, MissingError, Prometheus, configuration, hurried
from tests.monitoring.check.verdict import Verdict, judge
from tests.support.docker import skip_or_fail
from tests.support.gateway import wait_until


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """A Prometheus that has seen itself."""
    start = time.time()  # noqa: TID251 -- Prometheus tells the time of day
    try:
        prometheus = Prometheus(tmp_path_factory.mktemp("prometheus"), {})
    except MissingError as error:
        skip_or_fail(str(error))
    with prometheus:
        wait_until(lambda: prometheus.course("up", start, start + 60))
        yield Run(prometheus, start, start + 60)


def test_a_misspelt_metric_has_no_data(run: Run) -> None:
    right, wrong = "sum(prometheus_build_info)", "sum(prometheus_biuld_info)"
    answers = judge([Question("a panel", WHOLE, query) for query in (right, wrong)], run.series, {})
    assert [answer.verdict for answer in answers] == [Verdict.DATA, Verdict.NOTHING]


def test_a_query_that_is_none_is_refused_in_prometheus_words(run: Run) -> None:
    answer = judge([Question("a panel", WHOLE, "sum(up")], run.series, {})[0]
    assert (answer.verdict, "parse error" in answer.said) == (Verdict.REFUSED, True)


def test_a_figure_that_is_none_is_no_data(run: Run) -> None:
    assert run.series("up * 0 / 0") == 0


def test_targets_have_the_names_of_the_repository_and_the_places_of_this_host() -> None:
    whole = yaml.safe_load(CONFIGURATION.read_text())
    made = configuration(whole, Path("/rules"), {"vllm": {"chat0:8000": "127.0.0.1:4321"}})
    (job,) = made["scrape_configs"]
    assert job["static_configs"] == [{"targets": ["chat0:8000"]}]
    there = {rule["target_label"]: rule["replacement"] for rule in job["relabel_configs"] if "replacement" in rule}
    assert there == {"instance": "chat0:8000", "__address__": "127.0.0.1:4321"}
    # Whatever the repository's own job relabels is relabelled first.
    own = next(job for job in whole["scrape_configs"] if job["job_name"] == "vllm")
    assert job["relabel_configs"][: len(own["relabel_configs"])] == own["relabel_configs"]
    assert job["metric_relabel_configs"] == own["metric_relabel_configs"]
    assert made["global"]["evaluation_interval"] == "1s"


def test_rules_are_evaluated_with_every_scrape_and_alerts_wait_for_nothing() -> None:
    rule = {"alert": "A", "expr": "a > 1", "for": "5m"}
    given = {"groups": [{"name": "g", "interval": "5m", "rules": [rule]}]}
    assert hurried(given) == {"groups": [{"name": "g", "rules": [{"alert": "A", "expr": "a > 1"}]}]}
