"""Which bodies does vLLM read, and which of several equal keys counts? The gateway's splice of bytes rests on this."""

from typing import NamedTuple

import pytest

from tests.contract.answers import NO_SUCH_POOLING_MODEL, UNREADABLE, anthropic_error, error, invalid, no_such_model
from tests.contract.events import DONE, events
from tests.contract.roles import against, targets
from tests.contract.server import Server
from tests.contract.shapes import assert_shape


class Endpoint(NamedTuple):
    """A path, the server that has it, and the inside of a body that it serves."""

    role: str
    path: str
    model: bytes
    fields: bytes

    def body(self, *more: bytes) -> bytes:
        """The body with its model, and `more` fields after the others."""
        return b"{%b}" % b",".join([b'"model":"%b"' % self.model, self.fields, *more])


TURNS = b'"messages":[{"role":"user","content":"hi"}],"max_tokens":2'
ENDPOINTS = (
    Endpoint("chat", "/v1/chat/completions", b"qwen", TURNS),
    Endpoint("chat", "/v1/completions", b"qwen", b'"prompt":"hi","max_tokens":2'),
    Endpoint("chat", "/v1/responses", b"qwen", b'"input":"hi","max_output_tokens":2'),
    Endpoint("chat", "/v1/messages", b"qwen", TURNS),
    Endpoint("chat", "/v1/messages/count_tokens", b"qwen", b'"messages":[{"role":"user","content":"hi"}]'),
    Endpoint("chat", "/tokenize", b"qwen", b'"prompt":"hi"'),
    Endpoint("embed", "/v1/embeddings", b"arctic", b'"input":"hi"'),
    Endpoint("rerank", "/rerank", b"reranker", b'"query":"hi","documents":["a"]'),
    Endpoint("rerank", "/score", b"reranker", b'"text_1":"hi","text_2":"a"'),
)
EVERY = [(target, endpoint) for endpoint in ENDPOINTS for target in targets(endpoint.role)]
on_every_path = pytest.mark.parametrize(
    ("server", "endpoint"),
    EVERY,
    ids=[f"{implementation}-{endpoint.path}" for (implementation, _), endpoint in EVERY],
    indirect=["server"],
)

UNSUPPORTED = error(
    400, "Bad Request", "1 validation error:\n  Unsupported Media Type: Only 'application/json' is allowed", None
)


@on_every_path
@pytest.mark.parametrize("body", [b"", b"null", b"[]", b'"x"', b"1"])
def test_a_body_that_is_no_object_is_400(server: Server, endpoint: Endpoint, body: bytes) -> None:
    answer = server.post(endpoint.path, body)
    assert answer.status_code == 400
    assert_shape(answer.json(), invalid("body"))


@on_every_path
@pytest.mark.parametrize(("body", "where"), [(b"{", 1), (b'{"model":}', 9), (b"{} x", 3), (b"{'a':1}", 1)])
def test_broken_json_is_400_and_says_where(server: Server, endpoint: Endpoint, body: bytes, where: int) -> None:
    answer = server.post(endpoint.path, body)
    assert answer.status_code == 400
    assert_shape(answer.json(), invalid(f"body.{where}"))
    assert f"{{'type': 'json_invalid', 'loc': 'body.{where}', " in answer.json()["error"]["message"]


@on_every_path
@pytest.mark.parametrize(
    "field",
    [
        pytest.param(b'"foo":"\xff"', id="not UTF-8"),
        pytest.param(b'"foo":' + b"[" * 10_000 + b"]" * 10_000, id="10,000 deep"),
        pytest.param(b'"foo":' + b"9" * 5_000, id="an integer of 5,000 digits"),
    ],
)
def test_what_the_parser_gives_up_on_is_400_without_an_envelope(
    server: Server, endpoint: Endpoint, field: bytes
) -> None:
    answer = server.post(endpoint.path, endpoint.body(field))
    assert (answer.status_code, answer.json()) == (400, UNREADABLE)


