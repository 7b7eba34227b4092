"""Tests of bench/accounting.py and bench/perf.py: what the kernel and the processor say of a process."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bench.accounting import cpu_ns, memory_mib, reset_peak, tree, worked_ns
from bench.cores import available, pinned
from bench.perf import can_count, counting, instructions
from bench.processes import finished

SECOND_NS = 1_000_000_000
MILLION = 1_000_000
PARENT_AND_CHILD = (
    "import subprocess, sys; child = subprocess.Popen([sys.executable, '-c', 'import sys; sys.stdin.read()']);"
    "print('up', flush=True); sys.stdin.read(); child.wait()"
)
THREAD_THAT_ENDS = (
    "import sys, threading, time\n"
    "def work():\n"
    "    end = time.thread_time() + 0.2\n"
    "    while time.thread_time() < end: pass\n"
    "thread = threading.Thread(target=work); thread.start(); thread.join()\n"
    "print('up', flush=True); sys.stdin.read()\n"
)
GROW_AND_SHRINK = (
    "import mmap, sys; block = mmap.mmap(-1, 64 << 20); block.write(b'x' * (64 << 20)); block.close();"
    "print('up', flush=True); sys.stdin.read()"
)


@contextmanager
def python(code: str) -> Iterator[int]:
    """A Python process that has printed its line and waits; its number."""
    argv = [sys.executable, "-c", code]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:  # noqa: S603 -- code from above
        assert child.stdout is not None
        child.stdout.readline()
        yield child.pid


def test_a_core_has_worked_for_whoever_works_on_it() -> None:
    core = available()[-1]
    before = worked_ns([core])
    with pinned(frozenset({core})), python(THREAD_THAT_ENDS):
        assert worked_ns([core]) - before >= 0.1 * SECOND_NS


def test_descendants_belong_to_the_tree() -> None:
    with python(PARENT_AND_CHILD) as pid:
        assert tree(pid)[0] == pid
        assert len(tree(pid)) == 2
    assert tree(pid) == []


def test_a_thread_that_has_ended_still_counts() -> None:
    with python(THREAD_THAT_ENDS) as pid:
        assert cpu_ns([pid]) >= SECOND_NS // 5


def test_a_process_that_waits_uses_nothing() -> None:
    with python(THREAD_THAT_ENDS) as pid:
        before = cpu_ns([pid])
        time.sleep(0.05)
        assert cpu_ns([pid]) - before < SECOND_NS // 100


def test_a_process_that_is_gone_counts_nothing() -> None:
    with python("print()") as pid:
        pass
    assert cpu_ns([pid]) == memory_mib([pid]) == 0


def test_a_peak_is_remembered_until_it_is_reset() -> None:
    with python(GROW_AND_SHRINK) as pid:
        assert memory_mib([pid], "VmHWM") > memory_mib([pid]) + 60
        reset_peak([pid])
        assert memory_mib([pid], "VmHWM") < memory_mib([pid]) + 1


def test_user_and_kernel_instructions_are_summed() -> None:
    assert instructions("# started\n\n70,,instructions:u,5,100.00,,\n30,,instructions:k,5,100.00,,\n") == 100


def test_a_counter_that_did_not_count_spoils_the_sum() -> None:
    assert instructions("70,,instructions:u,5,100.00,,\n<not counted>,,instructions:k,0,100.00,,\n") is None
    assert instructions("") is None


def test_only_the_process_that_was_named_is_counted(tmp_path: Path) -> None:
    if not can_count():
        pytest.skip("perf does not count instructions here")
    report = tmp_path / "report"
    with python(THREAD_THAT_ENDS) as pid:
        finished([*counting([pid], report), sys.executable, "-c", "sum(range(1_000_000))"])
    assert (instructions(report.read_text()) or 0) < MILLION
