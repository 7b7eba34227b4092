"""aiohttp behind our Protocol: the independent client that ours is compared with."""

import io

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from gateway.core.asgi import Headers, first_of
from gateway.upstream.address import Address
from gateway.upstream.errors import MayHaveRun, NeverSent
from gateway.upstream.parser import HOP_BY_HOP
from gateway.upstream.protocol import Take, UpstreamRequest
from gateway.upstream.settings import UpstreamSettings


class AiohttpClient:
    def __init__(self, settings: UpstreamSettings) -> None:
        self._settings = settings
        self._session: aiohttp.ClientSession | None = None

    async def send(self, address: Address, request: UpstreamRequest) -> "AiohttpReply":
        if self._session is None:
            connector = aiohttp.TCPConnector(
                limit=self._settings.upstream_max_connections,
                keepalive_timeout=self._settings.upstream_keepalive_secs,
            )
            timeout = aiohttp.ClientTimeout(total=None, connect=self._settings.upstream_connect_timeout_secs)
            self._session = aiohttp.ClientSession(connector=connector, timeout=timeout, auto_decompress=False)
        own = [(b"x-request-id", request.request_id)] if request.request_id else []
        own += request.trace
        try:
            response = await self._session.request(
                request.method.decode(),
                URL(str(address) + request.path.decode(), encoded=True),
                data=io.BytesIO(request.body) if request.body else None,
                headers=CIMultiDict(
                    (name.decode("latin-1"), value.decode("latin-1")) for name, value in request.headers + own
                ),
                allow_redirects=False,
                skip_auto_headers=("user-agent", "accept", "accept-encoding", "content-type"),
            )
        except aiohttp.ClientConnectorError as error:
            raise NeverSent("refused") from error
        except aiohttp.ClientError as error:
            raise MayHaveRun("reset") from error
        return AiohttpReply(response, bodiless=request.method == b"HEAD" or response.status in (204, 304))

    async def aclose(self) -> None:
        if self._session is not None:
            await self._session.close()


class AiohttpReply:
    def __init__(self, response: aiohttp.ClientResponse, *, bodiless: bool) -> None:
        self._response = response
        self.status = response.status
        fields: Headers = [(name.lower(), value) for name, value in response.raw_headers]
        named = {
            token.strip().lower() for name, value in fields if name == b"connection" for token in value.split(b",")
        }
        self.headers: Headers = [field for field in fields if field[0] not in HOP_BY_HOP | named]
        self.content_type = first_of(self.headers, b"content-type")
        length = response.headers.get("content-length")
        self.content_length = 0 if bodiless else int(length) if length is not None else None

    @property
    def complete(self) -> bool:
        return self._response.content.is_eof()

    async def read(self) -> bytes:
        try:
            return await self._response.content.readany()
        except aiohttp.ClientError as error:
            raise MayHaveRun("cut") from error

    async def pour(self, take: Take) -> None:
        while data := await self.read():
            if not take(data):
                return

    def close(self) -> None:
        if self._response.content.at_eof():
            self._response.release()
        else:
            self._response.close()

    def discard(self) -> None:
        self._response.close()
