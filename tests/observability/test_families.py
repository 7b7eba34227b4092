"""The tables of metric families are whole, and say how wide a series is."""

import importlib
import pkgutil
from dataclasses import replace

from gateway.observability import families
from gateway.observability.families.backends import FALLBACKS
from gateway.observability.families.catalogue import CATALOGUE
from gateway.observability.families.family import NAMED, Family, Kind
from gateway.observability.families.requests import DURATION, QUEUE_WAIT


def test_every_family_is_in_the_catalogue_once() -> None:
    modules = [
        importlib.import_module(found.name)
        for found in pkgutil.iter_modules(families.__path__, f"{families.__name__}.")
    ]
    declared = [value for module in modules for value in vars(module).values() if isinstance(value, Family)]
    assert sorted(map(id, declared)) == sorted(map(id, CATALOGUE))
    assert len({family.name for family in CATALOGUE}) == len(CATALOGUE)


def test_each_label_is_of_a_bounded_set_or_of_names_that_operators_make_up() -> None:
    """A label that belongs to neither needs a way to stay bounded, as organizations have one."""
    bounded = {"path", "status", "outcome", "direction", "phase", "ending", "reason", "signal", "state", "condition"}
    bounded |= {"standing", "to", "quota", "limit", "operation", "side", "process", "kind", "fate", "result"}
    of_one_start = {"version", "python", "hash", "address"}
    replaced = {"organization"}
    labels = {label for family in CATALOGUE for label in family.labels}
    assert labels == NAMED | bounded | of_one_start | replaced


def test_what_found_no_room_is_gathered_by_the_names_that_operators_make_up() -> None:
    assert DURATION.gathered(("/v1/chat/completions", "qwen")) == ("/v1/chat/completions", "other")
    assert DURATION.gathered(("/v1/chat/completions", "")) == ("/v1/chat/completions", "")
    assert FALLBACKS.gathered(("qwen", "llama")) == ("other", "other")


def test_only_a_histogram_is_wider_than_one_figure() -> None:
    assert {family.width for family in CATALOGUE if family.kind is not Kind.HISTOGRAM} == {1}
    assert replace(QUEUE_WAIT, buckets=(1.0, 2.0)).width == 4
