"""How does a test run a simulated vLLM server? As a real process, which is asked and told over its control port."""

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

MODELS = {
    "chat": ["Qwen/Qwen2.5-7B-Instruct", "--served-model-name", "qwen", "Qwen/Qwen2.5-7B-Instruct"],
    "text2sql": ["Snowflake/Arctic-Text2SQL-R1-7B"],
    "embed": ["Snowflake/snowflake-arctic-embed-l-v2.0", "--runner", "pooling"],
    "rerank": ["BAAI/bge-reranker-v2-m3", "--runner", "pooling"],
}
"""The argv that the Compose file gives each kind of server; any other argv may be passed instead."""

KEY = "INTERNAL"
"""The API key, unless the arguments name another."""

_READY = re.compile(r"ready (\S+) control (\S+)")
_PATIENCE = 30.0
"""Seconds: what must come is waited for, and a busy machine lets it come late."""


class Simulator:
    """A running simulator.

    Args:
        kind: a key of `MODELS`, or a whole argv that begins with the model.
        flags: more of vLLM's flags, or `--sim-` ones. Without a `--sim-` time the engine is as fast as it can be.
        env: variables added to this process's environment.
        port: where it listens; 0 lets the kernel choose.

    Raises:
        RuntimeError: it ended instead of listening; the message is what it wrote.
    """

    def __init__(
        self, kind: str | list[str] = "chat", *flags: str, env: dict[str, str] | None = None, port: int = 0
    ) -> None:
        argv = list(MODELS[kind]) if isinstance(kind, str) else list(kind)
        argv += ["--host", "127.0.0.1", "--port", str(port)]
        argv += ["--sim-speed", "max", "--sim-control-port", "auto", "--sim-keep-bodies"]
        if "--api-key" not in flags and "--api-key" not in argv:
            argv += ["--api-key", KEY]
        self._process = subprocess.Popen(  # noqa: S603 -- this interpreter, our own module
            [sys.executable, "-m", "gateway.simulator", *argv, *flags],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=_environment(env or {}),
        )
        assert self._process.stdout is not None
        ready = _READY.match(self._process.stdout.readline())
        if ready is None:
            said = self._process.communicate(timeout=_PATIENCE)[1]
            raise RuntimeError(f"the simulator ended with {self._process.returncode}: {said}")
        self.url, self.control = ready[1], ready[2]
        self._client = httpx.Client(base_url=self.control, timeout=_PATIENCE, trust_env=False)

    @property
    def pid(self) -> int:
        """The process."""
        return self._process.pid

    @property
    def headers(self) -> dict[str, str]:
        """What a request needs to be let in."""
        return {"authorization": f"Bearer {KEY}"}

    def ledger(self, *, probes: bool = False, after: int = 0) -> list[dict[str, Any]]:
        """The requests it got beyond number `after`, oldest first; health checks and the like only if asked for."""
        answer: dict[str, Any] = self._control("GET", "/ledger", params={"probes": int(probes), "after": after})
        return list(answer["requests"])

    def settled(self, *, requests: int | None = None, within: float = _PATIENCE) -> list[dict[str, Any]]:
        """The ledger once nothing in it runs any more, and once it has so many requests.

        Raises:
            TimeoutError: that did not come about.
        """
        deadline = time.monotonic() + within
        while True:
            rows = self.ledger()
            complete = requests is None or len(rows) >= requests
            if complete and all(row["ended"] != "running" for row in rows):
                return rows
            if time.monotonic() > deadline:
                raise TimeoutError(f"after {within} s the ledger says {rows}")
            time.sleep(0.01)

    def set_fault(self, name: str, **parameters: Any) -> None:
        """Switch on one fault instead of those that are on: its parameters, and `count` and `path` if wanted."""
        self.set_faults({"name": name, **parameters})

    def set_faults(self, *rows: dict[str, Any]) -> None:
        """Switch on these faults and no others; for each request the first that meets it counts."""
        self._control("PUT", "/faults", json=list(rows))

    def clear(self) -> None:
        """Take all faults away, let the engine run, forget the ledger."""
        self._control("DELETE", "/faults")
        self._control("POST", "/resume-engine")
        self._control("DELETE", "/ledger")

    def set_pace(self, **milliseconds: float) -> None:
        """Change the speed from now on: `ttft_ms`, `token_ms`, `spread_ms`."""
        self._control("PUT", "/pace", json=milliseconds)

    def stop_engine(self) -> None:
        """Hang the engine: /health goes on answering 200, and /metrics as it did, gauges included."""
        self._control("POST", "/stop-engine")

    def metrics_text(self) -> str:
        """What /metrics says now, to be said again under the fault `text`."""
        return httpx.get(f"{self.url}/metrics", timeout=_PATIENCE, trust_env=False).text

    def resume_engine(self) -> None:
        """Let the engine go on."""
        self._control("POST", "/resume-engine")

    def kill_engine(self) -> None:
        """End the engine as a crash does."""
        self._control("POST", "/kill-engine")

    def state(self) -> dict[str, Any]:
        """How many sequences run and wait."""
        answer: dict[str, Any] = self._control("GET", "/state")
        return answer

    def until_state(self, *, running: int, waiting: int = 0, within: float = _PATIENCE) -> None:
        """Return as soon as so many sequences run and wait.

        Raises:
            TimeoutError: that did not come about.
        """
        deadline = time.monotonic() + within
        while True:
            state = self.state()
            if (state["running"], state["waiting"]) == (running, waiting):
                return
            if time.monotonic() > deadline:
                raise TimeoutError(f"after {within} s the engine is at {state}")
            time.sleep(0.005)

    def metrics(self) -> dict[str, float]:
        """The samples of /metrics: `name{labels}`, as written, to value."""
        samples = (
            line.rsplit(" ", 1) for line in self.metrics_text().splitlines() if line and not line.startswith("#")
        )
        return {name: float(value) for name, value in samples}

    def metric(self, name: str) -> float:
        """One family's samples, added up over their labels."""
        return sum(value for sample, value in self.metrics().items() if sample.partition("{")[0] == name)

    def signal(self, number: signal.Signals) -> None:
        """Send the process a signal."""
        self._process.send_signal(number)

    def wait(self, within: float = _PATIENCE) -> int:
        """Wait for the process to end; its exit status."""
        return self._process.wait(within)

    def stop(self) -> None:
        """End the process, whatever it is doing."""
        self._client.close()
        if self._process.poll() is None:
            self._process.kill()
        self._process.communicate()

    def _control(self, method: str, path: str, **request: Any) -> Any:
        answer = self._client.request(method, path, **request)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.stop()

    def __repr__(self) -> str:
        return f"<Simulator {self.url}, process {self.pid}>"


class Simulators:
    """Several simulators that end together."""

    def __init__(self) -> None:
        self._running: list[Simulator] = []

    def start(self, *argv: str, environment: dict[str, str] | None = None) -> Simulator:
        """One more, with vLLM's argv, the model first."""
        simulator = Simulator(list(argv), env=environment)
        self._running.append(simulator)
        return simulator

    def stop(self) -> None:
        """End all of them."""
        while self._running:
            self._running.pop().stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.stop()


def _environment(added: dict[str, str]) -> dict[str, str]:
    """This process's environment and more. Bytecode is always kept, for a start without it takes twice as long."""
    inherited = dict(os.environ)  # noqa: TID251 -- the child needs PATH and the like
    if inherited.pop("PYTHONDONTWRITEBYTECODE", None):
        inherited["PYTHONPYCACHEPREFIX"] = str(Path(tempfile.gettempdir()) / "simulator-bytecode")
    return {**inherited, **added}
