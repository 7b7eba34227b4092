"""What does a start load? What its processes use: modules are a start's time, and memory for as long as it lives."""

import subprocess
import sys
from pathlib import Path

from tests.server.supervised import ROOT, environment

ON_DEMAND = {"fastapi", "starlette", "opentelemetry", "gateway.api.openapi", "gateway.api.operations", "yaml"}
"""For documentation, and for files that not every gateway has: 18 MiB and 0.2 s."""
OF_TRACES = {
    "gateway.tracing.tracing",
    "gateway.proxy.traced",
    "gateway.middleware.queue_clock",
    "gateway.middleware.trusted_trace",
    "requests",
}
"""Where OTEL_TRACES_ENABLED is true, with `opentelemetry`."""
FOR_PEOPLE = {"structlog"}
"""For lines of log on a terminal: 5 MiB and 60 ms."""
ONCE_SERVED = {"httpx", "gateway.backends.prober", "prometheus_client", "gateway.server.scrapes"}
"""Of the supervisor alone, once its first worker serves: 8 MiB and 0.1 s."""
OF_OPERATORS = {"gateway.admin.app", "gateway.admin.asking"}
"""Of the control process alone, once somebody asks for `/admin` or `/v1/usage`: 15 MiB and 0.3 s."""
OF_BOOKS = {"uvicorn", "sqlalchemy", "gateway.database.database"}
"""Of the control process alone."""
OF_WORKERS = {"httptools", "lmdb", "gateway.app"}
OF_SUPERVISORS = {
    "pydantic",
    "pydantic_settings",
    "click",
    "gateway.settings",
    "gateway.server.supervisor",
    "gateway.cli",
}
"""Of who reads the settings and checks them: 15 MiB and 0.15 s, of which a worker has the values alone."""
OF_NOBODY = {
    "gateway.core.room_settings",
    "gateway.limits.settings",
    "gateway.store.settings",
    "gateway.server.settings",
}
"""What settings are made of, which no worker needs to know of those that it has."""
OF_CERTIFICATES = {"cryptography"}
"""Of the control process alone, at its first look at an address of TLS_PROBE_ADDRESSES: 15 MiB and 0.1 s."""
SPARED = {"dotenv", "email", "importlib.metadata", "multiprocessing", "zipfile", "argparse", "http.client"}
"""What came with the above, and with nothing else."""

HANDED = """
import pickle
from gateway.core.carried import carried
from gateway.settings import load
print(pickle.dumps(carried(load(None))).hex())
"""
SERVING = """
import asyncio, pickle, sys
import gateway.server.worker
from gateway.app import build
from gateway.backends.board import create_board
from gateway.core.worker import WorkerIdentity
from gateway.server.lifespan import Lifespan

async def live():
    lifespan = Lifespan(build(pickle.loads(bytes.fromhex("HANDED")), WorkerIdentity(board=create_board())))
    await lifespan.begin()
    print(*sys.modules)
    await lifespan.end()

asyncio.run(live())
"""
SUPERVISING = """
import sys, gateway.cli.serve, gateway.cli.supervise
gateway.cli.supervise.load(None)
print(*sys.modules)
"""


def loaded_by(code: str, **settings: str) -> set[str]:
    """The words that a new interpreter has written which ran `code`: the modules that it has loaded."""
    ran = subprocess.run(  # noqa: S603 -- this interpreter, our own words
        [sys.executable, "-c", code], cwd=ROOT, env=environment(**settings), capture_output=True, text=True, check=True
    )
    return set(ran.stdout.split())


def test_a_worker_that_serves_has_loaded_what_it_uses(tmp_path: Path) -> None:
    folders = {"LIMITER_PATH": str(tmp_path / "state"), "DATA_PATH": str(tmp_path / "data")}
    (handed,) = loaded_by(HANDED, **folders)
    loaded = loaded_by(SERVING.replace("HANDED", handed), **folders)
    unused = (
        OF_TRACES | ON_DEMAND | FOR_PEOPLE | ONCE_SERVED | OF_OPERATORS | OF_BOOKS | OF_SUPERVISORS | OF_NOBODY | SPARED
    ) | OF_CERTIFICATES
    assert loaded >= OF_WORKERS
    assert loaded & unused == set()


def test_a_supervisor_has_loaded_what_it_uses_until_its_workers_serve() -> None:
    loaded = loaded_by(SUPERVISING)
    assert loaded >= OF_SUPERVISORS
    unused = ON_DEMAND | FOR_PEOPLE | ONCE_SERVED | OF_OPERATORS | OF_BOOKS | OF_WORKERS | OF_CERTIFICATES
    assert loaded & unused == set()


def test_the_control_process_has_loaded_what_keys_and_books_need_before_an_operator_asks() -> None:
    loaded = loaded_by("import sys, gateway.control; print(*sys.modules)")
    assert loaded >= OF_BOOKS
    unused = ON_DEMAND | FOR_PEOPLE | ONCE_SERVED | OF_OPERATORS | OF_NOBODY | OF_CERTIFICATES | {"pydantic"}
    assert loaded & unused == set()


def test_what_is_on_demand_is_there_to_be_loaded() -> None:
    later = (
        OF_TRACES | ON_DEMAND | FOR_PEOPLE | ONCE_SERVED | OF_OPERATORS | OF_BOOKS | OF_SUPERVISORS | OF_NOBODY | SPARED
    ) | OF_CERTIFICATES
    code = f"import sys, importlib\nfor name in {later!r}: importlib.import_module(name)\nprint(*sys.modules)"
    assert loaded_by(code) >= later


def test_a_rooms_settings_are_filled_in_by_nobody_so_their_checks_are_not_built() -> None:
    code = (
        "from gateway.settings import Settings; print(Settings.__pydantic_complete__)\n"
        "from gateway.server.settings import ServerSettings; print(ServerSettings.__pydantic_complete__)"
    )
    assert loaded_by(code) == {"False"}


def test_the_first_worker_is_born_before_the_settings_are_known() -> None:
    loaded = loaded_by("import sys, gateway.cli, gateway.cli.serve; print(*sys.modules)")
    assert "gateway.server.process" in loaded
    assert loaded & {"gateway.settings", "pydantic", "uvloop", "structlog"} == set()
