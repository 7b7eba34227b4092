"""Who is compared? One function a peer: how it is found on this machine, and how it is started."""

import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import orjson

from bench.processes import free_port

KEY = "sk-bench-0123456789"
MODEL, EMBED_MODEL = "mock-model", "mock-embedder"
TEMPLATE = Path(__file__).with_name("nginx.conf.in")


@dataclass(frozen=True)
class Surroundings:
    """What a peer is started in.

    Args:
        folder: for its files; its working directory.
        state: for what belongs on tmpfs.
        venvs: the folder of virtual environments named like the peers; it need not be there.
        upstream: the mock's port.
        workers: processes that answer, for the peers that can have several (`SCALING`).
    """

    folder: Path
    state: Path
    venvs: Path
    upstream: int
    workers: int = 1

    @property
    def upstream_url(self) -> str:
        """The mock's address."""
        return f"http://127.0.0.1:{self.upstream}"

    def program(self, name: str) -> str | None:
        """A program by the peer's name: in its virtual environment, or on PATH."""
        return self.own(name, name) or shutil.which(name)

    def own(self, peer: str, name: str) -> str | None:
        """A program in the virtual environment of a peer."""
        path = self.venvs / peer / "bin" / name
        return str(path) if path.is_file() else None


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
    values = {"FOLDER": around.folder, "PORT": port, "UPSTREAM": around.upstream, "KEY": KEY, "WORKERS": around.workers}
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


def production_stack(around: Surroundings) -> Peer | None:
    """The router of vLLM's production stack, in Python; it checks no key."""
    program = around.own("production-stack", "vllm-router")  # the Rust router's name: PATH would be a guess
    if program is None:
        return None
    port = free_port()
    options = {
        "--host": "127.0.0.1",
        "--port": port,
        "--service-discovery": "static",
        "--static-backends": f"{around.upstream_url},{around.upstream_url}",
        "--static-models": f"{MODEL},{EMBED_MODEL}",
        "--routing-logic": "roundrobin",
        "--log-level": "error",
    }
    return Peer(port, (program, *_words(options)), version=(program, "--version"))


def litellm(around: Surroundings) -> Peer | None:
    """LiteLLM's proxy, in Python: checks its master key; without its database it keeps no accounts."""
    program = around.program("litellm")
    if program is None:
        return None
    port = free_port()
    upstream = {"api_base": f"{around.upstream_url}/v1", "api_key": "bench"}
    models = [
        {"model_name": name, "litellm_params": {"model": f"openai/{name}", **upstream}} for name in (MODEL, EMBED_MODEL)
    ]
    configuration = around.folder / "litellm.yaml"  # JSON is YAML
    configuration.write_bytes(orjson.dumps({"model_list": models, "general_settings": {"master_key": KEY}}))
    options = {"--config": configuration, "--host": "127.0.0.1", "--port": port, "--num_workers": around.workers}
    environment = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR", "LITELLM_MODE": "PRODUCTION"}
    argv = (program, *_words(options), "--telemetry", "False")
    python = str(Path(program).with_name("python"))
    return Peer(port, argv, environment, version=_asked(python, "litellm"))


def gateway(around: Surroundings) -> Peer:
    """Ours, as it runs in production: limits that never bite, the shared store, metrics, a log line a request."""
    port = free_port()
    settings = {
        "GATEWAY_API_KEY": KEY,
        "BACKEND_API_KEY": "bench-backend-0123456789",
        "CHAT_BACKENDS": around.upstream_url,
        "CHAT_MODEL": MODEL,
        "TEXT2SQL_BACKEND": "",
        "EMBED_BACKEND": f"http://localhost:{around.upstream}",  # the mock again: a server serves one model
        "EMBED_MODEL": EMBED_MODEL,
        "RERANK_BACKEND": "",
        "METRICS_PORT": str(free_port()),
        "LIMITER_PATH": str(around.state),
        "MAX_RPS_PER_IP": "1000000",
        "MAX_INFLIGHT_PER_IP": "10000",
        # Beyond what any run uses, and counted all the same.
        "ORG_DAILY_REQUEST_LIMIT": "1000000000",
        "ORG_DAILY_TOKEN_LIMIT": "1000000000000",
        "ORG_MONTHLY_TOKEN_LIMIT": "1000000000000",
        "LOG_FORMAT": "json",
    }
    options = {"--workers": around.workers, "--host": "127.0.0.1", "--port": port}
    argv = (sys.executable, "-m", "gateway", "serve", *_words(options))
    return Peer(port, argv, settings, version=(sys.executable, "-m", "gateway", "--version"))


PEERS: Mapping[str, Callable[[Surroundings], Peer | None]] = {
    "direct": direct,
    "nginx": nginx,
    "vllm-router": vllm_router,
    "sglang-router": sglang_router,
    "production-stack": production_stack,
    "litellm": litellm,
    "gateway": gateway,
}
"""By name, in the order of the table's columns. None: it is not installed here."""
SCALING = frozenset({"nginx", "litellm", "gateway"})
"""Those that can be told how many processes answer; the Rust routers have threads, as many as there are cores."""
SWITCHED_ON: Mapping[str, str] = {
    "direct": "no gateway at all: what mock and load generator can do",
    "nginx": "one key compared, kept-alive upstream connections; no limits, no metrics, no log",
    "vllm-router": "started with a key, round robin, metrics, log of errors; no limits, no metering",
    "sglang-router": "one key checked, round robin, metrics, log of errors; no limits, no metering",
    "production-stack": "round robin, metrics, log of errors; no key, no limits",
    "litellm": "master key, its router, log of errors; no database, so no budgets and no exact limits",
    "gateway": (
        "authentication, exact limits over all workers (LMDB on tmpfs; rate and concurrency at values that never "
        "bite), routing by turns over all workers, metering of tokens, quotas and a ledger of usage in SQLite, the "
        "response cache, metrics, an access log line for each request"
    ),
}
"""What each does besides passing bytes on, as it is started here."""


def _rust_router(around: Surroundings, name: str, module: str) -> Peer | None:
    program = around.program(name)
    if program is None:
        return None
    port = free_port()
    python = Path(program).with_name("python")
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
    argv = (str(python), "-m", f"{module}.launch_router", *_words(options))
    return Peer(port, argv, version=_asked(str(python), name))


def _words(options: Mapping[str, object]) -> list[str]:
    return [str(word) for option in options.items() for word in option]


def _asked(python: str, package: str) -> tuple[str, ...]:
    return (python, "-c", f"from importlib.metadata import version; print(version({package!r}))")
