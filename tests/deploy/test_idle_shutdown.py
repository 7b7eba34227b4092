"""The host is stopped when its gateway says twice that it is idle, and left alone upon any other word or silence."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "deploy" / "idle-shutdown" / "idle-shutdown.sh"
IDLE = (0, "idle: no request has run for 45m")
GATEWAY = """#!/bin/sh
# Says what the next line of `answers` says: a status, then words.
echo "$*" >> {folder}/asked
sed -n 1p {folder}/answers > {folder}/answer
sed -i 1d {folder}/answers
read -r status words < {folder}/answer
echo 'level=warning msg="a variable is not set"' >&2
echo "$words"
exit "$status"
"""


@dataclass
class Host:
    """A host whose gateway says what the test wants, and whose end is a file."""

    folder: Path

    def says(self, *answers: tuple[int, str]) -> None:
        """Its gateway's next answers."""
        gateway = self.folder / "gateway"
        gateway.write_text(GATEWAY.format(folder=self.folder))
        gateway.chmod(0o755)
        (self.folder / "answers").write_text("".join(f"{status} {words}\n" for status, words in answers))

    def run(self, **settings: str) -> subprocess.CompletedProcess[str]:
        defaults = {
            "GATEWAY_COMMAND": str(self.folder / "gateway"),
            "STOP_COMMAND": f"touch {self.folder / 'stopped'}",
            "BUSY_COMMAND": "",
            "CONFIRM_SECS": "0",
        }
        path = os.environ["PATH"]  # noqa: TID251 -- where sh finds its tools
        return subprocess.run(  # noqa: S603 -- our own script
            [SCRIPT],
            env={"PATH": path, **defaults, **settings},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    @property
    def stopped(self) -> bool:
        return (self.folder / "stopped").exists()

    @property
    def asked(self) -> list[str]:
        return (self.folder / "asked").read_text().splitlines()


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_an_idle_host_is_stopped_after_a_second_look(host: Host) -> None:
    host.says(IDLE, IDLE)
    result = host.run(IDLE_AFTER="45m")
    assert (result.returncode, host.stopped) == (0, True)
    assert "stops: idle: no request has run for 45m" in result.stdout
    assert host.asked == ["idle --for 45m", "idle --for 45m"]


def test_a_request_between_the_two_looks_keeps_it_on(host: Host) -> None:
    host.says(IDLE, (4, "active: requests run or wait"))
    result = host.run()
    assert (result.returncode, host.stopped) == (0, False)
    assert "stays on: active: requests run or wait" in result.stdout


@pytest.mark.parametrize(
    "answer", [(4, "active: no request has run for 2m"), (5, "held: until 2026-11-22 08:00 UTC by alice")]
)
def test_a_host_in_use_or_held_stays_on_and_all_is_well(host: Host, answer: tuple[int, str]) -> None:
    host.says(answer)
    result = host.run()
    assert (result.returncode, host.stopped, result.stdout) == (0, False, f"stays on: {answer[1]}\n")


@pytest.mark.parametrize(
    "answer",
    [
        (3, "unknown: no gateway runs that keeps /data/idle"),
        (1, "Traceback (most recent call last):"),
        (1, 'service "gateway" is not running'),
        (2, "Error: No such option: --for"),
        (125, "docker: something is wrong"),
        (127, ""),
        (137, ""),
        (40, "idle: of another kind"),
        (0, ""),
        (0, "active: a status that is none"),
        (0, "idle"),
    ],
)
def test_whatever_is_not_that_word_with_that_status_leaves_it_on_and_somebody_is_called(
    host: Host, answer: tuple[int, str]
) -> None:
    host.says(answer, IDLE, IDLE)
    result = host.run()
    assert (result.returncode, host.stopped) == (1, False)
    assert "stays on, and somebody should look" in result.stderr
    assert f"status {answer[0]}" in result.stderr


def test_a_gateway_that_cannot_be_asked_leaves_it_on(host: Host) -> None:
    result = host.run(GATEWAY_COMMAND=str(host.folder / "nobody"))
    assert (result.returncode, host.stopped) == (1, False)


def test_while_models_are_fetched_nobody_asks(host: Host) -> None:
    host.says(IDLE, IDLE)
    result = host.run(BUSY_COMMAND="echo 4c01db0b339c")
    assert (result.returncode, host.stopped, result.stdout) == (0, False, "stays on: models are being fetched\n")


@pytest.mark.parametrize("command", ["false", "/nobody", "true"])
def test_where_none_are_or_nobody_knows_the_gateway_decides(host: Host, command: str) -> None:
    host.says(IDLE, IDLE)
    assert host.run(BUSY_COMMAND=command).returncode == 0
    assert host.stopped


def test_a_rehearsal_stops_nothing(host: Host) -> None:
    host.says(IDLE, IDLE)
    result = host.run(DRY_RUN="1")
    assert (result.returncode, host.stopped) == (0, False)
    assert result.stdout == f"would stop (DRY_RUN is set): {IDLE[1]}\n"


def test_a_stop_that_fails_is_told(host: Host) -> None:
    host.says(IDLE, IDLE)
    assert host.run(STOP_COMMAND="false").returncode == 1


def test_by_default_it_asks_through_compose_and_powers_off(host: Host) -> None:
    said = f'echo "$0 $*" >> {host.folder}/ran\n'
    for name, last in (("docker", f"case $* in *models) ;; *) echo '{IDLE[1]}' ;; esac"), ("systemctl", "true")):
        program = host.folder / name
        program.write_text(f"#!/bin/sh\n{said}{last}\n")
        program.chmod(0o755)
    path = f"{host.folder}:{os.environ['PATH']}"  # noqa: TID251 -- where sh finds its tools
    settings = {"PATH": path, "CONFIRM_SECS": "0", "STACK_DIR": "/srv/llm"}
    subprocess.run([SCRIPT], env=settings, capture_output=True, timeout=60, check=True)  # noqa: S603 -- our own script
    ran = [line.removeprefix(f"{host.folder}/") for line in (host.folder / "ran").read_text().splitlines()]
    ask = "docker compose --project-directory /srv/llm exec -T gateway gateway idle --for 30m"
    busy = "docker compose --project-directory /srv/llm ps --quiet --status running models"
    assert ran == [busy, ask, ask, "systemctl poweroff"]
