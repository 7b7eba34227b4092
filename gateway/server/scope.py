"""What does a scope say of its connection, and of a request line?"""

from typing import Any, Final
from urllib.parse import unquote

from gateway.server.head import split_target

LINE_KEYS: Final = ("http_version", "method", "path", "raw_path", "query_string")
"""What a scope says of its request line."""
REQUEST_KEYS: Final = (*LINE_KEYS, "headers", "state", "extensions")
"""What it says of its request; the rest is its connection's."""

Address = tuple[str, int] | None


def scope_between(client: Address, server: Address) -> dict[str, Any]:
    """What all requests of a connection share, and room for the rest: a copy of it is cheap."""
    return {
        **dict.fromkeys(REQUEST_KEYS),
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "scheme": "http",
        "root_path": "",
        "client": client,
        "server": server,
    }


def state_line(scope: dict[str, Any], version: str, method: bytes, url: bytes) -> None:
    """Put into a scope what a request line says.

    Raises:
        BadRequestError: its target is none; the scope is as it was.
    """
    target = split_target(url)
    path = target.path.decode("ascii")
    scope["http_version"] = version
    scope["method"] = method.decode("ascii")
    scope["path"] = unquote(path) if "%" in path else path
    scope["raw_path"] = target.path
    scope["query_string"] = target.query
