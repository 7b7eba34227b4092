"""Tests of `gateway keys`, typed at a real admin API."""

import re
import socket
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
import pytest

from gateway.auth.api_key import is_well_formed
from gateway.database.settings import DatabaseSettings
from tests.cli.conftest import Run
from tests.support.admin import ADMIN_KEY, AdminServer, Ruling
from tests.support.gateway import free_port


def test_a_new_key_is_all_of_standard_output(gateway: Run, server: AdminServer) -> None:
    made = gateway("keys", "create", "--org", "acme", "--rpm", "120", "--name", "web", "--metadata", "team=search")
    assert made.returncode == 0, made.stderr
    assert is_well_formed(made.stdout.strip().encode())
    assert re.fullmatch(r"key_\w+ for org:acme, rpm=120: keep it, it is shown this once\.\n", made.stderr)
    (row,) = server.do(server.database.keys.list())
    assert row.properties.limits.requests_per_minute == 120
    assert row.properties.metadata == {"team": "search"}
    (entry,) = server.do(server.database.audit.list())
    assert entry.actor == "alice (admin-key-1)"


def test_a_key_lives_its_life(gateway: Run) -> None:
    key = orjson.loads(gateway("keys", "create", "--org", "acme", "--model", "qwen", "--json").stdout)
    assert re.search(r"^models +qwen$", gateway("keys", "show", key["id"]).stdout, re.MULTILINE)
    listed = gateway("keys", "list")
    assert listed.stdout.splitlines()[0].split() == [
        *("ID", "PREFIX", "ORGANIZATION", "NAME", "STATE", "MODELS", "LIMITS", "EXPIRES"),
    ]
    assert key["id"] in listed.stdout
    assert key["key"][11:] not in listed.stdout
    changed = gateway("keys", "update", key["id"], "--tpm", "9000", "--all-models", "--json")
    after = orjson.loads(changed.stdout)
    assert (after["models"], after["limits"]["tokens_per_minute"]) == (None, 9000)
    rotated = gateway("keys", "rotate", key["id"], "--overlap-hours", "1")
    assert is_well_formed(rotated.stdout.strip().encode())
    shown = gateway("keys", "show", key["id"]).stdout
    assert re.search(r"^models +all$", shown, re.MULTILINE)
    assert re.search(r"^expires_at +2026-11-21 13:00$", shown, re.MULTILINE)
    assert gateway("keys", "revoke", key["id"]).returncode == 0
    assert gateway("keys", "revoke", key["id"]).returncode == 0
    assert len(gateway("keys", "list", "--all", "--org", "acme").stdout.splitlines()) == 3
    assert len(orjson.loads(gateway("keys", "list", "--json").stdout)) == 1
    for output in (changed, listed, rotated):
        assert key["key"] not in output.stdout + output.stderr


def test_how_many_may_run_at_once_is_among_the_limits(gateway: Run) -> None:
    made = gateway("keys", "create", "--concurrency", "20")
    assert ", concurrency=20: keep it" in made.stderr
    gateway("keys", "create", "--rpm", "5", "--concurrency", "3")
    rows = gateway("keys", "list").stdout.splitlines()[1:]
    assert sorted("rpm=5 concurrency=3" in row for row in rows) == [False, True]  # made within one millisecond, perhaps
    assert sorted("concurrency=20" in row for row in rows) == [False, True]


