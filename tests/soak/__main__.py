"""`make soak`: a load with departures and kills for a while, a table of what it left, a picture of how it went."""

import argparse
import sys
import tempfile
from pathlib import Path

import uvloop

from tests.soak.picture import draw
from tests.soak.run import Plan, soak
from tests.soak.verdict import Line, table, unexplained

ROOT = Path(__file__).parents[2]
PICTURE = ROOT / ".soak" / "soak.png"
SHOWN = 5
KILL_SECS = 30.0


def main(arguments: list[str]) -> int:
    """Run, tell; 1 when something promised did not hold."""
    parser = argparse.ArgumentParser(prog="soak", description=__doc__)
    parser.add_argument("seconds", type=float, help="how long the load lasts")
    parser.add_argument("--visitors", type=int, default=40, help="clients at a time")
    parser.add_argument("--kill-every", type=float, help="seconds between two kills: 30, or three in a short run")
    given = parser.parse_args(arguments)
    plan = Plan(given.seconds, given.visitors, given.kill_every or min(KILL_SECS, given.seconds / 4))
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        outcome = uvloop.run(soak(plan, Path(folder)))
    lines = table(outcome)
    say("", *map(_text, lines), "")
    say(*(f"lost: {loss}" for loss in unexplained(outcome)[:SHOWN]))
    say(
        f"{PICTURE.relative_to(ROOT)} is drawn" if draw(outcome, PICTURE) else "no picture: matplotlib is not installed"
    )
    return int(any(line.holds is False for line in lines))


def say(*lines: str) -> None:
    """Print lines."""
    sys.stdout.writelines(f"{line}\n" for line in lines)


def _text(line: Line) -> str:
    verdict = {None: "", True: "holds", False: "DOES NOT HOLD"}[line.holds]
    return f"{line.what:<34} {line.figure:<34} {line.promised:<20} {verdict}".rstrip()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
