"""Tests of a command line and a control process that change one database at the same time, on both databases."""

import subprocess
import sys
from collections.abc import Callable

import pytest

from gateway.core.usage_record import UsageRecord
from gateway.database.database import Database
from gateway.database.rows import KeyProperties
from gateway.database.settings import DatabaseSettings
from tests.support.ledger import sheets

pytestmark = pytest.mark.anyio

KEYS, BATCHES = 40, 40
COMMAND = """
import asyncio
import os
import sys
from pathlib import Path
from gateway.database.database import Database
from gateway.database.rows import KeyProperties
from gateway.database.settings import DatabaseSettings

async def main():
    settings = DatabaseSettings(data_path=Path(sys.argv[1]), database_url=sys.argv[2])
    async with Database(settings) as database:
        print("ready", flush=True)
        sys.stdin.readline()
        for _ in range(int(sys.argv[3])):
            await database.keys.create(KeyProperties(), digest=os.urandom(32), prefix="gw-", actor="command")

asyncio.run(main())
"""


async def test_a_command_and_the_control_process_write_at_once_and_neither_fails(
    settings: DatabaseSettings, digests: Callable[[], bytes]
) -> None:
    arguments = [str(settings.data_path), settings.database_url.get_secret_value(), str(KEYS)]
    with subprocess.Popen(  # noqa: S603, ASYNC220 -- this interpreter, and nothing else runs on this loop
        [sys.executable, "-c", COMMAND, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as command:
        assert command.stdout is not None
        assert command.stdin is not None
        async with Database(settings) as database:
            assert command.stdout.readline() == b"ready\n"
            command.stdin.close()
            for batch in range(BATCHES):
                records = [UsageRecord(f"r{batch}-{number}") for number in range(20)]
                booked = await database.usage.write("host", sheets(records), "e", lambda _: (1, 1))
                assert booked.records == 20
                await database.keys.create(KeyProperties(), digest=digests(), prefix="gw-", actor="control")
            assert command.wait() == 0
            assert await database.changes.number() == KEYS + BATCHES
            assert len(await database.keys.list(most=1000)) == KEYS + BATCHES
            (line,) = await database.usage.report(by="day", first=0, last=9)
            assert line.requests == BATCHES * 20


async def test_a_database_that_is_opened_twice_is_not_taken_for_one_that_nobody_uses(
    sqlite_settings: DatabaseSettings,
) -> None:
    read = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('SELECT * FROM api_keys'); c.close()"
    file = sqlite_settings.data_path / "gateway.db"
    async with Database(sqlite_settings) as database:
        assert await database.changes.number() == 0
        await database.open()
        subprocess.run([sys.executable, "-c", read, file], check=True)  # noqa: S603, ASYNC221 -- as above
        assert file.with_name("gateway.db-wal").exists()  # the other one, as the last to leave, would have removed it
