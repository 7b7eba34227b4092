"""`make monitoring-check`: everything that dashboards and rules ask, asked of a real Prometheus that saw a run."""

import argparse
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.monitoring.check.elsewhere import ELSEWHERE
from tests.monitoring.check.preview import draw
from tests.monitoring.check.run import is_blind, questioned, watched
from tests.monitoring.check.server import MissingError
from tests.monitoring.check.verdict import GOOD, table, unasked


def main(arguments: list[str]) -> int:
    """Run, ask, tell; 1 when a question has no answer, or one that it should not have."""
    parser = argparse.ArgumentParser(prog="monitoring-check", description=__doc__)
    parser.add_argument("--preview", type=Path, metavar="PNG", help="draw the overview too; needs matplotlib")
    given = parser.parse_args(arguments)
    began = time.monotonic()
    try:
        with tempfile.TemporaryDirectory(prefix="monitoring-") as folder, watched(Path(folder)) as run:
            if given.preview:
                draw(run, given.preview)
            answers, blind = questioned(run), is_blind(run)
    except MissingError as error:
        say(str(error))
        return 1
    counted = Counter(answer.verdict for answer in answers)
    summary = ", ".join(f"{number} {verdict}" for verdict, number in counted.items())
    wrong = [f"{name} is said to be elsewhere, and nothing asks for it" for name in unasked(answers, ELSEWHERE)]
    if blind:
        wrong.append("a misspelt metric was not noticed: the check itself is broken")
    say(*table(answers), "", f"{summary}; {run.span:.0f} s of load, {time.monotonic() - began:.0f} s in all", *wrong)
    return int(bool(wrong) or any(answer.verdict not in GOOD for answer in answers))


def say(*lines: str) -> None:
    """Print lines."""
    sys.stdout.writelines(f"{line}\n" for line in lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
