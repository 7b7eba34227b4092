"""What is a row? Something that goes wrong, what must come of it, and the tests that make it happen and look."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """A case of the catalogue.

    Args:
        case: what goes wrong, in words.
        expected: what must come of it.
        tests: `file::function` below `tests/`; every parameter of a function belongs to the row.
        later: what has to be built before it can be tested; only where there are no tests.
    """

    case: str
    expected: str
    tests: tuple[str, ...] = ()
    later: str = ""

    def __post_init__(self) -> None:
        """Refuse a row that is neither tested nor honest about it.

        Raises:
            ValueError: it is one or both.
        """
        if bool(self.tests) is bool(self.later):
            raise ValueError(f"{self.case!r} needs tests, or the step that will bring them, and not both")


@dataclass(frozen=True, slots=True)
class Section:
    """Rows that belong together.

    Args:
        promised: the headings of docs/reliability.md under which these faults stand as promises; without any,
            docs/testing.md has their table.
    """

    title: str
    rows: tuple[Row, ...]
    promised: tuple[str, ...] = ()
