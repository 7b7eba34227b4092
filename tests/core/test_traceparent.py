"""A client's `traceparent` counts where it is valid, whatever else it may hold."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.trace import TraceState

from gateway.core.traceparent import parent_of, passed_on, state_of, trace_id_of

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"
MANY = b",".join(b"k%d=1" % number for number in range(32))


@pytest.mark.parametrize(
    "value",
    [
        f"00-{TRACE}-{PARENT}-01",
        f"00-{TRACE}-{PARENT}-00",
        f"01-{TRACE}-{PARENT}-01",
        f"01-{TRACE}-{PARENT}-01-what-a-later-version-adds",
        f"01-{TRACE}-{PARENT}-01-{'x' * 456}",
    ],
)
def test_a_valid_field_has_its_trace(value: str) -> None:
    assert trace_id_of(value.encode()) == TRACE


@pytest.mark.parametrize(
    "value",
    [
        "",
        f"00-{TRACE}-{PARENT}",
        f"00-{TRACE}-{PARENT}-01-more",
        f"00-{TRACE}-{PARENT}-01\n",
        f"00-{TRACE}-{PARENT}-01, 00-{TRACE}-{PARENT}-01",
        f"01-{TRACE}-{PARENT}-01more",
        f"01-{TRACE}-{PARENT}-01-{'x' * 457}",
        f"ff-{TRACE}-{PARENT}-01",
        f"00-{'0' * 32}-{PARENT}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{PARENT}-01",
        f" 00-{TRACE}-{PARENT}-01",
    ],
)
def test_any_other_is_as_none(value: str) -> None:
    assert trace_id_of(value.encode()) is None


@given(st.binary(max_size=80) | st.from_regex(rb"\A[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}.{0,9}\Z"))
def test_what_is_logged_of_it_is_hexadecimal(value: bytes) -> None:
    found = trace_id_of(value)
    assert found is None or (len(found) == 32 and set(found) <= set("0123456789abcdef") and found in value.decode())


@pytest.mark.parametrize(("flags", "sampled"), [("00", False), ("01", True), ("02", False), ("03", True), ("ff", True)])
def test_it_says_whether_its_trace_is_recorded(flags: str, *, sampled: bool) -> None:
    assert parent_of(f"00-{TRACE}-{PARENT}-{flags}".encode()) == (TRACE, PARENT, sampled)


def test_what_goes_on_is_what_came() -> None:
    field = f"01-{TRACE}-{PARENT}-01-more".encode()
    assert passed_on({b"traceparent": field}) == [(b"traceparent", field)]
    assert passed_on({b"traceparent": field, b"tracestate": b"a=1, b=2"}) == [
        (b"traceparent", field),
        (b"tracestate", b"a=1, b=2"),
    ]


@pytest.mark.parametrize(
    "state",
    [b"a=1", b"a=1,b=2", b"a=1 ,\tb=2", b"a=1,,b=2", b"tenant@vendor=x y", b"0@v=!", b"a=" + b"1" * 256, MANY],
)
def test_a_state_goes_on_as_it_came(state: bytes) -> None:
    assert state_of({b"tracestate": state}) == state


@pytest.mark.parametrize(
    "state",
    [
        *(b"", b",", b"a", b"a=", b"=1", b"A=1", b"a=1=2", b"a=1,b", b"a=1,a=2", b"0=1", b"a@0=1"),
        *(b"a=\xff", b"a=1\r\nx: y", b"a=\0", b"a=1\tb=2", b"a=" + b"1" * 257, MANY + b",z=1", b"a=1" + b"," * 510),
    ],
)
def test_a_state_with_a_mistake_or_too_long_goes_no_further(state: bytes) -> None:
    assert state_of({b"tracestate": state}) == b""


@given(st.lists(st.from_regex(rb"\A[a-d@]{1,3}=[ -~]{1,9}\Z") | st.binary(max_size=5), max_size=40).map(b",".join))
def test_a_state_that_goes_on_is_one_to_opentelemetry_too(state: bytes) -> None:
    if state_of({b"tracestate": state}):
        assert TraceState.from_header([state.decode("ascii")])
    elif state.isascii() and len(state) <= 512:
        assert not TraceState.from_header([state.decode("ascii")])


@given(
    st.from_regex(rb"\A0[01]-[1-9a-f]{32}-[1-9a-f]{16}-0[0-3](-.{0,600})?\Z") | st.binary(),
    st.binary(max_size=600) | st.from_regex(rb"\A[a-z]=[ -~]{1,600}\Z"),
)
def test_no_line_of_a_head_can_be_made_of_what_goes_on(traceparent: bytes, state: bytes) -> None:
    if parent_of(traceparent) is None:
        return
    fields = passed_on({b"traceparent": traceparent, b"tracestate": state})
    assert all(len(value) <= 512 and not set(value) - set(range(0x20, 0x7F)) - {0x09} for _, value in fields)
