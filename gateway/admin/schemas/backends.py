"""How does a backend look to an operator? Here alone its address is told."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from gateway.admin.names import BackendName, ModelName
from gateway.admin.schemas.common import Moment, Taken
from gateway.upstream.address import Address

MOST_WEIGHT = 100


def _address(url: str) -> str:
    Address.parse(url)
    return url.rstrip("/")


Url = Annotated[
    str, Field(max_length=500, description="http(s)://host:port of a vLLM server."), AfterValidator(_address)
]
Weight = Annotated[int, Field(strict=True, ge=1, le=MOST_WEIGHT, description="Its share of its model's requests.")]


class BackendWishes(Taken):
    """What may be changed about a backend; a change leaves what it does not state as it is."""

    url: Url = Field(default="", validate_default=False)
    weight: Weight = 1
    active: bool = Field(default=True, strict=True, description="false: it is kept, and asked nothing.")


class NewBackend(Taken):
    """A backend beside those of the settings."""

    id: BackendName
    model: ModelName = Field(description="The model that it serves: one made here, or a group of the settings.")
    url: Url
    weight: Weight = 1
    active: bool = Field(default=True, strict=True, description="false: it is kept, and asked nothing.")


class Backend(Taken):
    """A backend, of the settings or made here, and how it fares."""

    object: Literal["backend"] = "backend"
    id: str
    model: str = Field(description="The group or model that it serves.")
    url: str
    weight: int
    active: bool
    drained: bool = Field(description="Whether it gets no new requests by an operator's word.")
    source: str = Field(description="`api`, or the settings that describe it: only they can change it then.")
    static: bool = Field(description="Whether the admin API cannot change it; drain and undrain it can always.")
    state: str = Field(description="As /health/detailed says; `unknown` until the workers have heard of it.")
    reason: str
    circuit: str
    in_flight: int = Field(description="Requests of this host that are there now.")
    created_at: Moment | None
