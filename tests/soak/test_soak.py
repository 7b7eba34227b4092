"""A short soak: a quarter of a minute of load, departures and kills leaves nothing behind and loses nothing."""

from pathlib import Path

import pytest

from tests.soak.run import Plan, soak
from tests.soak.verdict import table, unexplained

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(240)]


async def test_a_short_soak_loses_nothing_and_leaves_nothing(tmp_path: Path) -> None:
    outcome = await soak(Plan(seconds=15, visitors=24, kill_every=4, workers=3), tmp_path)
    assert unexplained(outcome) == []
    assert [line for line in table(outcome) if line.holds is False] == []