def test_a_time_ahead_is_one_and_another_is_in_utc(gateway: Run) -> None:
    ahead = orjson.loads(gateway("keys", "create", "--expires", "30d", "--json").stdout)["expires_at"]
    off = datetime.fromisoformat(ahead) - (datetime.now(UTC) + timedelta(days=30))
    assert abs(off) < timedelta(minutes=5)
    stated = orjson.loads(gateway("keys", "create", "--expires", "2031-02-03", "--json").stdout)["expires_at"]
    assert stated == "2031-02-03T00:00:00Z"


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["keys", "show", "key_none"], 1, "gateway: there is no such key"),
        (["keys", "show", "../orgs"], 1, "gateway: '../orgs' is no key's id: `gateway keys list` has them"),
        (["keys", "create", "--org", "Acme!"], 1, "gateway: organization: "),
        (["keys", "create", "--model", "no such\nmodel"], 1, "gateway: models.0: "),
        (["keys", "create", "--expires", "2020-01-01"], 1, "gateway: expires_at: must be in the future"),
        (["keys", "create", "--expires", "soon"], 2, "neither a time ahead"),
        (["keys", "create", "--rpm", "many"], 2, "Invalid value for '--rpm'"),
        (["keys", "update", "key_none"], 2, "nothing to change is stated"),
        (["keys", "update", "key_x", "--org", "a", "--no-org"], 2, "--no-org contradicts another option"),
        (["usage", "--by", "week"], 2, "Invalid value for '--by'"),
        (["usage", "--from", "yesterday"], 1, "gateway: from: must be a date like 2026-11-21"),
    ],
)
def test_a_refusal_is_a_line_and_a_status(gateway: Run, arguments: list[str], status: int, said: str) -> None:
    refused = gateway(*arguments)
    assert refused.returncode == status
    assert said in refused.stderr
    assert status == 2 or len(refused.stderr.splitlines()) == 1
    assert "Traceback" not in refused.stderr
    assert refused.stdout == ""


def test_who_has_no_key_or_a_wrong_one_is_told_so(gateway: Run) -> None:
    without = gateway("keys", "list", ADMIN_API_KEY="change-me")
    assert (without.returncode, without.stdout) == (1, "")
    assert without.stderr == "gateway: ADMIN_API_KEY holds a placeholder, in the environment or in .env here\n"
    wrong = gateway("keys", "list", ADMIN_API_KEY="wrong-0123456789abcdef")
    assert wrong.returncode == 1
    assert wrong.stderr == "gateway: The admin key is missing or wrong: send it as X-Admin-Key.\n"


def test_a_gateway_that_does_not_answer_is_3(gateway: Run) -> None:
    nobody = f"http://127.0.0.1:{free_port()}"
    silent = gateway("keys", "list", "--gateway", nobody)
    assert silent.returncode == 3
    assert silent.stderr.startswith(f"gateway: no gateway answers at {nobody}: ")
    assert silent.stderr.endswith(
        "; under Compose it is asked in its container: docker compose exec gateway gateway ...\n"
    )
    assert len(silent.stderr.splitlines()) == 1
    elsewhere = gateway("keys", "list", "--gateway", f"http://nobody.invalid:{free_port()}")
    assert (elsewhere.returncode, "Compose" in elsewhere.stderr) == (3, False)
    assert gateway("keys", "list", "--gateway", "nonsense").returncode == 3
    assert ADMIN_KEY not in silent.stderr


def test_a_gateway_without_an_admin_api_is_told_from_a_key_that_is_not_there(
    gateway: Run, server: AdminServer, tmp_path: Path
) -> None:
    with AdminServer(DatabaseSettings(data_path=tmp_path / "data"), Ruling(admin_api_key=[])) as off:
        answer = gateway("keys", "list", "--gateway", off.url)
    assert (answer.returncode, answer.stderr) == (
        1,
        f"gateway: {off.url} has no admin API: ADMIN_API_KEY is not set there\n",
    )
    assert "there is no such key" in gateway("keys", "show", "key_none", "--gateway", server.url).stderr


@pytest.mark.parametrize(("arguments", "unsure"), [(["create"], True), (["list"], False)])
def test_of_a_change_without_an_answer_it_is_said_that_it_may_be_made(
    gateway: Run, *, arguments: list[str], unsure: bool
) -> None:
    def hang_up() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65536)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=hang_up)
        thread.start()
        answer = gateway("keys", *arguments, "--gateway", f"http://127.0.0.1:{listener.getsockname()[1]}")
        thread.join()
    assert answer.returncode == 3
    assert ("may have been made" in answer.stderr) is unsure


def test_a_database_that_is_gone_is_3(gateway: Run, server: AdminServer) -> None:
    server.do(_drop_tables(server))
    gone = gateway("keys", "list")
    assert (gone.returncode, len(gone.stderr.splitlines())) == (3, 1)
    assert "gateway db upgrade" in gone.stderr


async def _drop_tables(server: AdminServer) -> None:
    import sqlalchemy as sa  # noqa: PLC0415 -- the database's own library, for this test alone

    async with server.database.keys._transactions.write() as connection:
        await connection.execute(sa.text("DROP TABLE api_keys"))
