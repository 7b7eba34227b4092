"""How is the load test run? Against LOADTEST_URL, or against five simulated servers and a gateway of its own.

`python -m loadtest [USERS [SECONDS]] [--write]`; the exit code is Locust's. `--write` puts the figures into
docs/BENCHMARK.md, if all went well.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from bench.page import put_between_marks
from tests.support.gateway import BACKEND_KEY, KEY, Gateway
from tests.support.simulators import Simulator

HERE = Path(__file__).parent
LOCUST = HERE / ".venv" / "bin" / "python"
USERS, SECONDS = "100", "60"
PACE = ("--max-model-len", "8192", "--api-key", BACKEND_KEY, "--sim-speed", "gpu")
"""About as fast as the cards are: the gateway's own share of a time to the first token shows against a real one."""
TOOLS = ("--enable-auto-tool-choice", "--tool-call-parser", "hermes")
WIDE = {
    "MAX_RPS_PER_IP": 10_000,
    "RPS_BURST": 10_000,
    "MAX_INFLIGHT_PER_IP": 1_000,
    "ORG_DAILY_REQUEST_LIMIT": 10**9,
    "ORG_DAILY_TOKEN_LIMIT": 10**12,
    "ORG_MONTHLY_TOKEN_LIMIT": 10**12,
    "GATEWAY_WORKERS": 4,
}
"""All users come from one address, which is one organization."""


PAGE = HERE.parent / "docs" / "BENCHMARK.md"
SECTION = """<!-- written by loadtest -->
## {users} users at once

`make loadtest`, {seconds} s: Locust, a gateway with four workers, and five simulated servers at about the pace of the
cards, all on the machine above; chats streamed and whole, text2sql, embeddings and rerank, mixed. A simulator has no
GPU: its utilization can be read only on a host that has some (loadtest/README.md says how).

{table}

<!-- end of what loadtest writes -->"""


def main(users: str, seconds: str, *, write: bool) -> int:
    """Run the load; returns Locust's exit code."""
    with ExitStack() as stack:
        table = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "table.md"
        environment = {**os.environ, "LOADTEST_TABLE": str(table)}  # noqa: TID251 -- handed on
        if not environment.get("LOADTEST_URL"):
            gateway = _own_gateway(stack)
            environment |= {"LOADTEST_URL": gateway.url, "LOADTEST_KEY": KEY}
        command: list[str | Path] = [
            LOCUST,
            "-m",
            "locust",
            "-f",
            HERE / "locustfile.py",
            "--headless",
            "--only-summary",
        ]
        command += ["--users", users, "--spawn-rate", "25", "--run-time", f"{seconds}s", "--stop-timeout", "20"]
        code = subprocess.run(command, env=environment, cwd=HERE.parent, check=False).returncode  # noqa: S603 -- ours
        if write and code == 0:
            text = SECTION.format(users=users, seconds=seconds, table=table.read_text().strip())
            PAGE.write_text(put_between_marks(PAGE.read_text() if PAGE.is_file() else "", text, below=True))
    return code


def _own_gateway(stack: ExitStack) -> Gateway:
    """Five simulated servers and a gateway of four workers before them."""
    chats = [stack.enter_context(Simulator("chat", *PACE, *TOOLS)) for _ in range(2)]
    others = {kind: stack.enter_context(Simulator(kind, *PACE)) for kind in ("text2sql", "embed", "rerank")}
    folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="loadtest-"))
    servers = {f"{kind.upper()}_BACKEND": server.url for kind, server in others.items()}
    settings = {"CHAT_BACKENDS": ",".join(server.url for server in chats), **servers, **WIDE}
    return stack.enter_context(Gateway(Path(folder), **settings))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m loadtest")
    parser.add_argument("users", nargs="?", default=USERS)
    parser.add_argument("seconds", nargs="?", default=SECONDS)
    parser.add_argument("--write", action="store_true")
    sys.exit(main(**vars(parser.parse_args())))
