"""How many tasks does a gateway's process run? Put on its PYTHONPATH, this writes the number on SIGUSR2.

Python imports a module of this name at its start. Nothing of the gateway is changed: a signal's handler runs in the
main thread between two steps of the program, counts, and writes one line into the folder that TASKS_FOLDER names.
"""

import asyncio
import os
import signal
from pathlib import Path

FOLDER = os.environ.get("TASKS_FOLDER")  # noqa: TID251 -- this runs before any settings are read


def _count(_number: int, _frame: object) -> None:
    try:
        tasks = sorted(str(task.get_coro()) for task in asyncio.all_tasks())
    except RuntimeError:  # no loop runs in this process
        tasks = []
    scratch = Path(str(FOLDER), f"{os.getpid()}.part")
    scratch.write_text("\n".join(tasks))
    scratch.replace(scratch.with_suffix(".tasks"))


if FOLDER:
    signal.signal(signal.SIGUSR2, _count)
