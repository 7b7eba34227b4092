"""What stands on the demo's stage? Five simulated vLLM servers, the gateway, a tour, and every request as a line."""

import asyncio
import os
import secrets
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import click
import httpx

from gateway.cli.demo.examples import Server, examples, for_operators, how_to_break
from gateway.cli.demo.log_line import compact, parse
from gateway.cli.demo.processes import ChildError, await_line, child, lines
from gateway.cli.demo.tenants import Operator, Tenants
from gateway.cli.demo.tour import Tour, title
from gateway.settings import OURS, names

CHAT = (
    "Qwen/Qwen2.5-7B-Instruct --served-model-name qwen Qwen/Qwen2.5-7B-Instruct --max-model-len 8192 "
    "--enable-auto-tool-choice --tool-call-parser hermes"
)
SERVERS: Mapping[str, str] = {
    "chat0": CHAT,
    "chat1": CHAT,
    "text2sql": "Snowflake/Arctic-Text2SQL-R1-7B --max-model-len 8192",
    "embed": "Snowflake/snowflake-arctic-embed-l-v2.0 --runner pooling",
    "rerank": "BAAI/bge-reranker-v2-m3 --runner pooling --max-model-len 8192",
}
"""The servers of docker-compose.yml and what `vllm serve` is told there."""
LOOPBACK = ("--host", "127.0.0.1", "--port", "0", "--sim-control-port", "auto")
"""A vLLM server listens on every address unless told otherwise; a demo is nobody else's."""
SAYS_ITS_PID = ("sh", "-c", 'echo "pid $$"; exec "$@"', "sh")
"""Says the process's id and becomes the command behind it."""
READY_POLL_SECS = 0.1
LOG_DELAY_SECS = 0.5
"""The gateway gathers its log lines for 0.1 s."""
CONNECTIONS = 40
"""httpx' pool slows down with the number of its connections; these are enough to outrun the bucket."""


async def run(port: int, key: str, *, tour: bool) -> None:
    """Run until told to stop.

    Args:
        port: of the gateway on 127.0.0.1; 0: any free one.
        key: the clients'.
        tour: whether a few requests are sent and shown.

    Raises:
        ChildError: a server or the gateway did not start, or ended.
    """
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    main = asyncio.create_task(_show(port, key, tour=tour))
    stopped = asyncio.create_task(stop.wait())
    await asyncio.wait((main, stopped), return_when=asyncio.FIRST_COMPLETED)
    if stop.is_set():
        click.echo("\nEnding five servers and the gateway.")
    stopped.cancel()
    main.cancel()
    try:
        await main
    except asyncio.CancelledError:
        click.echo("Nothing is left running.")


async def _show(port: int, key: str, *, tour: bool) -> None:
    async with AsyncExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gateway-demo-")))
        admin_key = secrets.token_urlsafe(24)
        url, gateway, servers = await stack.enter_async_context(_running(port, key, admin_key, directory))
        shown_url, shown_key = click.style(url, bold=True), click.style(key, bold=True)
        click.echo(f"\n{shown_url}  with the key  {shown_key}   (documentation: {url}/docs)")
        click.echo(
            "The models are stand-ins: their words mean little, SQL, vectors and scores are rough guesses. "
            "Limits, errors, routing\nand streams are the gateway's own."
        )
        for name, text in examples(url, key):
            title(f"To paste: {name}")
            click.echo(text, nl=False)
        title("To paste: an operator's commands")
        click.echo(for_operators(url, admin_key), nl=False)
        title("To break: the five servers, and how to make them fail")
        click.echo(how_to_break(servers))
        if tour:
            await _tour(url, key, Operator(url, admin_key, directory), gateway)
        title("It is yours: paste a request in another terminal and see its line here. Ctrl-C ends everything.")
        await _watch(gateway, quiet=False)
        raise ChildError("The gateway has ended.")


