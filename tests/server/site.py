"""How does a test change settings and code under a running gateway? A folder with both."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.server.supervised import (
    ROOT,
    Gateway,
    serving,
)

MODULE = """
import sys
sys.path.insert(0, {root!r})
from tests.server.apps import Application
WORD = {word!r}

def build(settings, worker):
    {statement}
    return Application(worker, f"{{WORD}} {{settings.gateway_api_key[0].get_secret_value()}}")
"""


class Site:
    """A folder with a .env and a module that makes the application, which a test may change while a gateway runs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.module()
        self.settings()

    def module(self, word: str = "first", statement: str = "pass") -> None:
        """Write other code; `statement` runs in each worker's start, where `worker` is its identity."""
        text = MODULE.format(root=str(ROOT), word=word, statement=statement)
        (self.folder / "changing.py").write_text(text)

    def settings(self, **settings: object) -> None:
        """Write other settings."""
        lines = {"GATEWAY_WORKERS": 2, "GATEWAY_API_KEY": "sk-key-one", **settings}
        (self.folder / ".env").write_text("".join(f"{name}={value}\n" for name, value in lines.items()))


@contextmanager
def serving_site(site: Site, **settings: str) -> Iterator[Gateway]:
    ours = {"GATEWAY_WORKERS": "", "GATEWAY_API_KEY": "", "PYTHONDONTWRITEBYTECODE": "1", **settings}
    with serving(site.folder, "changing:build", cwd=site.folder, **ours) as gateway:
        yield gateway


def until(born: Path, done: Path) -> str:
    """A statement for `Site.module`: make the one file, and wait for the other."""
    waiting = f"all(time.sleep(0.01) is None for _ in iter(lambda: os.path.exists({str(done)!r}), True))"
    return f"import os, time; open({str(born)!r}, 'w').close(); {waiting}"


def word(gateway: Gateway) -> str:
    """What the application was told by code and settings."""
    return " ".join(gateway.ask().split()[4:])
