"""What does a person see? A page as Chromium renders it, and what its console complains of."""

import shutil
from pathlib import Path

from tests.support import docker

NAMES = ("chromium", "chromium-browser", "google-chrome")
PATIENCE = 50.0


def browse(url: str, profile: Path) -> tuple[str, list[str]]:
    """The page's DOM after its scripts ran, and its console's lines: a policy that forbids something is told there.

    Every host but loopback resolves to nothing; a development certificate is taken. Virtual time ends when the page
    has nothing left to do, or after 20 s of its own clock. Without Chromium the test is skipped, or fails where CI
    is set.
    """
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        docker.skip_or_fail("needs Chromium: the page was not seen in a browser")
    quiet = ("--no-first-run", "--disable-background-networking", "--no-proxy-server", "--ignore-certificate-errors")
    alone = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", *quiet)
    hosts = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"
    shown = ("--enable-logging=stderr", "--virtual-time-budget=20000", "--dump-dom", f"--user-data-dir={profile}")
    seen = docker.run(found, *alone, hosts, *shown, url, seconds=PATIENCE)
    assert seen.returncode == 0, seen.stderr
    return seen.stdout, [line for line in seen.stderr.splitlines() if ":CONSOLE" in line]
