"""`python -m bench.publish FILE`: docs/BENCHMARK.md and its plots from the results of a run, an earlier one perhaps."""

import sys
from collections.abc import Sequence
from pathlib import Path

from bench.page import PICTURES, put_between_marks, render
from bench.plots import draw
from bench.table import Row, read_all

ROOT = Path(__file__).parents[1]
FILE = "BENCHMARK.md"


def publish(lines: Sequence[Row], folder: Path) -> Path:
    """Draw and write what a run has shown.

    Args:
        lines: of the results; what they say of the run itself comes first.
        folder: for the page; the plots get one of their own in it.

    Returns:
        The page's path.
    """
    rows = [line for line in lines if "figures" in line]
    page = folder / FILE
    text = render(lines[0]["run"], rows, draw(rows, folder / PICTURES))
    page.write_text(put_between_marks(page.read_text() if page.is_file() else "", text))
    return page


if __name__ == "__main__":
    sys.stdout.write(f"{publish(read_all(Path(sys.argv[1])), ROOT / 'docs')}\n")
