"""No credential reaches a line, wherever it stands and whoever wrote it; what only sounds like one stays."""

import logging
import re
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.carried import carried
from gateway.observability import redaction, telling_names
from gateway.observability.choices import LogFormat
from gateway.observability.logs import build_logger
from gateway.observability.redaction import MAX_READ, MAX_TEXT, Redactor, redactor_of
from gateway.observability.settings import ObservabilitySettings
from gateway.observability.telling_names import REDACTED
from gateway.settings import load
from tests.observability.test_logs import Lines
from tests.observability.test_logs import root as root  # noqa: PLC0414 -- a fixture

CANARY = "cAnArY-0123456789"
NAMES = [
    "authorization",
    "Bearer",
    "api_key",
    "x-api-key",
    "apiKey",
    "token",
    "secret",
    "PASSWORD",
    "set-cookie",
    "passwd",
    "X-Admin-Key",
    "credentials",
    "token2",
]


@pytest.mark.parametrize("name", [*NAMES, "client_secret", "api-keys", "access_token_of_x", "old_password_2"])
@pytest.mark.parametrize(
    "form",
    [
        "{name}={secret}",
        "{name}: {secret}",
        "{name} = {secret} and more",
        "?{name}={secret}&x=1",
        '{{"{name}": "{secret}", "x": 1}}',
        '{{"{name}":"two {secret} words"}}',
        "{{'{name}': '{secret}'}}",
        "[(b'{name}', b'{secret}'), (b'host', b'x')]",
        "{name}=>{secret}",
        'said {{\\"{name}\\": \\"two {secret}\\"}}',
        "{name}:\n  {secret}",
        '{{"{name}":\n"{secret}',
        "{name}:          {secret}",
        '{{"name": "{name}", "value": "a=b; {secret}"}}',
        "Header(name='{name}', value='two {secret}')",
        '{{\\"{name}\\": \\"with \\\\\\" within {secret}\\", \\"x\\": 1}}',
        '{name}="with \' and \\" within {secret}"',
    ],
)
def test_what_a_telling_name_introduces_is_taken_out_of_a_text(name: str, form: str) -> None:
    cleaned = Redactor().text("before " + form.format(name=name, secret=CANARY))
    assert CANARY not in cleaned
    assert REDACTED in cleaned
    assert cleaned.startswith("before ")


@pytest.mark.parametrize(
    "text",
    [
        f"Authorization: Bearer {CANARY}",
        f"authorization: Digest username=x, response={CANARY}",
        f"Cookie: a=1; b=2; session={CANARY}; c=3",
        f"bearer of a key: Bearer {CANARY}",
        f"basic {CANARY}",
        f"redis://:{CANARY}@host:6379/0",
        f"postgresql+psycopg://user:{CANARY}@host/db",
        f"redis://:with/slash/{CANARY}@host:6379/0",
        f"redis://user:with@sign@{CANARY}@host:6379/0",
        f"redis://:a/{CANARY},redis://:b@{CANARY}@host",
        f"https://{CANARY}@host/path",
        f"https://{CANARY}@host/path@x",
        f"Bearer       {CANARY}",
        "gw-" + CANARY.replace("-", "") * 3,
        f"sk-{CANARY}",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIx" + CANARY.replace("-", "") + ".c2ln",
    ],
)
def test_a_credential_is_known_by_its_form(text: str) -> None:
    assert CANARY not in Redactor().text(text)
    assert CANARY.replace("-", "") not in Redactor().text(text)


