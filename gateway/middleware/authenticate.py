"""May it come in? Names the client, asks for the key where a path needs one, and says for whom the request counts."""

from collections.abc import Awaitable

from gateway.auth.address import AddressBook
from gateway.auth.keyring import Keyring
from gateway.core.asgi import ASGIApp, Receive, Scope, Send
from gateway.core.context import CONTEXT_KEY, RequestContext
from gateway.core.endpoint import Access
from gateway.core.errors import NO_SUCH_PATH, InvalidApiKeyError, MethodNotAllowedError, NotFoundError
from gateway.core.principal import MASTER
from gateway.limits.token_bucket import FailedAuthLimiter
from gateway.middleware.request_scope import UNKNOWN

_KEY = Access.KEY


class Authenticate:
    """Refuses paths that are on no list, methods that a path does not have, and wrong keys.

    A valid key always passes: wrong ones sent from the same address (a shared exit, a stale script) must not lock it
    out. Wrong ones drain a bucket of their address, and then get 429 instead of 401.

    A request counts for its key's organization; where the key has none, as GATEWAY_API_KEY, for its address's.
    """

    def __init__(self, app: ASGIApp, book: AddressBook, keyring: Keyring, failures: FailedAuthLimiter) -> None:
        self._app = app
        self._book = book
        self._keyring = keyring
        self._failures = failures

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Let the request pass, or raise: at once, or where a wrong key must be counted first, when it is awaited.

        Raises:
            NotFoundError: the path is on no list.
            MethodNotAllowedError: the path has no such method.
            InvalidApiKeyError: the key is missing or wrong.
            KeysUnavailableError: nobody can tell now whether it is.
            RateLimitedError: the address has sent too many wrong keys.
        """
        ctx: RequestContext = scope[CONTEXT_KEY]
        ctx.client_ip, ctx.organization = self._book.caller_of(ctx.peer, ctx.fields)
        endpoint = ctx.endpoint
        if endpoint is UNKNOWN:
            raise NotFoundError(NO_SUCH_PATH)
        if ctx.method not in endpoint.methods:
            raise MethodNotAllowedError(
                f"{endpoint.path} takes {' or '.join(sorted(endpoint.methods))}.",
                headers=[endpoint.allow()],
            )
        if endpoint.access is _KEY:
            try:
                principal = self._keyring.admit(ctx.fields, endpoint.dialect, ctx.started)
            except InvalidApiKeyError as error:
                return self._refuse(ctx.organization, error)
            if principal is not MASTER:
                ctx.principal = principal
                ctx.organization = principal.organization or ctx.organization
        return self._app(scope, receive, send)

    async def _refuse(self, address: str, error: InvalidApiKeyError) -> None:
        try:
            await self._failures.drain(address)
            raise error
        finally:
            del error  # which holds this frame by its traceback: nobody collects such a ring at once
