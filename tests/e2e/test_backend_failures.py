"""A backend that fails: another replica where nothing can have run, the truth where something may have."""

from typing import Any

import pytest

from tests.e2e.conftest import Fleet, MakeGateway
from tests.support.gateway import Gateway, RawClient, in_threads, wait_until

PATH = "/v1/chat/completions"
BODY: dict[str, Any] = {"model": "qwen", "messages": [{"role": "user", "content": "count"}], "max_tokens": 40}
STREAMED = {**BODY, "stream": True}
BOTH = ("chat0", "chat1")


def fault_on_both(fleet: Fleet, name: str, **parameters: Any) -> None:
    for server in BOTH:
        fleet[server].set_fault(name, **parameters)


def stream_of(gateway: Gateway, body: dict[str, Any] | None = None) -> bytes:
    """Everything one streamed request receives until its connection ends."""
    with RawClient(gateway.port) as client:
        return client.post(PATH, body or STREAMED, headers="Connection: close\r\n").rest()


def line_of(gateway: Gateway, received: bytes) -> dict[str, Any]:
    """The access line of the request whose answer was received."""
    request_id = received.partition(b"x-request-id: ")[2].partition(b"\r\n")[0]
    return gateway.access_line(request_id.decode())


def test_a_refused_connection_is_taken_to_the_other_replica(chat: Gateway, chat_fleet: Fleet) -> None:
    chat_fleet["chat0"].set_fault("refuse")
    with chat.client() as client:
        answers = [client.post(PATH, json=BODY) for _ in range(6)]
    assert [answer.status_code for answer in answers] == [200] * 6
    assert len(chat_fleet["chat1"].ledger()) == 6
    assert sum(v for k, v in chat.metrics().items() if k.startswith("gateway_upstream_retries_total")) >= 1


def test_no_replica_at_all_is_503_and_says_when_to_come_back(chat: Gateway, chat_fleet: Fleet) -> None:
    fault_on_both(chat_fleet, "refuse")
    with chat.client() as client:
        answer = client.post(PATH, json=BODY)
    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == "service_unavailable"
    assert int(answer.headers["retry-after"]) >= 1


def test_a_kept_alive_connection_that_died_is_replaced_and_nothing_runs_twice(
    whole_fleet: Fleet, make_gateway: MakeGateway
) -> None:
    gateway = make_gateway(whole_fleet, MAX_RPS_PER_IP=1000, RPS_BURST=1000)
    whole_fleet["text2sql"].set_fault("close_idle", seconds=0.0)
    with gateway.client() as client:
        answers = [client.post("/v1/text2sql", json={"messages": BODY["messages"]}) for _ in range(30)]
    served = [answer.headers["x-request-id"] for answer in answers if answer.status_code == 200]
    rows = whole_fleet["text2sql"].settled(requests=len(served))
    assert [row["request_id"] for row in rows] == served
    # Where the server closes with a request unread it resets, which proves nothing: such a one is not sent again.
    assert {answer.status_code for answer in answers} <= {200, 502}
    assert len(served) >= 25


@pytest.mark.parametrize("body", [BODY, STREAMED], ids=["whole", "streamed"])
def test_a_reset_before_the_headers_is_502_and_is_not_replayed(
    chat: Gateway, chat_fleet: Fleet, body: dict[str, Any]
) -> None:
    fault_on_both(chat_fleet, "reset_before_headers")
    with chat.client() as client:
        answer = client.post(PATH, json=body)
    assert answer.status_code == 502
    assert answer.headers["x-should-retry"] == "false"
    assert chat_fleet.requests() == 1


@pytest.mark.parametrize("fault", ["reset_mid_stream", "eof_mid_stream", "abort", "in_band_error", "broken_json_event"])
def test_a_stream_that_fails_ends_with_an_error_and_never_with_done(
    chat: Gateway, chat_fleet: Fleet, fault: str
) -> None:
    fault_on_both(chat_fleet, fault, after=5)
    received = stream_of(chat)
    assert received.startswith(b"HTTP/1.1 200 OK")
    assert received.count(b'data: {"error":') == 1
    assert b"[DONE]" not in received
    assert b'"finish_reason":"abort"' not in received
    assert not received.endswith(b"0\r\n\r\n")
    line = line_of(chat, received)
    assert line["status"] == 200
    assert line["outcome"] in {"stream_broken", "bad_gateway"}
    assert line["completion_tokens"] >= 1
    wait_until(chat.idle)


