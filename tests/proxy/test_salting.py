"""With CACHE_SALT=org whatever generates bears its organization's salt, and nothing else does."""

import orjson
import pytest

from gateway.api.endpoints import find
from gateway.cache.salt import Salts
from gateway.core.endpoint import Endpoint, ModelKind
from gateway.core.fleet import Backend, BackendGroup
from gateway.payload.settings import PayloadSettings
from gateway.proxy.salting import SaltingPlanner
from gateway.routing.registry import Registry
from tests.core.requests import CHAT, EMBEDDINGS, MESSAGES, RESPONSES, context
from tests.proxy.fakes import GROUP

pytestmark = pytest.mark.anyio

EMBED = BackendGroup("embed", ModelKind.EMBEDDING, "Snow/embed-l", ("embed",), (Backend("embed", "http://e:8000"),))
PLANNER = SaltingPlanner(Registry([GROUP, EMBED]), PayloadSettings(), lambda _: 8192, Salts("secret"))


def salt(endpoint: Endpoint, body: bytes, organization: str = "org:a") -> object:
    ctx = context(endpoint, body=body, organization=organization)
    assert PLANNER.plan(ctx) is None
    return orjson.loads(ctx.plan.body).get("cache_salt")


@pytest.mark.parametrize("endpoint", [CHAT, RESPONSES, MESSAGES], ids=lambda endpoint: endpoint.path)
async def test_what_generates_bears_its_organizations_salt(endpoint: Endpoint) -> None:
    body = b'{"messages":[],"input":"a","max_tokens":1,"cache_salt":"mine"}'
    salts = {salt(endpoint, body, organization) for organization in ("org:a", "org:b")}
    assert len(salts) == 2
    assert all(isinstance(found, str) and len(found) == 32 for found in salts)


async def test_what_computes_alone_is_left_as_it_is() -> None:
    assert salt(EMBEDDINGS, b'{"input":"a"}') is None


@pytest.mark.parametrize(
    ("body", "shareable"),
    [
        (b'{"messages":[],"temperature":0}', True),
        (b'{"messages":[],"temperature":0.0,"n":2}', True),
        (b'{"messages":[],"temperature":0.1}', False),
        (b'{"messages":[],"temperature":"0"}', False),
        (b'{"messages":[]}', False),
    ],
)
async def test_chat_may_be_shared_at_an_explicit_temperature_of_0(body: bytes, *, shareable: bool) -> None:
    chat = find("/v1/chat/completions", b"/v1/chat/completions")
    assert chat is not None
    ctx = context(chat, body=body)
    PLANNER.plan(ctx)
    assert ctx.shareable is shareable
