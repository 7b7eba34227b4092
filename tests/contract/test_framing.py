"""Headers, framing and connections are uvicorn's, whatever the path."""

import re

import pytest

from tests.contract.answers import METHOD_NOT_ALLOWED, NOT_FOUND
from tests.contract.roles import against
from tests.contract.server import Server
from tests.contract.shapes import assert_shape
from tests.contract.wire import request

CHAT = b'{"model":"qwen","messages":[{"role":"user","content":"hi"}],"max_tokens":3}'
STREAM = CHAT[:-1] + b',"stream":true}'
REFUSED_UNREAD = b"Invalid HTTP request received."


@against("chat", "embed", "rerank")
def test_json_comes_with_a_length_and_uvicorns_headers(server: Server) -> None:
    answer = server.exchange(request("GET", "/v1/models", headers=server.authorization))
    names = [name for name, _ in answer.headers]
    assert names == ["date", "server", "content-length", "content-type", "vary", "x-request-id"]
    assert answer.header("server") == "uvicorn"
    assert answer.header("content-type") == "application/json"
    assert answer.header("vary") == "Origin"


@against("chat")
def test_a_stream_is_chunked_one_event_to_a_chunk(server: Server) -> None:
    answer = server.exchange(server.raw_post("/v1/chat/completions", STREAM))
    names = [name for name, _ in answer.headers]
    assert names == ["date", "server", "content-type", "vary", "x-request-id", "transfer-encoding"]
    assert answer.header("content-type") == "text/event-stream; charset=utf-8"
    assert all(chunk.startswith(b"data: ") and chunk.endswith(b"\n\n") for chunk in answer.chunks)
    assert all(chunk.count(b"\n\n") == 1 for chunk in answer.chunks)
    assert answer.chunks[-1] == b"data: [DONE]\n\n"


@against("chat", "embed", "rerank")
def test_health_is_200_with_an_empty_body(server: Server) -> None:
    answer = server.exchange(request("GET", "/health"))
    assert (answer.status, answer.body, answer.header("content-length")) == (200, b"", "0")
    assert answer.header("content-type") is None


@against("chat", "embed", "rerank")
def test_ping_takes_get_and_post(server: Server) -> None:
    assert [server.send(method, "/ping").status_code for method in ("GET", "POST")] == [200, 200]


@against("chat", "embed", "rerank")
def test_the_version_is_a_string(server: Server) -> None:
    assert_shape(server.send("GET", "/version").json(), {"version": re.compile(r"\d+\.\d+\.\d+.*")})


@against("chat", "embed", "rerank")
def test_an_unknown_path_is_404_with_a_detail(server: Server) -> None:
    answer = server.send("GET", "/nowhere")
    assert (answer.status_code, answer.json()) == (404, NOT_FOUND)
    assert answer.headers["vary"] == "Origin"


@against("chat")
@pytest.mark.parametrize("path", ["//v1/models", "/V1/models", "/v1/chat/completions/", "/embeddings"])
def test_a_path_is_taken_to_the_letter(server: Server, path: str) -> None:
    assert server.send("POST", path, headers=server.authorization, json={}).status_code in {404, 307}


@against("chat")
def test_a_trailing_slash_is_redirected(server: Server) -> None:
    answer = server.exchange(request("GET", "/v1/models/", headers=server.authorization))
    assert (answer.status, answer.header("location"), answer.body) == (307, "http://vllm/v1/models", b"")


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [("GET", "/v1/chat/completions", "POST"), ("POST", "/v1/models", "GET"), ("DELETE", "/health", "GET")],
)
@against("chat")
def test_a_wrong_method_is_405_and_names_the_right_one(server: Server, method: str, path: str, allow: str) -> None:
    answer = server.send(method, path, headers=server.authorization)
    assert (answer.status_code, answer.json(), answer.headers["allow"]) == (405, METHOD_NOT_ALLOWED, allow)


@against("chat")
def test_head_is_no_get(server: Server) -> None:
    assert server.send("HEAD", "/health").status_code == 405


@against("chat")
def test_options_without_an_origin_is_405(server: Server) -> None:
    assert server.send("OPTIONS", "/v1/chat/completions", headers=server.authorization).status_code == 405


@against("chat")
def test_a_query_string_is_ignored(server: Server) -> None:
    assert server.get("/v1/models?limit=1").status_code == 200


@against("embed")
def test_an_embedding_server_has_no_chat(server: Server) -> None:
    answer = server.post("/v1/chat/completions", {"messages": []})
    assert (answer.status_code, answer.json()) == (404, NOT_FOUND)


