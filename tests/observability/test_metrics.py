"""Every family of the table can be counted, read again, and told apart."""

import pytest

from gateway.observability.metrics import CATALOGUE, Family, Kind
from tests.observability.noted import CountedMetrics

HISTOGRAMS = [family for family in CATALOGUE if family.kind is Kind.HISTOGRAM]
OTHERS = [family for family in CATALOGUE if family.kind is not Kind.HISTOGRAM]


def by_name(family: Family) -> str:
    return family.name


def test_names_are_the_gateways_own_and_each_stands_for_one_family() -> None:
    names = [family.name for family in CATALOGUE]
    assert len(set(names)) == len(names)
    assert all(name.startswith("gateway_") for name in names)
    assert all(name == name.lower() for name in names)


@pytest.mark.parametrize("family", CATALOGUE, ids=by_name)
def test_a_family_explains_itself_in_a_sentence(family: Family) -> None:
    assert family.help[0].isupper()
    assert family.help.rstrip().endswith((".", "right.", "`."))


@pytest.mark.parametrize("family", HISTOGRAMS, ids=by_name)
def test_buckets_rise(family: Family) -> None:
    assert list(family.buckets) == sorted(set(family.buckets))
    assert family.buckets[0] > 0


@pytest.mark.parametrize("family", OTHERS, ids=by_name)
def test_only_a_histogram_has_buckets(family: Family) -> None:
    assert family.buckets == ()


@pytest.mark.parametrize("family", OTHERS, ids=by_name)
def test_a_count_is_kept_by_its_labels(family: Family) -> None:
    metrics = CountedMetrics()
    here, there = (tuple(f"{word} {name}" for name in family.labels) for word in ("here", "there"))
    metrics.count(family, *here)
    metrics.count(family, *there, amount=2)
    expected = {(family.name, *here): 1, (family.name, *there): 2} if family.labels else {(family.name,): 3}
    assert metrics.counted == expected


@pytest.mark.parametrize("family", HISTOGRAMS, ids=by_name)
def test_an_observation_is_kept_by_its_labels(family: Family) -> None:
    metrics = CountedMetrics()
    for value in (0.0, family.buckets[0], family.buckets[-1] * 2):
        metrics.observe(family, value, *family.labels)
    total = family.buckets[0] + family.buckets[-1] * 2
    ((key, (kept, observations)),) = metrics.observed.items()
    assert key == (family.name, *family.labels)
    assert kept == pytest.approx(total)
    assert observations == 3


@pytest.mark.parametrize("family", [family for family in CATALOGUE if family.kind is Kind.GAUGE], ids=by_name)
def test_a_gauge_comes_down_again(family: Family) -> None:
    metrics = CountedMetrics()
    metrics.move(family, 3)
    metrics.move(family, -2)
    assert metrics.counted == {(family.name,): 1}
