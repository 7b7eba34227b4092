"""How hard do the generated tests try? Enough for each run of the suite; five times as hard by `make fuzz`."""

from hypothesis import HealthCheck, settings

LONG = "long"
"""The profile of `make fuzz`: pytest's `--hypothesis-profile`."""
TIMES = 5


def examples(usually: int) -> settings:
    """The settings of a property that is tried on so many examples in each run of the suite."""
    times = TIMES if settings.get_current_profile_name() == LONG else 1
    return settings(
        max_examples=usually * times,
        deadline=None,  # the machine is shared, and a first example pays for imports
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
    )