@against("chat")
@pytest.mark.parametrize("path", ["/v1/embeddings", "/rerank", "/score", "/classify", "/pooling"])
def test_a_chat_server_pools_nothing(server: Server, path: str) -> None:
    answer = server.post(path, {})
    assert (answer.status_code, answer.json()) == (404, NOT_FOUND)


@against("rerank")
def test_a_reranker_has_no_embeddings(server: Server) -> None:
    answer = server.post("/v1/embeddings", {"input": "a"})
    assert (answer.status_code, answer.json()) == (404, NOT_FOUND)


@against("chat")
def test_pipelined_requests_are_answered_in_order(server: Server) -> None:
    first = server.raw_post("/v1/chat/completions", CHAT.replace(b":3}", b":40}"), {"x-request-id": "first"})
    second = server.raw_post("/v1/chat/completions", CHAT, {"x-request-id": "second"})
    with server.wire() as wire:
        wire.send(first + request("GET", "/version") + second)
        answers = [wire.answer() for _ in range(3)]
    assert [answer.status for answer in answers] == [200, 200, 200]
    assert b'"chatcmpl-first"' in answers[0].body
    assert b'"version"' in answers[1].body
    assert b'"chatcmpl-second"' in answers[2].body


@against("chat")
def test_a_connection_serves_several_requests(server: Server) -> None:
    with server.wire() as wire:
        for _ in range(3):
            wire.send(server.raw_post("/v1/chat/completions", CHAT))
            assert wire.answer().status == 200


@against("bare")
def test_an_idle_connection_is_closed_after_the_keep_alive_time(server: Server) -> None:
    with server.wire() as wire:
        wire.send(request("GET", "/health"))
        assert wire.answer().status == 200
        assert wire.at_end()


@against("chat")
def test_connection_close_is_honoured_and_echoed(server: Server) -> None:
    with server.wire() as wire:
        wire.send(server.raw_post("/v1/chat/completions", CHAT, {"connection": "close"}))
        answer = wire.answer()
        assert (answer.status, answer.header("connection")) == (200, "close")
        assert wire.at_end()


@against("chat")
def test_an_http_1_0_client_gets_a_chunked_stream_and_a_close(server: Server) -> None:
    with server.wire() as wire:
        wire.send(server.raw_post("/v1/chat/completions", STREAM).replace(b" HTTP/1.1\r\n", b" HTTP/1.0\r\n"))
        answer = wire.answer()
        assert (answer.header("transfer-encoding"), answer.header("connection")) == ("chunked", "close")
        assert wire.at_end()


@against("chat")
def test_expect_100_continue_is_answered_first(server: Server) -> None:
    with server.wire() as wire:
        wire.send(server.raw_post("/v1/chat/completions", CHAT, {"expect": "100-continue"}))
        assert [wire.answer().status, wire.answer().status] == [100, 200]


@against("chat")
def test_a_chunked_request_body_is_read(server: Server) -> None:
    head = server.raw_post("/v1/chat/completions", b"", {"transfer-encoding": "chunked"})
    head = head.replace(b"content-length: 0\r\n", b"")
    answer = server.exchange(head + b"%x\r\n%b\r\n0\r\n\r\n" % (len(CHAT), CHAT))
    assert answer.status == 200


@against("chat")
@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"FOO\r\n\r\n", id="no request line"),
        pytest.param(b"GET /health HTTP/1.1\nhost: x\n\n", id="bare line feeds"),
        pytest.param(b"GET /health HTTP/1.1\r\nhost: x\r\na: b\r\n c\r\n\r\n", id="folded header"),
        pytest.param(
            b"POST /tokenize HTTP/1.1\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
            id="two lengths",
        ),
    ],
)
def test_what_is_no_http_is_400_in_plain_text_and_closed(server: Server, data: bytes) -> None:
    with server.wire() as wire:
        wire.send(data)
        answer = wire.answer()
        assert (answer.status, answer.body) == (400, REFUSED_UNREAD)
        assert answer.header("content-type") == "text/plain; charset=utf-8"
        assert wire.at_end()


@against("chat")
def test_a_half_closed_connection_counts_as_gone(server: Server) -> None:
    with server.wire() as wire:
        wire.send(server.raw_post("/v1/chat/completions", CHAT.replace(b":3}", b":400}")))
        wire.half_close()
        assert wire.at_end()
