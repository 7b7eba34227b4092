"""`make dashboards`: the JSON that Grafana loads, written anew from the tables."""

import sys
from pathlib import Path

from monitoring.dashboards.pages import FOLDER, files


def write(folder: Path = FOLDER) -> None:
    """One file for each dashboard; whatever else lies in the folder is no dashboard any more, and goes."""
    wanted = {folder / f"{name}.json": content for name, content in files().items()}
    for stale in set(folder.glob("*.json")) - wanted.keys():
        stale.unlink()
    for file, content in wanted.items():
        file.write_bytes(content)
        sys.stdout.write(f"{file} is written\n")


if __name__ == "__main__":
    write()
