"""What does a start load? What its processes use: modules are a start's time, and memory for as long as it lives."""

import subprocess
import sys

import pytest

from tests.server.supervised import ROOT, environment

ON_DEMAND = {"fastapi", "starlette", "opentelemetry", "gateway.api.openapi", "gateway.api.operations", "yaml"}
"""For documentation, and for files that not every gateway has: 18 MiB and 0.2 s."""
OF_PROBERS = {"httpx", "gateway.backends.prober"}
"""Of the supervisor alone, once its first worker loads: 4 MiB, and a fifth of a worker's start before."""
OF_WORKERS = {"uvicorn", "httptools", "lmdb", "gateway.app"}
OF_SUPERVISORS = {"prometheus_client", "gateway.server.supervisor", "gateway.cli"}

BUILT = """
import sys, gateway.server.worker
from gateway.app import build
from gateway.core.worker import WorkerIdentity
from gateway.settings import load
build(load(None), WorkerIdentity())
print(*sys.modules)
"""
SUPERVISING = """
import sys, gateway.cli.serve, gateway.cli.supervise
gateway.cli.supervise.load(None)
print(*sys.modules)
"""


def loaded_by(code: str) -> set[str]:
    """The modules of a new interpreter that has run `code`."""
    ran = subprocess.run(  # noqa: S603 -- this interpreter, our own words
        [sys.executable, "-c", code], cwd=ROOT, env=environment(), capture_output=True, text=True, check=True
    )
    return set(ran.stdout.split())


@pytest.mark.parametrize(
    ("code", "used", "unused"),
    [
        (BUILT, OF_WORKERS, ON_DEMAND | OF_PROBERS | OF_SUPERVISORS),
        (SUPERVISING, OF_SUPERVISORS, ON_DEMAND | OF_PROBERS | OF_WORKERS),
    ],
    ids=["a worker", "a supervisor"],
)
def test_a_process_loads_what_it_uses(code: str, used: set[str], unused: set[str]) -> None:
    loaded = loaded_by(code)
    assert loaded >= used
    assert loaded & unused == set()


def test_what_is_on_demand_is_there_to_be_loaded() -> None:
    later = ON_DEMAND | OF_PROBERS
    code = f"import sys, importlib\nfor name in {later!r}: importlib.import_module(name)\nprint(*sys.modules)"
    assert loaded_by(code) >= later


def test_a_worker_checks_no_settings_so_it_builds_no_checks_of_them() -> None:
    code = (
        "import gateway.app; from gateway.settings import Settings; print(Settings.__pydantic_complete__)\n"
        "from gateway.server.settings import ServerSettings; print(ServerSettings.__pydantic_complete__)"
    )
    assert loaded_by(code) == {"False"}


def test_the_first_worker_is_born_before_the_settings_are_known() -> None:
    loaded = loaded_by("import sys, gateway.cli, gateway.cli.serve; print(*sys.modules)")
    assert "gateway.server.process" in loaded
    assert loaded & {"gateway.settings", "pydantic", "uvloop", "structlog"} == set()
