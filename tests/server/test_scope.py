"""What a scope says of a request line."""

import pytest

from gateway.core.errors import BadRequestError
from gateway.server.scope import REQUEST_KEYS, scope_between, state_line


def test_a_line_is_stated_and_the_rest_has_its_place() -> None:
    scope = scope_between(("203.0.113.7", 40000), ("127.0.0.1", 9000))
    assert all(scope[key] is None for key in REQUEST_KEYS)
    state_line(scope, "1.1", b"POST", b"/v1/a%20b?x=%20")
    assert (scope["method"], scope["http_version"], scope["client"][0]) == ("POST", "1.1", "203.0.113.7")
    assert (scope["path"], scope["raw_path"], scope["query_string"]) == ("/v1/a b", b"/v1/a%20b", b"x=%20")


def test_a_target_that_is_none_leaves_the_scope_as_it_was() -> None:
    scope = scope_between(None, None)
    before = scope.copy()
    with pytest.raises(BadRequestError):
        state_line(scope, "1.1", b"GET", b"/a#b")
    assert scope == before
