"""Who knocks at the front door? A client with an address, and so an organization, of its own, and any library."""

from functools import cached_property
from pathlib import Path
from typing import Any

import httpx2  # the HTTP library of both SDKs
import openai
from anthropic import Anthropic
from anthropic import DefaultHttpxClient as AnthropicHttpxClient
from openai import AsyncOpenAI, OpenAI

from tests.support.curl import Curl
from tests.support.front_door import FrontDoor
from tests.support.gateway import KEY, Gateway, wait_until


class Visitor:
    """A client of one address on loopback.

    Args:
        folder: an empty one, for curl's settings.
    """

    def __init__(self, door: FrontDoor, gateway: Gateway, folder: Path, address: str) -> None:
        self.address = address
        self._door = door
        self._gateway = gateway
        self._folder = folder

    @cached_property
    def curl(self) -> Curl:
        """Curl."""
        return Curl(self._door, self._folder, self.address)

    def http(self, **headers: str) -> httpx2.Client:
        """A plain HTTP client with the key."""
        client = httpx2.Client(transport=self._transport(), base_url=self._door.url, timeout=30, trust_env=False)
        client.headers.update({"authorization": f"Bearer {KEY}", **headers})
        return client

    def openai(self, **options: Any) -> OpenAI:
        """OpenAI's client, pointed here by its base_url alone."""
        http = openai.DefaultHttpxClient(transport=self._transport(), trust_env=False)
        return OpenAI(base_url=f"{self._door.url}/v1", http_client=http, **{**self._options(), **options})

    def async_openai(self, **options: Any) -> AsyncOpenAI:
        """The asynchronous form of the same."""
        transport = httpx2.AsyncHTTPTransport(verify=self._door.trust(), local_address=self.address)
        http = openai.DefaultAsyncHttpxClient(transport=transport, trust_env=False)
        return AsyncOpenAI(base_url=f"{self._door.url}/v1", http_client=http, **{**self._options(), **options})

    def anthropic(self) -> Anthropic:
        """Anthropic's client."""
        http = AnthropicHttpxClient(transport=self._transport(), trust_env=False)
        return Anthropic(base_url=self._door.url, http_client=http, **self._options())

    def lines(self, count: int = 1) -> list[dict[str, Any]]:
        """The access log's records of this address, once there are so many."""

        def mine() -> list[dict[str, Any]]:
            return [line for line in self._gateway.access_lines() if line["client"] == self.address]

        wait_until(lambda: len(mine()) >= count, what=f"fewer than {count} records of {self.address}")
        return mine()

    def _transport(self) -> httpx2.HTTPTransport:
        return httpx2.HTTPTransport(verify=self._door.trust(), local_address=self.address)

    @staticmethod
    def _options() -> dict[str, Any]:
        return {"api_key": KEY, "max_retries": 0, "timeout": 60.0}
