"""What the pages show, pasted into a shell: each command is a real curl, through nginx and TLS where one can be had."""

import itertools
import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import orjson
import pytest

from gateway.cli.demo.examples import examples
from tests.e2e.conftest import Fleet, start_fleet
from tests.support.curl import Curl
from tests.support.front_door import FrontDoor, front_door
from tests.support.gateway import KEY, Gateway, wait_until

# Fetching or building nginx's image may take minutes, once; one process, because a gateway takes seconds to start.
pytestmark = [pytest.mark.timeout(240, func_only=True), pytest.mark.xdist_group("curl")]

BURST = 12
NUMBERS = itertools.count(1)
ROOT = Path(__file__).resolve().parents[2]
DEMO_URL, DEMO_KEY = "http://127.0.0.1:9000", "sk-demo"
JSON = "-H 'Authorization: Bearer {key}' -H 'Content-Type: application/json'"


@pytest.fixture(scope="module")
def fleet() -> Iterator[Fleet]:
    with ExitStack() as stack:
        yield start_fleet(stack, "chat0", "text2sql", "embed", "rerank")


@pytest.fixture(scope="module")
def door(fleet: Fleet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FrontDoor]:
    """A bucket does not refill within a test, for each test is an organization of its own."""
    limits = {"MAX_RPS_PER_IP": 0.5, "RPS_BURST": BURST}
    with (
        Gateway(tmp_path_factory.mktemp("gateway"), GATEWAY_WORKERS=2, **limits, **fleet.settings()) as gateway,
        front_door(gateway) as built,
    ):
        wait_until(gateway.ready)
        yield built


class Shell:
    """Runs commands in which `{url}` and `{key}` stand for the gateway's."""

    def __init__(self, door: FrontDoor, curl: Curl) -> None:
        self.url = door.url
        self._curl = curl

    def __call__(self, command: str) -> str:
        """What a command prints; it must succeed."""
        seen = self._paste(command)
        assert seen.returncode == 0, seen.stderr
        return seen.stdout

    def json(self, command: str) -> Any:
        """The JSON that it prints."""
        return orjson.loads(self(command))

    def python(self, program: str) -> str:
        """What a program prints; it must end well."""
        seen = self._curl.python(program)
        assert seen.returncode == 0, seen.stderr
        return seen.stdout

    def _paste(self, command: str) -> CompletedProcess[str]:
        filled = command.replace("{json}", JSON).replace("{url}", self.url).replace("{key}", KEY)
        return self._curl.paste(filled)


@pytest.fixture
def shell(door: FrontDoor, fleet: Fleet, tmp_path: Path) -> Shell:
    """A shell whose curl comes from an address that no other test has."""
    fleet.clear()
    return Shell(door, Curl(door, tmp_path, f"127.0.3.{next(NUMBERS)}"))


def data_of(stream: str) -> list[str]:
    return re.findall(r"^data: (.*)$", stream, re.MULTILINE)


def test_chat(shell: Shell) -> None:
    answer = shell.json(
        """curl {url}/v1/chat/completions {json} \\
          -d '{"model": "qwen", "messages": [{"role": "user", "content": "Why is the sky blue?"}]}'"""
    )
    assert answer["model"] == "qwen"
    assert answer["choices"][0]["message"]["content"]
    assert answer["usage"]["completion_tokens"] > 0


def test_chat_streamed(shell: Shell) -> None:
    events = data_of(
        shell(
            """curl -N {url}/v1/chat/completions {json} \\
          -d '{"model": "qwen", "stream": true, "messages": [{"role": "user", "content": "Why is the sky blue?"}]}'"""
        )
    )
    assert events.pop() == "[DONE]"
    assert "".join(orjson.loads(event)["choices"][0]["delta"].get("content") or "" for event in events)


def test_text2sql(shell: Shell) -> None:
    answer = shell.json(
        """curl {url}/v1/text2sql {json} \\
          -d '{"messages": [{"role": "user", "content": "Table orders(id, customer, total). Total per customer?"}]}'"""
    )
    assert answer["model"] == "text2sql"
    assert re.search(r"<answer>.*SELECT.*</answer>", answer["choices"][0]["message"]["content"], re.DOTALL)


def test_rerank(shell: Shell) -> None:
    answer = shell.json(
        """curl {url}/v1/rerank {json} \\
          -d '{"model": "bge-reranker-v2-m3", "query": "red fruit", "documents": ["a grey stone", "a red apple"]}'"""
    )
    assert answer["model"] == "bge-reranker-v2-m3"
    assert [row["document"]["text"] for row in answer["results"]] == ["a red apple", "a grey stone"]