@pytest.mark.parametrize(
    "text",
    [
        "prompt_tokens=12, completion_tokens: 7, max_tokens=null",
        '{"max_tokens":100,"total_tokens": 1.5, "stream_options":{"x":true}}',
        "This model's maximum context length is 8192 tokens. However, you requested 9000.",
        "first_token_at=12.5; token_events=3",
        "a risk-assessment of tokenizers, secrets and cookies",
        "tokens_in=12, tokens_out=3, max_tokens: 5, promptTokens=4, token_count=2, token_usage: 0.5",
        r"{\"max_tokens\": 5}",
        "a basic understanding, and basic. Basic",
        "https://example.com/@jane and https://example.com/a/@jane?x",
        "admin-key-1 has changed it (admin-key-1)",
        "GET http://chat0:8000/v1/models",
        "backend http://10.0.0.4:8000 is down",
        "KEY_HASH_SECRET, or its file in DATA_PATH, cannot change",
    ],
)
def test_what_only_sounds_like_one_stays(text: str) -> None:
    assert Redactor().text(text) == text


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.just(CANARY),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b"]), inner, max_size=3),
    max_leaves=8,
)


@given(st.sampled_from(NAMES), VALUES, st.lists(st.sampled_from(["a", "b", 0]), max_size=4))
def test_a_field_of_a_telling_name_shows_no_text_however_deep_it_stands(
    name: str, value: Any, place: list[Any]
) -> None:
    nested: Any = {name: value}
    for step in place:
        nested = [nested] if step == 0 else {step: nested}
    written = orjson.dumps(Redactor().fields({"x": nested, name: value}))
    assert CANARY.encode() not in written


@given(name=st.sampled_from(NAMES), value=VALUES, kind=st.sampled_from([list, tuple]), binary=st.booleans())
def test_a_pair_in_a_list_is_a_name_and_its_value(name: str, value: Any, kind: Any, *, binary: bool) -> None:
    shown: Any = name.encode() if binary else name
    headers = [kind(["host", "x"]), kind([shown, value]), kind(["accept", "y"])]
    written = Redactor().fields({"headers": headers, "flat": ["a", *headers[1], "b"]})
    assert CANARY.encode() not in orjson.dumps(written)
    assert written["headers"][0] == ["host", "x"]  # type: ignore[index]  # a list, as it was
    assert written["headers"][2] == ["accept", "y"]  # type: ignore[index]  # the same


@given(st.sampled_from(NAMES), VALUES)
def test_a_mapping_that_states_its_name_is_a_pair_too(name: str, value: Any) -> None:
    written = Redactor().fields({"headers": [{"name": name, "value": value}, {"name": "host", "value": "x"}]})
    assert CANARY.encode() not in orjson.dumps(written)
    assert written["headers"][1] == {"name": "host", "value": "x"}  # type: ignore[index]  # a list, as it was


@pytest.mark.parametrize("name", ["token", "token2", "token_2", "access_token_id", "tokens_secret", "tokensecret"])
@pytest.mark.parametrize("value", [987, 98.7])
def test_a_number_under_a_secrets_name_is_no_count(name: str, value: float) -> None:
    assert Redactor().fields({name: value}) == {name: REDACTED}
    assert Redactor().text(f"{name}={value}, x") == f"{name}={REDACTED} x"


COUNTS = st.dictionaries(
    st.sampled_from(
        [
            "prompt_tokens",
            "max_tokens",
            "tokens",
            "tokens_in",
            "tokens_per_minute",
            "first_token_secs",
            "token_events",
            "tokenCount",
        ]
    ),
    st.none() | st.integers(0, 10**9) | st.floats(0, 1e9),
)


@given(COUNTS)
def test_how_many_tokens_there_are_stays(counts: dict[str, Any]) -> None:
    assert Redactor().fields(counts) == counts
    assert Redactor().fields({"usage": [counts]}) == {"usage": [counts]}
    text = ", ".join(
        f"{name}={value}".lower() for name, value in counts.items() if "e" not in str(value).removesuffix("None")
    )
    assert Redactor().text(text) == text


@given(st.text(max_size=60), st.text(max_size=60))
def test_a_secret_of_the_settings_is_known_by_heart(before: str, after: str) -> None:
    redactor = Redactor(["none", CANARY, CANARY + "-and-more"])
    assert CANARY not in redactor.text(before + CANARY + after)
    assert redactor.text(f"{CANARY}-and-more") == REDACTED
    assert redactor.word(f"x{CANARY}x") == REDACTED
    assert redactor.word("none of it") == "none of it"


