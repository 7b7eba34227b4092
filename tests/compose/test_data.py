"""Do the commands of the pages for Compose do what they say: a file of settings, a check, backup, restore, a move?"""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.compose import running
from tests.compose.project import KEYS, PASSWORDS, ROOT, SIMULATED, Project
from tests.compose.running import STANDINS, UP_SECS, Stack, eventually

pytestmark = [pytest.mark.compose, pytest.mark.timeout(900)]

ADMIN_KEY = "canary-of-the-operators-6d8f0a2c4e1b3597"
FILE, MAX_QUEUED = "gateway.yml", 77
"""The file of GATEWAY_CONFIG, and what it says."""
DATA = (ROOT / "docs" / "data.md").read_text()
URL = "postgresql://gateway:password@10.0.0.4:5432/gateway"
"""What the page has for a server of the reader's; here it is Compose's own."""
OURS = f"postgresql://gateway:{PASSWORDS['POSTGRES_PASSWORD']}@postgres:5432/gateway"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack with a file of settings, and a PostgreSQL server that it does not use yet."""
    folder = tmp_path_factory.mktemp("data")
    (folder / FILE).write_text(f"max_queued_per_ip: {MAX_QUEUED}\n")
    own = {"GATEWAY_CONFIG": str(folder / FILE), "ADMIN_API_KEY": ADMIN_KEY, "COMPOSE_PROFILES": "postgres"}
    with running.stack(folder, {**own, **PASSWORDS}, tuple(STANDINS)) as made:
        made.wait_until_ready()
        yield made


def test_a_check_in_the_container_says_what_it_was_given_and_what_is_seen_elsewhere(stack: Stack) -> None:
    words = " ".join(stack.gateway("check").split())
    assert words.startswith("Read from the environment and /etc/gateway/gateway.yml (GATEWAY_CONFIG). This runs in a")
    assert "run `gateway check` in the checkout on the host" in words
    assert f"and {MAX_QUEUED} more wait" in words
    assert "a day 100,000 requests, 10,000,000 tokens" in words
    assert " cannot be written" not in words
    assert " are set aside " not in words


def test_a_file_of_settings_that_is_not_there_ends_the_start(stack: Stack, tmp_path: Path) -> None:
    del stack  # its networks and image are used
    missing = tmp_path / FILE
    project = Project(tmp_path, SIMULATED, {**KEYS, "EDGE_SUBNET": "10.198.77.0/24", "GATEWAY_CONFIG": str(missing)})
    answer = project.run("run", "--rm", "--no-deps", "-T", "gateway", "check")
    assert answer.returncode != 0
    assert str(missing) in answer.stderr
    assert not missing.exists()


def test_a_file_of_settings_that_an_editor_wrote_anew_is_read_after_a_restart(stack: Stack) -> None:
    written = stack.directory / "new"
    written.write_text(f"max_queued_per_ip: {MAX_QUEUED + 1}\n")
    written.rename(stack.directory / FILE)
    stack.succeed("restart", "gateway")
    assert f"and {MAX_QUEUED + 1} more wait" in stack.gateway("check")


def test_what_is_in_the_volume_is_backed_up_restored_and_moved_by_the_commands_of_the_page(stack: Stack) -> None:
    kept = new_key(stack)
    stack.project.paste(under_compose("Backup"), UP_SECS)
    later = new_key(stack)
    stack.succeed("exec", "-T", "gateway", "sh", "-c", "rm /data/gateway.db* /data/key-hash.secret")
    stack.project.paste(under_compose("Restore"), UP_SECS)
    eventually(lambda: (status(stack, kept), status(stack, later)) == (200, 401))
    moving = under_compose("From SQLite to PostgreSQL")
    assert moving.count(URL) == 1
    printed = stack.project.paste(moving.replace(URL, OURS), UP_SECS)
    assert re.search(r"^api_keys +1$", printed, re.MULTILINE)
    eventually(lambda: status(stack, kept) == 200)
    new_key(stack)
    count = "select count(*) from api_keys"
    words = f"PGPASSWORD=$POSTGRES_PASSWORD psql --host 127.0.0.1 --username gateway --tuples-only --command '{count}'"
    assert stack.succeed("exec", "-T", "postgres", "sh", "-c", words).strip() == "2"


def under_compose(heading: str) -> str:
    """The commands for Compose under a heading of docs/data.md."""
    section = DATA.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    (found,) = [block for block in re.findall(r"```sh\n(.*?)```", section, re.DOTALL) if "docker compose" in block]
    return str(found)


def new_key(stack: Stack) -> str:
    """One that the running gateway has made, and takes."""
    key = stack.gateway("keys", "create", "--org", "kept")
    eventually(lambda: status(stack, key) == 200)
    return key


def status(stack: Stack, key: str) -> int:
    """What it is answered with that shows this key."""
    with stack.client(key) as client:
        return client.get("/v1/models").status_code
