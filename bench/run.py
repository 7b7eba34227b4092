"""`python -m bench.run`: what does a request cost here, and at nginx and the Rust routers, on this machine, now?"""

import argparse
import importlib.util
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
from bench.goals import judge, told
from bench.instruments.build import BuildError, Instruments, build
from bench.instruments.mock import Mock
from bench.peers import EMBED_MODEL, MODEL, PEERS, Surroundings
from bench.perf import can_count
from bench.plan import FULL, QUICK, Plan
from bench.processes import OPEN_FILES, finished, free_port, poll, running
from bench.repetition import Bench, repeat, version
from bench.table import Row, render

MOCK_START_SECS = 5.0
ROOT = Path(__file__).parents[1]
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
    sys.stdout.write(render(rows[1:]) + told(judge(rows[1:])))
    if options.write:
        from bench.publish import publish  # noqa: PLC0415 -- only who draws needs the package that draws

        say(f"written: {publish(rows, options.write)}")
    return 0 if all(row["figures"] for row in rows[1:]) else 1


def say(line: str) -> None:
    """Tell how far it is, apart from the results."""
    sys.stderr.write(f"bench: {line}\n")


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    venvs = os.environ.get("BENCH_PEERS", ROOT / "bench" / ".peers")  # noqa: TID251 -- the default of an option of this program
    parser = argparse.ArgumentParser(prog="python -m bench.run", description=__doc__)
    parser.add_argument("--reps", type=int, default=3, help="repetitions, the peers taking turns (default: 3)")
    parser.add_argument("--peers", nargs="+", choices=PEERS, help="default: all that are installed")
    parser.add_argument(
        "--venvs",
        type=Path,
        default=venvs,
        help="folder of virtual environments named like the peers (default: $BENCH_PEERS, or bench/.peers)",
    )
    parser.add_argument("--out", type=Path, help="file of the results, a JSON line each (default: a new one)")
    parser.add_argument("--quick", action="store_true", help="a few seconds a peer; its figures mean nothing")
    parser.add_argument("--scale", type=float, default=1.0, help="make every window so many times as long")
    parser.add_argument("--only", nargs="+", choices=FULL.topics(), help="measure this and nothing else")
    parser.add_argument(
        "--write",
        type=Path,
        nargs="?",
        const=ROOT / "docs",
        metavar="FOLDER",
        help="write BENCHMARK.md and its plots into docs, or into FOLDER (needs requirements/bench.lock)",
    )
    return parser.parse_args(argv)


def _run(options: argparse.Namespace) -> list[Row]:
    if options.write and importlib.util.find_spec("matplotlib") is None:
        raise UsageError("--write draws with matplotlib: requirements/bench.lock, which `make bench` installs")
    cores = divide(available())
    if cores.warning:
        say(f"warning: {cores.warning}")
    _allow_many_files()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        state = tempfile.TemporaryDirectory(prefix="bench-", dir=TMPFS if TMPFS.is_dir() else None)
        instruments = build(folder)
        mock = stack.enter_context(_mock(instruments, cores, folder))
        around = Surroundings(folder, Path(stack.enter_context(state)), options.venvs.resolve(), mock.port)
        versions = _found(options.peers, around)
        bench = Bench(around, instruments, mock, cores, _plan(options), can_count())
        if not bench.counts_instructions:
            say("warning: perf does not count instructions here")
        stack.enter_context(pinned(cores.harness))
        return _repetitions(bench, _about(versions), options.reps, options.out or _new_file())


def _plan(options: argparse.Namespace) -> Plan:
    plan = (QUICK if options.quick else FULL).times(options.scale)
    return plan.only(options.only) if options.only else plan


def _repetitions(bench: Bench, about: dict[str, Any], reps: int, out: Path) -> list[Row]:
    """What the results say, line by line."""
    rows: list[Row] = [{"run": about}]
    with out.open("ab") as results:
        results.write(orjson.dumps(rows[0]) + b"\n")
        for number in range(1, reps + 1):
            say(f"repetition {number} of {reps}")
            for row in repeat(bench, list(about["versions"]), number):
                rows.append(row)
                results.write(orjson.dumps(row) + b"\n")
            results.flush()
    say(f"results: {out}")
    return rows


@contextmanager
def _mock(instruments: Instruments, cores: Cores, folder: Path) -> Iterator[Mock]:
    mock = Mock(free_port())
    argv = [str(instruments.mock), "-p", str(mock.port), "-m", MODEL, "-e", EMBED_MODEL]
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


def _found(wanted: Sequence[str] | None, around: Surroundings) -> dict[str, str]:
    """The peers of this run and their versions; one that was named must be there."""
    found = {}
    for name, find in PEERS.items():
        if wanted and name not in wanted:
            continue
        peer = find(around)
        if peer is not None:
            found[name] = version(peer)
        elif wanted:
            raise UsageError(f"{name} is neither on PATH nor in the folder of --venvs{_way_to_have(name)}")
        else:
            say(f"not installed, left out: {name}{_way_to_have(name)}")
    return found


def _way_to_have(name: str) -> str:
    """How a peer is installed, where the project pins one."""
    pinned_here = (ROOT / "bench" / "locks" / f"{name}.lock").is_file()
    return f" (run `make bench-peers PEERS={name}`)" if pinned_here else ""


def _about(versions: dict[str, str]) -> dict[str, Any]:
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "model": model_name(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load_average": os.getloadavg(),
        "commit": _commit(),
        "versions": versions,
    }


def _commit() -> str:
    """What was measured, as far as git knows it."""
    commit = finished(["git", "-C", ROOT, "rev-parse", "--short=12", "HEAD"]).stdout.strip()
    changed = finished(["git", "-C", ROOT, "status", "--porcelain", "--", "gateway"]).stdout.strip()
    return f"{commit or 'unknown'}{', with changes that are not committed' if changed else ''}"


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
