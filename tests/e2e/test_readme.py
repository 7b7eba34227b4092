"""What the README shows of clients: its Python as it stands, and a stream that breaks, on the wire and in the SDK."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.conftest import Fleet
from tests.support.curl import PARTIAL_BODY, Curl
from tests.support.front_door import FrontDoor
from tests.support.gateway import KEY, Gateway

README = (Path(__file__).resolve().parents[2] / "README.md").read_text()
DEMO_URL, DEMO_KEY = "http://127.0.0.1:9000", "sk-demo"
BREAKS = README.partition("\n### When a stream breaks\n")[2].partition("\n### ")[0]
AFTER = 3
"""Events that come before the break: the README says three."""
PATIENCE = 60.0


def blocks(language: str, part: str) -> list[str]:
    """The examples of one language in a part of the page."""
    return re.findall(rf"^```{language}\n(.*?)^```", part, re.MULTILINE | re.DOTALL)


OPENAI, ANTHROPIC, *_ = blocks("python", README)


def addressed(text: str, gateway: Gateway) -> str:
    """An example for another gateway than the demo's."""
    return text.replace(DEMO_URL, gateway.url).replace(DEMO_KEY, KEY)


def printed(code: str, gateway: Gateway) -> str:
    """What Python prints that runs an example."""
    command = [sys.executable, "-c", addressed(code, gateway)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE)  # noqa: S603 -- our own page
    assert done.returncode == 0, done.stderr
    return done.stdout


def masked(wire: str) -> str:
    """A stream without what each has of its own."""
    return re.sub(r'"created":\d+', '"created":0', re.sub(r'"id":"[\w-]+"', '"id":""', wire))


@pytest.fixture
def breaking(chat_fleet: Fleet) -> None:
    """Every chat server dies in the middle of a stream."""
    for server in chat_fleet.servers.values():
        server.set_fault("eof_mid_stream", after=AFTER)


@pytest.mark.parametrize("code", [OPENAI, ANTHROPIC], ids=["openai", "anthropic"])
def test_its_clients_get_an_answer(chat_gateway: Gateway, chat_fleet: Fleet, code: str) -> None:
    assert printed(code, chat_gateway).strip()
    assert chat_fleet.requests() == 1


@pytest.mark.usefixtures("breaking")
def test_curl_shows_of_a_stream_that_breaks_what_it_says(chat_gateway: Gateway, tmp_path: Path) -> None:
    (command,), (shown, _) = blocks("sh", BREAKS), blocks("text", BREAKS)
    seen = Curl(FrontDoor(chat_gateway.url, None), tmp_path, "127.0.0.1").paste(addressed(command, chat_gateway))
    assert seen.returncode == PARTIAL_BODY
    assert masked(seen.stdout + seen.stderr) == masked(shown)
    assert shown.count("data: ") == AFTER + 1


@pytest.mark.usefixtures("breaking")
def test_the_sdk_raises_of_a_stream_that_breaks_what_it_says(chat_gateway: Gateway) -> None:
    (code,), (_, shown) = blocks("python", BREAKS), blocks("text", BREAKS)
    client, end, _ = OPENAI.partition("\n)\n")
    assert printed(client + end + code, chat_gateway) == shown