def test_a_clean_end_of_file_without_done_is_a_failure_too(chat: Gateway, chat_fleet: Fleet) -> None:
    fault_on_both(chat_fleet, "eof_mid_stream", after=5, terminated=True)
    received = stream_of(chat)
    assert received.count(b'data: {"error":') == 1
    assert b"[DONE]" not in received


def test_vllms_own_error_event_is_passed_on_once(chat: Gateway, chat_fleet: Fleet) -> None:
    fault_on_both(chat_fleet, "in_band_error", after=3)
    received = stream_of(chat)
    assert b"EngineCore encountered an issue" in received
    assert received.count(b'"error"') == 1


def test_a_whole_answer_that_vllm_cut_short_is_502(chat: Gateway, chat_fleet: Fleet) -> None:
    fault_on_both(chat_fleet, "abort", after=3)
    with chat.client() as client:
        answer = client.post(PATH, json=BODY)
    assert answer.status_code == 502
    assert "choices" not in answer.json()


def test_a_truncated_whole_answer_is_502(chat: Gateway, chat_fleet: Fleet) -> None:
    fault_on_both(chat_fleet, "truncated_body")
    with chat.client() as client:
        answer = client.post(PATH, json=BODY)
    assert answer.status_code == 502


@pytest.mark.parametrize("body", [BODY, STREAMED], ids=["whole", "streamed"])
def test_html_instead_of_an_answer_is_502_and_is_not_shown(
    chat: Gateway, chat_fleet: Fleet, body: dict[str, Any]
) -> None:
    fault_on_both(chat_fleet, "html_200")
    with chat.client() as client:
        answer = client.post(PATH, json=body)
    assert answer.status_code == 502
    assert "It works" not in answer.text


def test_a_stray_second_answer_never_reaches_another_request(chat: Gateway, chat_fleet: Fleet) -> None:
    fault_on_both(chat_fleet, "stray_second_answer", seconds=0.0)
    with chat.client() as client:
        for _ in range(40):
            answer = client.post(PATH, json=BODY)
            assert answer.status_code == 200
            assert answer.headers["x-request-id"] in answer.json()["id"]


@pytest.mark.parametrize("late", [0.0, 0.001, 0.005, 0.02])
@pytest.mark.parametrize(
    ("path", "body"), [(PATH, BODY), ("/v1/responses", {"model": "qwen", "input": "count", "max_output_tokens": 40})]
)
def test_a_late_stray_answer_is_shown_to_nobody(
    chat: Gateway, chat_fleet: Fleet, path: str, body: dict[str, Any], late: float
) -> None:
    for _ in range(8):  # a connection each, so that both workers have seen that both backends repeat our ids
        with chat.client() as client:
            assert client.post(path, json=body).status_code == 200
    fault_on_both(chat_fleet, "stray_second_answer", seconds=late)
    shown: list[tuple[int, str, str]] = []

    def ask(_: int) -> None:
        with chat.client() as client:
            for _ in range(25):
                answer = client.post(path, json=body)
                shown.append((answer.status_code, answer.headers["x-request-id"], answer.text))

    with in_threads(6, ask) as failures:
        pass
    assert failures == []
    assert {status for status, _, _ in shown} <= {200, 502}
    assert [text for status, request_id, text in shown if status == 200 and request_id not in text] == []
    assert not any("stray" in text for _, _, text in shown)


@pytest.mark.parametrize("status", [400, 404, 422])
def test_a_backends_4xx_is_passed_on(chat: Gateway, chat_fleet: Fleet, status: int) -> None:
    fault_on_both(chat_fleet, "status", status=status)
    with chat.client() as client:
        answer = client.post(PATH, json=BODY)
    assert answer.status_code == status
    assert answer.json()["error"]["message"]
    assert chat_fleet.requests() == 1


@pytest.mark.parametrize("form", ["string", "detail"])
def test_vllms_other_error_forms_are_put_into_the_envelope(chat: Gateway, chat_fleet: Fleet, form: str) -> None:
    fault_on_both(chat_fleet, "status", status=404, form=form, message="it is not here")
    with chat.client() as client:
        answer = client.post(PATH, json=BODY)
    assert answer.status_code == 404
    assert answer.json()["error"]["message"] == "it is not here"


