"""Test of the demo: what a newcomer sees, and that nothing of it stays."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import click
import httpx
import pytest

from gateway.cli.demo.examples import SQL_QUESTION, examples
from gateway.cli.demo.log_line import compact, parse
from gateway.simulator.content.sql import answer

pytestmark = pytest.mark.timeout(300)


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


def listeners_of(pids: set[int]) -> list[str]:
    """The addresses on which they accept TCP connections, in the kernel's spelling (proc(5)): one for each socket."""
    sockets = set()
    for pid in pids:
        with contextlib.suppress(FileNotFoundError):
            sockets |= {str(handle.readlink()) for handle in Path(f"/proc/{pid}/fd").iterdir()}
    rows = [row.split() for name in ("tcp", "tcp6") for row in Path(f"/proc/net/{name}").read_text().splitlines()[1:]]
    listening = "0A"
    return [row[1].partition(":")[0] for row in rows if row[3] == listening and f"socket:[{row[9]}]" in sockets]


@contextlib.contextmanager
def killing(process: subprocess.Popen[str]) -> Iterator[None]:
    """A process that a failed test leaves is ended; one that has ended is left alone."""
    try:
        yield
    finally:
        process.kill()


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGKILL])
def test_the_demo_shows_what_the_gateway_does_and_leaves_nothing_behind(end: signal.Signals, tmp_path: Path) -> None:
    tour = "--tour" if end == signal.SIGINT else "--no-tour"
    with (
        subprocess.Popen(  # noqa: S603 -- this interpreter, our own module
            [sys.executable, "-P", "-m", "gateway", "demo", "--port", "0", "--key", "sk-of-a-newcomer", tour],
            cwd=tmp_path,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},  # noqa: TID251 -- handed on
            stdout=subprocess.PIPE,
            text=True,
        ) as demo,
        killing(demo),
    ):
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
        chat0, control = re.findall(r"^  chat0 +pid (\d+) .* control (\S+)$", seen, re.MULTILINE)[0]
        assert httpx.get(f"{control}/state", trust_env=False).json()["running"] == 0
        children = children_of(demo.pid)
        assert int(chat0) in children
        assert len(children) > 10
        listening = listeners_of(children)
        assert len(listening) >= 6
        assert set(listening) == {"0100007F"}
        os.kill(int(chat0), signal.SIGKILL)
        while "backend=chat0  state=down  reason=unreachable" not in (line := demo.stdout.readline()):
            assert line
        demo.send_signal(end)
        demo.stdout.read()
        assert demo.wait() == (0 if end == signal.SIGINT else -signal.SIGKILL)
    while alive(children):
        time.sleep(0.01)
    assert "The models are stand-ins" in seen
    assert f"curl -X POST {control}/stop-engine" in seen
    if end == signal.SIGINT:
        assert "SELECT" in seen
        assert re.search(r"\d+ x 200\n +\d+ x 429\n", seen)
        assert "The model `gpt-9` does not exist" in seen
        assert seen.count("  acme: 200, ") == 3
        assert seen.count("  acme: 429 insufficient_quota: ") == 1
        assert re.search(r"^  org:acme +3 +", seen, re.MULTILINE)
        assert re.search(r"^  org:globex +2 +", seen, re.MULTILINE)


def test_an_interrupt_in_the_middle_of_the_tour_ends_everything_without_a_traceback(tmp_path: Path) -> None:
    with (
        subprocess.Popen(
            [sys.executable, "-P", "-m", "gateway", "demo", "--port", "0"],
            cwd=tmp_path,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},  # noqa: TID251 -- handed on
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as demo,
        killing(demo),
    ):
        assert demo.stdout is not None
        while "Chat, streamed" not in (line := demo.stdout.readline()):
            assert line
        assert demo.stdout.read(6).strip(), "no piece of the streamed answer"
        children = children_of(demo.pid)
        demo.send_signal(signal.SIGINT)
        rest = demo.stdout.read()
        assert demo.wait() == 0, rest
    assert "Traceback" not in rest
    assert "It is yours" not in rest
    assert rest.endswith("Ending five servers and the gateway.\nNothing is left running.\n")
    assert alive(children) == set()


def demo_fails(folder: Path, **environment: str) -> list[str]:
    """What a demo that does not start says; it must have started nothing."""
    result = subprocess.run(
        [sys.executable, "-P", "-m", "gateway", "demo"],
        cwd=folder,
        env={**os.environ, **environment},  # noqa: TID251 -- handed on
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.returncode, result.stdout) == (1, "")
    return result.stderr.splitlines()


@pytest.mark.parametrize("port", ["abc", "-1", "65536", "9000.0", "٩"])
def test_a_port_that_is_none_is_refused_in_a_line_that_names_it(port: str, tmp_path: Path) -> None:
    (line,) = demo_fails(tmp_path, DEMO_PORT=port)
    assert line.startswith("gateway: DEMO_PORT is ")


def test_a_taken_port_is_refused_in_a_line_that_names_it(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        (line,) = demo_fails(tmp_path, DEMO_PORT=str(taken.getsockname()[1]))
    assert line.startswith("gateway: DEMO_PORT is ")
    assert "Address already in use" in line
    assert line.endswith("choose another; DEMO_PORT=0 takes any free one")


@pytest.mark.parametrize("key", ["short", "sk-example-1", "sk-'quoted'", "sk-one,sk-two", "sk-\u00e9t\u00e9-2026"])
def test_a_key_that_cannot_be_pasted_or_used_is_refused_in_a_line_that_names_it(key: str, tmp_path: Path) -> None:
    (line,) = demo_fails(tmp_path, DEMO_PORT="0", DEMO_KEY=key)
    assert line.startswith("gateway: DEMO_KEY ")
    assert key not in line


def test_port_and_key_are_read_from_the_environment_only(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("DEMO_PORT=nonsense\n")
    (line,) = demo_fails(tmp_path, DEMO_PORT="0", DEMO_KEY="short")
    assert "DEMO_KEY" in line


def test_the_question_to_paste_is_one_that_the_stand_in_answers_with_sense() -> None:
    pasted = dict(examples("http://127.0.0.1:1", "sk-demo"))["curl"]
    assert f'"content": "{SQL_QUESTION}"' in pasted
    assert "SELECT customer, SUM(total)\nFROM orders\nGROUP BY customer;" in answer(SQL_QUESTION, SQL_QUESTION)


def test_the_first_word_needs_no_slow_import() -> None:
    code = "import sys, gateway.cli.demo; print({'httpx', 'gateway.settings', 'uvloop'} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603 -- this interpreter, our own words
    assert result.stdout == "set()\n"


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
    assert compact({"event": "worker_retired", "level": "info"}) is None
    death = compact({"event": "worker_died", "level": "error", "timestamp": "now", "pid": 7, "how": "was killed"})
    assert death is not None
    assert click.unstyle(death) == "  worker_died  pid=7  how=was killed"
    trouble = compact(parse("Traceback of something"))
    assert trouble is not None
    assert "Traceback" in trouble


def test_a_server_that_comes_or_goes_and_its_circuit_are_shown() -> None:
    down = compact({"event": "backend_changed", "level": "warning", "backend": "chat0", "state": "down"})
    assert down == click.style("  backend_changed  backend=chat0  state=down", fg="yellow")
    shut = compact({"event": "circuit_changed", "level": "info", "backend": "chat0", "after": "closed"})
    assert shut == click.style("  circuit_changed  backend=chat0  after=closed", fg="green")
