"""What does an operator do? Two organizations, a key each, a quota that runs out, and who used how much."""

import asyncio
import os
import shlex
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import click
import httpx
import orjson

from gateway.cli.asking import NO_ANSWER
from gateway.cli.demo.processes import ChildError
from gateway.cli.demo.tour import indented, title

QUOTA = 3
"""Requests a day of the first organization."""
OTHERS = 2
"""Requests of the second one."""
POLL_SECS = 0.2
PATIENCE_SECS = 30.0
"""How long the control process may take to start, and a record to be booked."""


class Operator:
    """Types `gateway` commands at the demo's gateway.

    Args:
        url: the gateway's.
        key: of an administrator.
        directory: where no `.env` says otherwise.
    """

    def __init__(self, url: str, key: str, directory: Path) -> None:
        here = dict(os.environ)  # noqa: TID251 -- handed on
        self._environment = {**here, "GATEWAY_URL": url, "ADMIN_API_KEY": key}
        self._directory = directory

    async def types(self, *arguments: str) -> str:
        """Show a command, run it, and show what it says on standard error; what it prints is returned.

        Raises:
            ChildError: it failed.
        """
        click.echo(click.style(f"  $ gateway {shlex.join(arguments)}", fg="cyan"))
        printed, said = await self._run(*arguments)
        if said:
            click.echo(indented(said))
        return printed

    async def asks(self, *arguments: str) -> Any:  # noqa: ANN401 -- whatever JSON the command prints
        """The JSON that a command prints, without showing it."""
        printed, _ = await self._run(*arguments, "--json")
        return orjson.loads(printed)

    async def _run(self, *arguments: str) -> tuple[str, str]:
        """What a command prints and says; it is typed again while the gateway's control process is on its way."""
        pipe = asyncio.subprocess.PIPE
        async with asyncio.timeout(PATIENCE_SECS):
            while True:
                process = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-m", "gateway", *arguments),
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=pipe,
                    stderr=pipe,
                    env=self._environment,
                    cwd=self._directory,
                )
                printed, said = (part.decode() for part in await process.communicate())
                if process.returncode == 0:
                    return printed, said
                if process.returncode != NO_ANSWER:
                    raise ChildError(said)
                await asyncio.sleep(POLL_SECS)  # noqa: TID251 -- another process has no event


class Tenants:
    """The operator's stop of the tour.

    Args:
        client: speaks to the gateway.
        operator: administers it.
    """

    def __init__(self, client: httpx.AsyncClient, operator: Operator) -> None:
        self._client = client
        self._operator = operator

    async def run(self) -> None:
        """Make two organizations' keys, use up a quota, and print who used what."""
        title(f"Tenants: two organizations, one with {QUOTA} requests a day, and who used how much")
        await self._operator.types("orgs", "create", "acme", "--daily-requests", str(QUOTA))
        acme = (await self._operator.types("keys", "create", "--org", "acme", "--rpm", "120")).strip()
        globex = (await self._operator.types("keys", "create", "--org", "globex")).strip()
        await until(lambda: self._is_known(globex))
        for name, key, times in (("acme", acme, QUOTA + 1), ("globex", globex, OTHERS)):
            for _ in range(times):
                await self._ask(name, key)
        await until(lambda: self._are_booked(QUOTA + OTHERS))
        click.echo(indented(await self._operator.types("usage", "--by", "org")))

    async def _ask(self, name: str, key: str) -> None:
        """One request, and what came of it."""
        body = {"model": "qwen", "max_tokens": 16, "messages": [{"role": "user", "content": "Hello!"}]}
        answer = await self._client.post("/v1/chat/completions", json=body, headers=bearer(key))
        found = answer.json()
        if answer.is_success:
            click.echo(f"  {name}: {answer.status_code}, {found['usage']['total_tokens']} tokens")
        else:
            click.echo(f"  {name}: {answer.status_code} {found['error']['code']}: {found['error']['message']}")

    async def _is_known(self, key: str) -> bool:
        """Whether the workers have heard of a key."""
        return (await self._client.get("/v1/models", headers=bearer(key))).is_success

    async def _are_booked(self, times: int) -> bool:
        """Whether so many of the organizations' requests are in the ledger."""
        lines = await self._operator.asks("usage", "--by", "org")
        booked: int = sum(line["requests"] for line in lines if line["heading"].startswith("org:"))
        return booked >= times


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    """Wait for another process, which has no event to wait for."""
    async with asyncio.timeout(PATIENCE_SECS):
        while not await holds():  # noqa: ASYNC110 -- see above
            await asyncio.sleep(POLL_SECS)  # noqa: TID251 -- see above


def bearer(key: str) -> dict[str, str]:
    """The header that shows a key."""
    return {"Authorization": f"Bearer {key}"}