@pytest.mark.parametrize("status", [401, 403])
def test_a_key_that_the_backend_refuses_is_our_misconfiguration(chat: Gateway, chat_fleet: Fleet, status: int) -> None:
    fault_on_both(chat_fleet, "status", status=status)
    with chat.client() as client:
        answer = client.post(PATH, json=BODY)
    assert answer.status_code == 502
    assert "credentials" in answer.json()["error"]["message"]


@pytest.mark.parametrize("form", ["queue_full", "draining"])
def test_a_stated_refusal_is_taken_to_the_other_replica(chat: Gateway, chat_fleet: Fleet, form: str) -> None:
    status = {"queue_full": 503, "draining": 500}[form]
    chat_fleet["chat0"].set_fault("status", status=status, form=form)
    with chat.client() as client:
        answers = [client.post(PATH, json=BODY) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200] * 4


def test_when_every_replica_refuses_it_is_the_fleets_503_not_the_callers_429(chat: Gateway, chat_fleet: Fleet) -> None:
    fault_on_both(chat_fleet, "status", status=429)
    with chat.client() as client:
        answer = client.post(PATH, json=BODY)
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "1"


def test_an_engine_error_is_passed_on_and_not_replayed(chat: Gateway, chat_fleet: Fleet) -> None:
    fault_on_both(chat_fleet, "status", status=500, form="engine_dead")
    with chat.client() as client:
        answer = client.post(PATH, json=BODY)
    assert answer.status_code == 500
    assert "EngineCore" in answer.json()["error"]["message"]
    assert chat_fleet.requests() == 1


@pytest.mark.parametrize(
    ("fault", "settings", "code"),
    [
        ("silence", {"STREAM_IDLE_TIMEOUT_SECS": 0.5}, "stream_idle_timeout"),
        ("comments_only", {"STREAM_IDLE_TIMEOUT_SECS": 0.5}, "stream_idle_timeout"),
        ("slow", {"MAX_REQUEST_SECS": 1.0}, "request_lifetime_exceeded"),
    ],
)
def test_a_stream_that_stands_still_is_cut_with_its_own_code(
    chat_fleet: Fleet, make_gateway: MakeGateway, fault: str, settings: dict[str, object], code: str
) -> None:
    gateway = make_gateway(chat_fleet, **settings)
    parameters: dict[str, dict[str, Any]] = {
        "slow": {"seconds": 0.2},
        "silence": {"after": 3},
        "comments_only": {"after": 3, "seconds": 0.1},
    }
    fault_on_both(chat_fleet, fault, **parameters[fault])
    received = stream_of(gateway)
    assert f'"code":"{code}"'.encode() in received
    assert b"[DONE]" not in received
    wait_until(lambda: all(chat_fleet[name].state()["running"] == 0 for name in BOTH))


def test_no_first_token_is_504_only_where_a_cap_for_it_is_set(chat_fleet: Fleet, make_gateway: MakeGateway) -> None:
    gateway = make_gateway(chat_fleet, FIRST_TOKEN_TIMEOUT_SECS=0.5, STREAM_IDLE_TIMEOUT_SECS=0.2)
    fault_on_both(chat_fleet, "hang")
    received = stream_of(gateway)
    assert received.startswith(b"HTTP/1.1 504 ")
    assert b'"code":"first_token_timeout"' in received


def test_a_whole_answer_has_no_cap_but_its_lifetime(chat_fleet: Fleet, make_gateway: MakeGateway) -> None:
    gateway = make_gateway(chat_fleet, MAX_REQUEST_SECS=1.0, STREAM_IDLE_TIMEOUT_SECS=0.1)
    fault_on_both(chat_fleet, "hang")
    with gateway.client() as client:
        answer = client.post(PATH, json=BODY)
    assert (answer.status_code, answer.json()["error"]["code"]) == (504, "request_lifetime_exceeded")


def test_nothing_of_a_backend_or_a_key_stands_in_answers_or_logs(chat: Gateway, chat_fleet: Fleet) -> None:
    for fault in ("refuse", "reset_before_headers", "html_200"):
        fault_on_both(chat_fleet, fault)
        with chat.client() as client:
            answer = client.post(PATH, json=BODY)
        assert "127.0.0.1" not in answer.text
    log = chat.log_text()
    assert "INTERNAL-0123456789" not in log
    assert "sk-test-0123456789" not in log
    assert '"count"' not in log