@on_every_path
@pytest.mark.parametrize(
    "field",
    [
        pytest.param(b'"foo":{"a":[1,null]}', id="an object"),
        pytest.param(b'"foo":NaN', id="NaN"),
        pytest.param(b'"foo":-Infinity', id="-Infinity"),
        pytest.param(b'"foo":1e999', id="1e999"),
        pytest.param(b'"foo":"\\ud800"', id="a lone surrogate"),
        pytest.param(b'"foo":' + b"[" * 500 + b"]" * 500, id="500 deep"),
        pytest.param(b'"foo":' + b"9" * 4_000, id="an integer of 4,000 digits"),
    ],
)
def test_unknown_fields_are_ignored_whatever_they_hold(server: Server, endpoint: Endpoint, field: bytes) -> None:
    assert server.post(endpoint.path, endpoint.body(field)).status_code == 200


@on_every_path
def test_blanks_around_the_object_are_fine(server: Server, endpoint: Endpoint) -> None:
    assert server.post(endpoint.path, b"\r\n\t " + endpoint.body() + b" \n").status_code == 200


@on_every_path
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_any_unicode_encoding_is_detected(server: Server, endpoint: Endpoint, encoding: str) -> None:
    assert server.post(endpoint.path, endpoint.body().decode().encode(encoding)).status_code == 200


@on_every_path
@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "text/plain", "application/vnd.api+json", ""])
def test_another_content_type_is_400(server: Server, endpoint: Endpoint, kind: str) -> None:
    answer = server.post(endpoint.path, endpoint.body(), {"content-type": kind})
    assert (answer.status_code, answer.json()) == (400, UNSUPPORTED)


@on_every_path
@pytest.mark.parametrize("kind", ["application/json; charset=utf-8", "Application/JSON"])
def test_json_may_state_a_charset_and_is_known_in_any_case(server: Server, endpoint: Endpoint, kind: str) -> None:
    assert server.post(endpoint.path, endpoint.body(), {"content-type": kind}).status_code == 200


@on_every_path
@pytest.mark.parametrize(
    "key", [pytest.param(b"model", id="as it is"), pytest.param(b"mod\\u0065l", id="with an escape")]
)
def test_of_two_equal_keys_the_last_counts(server: Server, endpoint: Endpoint, key: bytes) -> None:
    served = b'{"model":"nope",%b,"%b":"%b"}' % (endpoint.fields, key, endpoint.model)
    assert server.post(endpoint.path, served).status_code == 200
    refused = server.post(endpoint.path, endpoint.body(b'"%b":"nope"' % key))
    assert refused.status_code == 404
    assert_shape(refused.json(), _no_such_model(endpoint))


def _no_such_model(endpoint: Endpoint) -> object:
    shape = no_such_model(endpoint.model.decode())
    if endpoint.path.startswith("/v1/messages"):
        return anthropic_error("NotFoundError", shape["error"]["message"])
    return shape if endpoint.role == "chat" else NO_SUCH_POOLING_MODEL


@on_every_path
@pytest.mark.parametrize("field", [b'"cache_salt":"abc"', b'"cache_salt":null', b'"priority":3'])
def test_what_a_gateway_adds_is_accepted_everywhere(server: Server, endpoint: Endpoint, field: bytes) -> None:
    assert server.post(endpoint.path, endpoint.body(field)).status_code == 200


UNSALTED = {"/v1/messages/count_tokens", "/tokenize"}
NO_SALT = "Parameter 'cache_salt' must be a non-empty string if provided. (parameter=cache_salt)"
BAD_SALT = (
    "Parameter 'cache_salt' must be at most 128 characters and must not contain '@', '/', '\\\\', or NUL. "
    "(parameter=cache_salt)"
)


@on_every_path
@pytest.mark.parametrize("salt", [b"x" * 129, b"a/b", b"a@b", b"a\\\\b", b"a\\u0000b"])
def test_a_salt_has_128_characters_at_the_most_and_none_of_four(
    server: Server, endpoint: Endpoint, salt: bytes
) -> None:
    assert server.post(endpoint.path, endpoint.body(b'"cache_salt":"%b"' % (b"x" * 128))).status_code == 200
    answer = server.post(endpoint.path, endpoint.body(b'"cache_salt":"%b"' % salt))
    if endpoint.path in UNSALTED:
        assert answer.status_code == 200
    elif endpoint.path == "/v1/messages":
        assert (answer.status_code, answer.json()) == (400, anthropic_error("BadRequestError", BAD_SALT))
    else:
        assert (answer.status_code, answer.json()) == (400, error(400, "BadRequestError", BAD_SALT, "cache_salt"))


