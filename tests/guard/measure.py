"""What does it cost here? `python -m tests.guard.measure whole`: one measurement, printed as JSON, and a hard end.

The process ends without closing its loop: uvloop's close waits for ever on a handle that is still open when warnings
are errors, as its warning about the handle then takes the place of the handle's end. `apart` runs this for the tests.
"""

import argparse
import asyncio
import faulthandler
import os
import shutil
import sys
import traceback
from pathlib import Path
from tempfile import mkdtemp

import orjson
import uvloop

from tests.guard import costs
from tests.guard.changes import CHANGES, around
from tests.guard.stage import stage

PATIENCE_SECS = 40.0
"""A measurement takes about a second of one core's time; `apart` waits a little longer than this."""
COUNTED = {"whole": costs.whole, "stream": costs.stream, "event": costs.event}
HELD = "held"


async def measured(kind: str, change: str | None, folder: Path) -> bytes:
    """The figures by name, and the dearest functions."""
    async with stage(folder, around(change), access_log=kind != HELD) as gateway:
        found = await (costs.memory(gateway) if kind == HELD else COUNTED[kind](gateway))
        return orjson.dumps({"figures": found.cost, "dearest": found.count.dearest()})


def main() -> None:
    """Measure, print, end."""
    parser = argparse.ArgumentParser(description="What one request, or one event of a stream, executes.")
    parser.add_argument("kind", choices=[*COUNTED, HELD])
    parser.add_argument("--change", choices=sorted(CHANGES), help="with this added to the gateway")
    parser.add_argument("--patience", type=float, default=PATIENCE_SECS, help="seconds until it is given up")
    parser.add_argument("--folder", type=Path, help="for its files; without it one is made, and removed")
    given = parser.parse_args()
    faulthandler.dump_traceback_later(given.patience, exit=True)
    folder = given.folder or Path(mkdtemp(prefix="guard-"))
    asyncio.set_event_loop(loop := uvloop.new_event_loop())
    code = 1
    try:
        os.write(sys.stdout.fileno(), loop.run_until_complete(measured(given.kind, given.change, folder)) + b"\n")
        code = 0
    except BaseException:  # noqa: BLE001 -- whatever it is, the process ends here
        traceback.print_exc()
    if not given.folder:
        shutil.rmtree(folder)
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