def test_embeddings(shell: Shell) -> None:
    answer = shell.json(
        """curl {url}/v1/embeddings {json} -d '{"model": "snowflake-arctic-embed", "input": ["a cat", "income tax"]}'"""
    )
    assert [len(row["embedding"]) for row in answer["data"]] == [1024, 1024]


def test_models(shell: Shell) -> None:
    answer = shell.json("curl {url}/v1/models -H 'Authorization: Bearer {key}'")
    assert {"qwen", "Qwen/Qwen2.5-7B-Instruct", "text2sql", "snowflake-arctic-embed", "bge-reranker-v2-m3"} <= {
        model["id"] for model in answer["data"]
    }


def test_messages_with_anthropics_header(shell: Shell) -> None:
    answer = shell.json(
        """curl {url}/v1/messages -H 'x-api-key: {key}' -H 'Content-Type: application/json' \\
          -d '{"model": "qwen", "max_tokens": 20, "messages": [{"role": "user", "content": "Hello"}]}'"""
    )
    assert answer["type"] == "message"
    assert answer["content"][0]["text"]


def test_health_needs_no_key_and_everything_else_does(shell: Shell) -> None:
    assert shell("curl -o /dev/null -w '%{http_code}' {url}/health") == "200"
    assert shell("curl -o /dev/null -w '%{http_code}' {url}/ready") == "200"
    assert shell.json("curl {url}/v1/models")["error"]["code"] == "invalid_api_key"


def test_a_429_shows_its_headers(shell: Shell) -> None:
    seen = shell("curl -i {url}/v1/models?[1-30] -H 'Authorization: Bearer {key}'")
    answers = seen.split("HTTP/")[1:]
    refused = next(answer for answer in answers if " 429" in answer.splitlines()[0])
    head, _, body = refused.partition("\n\n")
    headers = dict(line.lower().split(": ", 1) for line in head.splitlines()[1:])
    assert answers.index(refused) >= BURST
    assert headers["x-ratelimit-limit-requests"] == str(BURST)
    assert headers["x-ratelimit-remaining-requests"] == "0"
    assert re.fullmatch(r"(\d+m)?[\d.]+s|\d+ms", headers["x-ratelimit-reset-requests"])
    assert int(headers["retry-after"]) >= 1
    assert int(headers["retry-after-ms"]) <= 100_000
    assert headers["x-request-id"]
    assert orjson.loads(body)["error"]["code"] == "rate_limit_exceeded"


@pytest.mark.parametrize("number", range(3))
def test_what_the_demo_prints_works_as_it_stands(shell: Shell, number: int) -> None:
    commands = dict(examples(shell.url, KEY))["curl"].strip().split("\n\n")
    assert len(commands) == 3
    assert_no_error(shell(commands[number]))


def shown(name: str, language: str) -> list[str]:
    """The blocks of a page that address the demo, commands one by one."""
    blocks = re.findall(rf"^```{language}\n(.*?)^```", (ROOT / name).read_text(), re.MULTILINE | re.DOTALL)
    parts = [part for block in blocks for part in (block.strip().split("\n\n") if language == "sh" else [block])]
    return [part for part in parts if DEMO_URL in part and (language != "sh" or part.startswith("curl "))]


PAGES = {"README.md": (2, 2), "docs/api.md": (11, 5)}
"""Pages, and how many commands and programs they show at the least."""


@pytest.mark.parametrize("command", [command for page in PAGES for command in shown(page, "sh")])
def test_the_commands_that_pages_show_work_as_they_stand(shell: Shell, command: str) -> None:
    assert_no_error(shell(command.replace(DEMO_URL, "{url}").replace(DEMO_KEY, "{key}")))


@pytest.mark.parametrize("program", [program for page in PAGES for program in shown(page, "python")])
def test_the_programs_that_pages_show_work_as_they_stand(shell: Shell, program: str) -> None:
    assert shell.python(program.replace(DEMO_URL, shell.url).replace(DEMO_KEY, KEY)).strip()


@pytest.mark.parametrize("page", PAGES)
def test_a_page_shows_something(page: str) -> None:
    commands, programs = PAGES[page]
    assert len(shown(page, "sh")) >= commands
    assert len(shown(page, "python")) >= programs


def assert_no_error(shown: str) -> None:
    answers = data_of(shown) or [shown]
    assert [answer for answer in answers if answer != "[DONE]" and "error" in orjson.loads(answer)] == []