@on_every_path
@pytest.mark.parametrize("salt", [b'""', b"5"])
def test_a_salt_that_is_no_text_or_empty_is_refused_where_there_is_one(
    server: Server, endpoint: Endpoint, salt: bytes
) -> None:
    answer = server.post(endpoint.path, endpoint.body(b'"cache_salt":' + salt))
    if endpoint.path in UNSALTED:
        assert answer.status_code == 200
        return
    assert answer.status_code == 400
    wanted = (
        invalid("body.cache_salt")
        if endpoint.path == "/v1/messages"
        else error(400, "BadRequestError", NO_SALT, "cache_salt")
    )
    assert_shape(answer.json(), wanted)


@against("chat")
@pytest.mark.parametrize("endpoint", ENDPOINTS[:6], ids=lambda endpoint: endpoint.path)
def test_what_the_chat_template_is_given_must_be_an_object_where_there_is_one(
    server: Server, endpoint: Endpoint
) -> None:
    for given in (b'{"enable_thinking":false}', b"{}", b"null"):
        assert server.post(endpoint.path, endpoint.body(b'"chat_template_kwargs":' + given)).status_code == 200
    answer = server.post(endpoint.path, endpoint.body(b'"chat_template_kwargs":5'))
    templated = endpoint.path not in {"/v1/completions", "/tokenize"}  # which get a prompt here, no messages
    assert answer.status_code == (400 if templated else 200)
    if templated:
        assert_shape(answer.json(), invalid("body.chat_template_kwargs"))


@against("chat")
@pytest.mark.parametrize("endpoint", ENDPOINTS[3:5], ids=lambda endpoint: endpoint.path)
def test_messages_know_five_efforts(server: Server, endpoint: Endpoint) -> None:
    for effort in (b"low", b"medium", b"high", b"xhigh", b"max"):
        assert server.post(endpoint.path, endpoint.body(b'"output_config":{"effort":"%b"}' % effort)).status_code == 200
    for effort in (b"none", b"minimal"):
        answer = server.post(endpoint.path, endpoint.body(b'"output_config":{"effort":"%b"}' % effort))
        assert answer.status_code == 400
        assert_shape(answer.json(), invalid("body.output_config.effort"))
    assert server.post(endpoint.path, endpoint.body(b'"thinking":{"type":"disabled"}')).status_code == 200


@on_every_path
def test_stream_options_without_a_stream_are_refused_by_two_paths_only(server: Server, endpoint: Endpoint) -> None:
    answer = server.post(endpoint.path, endpoint.body(b'"stream_options":{"include_usage":true}'))
    assert answer.status_code == (400 if endpoint.path in {"/v1/chat/completions", "/v1/completions"} else 200)


@against("chat")
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions"])
@pytest.mark.parametrize(
    ("fields", "usage"),
    [
        (b'"stream_options":{},"stream_options":{"include_usage":true}', True),
        (b'"stream_options":{"include_usage":true},"stream_options":{"include_usage":false}', False),
        (b'"stream_options":{"include_usage":true},"stream_options":null', False),
        (b'"stream_options":{"include_usage":false,"include_usage":true}', True),
    ],
)
def test_of_two_stream_options_the_last_counts(server: Server, path: str, fields: bytes, *, usage: bool) -> None:
    body = next(endpoint for endpoint in ENDPOINTS if endpoint.path == path).body(b'"stream":true', fields)
    *_, last, done = events(server.post(path, body).text)
    assert ("usage" in last.data, done.data) == (usage, DONE)


@against("chat")
def test_of_two_stream_fields_the_last_counts(server: Server) -> None:
    answer = server.post(ENDPOINTS[0].path, ENDPOINTS[0].body(b'"stream":true', b'"stream":false'))
    assert answer.json()["object"] == "chat.completion"


@against("chat")
@pytest.mark.parametrize("number", [b"NaN", b"1e999"])
def test_a_number_that_is_none_is_refused_where_it_counts(server: Server, number: bytes) -> None:
    answer = server.post(ENDPOINTS[0].path, ENDPOINTS[0].body(b'"temperature":' + number))
    got = {b"NaN": "nan", b"1e999": "inf"}[number]
    message = f"temperature must be a finite number, got {got}. (parameter=temperature, value={got})"
    assert (answer.status_code, answer.json()) == (400, error(400, "BadRequestError", message, "temperature"))