async def _tour(url: str, key: str, operator: Operator, gateway: asyncio.subprocess.Process) -> None:
    bearer = {"Authorization": f"Bearer {key}"}
    limits = httpx.Limits(max_connections=CONNECTIONS)
    async with httpx.AsyncClient(base_url=url, headers=bearer, timeout=60, trust_env=False, limits=limits) as client:
        watching = asyncio.create_task(_watch(gateway, quiet=True))
        try:
            await Tour(client, Tenants(client, operator).run).run()
            await asyncio.sleep(LOG_DELAY_SECS)  # noqa: TID251 -- the last lines are on their way in another process
        finally:
            watching.cancel()
            await asyncio.wait((watching,))  # a pipe has one reader at a time, and the gateway's end reads it too


@asynccontextmanager
async def _running(
    port: int, key: str, admin_key: str, directory: Path
) -> AsyncIterator[tuple[str, asyncio.subprocess.Process, list[Server]]]:
    """The gateway's URL and process, with its servers behind it and ready."""
    backend_key = secrets.token_urlsafe(16)
    inherited = {
        name: value
        for name, value in os.environ.items()  # noqa: TID251 -- handed on
        if name not in names() and not name.startswith(OURS)
    }
    python = (sys.executable, "-m")
    async with AsyncExitStack() as stack:
        simulators = {
            name: await stack.enter_async_context(
                child(
                    (*SAYS_ITS_PID, *python, "gateway.simulator", *arguments.split(), *LOOPBACK),
                    {**inherited, "VLLM_API_KEY": backend_key},
                    directory,
                )
            )
            for name, arguments in SERVERS.items()
        }
        servers = [await _server(name, process) for name, process in simulators.items()]
        urls = {server.name: server.url for server in servers}
        settings = {
            "GATEWAY_API_KEY": key,
            "ADMIN_API_KEY": admin_key,
            "DATA_PATH": str(directory / "data"),
            "BACKEND_API_KEY": backend_key,
            "CHAT_BACKENDS": f"{urls['chat0']},{urls['chat1']}",
            "TEXT2SQL_BACKEND": urls["text2sql"],
            "EMBED_BACKEND": urls["embed"],
            "RERANK_BACKEND": urls["rerank"],
            "GATEWAY_HOST": "127.0.0.1",
            "GATEWAY_PORT": str(port),
            "METRICS_PORT": "0",
            "LIMITER_PATH": str(directory / "limits"),
            "LOG_FORMAT": "json",
            "DRAIN_SECS": "1",
        }
        gateway = await stack.enter_async_context(
            child((*python, "gateway", "serve"), {**inherited, **settings}, directory)
        )
        url = await _listening(gateway)
        await _ready(url)
        yield url, gateway, servers


async def _server(name: str, process: asyncio.subprocess.Process) -> Server:
    """What a simulator says of itself, once it is ready."""
    _, pid = (await await_line(process, "pid ")).split()
    _, url, _, control = (await await_line(process, "ready ")).split()
    return Server(name, int(pid), url, control)


async def _listening(gateway: asyncio.subprocess.Process) -> str:
    """The gateway's own word of where it listens."""
    said = []
    async for line in lines(gateway):
        record = parse(line)
        if record.get("event") == "listening":
            return str(record["url"])
        said.append(line)
    raise ChildError("\n".join(said))


async def _ready(url: str) -> None:
    """Wait until the gateway has seen its servers."""
    async with httpx.AsyncClient(trust_env=False) as client:
        while not (await client.get(f"{url}/ready")).is_success:  # noqa: ASYNC110 -- another process has no event
            await asyncio.sleep(READY_POLL_SECS)  # noqa: TID251 -- the same


async def _watch(gateway: asyncio.subprocess.Process, *, quiet: bool) -> None:
    """Print a line per request; `quiet` reads them away, as a pipe that nobody reads would hold the gateway up."""
    async for line in lines(gateway):
        shown = compact(parse(line))
        if shown and not quiet:
            click.echo(shown)
