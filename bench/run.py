"""`python -m bench.run`: what does a request cost here, and at nginx and the Rust routers, on this machine, now?"""

import argparse
import os
import platform
import resource
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from bench.cores import Cores, available, divide, model_name, pinned
from bench.figures import FULL, QUICK
from bench.instruments.build import BuildError, Instruments, build
from bench.instruments.mock import Mock
from bench.peers import MODEL, PEERS, Peer, Surroundings
from bench.processes import OPEN_FILES, free_port, poll, running
from bench.repetition import Bench, StartError, repeat, version
from bench.table import Row, render

MOCK_START_SECS = 5.0
TMPFS = Path("/dev/shm")  # noqa: S108 -- a folder with a random name and mode 0700 is made in it


class UsageError(Exception):
    """The run cannot begin; the message says why."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark; returns the exit code: 1 when it could not begin, or when a peer did not start."""
    options = _options(argv)
    try:
        rows = _run(options)
    except (BuildError, UsageError) as error:
        say(str(error))
        return 1
    sys.stdout.write(render(rows))
    return 0 if all(row["figures"] for row in rows) else 1


def say(line: str) -> None:
    """Tell how far it is, apart from the results."""
    sys.stderr.write(f"bench: {line}\n")


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    venvs = os.environ.get("BENCH_PEERS")  # noqa: TID251 -- the default of an option of this program
    parser = argparse.ArgumentParser(prog="python -m bench.run", description=__doc__)
    parser.add_argument("--reps", type=int, default=3, help="repetitions, the peers taking turns (default: 3)")
    parser.add_argument("--peers", nargs="+", choices=PEERS, help="default: all that are installed")
    parser.add_argument(
        "--venvs",
        type=Path,
        default=venvs,
        help="folder of virtual environments named like the peers, besides PATH (BENCH_PEERS)",
    )
    parser.add_argument("--out", type=Path, help="file of the results, a JSON line each (default: a new one)")
    parser.add_argument("--quick", action="store_true", help="a few seconds a peer; its figures mean nothing")
    return parser.parse_args(argv)


def _run(options: argparse.Namespace) -> list[Row]:
    cores = divide(available())
    if cores.warning:
        say(f"warning: {cores.warning}")
    _allow_many_files()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        state = tempfile.TemporaryDirectory(prefix="bench-", dir=TMPFS if TMPFS.is_dir() else None)
        instruments = build(folder)
        mock = stack.enter_context(_mock(instruments, cores, folder))
        venvs = options.venvs.resolve() if options.venvs else None
        peers = _found(options.peers, Surroundings(folder, Path(stack.enter_context(state)), venvs, mock.port))
        bench = Bench.of(folder, instruments, mock, cores, QUICK if options.quick else FULL)
        if not bench.counts_instructions:
            say("warning: perf does not count instructions here")
        stack.enter_context(pinned(cores.harness))
        return _repetitions(bench, peers, options.reps, options.out or _new_file())


def _repetitions(bench: Bench, peers: dict[str, Peer], reps: int, out: Path) -> list[Row]:
    """The peers take turns, so that a slow minute of the machine does not hit one of them alone."""
    rows: list[Row] = []
    with out.open("ab") as results:
        results.write(orjson.dumps({"run": _about(peers)}) + b"\n")
        for number in range(1, reps + 1):
            for name, peer in peers.items():
                say(f"repetition {number} of {reps}: {name}")
                try:
                    row = repeat(bench, name, peer, number)
                except StartError as error:
                    row = {"peer": name, "repetition": number, "figures": {}, "notes": [str(error)]}
                rows.append(row)
                results.write(orjson.dumps(row) + b"\n")
                results.flush()
    say(f"results: {out}")
    return rows


@contextmanager
def _mock(instruments: Instruments, cores: Cores, folder: Path) -> Iterator[Mock]:
    mock = Mock(free_port())
    argv = [str(instruments.mock), "-p", str(mock.port), "-m", MODEL]
    log = folder / "mock.log"
    with running(argv, cores=cores.load, folder=folder, log=log, environment={}):
        for _ in poll(MOCK_START_SECS):
            try:
                mock.stats()
            except OSError:
                continue
            yield mock
            return
        raise UsageError(f"the mock did not start: {log.read_text()}")


def _found(wanted: Sequence[str] | None, around: Surroundings) -> dict[str, Peer]:
    """The peers of this run; one that was named must be there."""
    found = {}
    for name, find in PEERS.items():
        if wanted and name not in wanted:
            continue
        peer = find(around)
        if peer is not None:
            found[name] = peer
        elif wanted:
            raise UsageError(f"{name} is neither on PATH nor in the folder of --venvs")
        else:
            say(f"not installed, left out: {name}")
    return found


def _about(peers: dict[str, Peer]) -> dict[str, Any]:
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "cores": os.cpu_count(),
        "model": model_name(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load_average": os.getloadavg(),
        "versions": {name: version(peer) for name, peer in peers.items()},
    }


def _new_file() -> Path:
    handle, name = tempfile.mkstemp(prefix="bench-", suffix=".jsonl")
    os.close(handle)
    return Path(name)


def _allow_many_files() -> None:
    """As many sockets as the loads need, where the system lets us."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


if __name__ == "__main__":
    sys.exit(main())
