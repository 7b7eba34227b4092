"""Can a request choose an address that this house connects to? Whatever it names, nobody comes there."""

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from pydantic import ValidationError

from gateway.admin.schemas.backends import NewBackend
from tests.nginx.upstream import Upstream, answer
from tests.security.house import House
from tests.support.gateway import Gateway


@pytest.fixture
def trap() -> Iterator[socket.socket]:
    """A server that nobody should come to."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0)
        yield listener


def nobody_came(trap: socket.socket) -> bool:
    try:
        trap.accept()
    except BlockingIOError:
        return True
    return False


def url_of(trap: socket.socket) -> str:
    return f"http://127.0.0.1:{trap.getsockname()[1]}/latest/meta-data"


def user(*parts: Any) -> list[dict[str, Any]]:
    return [{"role": "user", "content": list(parts)}]


def bodies(url: str) -> dict[str, tuple[str, dict[str, Any]]]:
    """Requests for a picture, a sound, a film or a file from that address, in every dialect, however hidden."""
    picture = {"type": "image_url", "image_url": {"url": url}}
    filler = [{"type": "text", "text": ""}] * 4096
    chat = "/v1/chat/completions"
    return {
        "a picture": (chat, {"messages": user(picture)}),
        "a sound": (chat, {"messages": user({"type": "audio_url", "audio_url": {"url": url}})}),
        "a film": (chat, {"messages": user({"type": "video_url", "video_url": {"url": url}})}),
        "a picture without its type": (chat, {"messages": user({"image_url": {"url": url}})}),
        "a picture behind a text": (chat, {"messages": user("look", picture)}),
        "a picture behind thousands of parts": (chat, {"messages": user(*filler, picture)}),
        "a picture behind thousands of commas": (chat, {"messages": user("," * 20_000, picture)}),
        "a picture of a tool's": (chat, {"messages": [{"role": "tool", "tool_call_id": "x", "content": [picture]}]}),
        "a picture for the second model": ("/v1/responses", {"input": user({"type": "input_image", "image_url": url})}),
        "a file": ("/v1/responses", {"input": user({"type": "input_file", "file_url": url})}),
        "a picture beside empty messages": (
            "/v1/responses",
            {"messages": [], "input": user({"type": "input_image", "image_url": url})},
        ),
        "a picture of a message": (
            "/v1/messages",
            {"max_tokens": 5, "messages": user({"type": "image", "source": {"type": "url", "url": url}})},
        ),
        "a document": (
            "/v1/messages",
            {"max_tokens": 5, "messages": user({"type": "document", "source": {"type": "url", "url": url}})},
        ),
        "a picture that is only counted": ("/v1/tokenize", {"messages": user(picture)}),
        "a picture from a disk": (chat, {"messages": user({**picture, "image_url": {"url": "file:///etc/passwd"}})}),
    }


def escaped(body: dict[str, Any]) -> bytes:
    """The same JSON, with a letter of each name of media spelled as an escape."""
    written = orjson.dumps(body)
    for name in (b"image", b"audio", b"video", b"input_", b"document"):
        written = written.replace(b'"' + name, b'"\\u%04x' % name[0] + name[1:])
    return written


@pytest.mark.parametrize("spelled", [orjson.dumps, escaped], ids=["plain", "escaped"])
@pytest.mark.parametrize("name", bodies(""))
def test_no_part_of_a_message_leaves_for_a_model_that_might_fetch_it(
    house: House, trap: socket.socket, name: str, spelled: Any
) -> None:
    path, body = bodies(url_of(trap))[name]
    with house.gateway.client() as client:
        answer = client.post(path, content=spelled({"model": "qwen", **body}))
    assert (answer.status_code, "text only" in answer.text) == (400, True), answer.text
    assert house.ran() == []
    assert nobody_came(trap)


HEADERS = ("host", "x-forwarded-host", "x-original-url", "x-rewrite-url", "x-backend", "destination", "referer", "via")


@pytest.mark.parametrize("name", HEADERS)
def test_no_field_of_a_head_chooses_who_is_asked(house: House, trap: socket.socket, name: str) -> None:
    value = url_of(trap).removeprefix("http://").partition("/")[0] if name == "host" else url_of(trap)
    with house.gateway.client() as client:
        answer = client.post("/v1/completions", json={"model": "qwen", "prompt": "mine"}, headers={name: value})
    assert answer.status_code == 200
    (row,) = house.model.ledger()
    assert url_of(trap) not in str(row["headers"])
    assert nobody_came(trap)


@pytest.mark.parametrize(
    "model", ["http://{}", "//{}", "qwen@{}", "../../{}", "qwen\r\nHost: {}", "qwen?u=http://{}", "file:///etc/passwd"]
)
def test_no_name_of_a_model_is_an_address(house: House, trap: socket.socket, model: str) -> None:
    with house.gateway.client() as client:
        asked = model.format(f"127.0.0.1:{trap.getsockname()[1]}")
        answer = client.post("/v1/completions", json={"model": asked, "prompt": "mine"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_found")
    assert house.ran() == []
    assert nobody_came(trap)


MODELS = orjson.dumps({"object": "list", "data": [{"id": "qwen", "object": "model", "max_model_len": 8192}]})


@pytest.mark.parametrize("method", [b"GET", b"POST"])
def test_a_backend_that_points_elsewhere_is_followed_by_no_request_and_no_probe(
    upstream: Upstream, trap: socket.socket, tmp_path: Path, method: bytes
) -> None:
    away = answer(status=b"307 Temporary Redirect", headers=f"location: {url_of(trap)}\r\n".encode())
    usual = answer(MODELS)
    upstream.script = lambda exchange: (away if exchange.request.line.startswith(method) else usual)(exchange)
    with Gateway(tmp_path, CHAT_BACKENDS=f"http://127.0.0.1:{upstream.port}") as gateway:
        probes = [upstream.next() for _ in range(3)]
        with gateway.client(follow_redirects=False) as client:
            answered = client.post("/v1/completions", json={"model": "qwen", "prompt": "mine"})
    assert all(probe.line.startswith(b"GET ") for probe in probes)
    assert answered.status_code in {502, 503}
    assert "location" not in answered.headers
    assert nobody_came(trap)


@pytest.mark.parametrize(
    "url",
    [
        *(
            "http://169.254.169.254",
            "http://2852039166",
            "http://0xA9FEA9FE:80",
            "http://[::ffff:a9fe:a9fe]",
            "http://instance-data",
        ),
        *(
            "http://metadata.google.internal.",
            "http://[fd00:ec2::254]",
            "http://[64:ff9b::a9fe:a9fe]",
            "http://[fe80::1]",
        ),
        *("file:///etc/passwd", "unix:///run/x.sock", "gopher://a:70", "ftp://a", "//a:8000", "a:8000", "http://"),
        *("http://key@a:8000", "http://a:8000?x", "http://a:8000#x", "http://a\r\nx: y", "http://a\\b"),
    ],
)
def test_not_even_an_operator_can_name_such_a_backend(url: str) -> None:
    with pytest.raises(ValidationError) as refusal:
        NewBackend.model_validate({"id": "x", "model": "chat", "url": url})
    assert [error["loc"] for error in refusal.value.errors()] == [("url",)]