def test_all_rooms_secrets_are_known_to_a_worker() -> None:
    known: dict[str, Any] = {
        "gateway_api_key": f"{CANARY}-1,{CANARY}-2",
        "admin_api_key": f"{CANARY}-3",
        "backend_api_key": f"{CANARY}-4",
        "redis_url": f"redis://:{CANARY}-5@x/0",
        "chat_backends": "http://x:1",
    }
    settings = load(None, **known)
    for redactor in (redactor_of(settings), redactor_of(carried(settings))):
        for number in range(1, 5):
            assert redactor.text(f"({CANARY}-{number})") == f"({REDACTED})"
        assert CANARY not in redactor.text(f"cannot reach redis://:{CANARY}-5@x/0")


def test_a_long_text_is_cut_behind_what_was_taken_out_of_it() -> None:
    cleaned = Redactor().text("x" * (MAX_TEXT - 20) + f" password={CANARY}{'y' * 100}")
    assert "cAnA" not in cleaned
    for size in (MAX_TEXT, MAX_READ - 20, MAX_READ, 10 * MAX_READ):
        assert len(Redactor().text("x " * size)) < MAX_TEXT + 10
    shrinking = f"password={'y' * 990} "
    hidden = Redactor([CANARY]).text((shrinking * (MAX_READ // len(shrinking) + 1))[: MAX_READ - 8] + " " + CANARY)
    assert "cAnA" not in hidden


def test_what_holds_itself_is_written_all_the_same() -> None:
    ring: list[Any] = [CANARY]
    ring.append(ring)
    assert orjson.dumps(Redactor([CANARY]).fields({"ring": ring})).count(b"[redacted]") > 1


def leak() -> None:
    """Somebody else's code fails, and says with what."""
    raise RuntimeError(f"401 for Authorization: Bearer {CANARY}")


@pytest.mark.parametrize("form", [LogFormat.JSON, LogFormat.CONSOLE])
def test_no_line_of_the_log_shows_one(form: LogFormat) -> None:
    lines: Any = Lines()
    log = build_logger(ObservabilitySettings(log_format=form), lines)
    log.info("x", authorization=CANARY, headers={"cookie": CANARY}, parts=[{"password": CANARY}], why=f"token={CANARY}")
    try:
        leak()
    except RuntimeError:
        log.exception("failed")
        logging.getLogger("some.library").exception("request with headers %s failed", {"api_key": CANARY})
    logging.getLogger("gateway.x").warning("told", extra={"secret": CANARY, "tokens": 7})
    text = b"".join(lines.lines).decode()
    assert len(lines.lines) == 4
    assert CANARY not in text
    assert "RuntimeError" in text
    assert "tokens" in text


def test_a_clients_address_in_a_field_is_masked_if_asked() -> None:
    fields = {
        "client": "203.0.113.7",
        "organization": "ip:203.0.113.7",
        "backend": "10.0.0.4:8000",
        "why": "x ip:2001:db8:1:2::/64",
    }
    masked = {
        "client": "203.0.113.0",
        "organization": "ip:203.0.113.0",
        "backend": "10.0.0.4:8000",
        "why": "x ip:2001:db8:1::/48",
    }
    assert Redactor(mask=True).fields(fields) == masked
    assert Redactor().fields(fields) == fields


@pytest.mark.parametrize(
    "piece",
    [
        "password=",
        "token",
        "a",
        '"',
        "cookie: ",
        "://",
        "\\",
        "bearer ",
        "api key",
        "token_1=1 ",
        "eyJaaaaaaaa.",
        "=:",
        "x://y:",
        "x@",
        "basic a",
        "token'\\'",
        'token\\"',
        "authorization ",
        "tokens_a",
        "'\"",
    ],
)
def test_a_megabyte_of_anything_is_read_once(piece: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever went back over what it has read would take hours here."""
    monkeypatch.setattr(redaction, "MAX_READ", 1024 * 1024)
    for beginning in ("", "token", "cookie:", 'password="', "x://", "bearer"):
        Redactor([CANARY]).text(beginning + piece * (1024 * 1024 // len(piece)))


PIECES = [
    "token",
    "s",
    "_",
    "=",
    ":",
    " ",
    "\n",
    '"',
    "'",
    "\\",
    ",",
    "1",
    "a",
    "cookie",
    "bearer",
    "://",
    "@",
    "value",
    "&",
    "b",
]


@given(st.lists(st.sampled_from(PIECES), max_size=4), st.lists(st.sampled_from(PIECES), min_size=1, max_size=6))
@settings(max_examples=60, deadline=None)
def test_whatever_repeats_is_read_once(beginning: list[str], row: list[str]) -> None:
    """As above, for rows that nobody thought of: 128 KiB of each."""
    Redactor([CANARY]).text(("".join(beginning) + "".join(row) * MAX_READ)[:MAX_READ])


@given(st.lists(st.sampled_from([*PIECES, "tokens", "-", "authorization"]), max_size=12).map("".join))
def test_a_name_that_was_read_is_taken_whether_or_not_a_value_follows(text: str) -> None:
    """So the next search begins behind it, and a row of names is not read to its end from each of them."""
    for telling in telling_names._TELLING.finditer(text):
        taken = telling_names._INTRODUCED.match(text, telling.start())
        assert taken is not None
        if taken["name"] is not None and taken["value"] is None:
            assert re.match(r"[\w.-]", text[taken.end() :]) is None


@pytest.mark.parametrize(
    "pattern",
    [telling_names._INTRODUCED, redaction._URL, redaction._HTTP_CREDENTIAL],
    ids=["introduced", "url", "http"],
)
def test_what_repeats_without_a_bound_gives_nothing_back(pattern: "re.Pattern[str]") -> None:
    """Each is of one class of characters and possessive, but for the inside of quotes, where nothing can fail."""
    inside_of_quotes = r"(?:[^\\\"']++|(?!(?P=escapes)(?P=quote))\\*+[\s\S])*(?:(?P=escapes)(?P=quote))?"
    rest = pattern.pattern.replace(inside_of_quotes, "")
    repeats = re.findall(r"(?<!\\)(?:\[(?:[^\]\\]|\\.)*\]|\\?.)(?:[*+]\+?|\{\d*,\}\+?)", re.sub(r"\(\?[^)]", "(", rest))
    assert repeats
    assert [one for one in repeats if not one.endswith("+") or one[-2] not in "*+}"] == []
    assert ")*" not in rest
    assert ")+" not in rest


@pytest.mark.parametrize(
    ("fields", "shown"),
    [
        ({"client": ("203.0.113.7", 4711)}, {"client": ["203.0.113.0", 4711]}),
        ({"peer": ("2001:db8:1:2::3%eth0", 4711, 0, 2)}, {"peer": ["2001:db8:1::", 4711, 0, 2]}),
        ({"client": ""}, {"client": ""}),
        ({"client": ()}, {"client": []}),
        ({"client": None}, {"client": None}),
    ],
)
def test_a_clients_address_is_masked_as_sockets_have_it(fields: dict[str, Any], shown: dict[str, Any]) -> None:
    assert Redactor(mask=True).fields(fields) == shown


@pytest.mark.parametrize("piece", ["-eyJ", "eyJ", "-eyJa.", "-sk-", "gw-", "x://y:"])
def test_beginnings_of_keys_in_a_row_are_read_once(piece: str) -> None:
    """As above, where no bound on the text stands before it: that of a body in the audit trail."""
    Redactor([CANARY]).credentials(piece * (1024 * 1024 // len(piece)))


@pytest.mark.parametrize("number", [-(2**63) - 1, 2**64, 10**5000], ids=["below", "above", "far above"])
def test_a_number_that_json_has_no_room_for_is_written_by_its_digits(number: int) -> None:
    fields = Redactor().fields({"n": number, "nested": [number], "tokens": {"in": number}})
    digits = hex(number)
    assert orjson.loads(orjson.dumps(fields)) == {"n": digits, "nested": [digits], "tokens": {"in": digits}}
