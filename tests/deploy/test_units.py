"""What systemd is told of the stack is what systemd understands, and says what it should."""

import configparser
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.docker import skip_or_fail

DEPLOY = Path(__file__).parents[2] / "deploy"
INSTALL = DEPLOY / "systemd" / "install.sh"
SCRIPTS = sorted(DEPLOY.glob("*/*.sh"))
NAMES = ("inference-gateway", "inference-monitoring", "gateway-backup", "idle-shutdown")
SHIPPED = sorted(path.name for path in DEPLOY.glob("*/*.service")) + sorted(
    path.name for path in DEPLOY.glob("*/*.timer")
)


def install(folder: Path, *names: str) -> subprocess.CompletedProcess[str]:
    path = os.environ["PATH"]  # noqa: TID251 -- where sh finds its tools
    return subprocess.run(  # noqa: S603 -- our own script
        [INSTALL, *names], env={"PATH": path, "UNIT_DIR": str(folder)}, capture_output=True, text=True, check=False
    )


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """A folder with all of them."""
    result = install(tmp_path, *NAMES)
    assert result.returncode == 0, result.stderr
    return tmp_path


class Unit(configparser.ConfigParser):
    """A unit's file as systemd reads it, as far as the tests ask."""

    def __init__(self, path: Path) -> None:
        super().__init__(strict=False, interpolation=None)
        self.read(path)

    def optionxform(self, optionstr: str) -> str:
        """Leave names as they are: systemd's have capitals."""
        return optionstr


def unit(folder: Path, name: str) -> Unit:
    return Unit(folder / name)


def seconds(text: str) -> int:
    """A length of time as systemd has it."""
    found = re.fullmatch(r"(\d+)(s|min)", text)
    assert found
    return int(found[1]) * {"s": 1, "min": 60}[found[2]]


def test_all_of_them_are_put_in_place_with_the_path_of_this_checkout(units: Path) -> None:
    assert sorted(path.name for path in units.iterdir()) == sorted(SHIPPED)
    text = "".join(path.read_text() for path in units.iterdir())
    assert "/opt/inference-gateway" not in text
    for path in re.findall(rf"{re.escape(str(DEPLOY.parent))}/[\w./-]+", text):
        assert Path(path).exists(), path


def test_what_is_to_be_enabled_is_said(tmp_path: Path) -> None:
    said = install(tmp_path, "inference-gateway", "idle-shutdown").stdout
    assert said.endswith("systemctl enable --now inference-gateway.service idle-shutdown.timer\n")


@pytest.mark.parametrize("names", [(), ("no-such-unit",), ("inference-gateway", "idle")])
def test_a_name_that_is_none_is_refused(tmp_path: Path, names: tuple[str, ...]) -> None:
    assert install(tmp_path, *names).returncode != 0


def test_systemd_understands_all_of_it(units: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        skip_or_fail("needs systemd-analyze, of Debian's package systemd")
    # Stands in for the units of others, which need not be on this machine.
    for name in ("docker.service", "nvidia-persistenced.service"):
        (units / name).write_text("[Service]\nExecStart=/bin/true\n")
    command = ["systemd-analyze", "verify", "--man=no", *map(str, sorted(units.glob("*")))]
    path = os.environ["PATH"]  # noqa: TID251 -- where it is
    environment = {"PATH": path, "SYSTEMD_UNIT_PATH": f"{units}:"}
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)  # noqa: S603 -- fixed
    ours = [line for line in (result.stdout + result.stderr).splitlines() if any(name in line for name in NAMES)]
    assert (result.returncode, ours) == (0, []), result.stderr


def test_the_stack_has_the_time_that_its_parts_need_to_end(units: Path) -> None:
    service = unit(units, "inference-gateway.service")["Service"]
    compose = (DEPLOY.parent / "docker-compose.yml").read_text()
    graces = [int(found) for found in re.findall(r"stop_grace_period: (\d+)s", compose)]
    # nginx, the gateway and vLLM end one after another.
    assert seconds(service["TimeoutStopSec"]) > 3 * max(graces)
    assert service["TimeoutStartSec"] == "infinity"


def test_the_stack_is_stopped_before_docker_so_that_docker_does_not_begin_it_by_itself(units: Path) -> None:
    stack = unit(units, "inference-gateway.service")
    assert "docker.service" in stack["Unit"]["After"].split()
    assert stack["Unit"]["Requires"] == "docker.service"
    assert stack["Service"]["ExecStop"].endswith("docker compose stop")
    assert (stack["Service"]["Type"], stack["Service"]["RemainAfterExit"]) == ("oneshot", "yes")
    # A driver that comes up late is waited for.
    assert stack["Service"]["Restart"] == "on-failure"
    assert stack["Unit"]["StartLimitIntervalSec"] == "0"


def test_monitoring_begins_after_the_stack_and_ends_before_it(units: Path) -> None:
    assert "inference-gateway.service" in unit(units, "inference-monitoring.service")["Unit"]["After"].split()


def test_nobody_asks_whether_a_host_is_idle_while_it_begins(units: Path) -> None:
    timer = unit(units, "idle-shutdown.timer")["Timer"]
    assert seconds(timer["OnBootSec"]) >= 15 * 60
    service = unit(units, "idle-shutdown.service")["Service"]
    assert seconds(service["TimeoutStartSec"]) < seconds(timer["OnUnitInactiveSec"])


def test_a_backup_that_a_stopped_host_missed_is_made_up_for(units: Path) -> None:
    assert unit(units, "gateway-backup.timer")["Timer"]["Persistent"] == "true"


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_a_script_is_one_that_any_shell_understands(script: Path) -> None:
    assert os.access(script, os.X_OK)
    assert subprocess.run(["sh", "-n", script], check=False).returncode == 0  # noqa: S603, S607 -- our own
    if shutil.which("shellcheck") is None:
        skip_or_fail("needs shellcheck, of Debian's package of that name")
    result = subprocess.run(["shellcheck", script], capture_output=True, text=True, check=False)  # noqa: S603, S607 -- our own
    assert result.stdout == ""
