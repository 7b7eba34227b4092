"""The date that answers bear is spelled as HTTP spells it."""

from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime

from hypothesis import given
from hypothesis import strategies as st

from gateway.server.serving import Serving, http_date


@given(st.datetimes(min_value=datetime(1970, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001 -- the strategy adds it
def test_a_date_is_what_the_standard_library_makes_of_it(at: datetime) -> None:
    assert http_date(at).decode() == format_datetime(at, usegmt=True)


def test_each_telling_is_another_list_with_the_time_of_now() -> None:
    serving = Serving()
    before = datetime.now(UTC).replace(microsecond=0)
    serving.tell_date()
    first = serving.default_headers
    serving.tell_date()
    assert serving.default_headers is not first
    ((name, value),) = serving.default_headers
    assert name == b"date"
    assert before <= parsedate_to_datetime(value.decode()) <= datetime.now(UTC)
