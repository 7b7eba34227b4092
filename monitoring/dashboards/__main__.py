"""`make dashboards`: the JSON that Grafana loads, written anew from the tables."""

import sys
from pathlib import Path

from monitoring.dashboards.pages import FOLDER, PAGES, render


def write(folder: Path = FOLDER) -> None:
    """One file for each dashboard; whatever else lies in the folder is no dashboard any more, and goes."""
    for stale in set(folder.glob("*.json")) - {folder / f"{page.file}.json" for page in PAGES}:
        stale.unlink()
    for page in PAGES:
        file = folder / f"{page.file}.json"
        file.write_bytes(render(page))
        sys.stdout.write(f"{file} has {sum(len(section.panels) for section in page.sections)} panels\n")


if __name__ == "__main__":
    write()
