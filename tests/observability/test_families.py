"""The table of metric families is whole, and says how wide a series is."""

from dataclasses import replace

from gateway.observability import families
from gateway.observability.families import CATALOGUE, Kind


def test_every_family_is_in_the_catalogue_once() -> None:
    declared = [value for value in vars(families).values() if isinstance(value, families.Family)]
    assert sorted(map(id, declared)) == sorted(map(id, CATALOGUE))
    assert len({family.name for family in CATALOGUE}) == len(CATALOGUE)


def test_only_a_histogram_is_wider_than_one_figure() -> None:
    assert {family.width for family in CATALOGUE if family.kind is not Kind.HISTOGRAM} == {1}
    assert replace(families.QUEUE_WAIT, buckets=(1.0, 2.0)).width == 4
