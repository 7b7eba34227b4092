"""Figures that no answer can have are no figures."""

import pytest

from gateway.core.usage import MAX_TOKENS, Usage, plausible


@pytest.mark.parametrize("usage", [None, Usage(), Usage(5, 7), Usage(MAX_TOKENS, MAX_TOKENS)])
def test_what_can_be_true_is_believed(usage: Usage | None) -> None:
    assert plausible(usage) is usage


@pytest.mark.parametrize("usage", [Usage(-1, 7), Usage(5, -1), Usage(MAX_TOKENS + 1, 0), Usage(0, 10**400)])
def test_what_cannot_be_true_is_not_counted(usage: Usage) -> None:
    assert plausible(usage) is None
