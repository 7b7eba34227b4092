"""The tables of metric families are whole, and say how wide a series is."""

import importlib
import pkgutil
from dataclasses import replace

from gateway.observability import families
from gateway.observability.families.catalogue import CATALOGUE
from gateway.observability.families.family import Family, Kind
from gateway.observability.families.requests import QUEUE_WAIT


def test_every_family_is_in_the_catalogue_once() -> None:
    modules = [
        importlib.import_module(found.name)
        for found in pkgutil.iter_modules(families.__path__, f"{families.__name__}.")
    ]
    declared = [value for module in modules for value in vars(module).values() if isinstance(value, Family)]
    assert sorted(map(id, declared)) == sorted(map(id, CATALOGUE))
    assert len({family.name for family in CATALOGUE}) == len(CATALOGUE)


def test_only_a_histogram_is_wider_than_one_figure() -> None:
    assert {family.width for family in CATALOGUE if family.kind is not Kind.HISTOGRAM} == {1}
    assert replace(QUEUE_WAIT, buckets=(1.0, 2.0)).width == 4
