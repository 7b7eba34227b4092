"""A backend's error reaches the client in the words of its path, and none of them becomes a 500 of ours."""

from typing import Any

import orjson
import pytest

from gateway.core.endpoint import Dialect
from gateway.core.errors import BadGatewayError
from gateway.proxy.error_answer import StatedError, only_error, refused, stated, translate

OPENAI_FORM = b'{"error":{"message":"No such model.","type":"NotFoundError","param":"model","code":404}}'
ANTHROPIC_FORM = b'{"type":"error","error":{"type":"invalid_request_error","message":"No such model."}}'


def seen(body: bytes, dialect: Dialect, status: int = 404) -> dict[str, Any]:
    answer: dict[str, Any] = orjson.loads(translate(status, body, dialect, "req1"))
    return answer


@pytest.mark.parametrize("dialect", [Dialect.OPENAI, Dialect.RESPONSES])
def test_openais_envelope_passes_unchanged_on_openais_paths(dialect: Dialect) -> None:
    assert translate(404, OPENAI_FORM, dialect, "req1") is OPENAI_FORM


def test_anthropics_envelope_passes_unchanged_on_anthropics_paths() -> None:
    assert translate(404, ANTHROPIC_FORM, Dialect.ANTHROPIC, "req1") is ANTHROPIC_FORM


def test_openais_envelope_on_anthropics_path_is_put_into_its_own() -> None:
    error = {"type": "not_found_error", "message": "No such model."}
    assert seen(OPENAI_FORM, Dialect.ANTHROPIC) == {"type": "error", "error": error, "request_id": "req1"}


@pytest.mark.parametrize("dialect", [Dialect.OPENAI, Dialect.RESPONSES])
def test_anthropics_envelope_on_openais_paths_is_put_into_theirs(dialect: Dialect) -> None:
    error = {"message": "No such model.", "type": "invalid_request_error", "param": None, "code": "404"}
    assert seen(ANTHROPIC_FORM, dialect) == {"error": error}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"error":"Not here."}', "Not here."),
        (b'{"detail":"Not Found"}', "Not Found"),
        (b'{"detail":[{"loc":["body"],"msg":"x"}]}', '[{"loc":["body"],"msg":"x"}]'),
        (b'{"detail":123456789012345678901234567890}', "123456789012345678901234567890"),
        (b"{}", "The model server gave no reason."),
        (b'{"error":null}', "The model server gave no reason."),
        (b'{"object":"error","message":"Not here.","type":"NotFoundError","param":null,"code":404}', "Not here."),
    ],
)
@pytest.mark.parametrize("dialect", list(Dialect))
def test_every_other_form_is_put_into_the_paths_own(body: bytes, message: str, dialect: Dialect) -> None:
    answer = seen(body, dialect)
    assert answer["error"]["message"] == message
    assert ("request_id" in answer) is (dialect is Dialect.ANTHROPIC)


@pytest.mark.parametrize(("status", "kind"), [(418, "invalid_request_error"), (500, "server_error")])
def test_a_form_without_a_type_gets_one_by_its_status(status: int, kind: str) -> None:
    assert seen(b'{"error":"x"}', Dialect.OPENAI, status)["error"]["type"] == kind


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b'{"error":7}',
        b'{"error":{"message":7}}',
        b'{"error":"\xff"}',
        b'{"detail":"\xff"}',
        b'{"detail":["\xff"]}',
        b'{"detail":1e999}',
        b'{"detail":' + b"[" * 100_000,
        b'{"error":"cut',
    ],
    ids=lambda body: repr(body[:24]),
)
@pytest.mark.parametrize("dialect", list(Dialect))
def test_what_cannot_be_read_is_the_backends_fault_and_is_not_shown(body: bytes, dialect: Dialect) -> None:
    with pytest.raises(BadGatewayError, match="answered 400 without a readable reason"):
        translate(400, body, dialect, "req1")


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_is_our_own_misconfiguration(status: int) -> None:
    with pytest.raises(BadGatewayError, match="credentials") as failure:
        translate(status, b'{"error":"Unauthorized"}', Dialect.OPENAI, "req1")
    assert failure.value.should_retry is False


@pytest.mark.parametrize(
    ("status", "body", "refusal"),
    [
        (503, b"", True),
        (429, b"", True),
        (500, b'{"error":{"message":"cannot schedule new futures after shutdown"}}', True),
        (500, b'{"type":"error","error":{"message":"cannot schedule new futures after shutdown"}}', True),
        (500, b'{"object":"error","message":"cannot schedule new futures after shutdown","code":500}', True),
        (500, b'{"error":"cannot schedule new futures after shutdown"}', True),
        (500, b'{"error":{"message":"You wrote: cannot schedule new futures after shutdown"}}', False),
        (500, b'{"error":{"message":"x","param":"cannot schedule new futures after shutdown"}}', False),
        (500, b"cannot schedule new futures after shutdown", False),
        (500, b'{"error":{"message":"EngineCore encountered an issue"}}', False),
        (400, b"cannot schedule new futures after shutdown", False),
        (502, b"", False),
    ],
)
def test_only_what_a_backend_states_not_to_have_run_is_a_refusal(status: int, body: bytes, *, refusal: bool) -> None:
    assert refused(status, body) is refusal


def test_an_error_answer_is_a_failure_too_for_a_client_that_has_its_head() -> None:
    error = stated(404, OPENAI_FORM)
    assert (error.status, error.type, error.message, error.param) == (404, "NotFoundError", "No such model.", "model")
    with pytest.raises(BadGatewayError, match="credentials"):
        stated(401, b'{"error":"Unauthorized"}')
    with pytest.raises(BadGatewayError, match="without a readable reason"):
        stated(500, b"<html>")


def only(data: bytes) -> StatedError:
    error = only_error(b": ping\n\nevent: error\ndata: " + data + b"\n\n")
    assert error is not None
    return error


def test_an_error_that_a_stream_consists_of_has_the_status_it_states() -> None:
    error = only(b'{"error":{"message":"Too many.","type":"BadRequestError","param":"logprobs","code":400}}')
    assert (error.status, error.type, error.message, error.param) == (400, "BadRequestError", "Too many.", "logprobs")


def test_an_error_behind_another_event_is_none_that_the_stream_consists_of() -> None:
    assert only_error(b'data: {"choices":[]}\n\ndata: {"error":{"message":"It broke."}}\n\n') is None
    assert only_error(b": ping\n\n") is None


@pytest.mark.parametrize("code", [b"200", b"600", b'"bad"', b"null", b"9" * 20, b"401", b"429"])
def test_an_error_without_a_status_of_an_error_is_the_backends_fault(code: bytes) -> None:
    assert only(b'{"error":{"message":"x","code":' + code + b"}}").status == 502


@pytest.mark.parametrize("data", [b"", b"<html>", b"[DONE]", b'{"error":"\xff"}', b'{"error":7}'])
def test_an_event_that_cannot_be_read_states_nothing(data: bytes) -> None:
    assert (only(data).status, only(data).message) == (502, "The model server gave no reason.")


def test_what_a_backend_calls_its_error_is_no_label_of_a_metric() -> None:
    error = only(b'{"error":{"message":"x","code":"whatever it likes"}}')
    assert (error.code, error.outcome) == ("whatever it likes", "backend_502")
