"""How does a command ask a running gateway? By its admin API, so that one code path checks and records every change."""

import functools
import getpass
import ssl
import sys
from collections.abc import Callable, Iterator, Mapping
from http import HTTPStatus
from typing import Any, NoReturn, Self, TypeVar, cast

import click
import httpx

from gateway.core.keys import why_unfit
from gateway.server.settings import ServerSettings
from gateway.settings import stated

REFUSED, NO_ANSWER = 1, 3
"""Exit statuses; 2 is click's, for a command line that will not do."""
TIMEOUT_SECS = 40.0
"""A worker waits 30 s for the control process."""
ANYWHERE = ("", "0.0.0.0", "::")  # noqa: S104 -- what a server listens on, and nobody connects to
LOOPBACK = ("127.0.0.1", "::1", "localhost")
AFTER_IT_WAS_SENT = (httpx.ReadError, httpx.ReadTimeout, httpx.RemoteProtocolError, httpx.WriteError)
SLASHES_OF_A_LIST = 2
"""`/v1/keys` is always there; below it a 404 speaks of one key."""
PAGE = 500
MAX_ACTOR = 40

Json = dict[str, Any]
Command = TypeVar("Command", bound=Callable[..., Any])


class AskError(Exception):
    """What was asked is not done.

    Attributes:
        status: the command's exit status.
    """

    def __init__(self, message: str, status: int = REFUSED) -> None:
        super().__init__(message)
        self.status = status


class Admin:
    """A running gateway's admin API.

    Args:
        url: where it listens.
        key: of an administrator.
    """

    def __init__(self, url: str, key: str) -> None:
        self.url = url
        headers = {"x-admin-key": key, "x-admin-actor": actor(), "user-agent": "gateway-cli"}
        self._client = httpx.Client(headers=headers, timeout=TIMEOUT_SECS, trust_env=False, verify=authorities(url))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def ask(self, method: str, path: str, *, etag: str | None = None, **what: Any) -> httpx.Response:  # noqa: ANN401 -- httpx' own
        """One request.

        Args:
            method: of HTTP.
            path: below `/admin`.
            etag: the version that is to be changed.
            what: `json` or `params`, as httpx has them.

        Raises:
            AskError: it was refused, or nobody answers.
        """
        try:
            answer = self._client.request(
                method, f"{self.url}/admin{path}", headers={"if-match": etag} if etag else None, **what
            )
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            sent = method != "GET" and isinstance(error, AFTER_IT_WAS_SENT)
            unsure = "; the change may have been made all the same: look before you repeat it" if sent else ""
            more = unsure or self._elsewhere(error)
            raise AskError(f"no gateway answers at {self.url}: {error}{more}", NO_ANSWER) from error
        if answer.is_success:
            return answer
        raise AskError(self._why(answer, path), NO_ANSWER if answer.is_server_error else REFUSED)

    def read(self, path: str, **params: Any) -> Json:  # noqa: ANN401 -- a query's
        """One thing, without its version."""
        found: Json = self.ask("GET", path, params=known(params)).json()
        return found

    def pages(self, path: str, **params: Any) -> Iterator[Json]:  # noqa: ANN401 -- a query's
        """All entries of a list."""
        after: Json = {}
        while True:
            page = self.read(path, **params, limit=PAGE, **after)
            yield from page["data"]
            if not page["has_more"]:
                return
            after = {"after": page["last_id"]}

    def change(self, method: str, path: str, body: Json | None = None, *, below: str = "") -> httpx.Response:
        """Read a thing, and change the very version that was read."""
        etag = self.ask("GET", path).headers.get("etag")
        return self.ask(method, path + below, etag=etag, json=body)

    def _elsewhere(self, error: Exception) -> str:
        """Where else it may be: Compose publishes no port of the gateway's on the host."""
        here = isinstance(error, httpx.ConnectError) and httpx.URL(self.url).host in LOOPBACK
        return "; under Compose it is asked in its container: docker compose exec gateway gateway ..." if here else ""

    def _why(self, answer: httpx.Response, path: str) -> str:
        """What the gateway says of its refusal, as one line."""
        try:
            words = str(answer.json()["error"]["message"])
        except (ValueError, KeyError, TypeError):
            return f"{self.url} answers {answer.status_code}, and is no gateway with an admin API"
        if answer.status_code == HTTPStatus.NOT_FOUND and path.count("/") <= SLASHES_OF_A_LIST:
            return f"{self.url} has no admin API: ADMIN_API_KEY is not set there"
        return " ".join(words.split())


def asks(command: Command) -> Command:
    """Give a command `--gateway` and, as its first argument, the one that is meant; failures become one line."""

    @click.option(
        "--gateway", "asked", metavar="URL", help="Which one; by default GATEWAY_URL, or GATEWAY_PORT on this host."
    )
    @functools.wraps(command)
    def run(*args: Any, asked: str | None, **rest: Any) -> Any:  # noqa: ANN401 -- the command's own
        if click.get_current_context().invoked_subcommand is not None:
            return None  # of a group, whose command asks for itself
        try:
            with connect(asked) as admin:
                return command(admin, *args, **rest)
        except AskError as error:
            fail(str(error), error.status)

    return cast("Command", run)  # it takes `asked` besides


def connect(url: str | None) -> Admin:
    """The gateway that is meant, and the key for it.

    Raises:
        AskError: there is no key, or none that could be sent.
    """
    found = stated("ADMIN_API_KEY", "GATEWAY_URL", "GATEWAY_HOST", "GATEWAY_PORT")
    key = found.get("ADMIN_API_KEY", "").partition(",")[0].strip()
    if fault := why_unfit(key):
        raise AskError(f"ADMIN_API_KEY {fault}, in the environment or in .env here")
    return Admin((url or found.get("GATEWAY_URL") or here(found)).rstrip("/"), key)


def authorities(url: str) -> ssl.SSLContext | bool:
    """Who may vouch for the gateway: whom this host trusts or SSL_CERT_FILE names, not a list of our client's own."""
    return not url.startswith("https:") or ssl.create_default_context()


def here(found: Mapping[str, str]) -> str:
    """The address on which a gateway with these settings listens on this host."""
    host = found.get("GATEWAY_HOST", "")
    host = "127.0.0.1" if host in ANYWHERE else host
    port = found.get("GATEWAY_PORT") or ServerSettings.model_fields["gateway_port"].default
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def actor() -> str:
    """Who runs the command, for the audit trail."""
    try:
        name = getpass.getuser()
    except (OSError, KeyError):  # a container's user without a name
        name = "cli"
    return "".join(letter for letter in name if letter.isascii() and letter.isprintable())[:MAX_ACTOR] or "cli"


def known(values: Mapping[str, Any]) -> Json:
    """Those that are not None."""
    return {name: value for name, value in values.items() if value is not None}


def fail(message: str, status: int = REFUSED) -> NoReturn:
    """Say why, and exit."""
    click.echo(f"gateway: {message}", err=True)
    sys.exit(status)
