"""`make chaos`: every row of the catalogue, its tests run and its verdict told. More arguments go to pytest."""

import sys

import pytest

from tests.chaos.rows import SECTIONS


def main(arguments: list[str]) -> int:
    """Run the rows' tests, and no others; pytest's exit status."""
    named = {test for section in SECTIONS for row in section.rows for test in row.tests}
    return pytest.main(["-p", "tests.chaos.plugin", "-q", *arguments, *(f"tests/{test}" for test in sorted(named))])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
