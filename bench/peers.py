"""Who is compared? One function a peer: how it is found on this machine, and how it is started with one worker."""

import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bench.processes import free_port

KEY = "sk-bench-0123456789"
MODEL = "mock-model"
TEMPLATE = Path(__file__).with_name("nginx.conf.in")


@dataclass(frozen=True)
class Surroundings:
    """What a peer is started in.

    Args:
        folder: for its files; its working directory.
        state: for what belongs on tmpfs.
        venvs: a folder of virtual environments named like the peers, or None.
        upstream: the mock's port.
    """

    folder: Path
    state: Path
    venvs: Path | None
    upstream: int

    @property
    def upstream_url(self) -> str:
        """The mock's address."""
        return f"http://127.0.0.1:{self.upstream}"

    def program(self, name: str) -> str | None:
        """A program by the peer's name: in its virtual environment, or on PATH."""
        own = self.venvs / name / "bin" / name if self.venvs else None
        return str(own) if own and own.is_file() else shutil.which(name)


@dataclass(frozen=True)
class Peer:
    """Something that answers on a port of this host.

    Args:
        port: where it listens.
        argv: how it is started; empty: it runs already.
        environment: added to what every child gets.
        version: how it is asked for its version; empty: there is no such way.
    """

    port: int
    argv: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    version: tuple[str, ...] = ()


def direct(around: Surroundings) -> Peer:
    """No gateway at all: what the instruments can do, and so the bound of every other figure."""
    return Peer(around.upstream)


def nginx(around: Surroundings) -> Peer | None:
    """A proxy in C that decides nothing but whether the key is right."""
    program = around.program("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
    if program is None:
        return None
    port = free_port()
    text = TEMPLATE.read_text()
    values = {"FOLDER": around.folder, "PORT": port, "UPSTREAM": around.upstream, "KEY": KEY}
    for name, value in values.items():
        text = text.replace(f"@{name}@", str(value))
    configuration = around.folder / "nginx.conf"
    configuration.write_text(text)
    return Peer(
        port, (program, "-e", str(around.folder / "nginx.log"), "-c", str(configuration)), version=(program, "-v")
    )


def vllm_router(around: Surroundings) -> Peer | None:
    """The router of vLLM, in Rust."""
    return _rust_router(around, "vllm-router", "vllm_router")


def sglang_router(around: Surroundings) -> Peer | None:
    """The router of SGLang, in Rust."""
    return _rust_router(around, "sglang-router", "sglang_router")


def gateway(around: Surroundings) -> Peer:
    """Ours, as it runs in production: limits that never bite, the shared store, metrics, a log line a request."""
    port = free_port()
    settings = {
        "GATEWAY_API_KEY": KEY,
        "BACKEND_API_KEY": "bench-backend-0123456789",
        "CHAT_BACKENDS": around.upstream_url,
        "CHAT_MODEL": MODEL,
        "TEXT2SQL_BACKEND": "",
        "EMBED_BACKEND": "",
        "RERANK_BACKEND": "",
        "METRICS_PORT": str(free_port()),
        "LIMITER_PATH": str(around.state),
        "MAX_RPS_PER_IP": "1000000",
        "MAX_INFLIGHT_PER_IP": "10000",
        "LOG_FORMAT": "json",
    }
    argv = (sys.executable, "-m", "gateway", "serve", "--workers", "1", "--host", "127.0.0.1", "--port", str(port))
    return Peer(port, argv, settings, version=(sys.executable, "-m", "gateway", "--version"))


PEERS: Mapping[str, Callable[[Surroundings], Peer | None]] = {
    "direct": direct,
    "nginx": nginx,
    "vllm-router": vllm_router,
    "sglang-router": sglang_router,
    "gateway": gateway,
}
"""By name, in the order of the table's columns. None: it is not installed here."""


def _rust_router(around: Surroundings, name: str, module: str) -> Peer | None:
    program = around.program(name)
    if program is None:
        return None
    port = free_port()
    python = Path(program).resolve().with_name("python")
    options = {
        "--host": "127.0.0.1",
        "--port": port,
        "--worker-urls": around.upstream_url,
        "--policy": "round_robin",
        "--log-level": "error",
        "--prometheus-host": "127.0.0.1",
        "--prometheus-port": free_port(),
        "--api-key": KEY,
    }
    given = [str(word) for option in options.items() for word in option]
    asked = f"from importlib.metadata import version; print(version({name!r}))"
    return Peer(port, (str(python), "-m", f"{module}.launch_router", *given), version=(str(python), "-c", asked))
