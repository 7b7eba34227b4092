"""Can what a client writes become a field, a line or an answer of its own? Whatever it writes, wherever it is shown."""

import re
from collections.abc import Callable

import orjson
import pytest

from tests.nginx.client import connect_plain
from tests.security.house import House, head
from tests.support.gateway import KEY, wait_until

MARK = b"x-injected"
BREAKS = {
    "CR LF": b"\r\nx-injected: 1\r\n",
    "LF": b"\nx-injected: 1\n",
    "CR": b"\rx-injected: 1\r",
    "escaped": b"%0d%0ax-injected:%201%0d%0a",
    "escaped twice": b"%250d%250ax-injected:%201",
    "UTF-8 that ends in a line break": b"\xe5\x98\x8a\xe5\x98\x8dx-injected: 1",
    "NEL": b"\xc2\x85x-injected: 1",
    "a line of JSON": b'","event":"x-injected","a":"',
    "an answer": b"\r\n\r\nHTTP/1.1 200 OK\r\nx-injected: 1\r\n\r\n",
    "a colour": b"\x1b[31mx-injected",
}


def _get(path: bytes, *lines: bytes) -> bytes:
    return head(*lines, path=path, method=b"GET")


def _asking(model: bytes) -> bytes:
    body = orjson.dumps({"model": model.decode("utf-8", "replace"), "prompt": "mine", "user": model.decode("latin-1")})
    return head(b"Content-Length: %d" % len(body)) + body


PLACES: dict[str, Callable[[bytes], bytes]] = {
    "a path": lambda text: _get(b"/v1/" + text),
    "a model's path": lambda text: _get(b"/v1/models/" + text),
    "an operator's path": lambda text: _get(b"/admin/v1/keys/" + text),
    "a query": lambda text: _get(b"/v1/models?a=" + text),
    "the method": lambda text: head(path=b"/v1/models", method=b"GET" + text),
    "the host": lambda text: _get(b"/v1/models").replace(b"gateway.test", b"a" + text),
    "the version": lambda text: _get(b"/v1/models").replace(b"HTTP/1.1", b"HTTP/1.1" + text),
    "a request's id": lambda text: _get(b"/v1/models", b"X-Request-Id: a" + text),
    "a trace": lambda text: _get(b"/v1/models", b"Traceparent: 00-" + text),
    "the key": lambda text: _get(b"/v1/models").replace(KEY.encode(), KEY.encode() + text),
    "who asks": lambda text: _get(b"/v1/models", b"User-Agent: a" + text, b"Referer: " + text),
    "an address": lambda text: _get(b"/v1/models", b"X-Forwarded-For: 192.0.2.7" + text),
    "a principal": lambda text: _get(b"/v1/usage", b'X-Gateway-Principal: {"organization":"org:x"}' + text),
    "a model's name": _asking,
}


@pytest.mark.parametrize("door", ["nginx", "gateway"])
@pytest.mark.parametrize("place", PLACES)
def test_nothing_that_is_written_becomes_a_field_a_line_or_an_answer(house: House, door: str, place: str) -> None:
    lines = len(house.gateway.access_lines())
    for text in BREAKS.values():
        received = house.converse(door, PLACES[place](text))
        for shown in heads(received):
            assert not re.search(rb"^x-injected", shown, re.MULTILINE | re.IGNORECASE), received
    house.serves()
    for row in house.model.ledger():
        assert MARK.decode() not in {name.lower() for name, _ in row["headers"]}
        assert MARK.decode() not in str(row["headers"])
    wait_until(lambda: len(house.gateway.access_lines()) > lines)
    assert [record for record in house.records() if record.get("event") == MARK.decode()] == []


def heads(received: bytes) -> list[bytes]:
    """The heads of all answers, by their status lines; what claims to be one inside of a body is taken for one, too."""
    return [part.partition(b"\r\n\r\n")[0] for part in re.split(rb"(?=HTTP/1\.1 \d\d\d )", received) if part]


@pytest.mark.parametrize("text", BREAKS.values(), ids=BREAKS.keys())
def test_a_redirect_leads_to_one_place_and_says_nothing_else(house: House, text: bytes) -> None:
    with connect_plain(house.nginx.http_port) as connection:
        connection.send(b"GET /docs/" + text + b" HTTP/1.1\r\nHost: gateway.test\r\nConnection: close\r\n\r\n")
        received = b"".join(iter(connection.receive, b""))
    for shown in heads(received):
        assert not re.search(rb"^x-injected", shown, re.MULTILINE | re.IGNORECASE)
        assert shown.lower().count(b"location:") == shown.startswith(b"HTTP/1.1 308 ")


@pytest.mark.parametrize("name", ["x-gateway-principal", "x-vllm-priority", "x-data-parallel-rank", "x-session-id"])
def test_what_our_own_parts_tell_each_other_in_fields_no_client_can_say(house: House, name: str) -> None:
    claim = '{"organization":"org:another","key_id":"1"}'
    with house.gateway.client() as client:
        assert client.post(
            "/v1/completions", json={"model": "qwen", "prompt": "mine"}, headers={name: claim}
        ).is_success
        mine = client.get("/v1/usage", headers={name: claim})
    (row,) = house.model.ledger()
    assert name not in {field.lower() for field, _ in row["headers"]}
    assert "org:another" not in mine.text
