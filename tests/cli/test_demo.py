"""Test of the demo: what a newcomer sees, and that nothing of it stays."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from gateway.cli.demo.log_line import compact, parse

pytestmark = pytest.mark.timeout(120)


def children_of(pid: int) -> set[int]:
    """All living descendants of a process."""
    table = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True)  # noqa: S607
    parents = {int(child): int(parent) for child, parent in (line.split() for line in table.stdout.splitlines())}
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {pid}


def alive(pids: set[int]) -> set[int]:
    """Those of them that still run."""
    return {pid for pid in pids if Path(f"/proc/{pid}").exists()}


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGKILL])
def test_the_demo_shows_what_the_gateway_does_and_leaves_nothing_behind(end: signal.Signals, tmp_path: Path) -> None:
    tour = "--tour" if end == signal.SIGINT else "--no-tour"
    with subprocess.Popen(  # noqa: S603 -- this interpreter, our own module
        [sys.executable, "-P", "-m", "gateway", "demo", "--port", "0", "--key", "sk-of-a-newcomer", tour],
        cwd=tmp_path,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},  # noqa: TID251 -- handed on
        stdout=subprocess.PIPE,
        text=True,
    ) as demo:
        assert demo.stdout is not None
        seen = ""
        while "It is yours" not in seen:
            line = demo.stdout.readline()
            assert line, seen
            seen += line
        url = re.findall(r"^http://127\.0\.0\.1:\d+", seen, re.MULTILINE)[0]
        models = httpx.get(f"{url}/v1/models", headers={"Authorization": "Bearer sk-of-a-newcomer"}, trust_env=False)
        assert {"qwen", "text2sql"} <= {model["id"] for model in models.json()["data"]}
        while "/v1/models" not in (line := demo.stdout.readline()):
            assert line
        children = children_of(demo.pid)
        assert len(children) > 10
        demo.send_signal(end)
        demo.stdout.read()
        assert demo.wait() == (0 if end == signal.SIGINT else -signal.SIGKILL)
    while alive(children):
        time.sleep(0.01)
    if end == signal.SIGINT:
        assert "SELECT" in seen
        assert re.search(r"\d+ x 200\n +\d+ x 429\n", seen)
        assert "The model `gpt-9` does not exist" in seen


def test_a_line_about_a_request_is_compact_and_one_about_anything_else_only_shown_when_it_is_trouble() -> None:
    record = {
        "event": "request",
        "status": 200,
        "method": "POST",
        "path": "/v1/chat/completions",
        "model": "chat",
        "backend": "chat0",
        "outcome": "ok",
        "prompt_tokens": 12,
        "completion_tokens": 34,
        "queue_ms": 150.2,
        "ttft_ms": 210.4,
        "duration_ms": 1400.9,
    }
    line = compact(record)
    assert line is not None
    for part in ("200", "chat on chat0", "12+34 tokens", "waited 150 ms", "first token 210 ms", "1401 ms"):
        assert part in line
    assert compact({"event": "backend changed", "level": "info"}) is None
    trouble = compact(parse("Traceback of something"))
    assert trouble is not None
    assert "Traceback" in trouble
