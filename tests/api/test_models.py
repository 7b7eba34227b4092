"""The list of models, as OpenAI's clients read it."""

import httpx
import openai
import pytest

from gateway.core.principal import Principal
from tests.api.served import FleetByHand, own_of, serving

pytestmark = pytest.mark.anyio

NAMES = {
    "qwen": "Qwen/Qwen2.5-7B-Instruct",
    "Qwen/Qwen2.5-7B-Instruct": "Qwen/Qwen2.5-7B-Instruct",
    "text2sql": "Snowflake/Arctic-Text2SQL-R1-7B",
    "Snowflake/Arctic-Text2SQL-R1-7B": "Snowflake/Arctic-Text2SQL-R1-7B",
    "snowflake-arctic-embed": "Snowflake/snowflake-arctic-embed-l-v2.0",
    "Snowflake/snowflake-arctic-embed-l-v2.0": "Snowflake/snowflake-arctic-embed-l-v2.0",
    "bge-reranker-v2-m3": "BAAI/bge-reranker-v2-m3",
    "BAAI/bge-reranker-v2-m3": "BAAI/bge-reranker-v2-m3",
}


async def test_every_model_and_alias_is_listed_once_with_its_root(client: httpx.AsyncClient) -> None:
    body = (await client.get("/v1/models")).json()
    assert body["object"] == "list"
    assert {card["id"]: card["root"] for card in body["data"]} == NAMES
    assert len(body["data"]) == len(NAMES)
    assert {card["object"] for card in body["data"]} == {"model"}


async def test_the_owner_is_the_organization_in_the_models_name(client: httpx.AsyncClient) -> None:
    cards = (await client.get("/v1/models")).json()["data"]
    owners = {card["id"]: card["owned_by"] for card in cards}
    assert owners["text2sql"] == "Snowflake"
    assert owners["qwen"] == owners["Qwen/Qwen2.5-7B-Instruct"] == "Qwen"


async def test_the_context_length_is_told_as_soon_as_it_is_known(client: httpx.AsyncClient, fleet: FleetByHand) -> None:
    assert "max_model_len" not in (await client.get("/v1/models/qwen")).json()
    fleet.lengths["chat"] = 8192
    assert (await client.get("/v1/models/qwen")).json()["max_model_len"] == 8192


@pytest.mark.parametrize("spelling", ["Qwen/Qwen2.5-7B-Instruct", "Qwen%2FQwen2.5-7B-Instruct"])
async def test_one_model_is_found_by_an_id_with_a_slash(client: httpx.AsyncClient, spelling: str) -> None:
    answer = await client.get(f"/v1/models/{spelling}")
    assert answer.status_code == 200
    assert answer.json()["id"] == "Qwen/Qwen2.5-7B-Instruct"


async def test_an_unknown_model_is_a_404_that_names_the_known_ones(client: httpx.AsyncClient) -> None:
    answer = await client.get(f"/v1/models/{'x' * 500}")
    assert answer.status_code == 404
    error = answer.json()["error"]
    assert error["code"] == "model_not_found"
    assert error["param"] == "model"
    assert "`qwen`" in error["message"]
    assert "x" * 65 not in error["message"]


async def test_openais_own_client_reads_list_and_model(client: httpx.AsyncClient) -> None:
    async with openai.AsyncOpenAI(api_key="sk-demo", base_url=f"{client.base_url}/v1", max_retries=0) as sdk:
        listed = [model.id async for model in sdk.models.list()]
        assert set(listed) == set(NAMES)
        assert (await sdk.models.retrieve("BAAI/bge-reranker-v2-m3")).owned_by == "BAAI"
        with pytest.raises(openai.NotFoundError, match="gpt-4"):
            await sdk.models.retrieve("gpt-4")


async def test_a_key_sees_the_models_that_it_allows_and_no_others(fleet: FleetByHand) -> None:
    principal = Principal("org:acme", "key1", models=frozenset({"qwen", "BAAI/bge-reranker-v2-m3"}))
    allowed = {"qwen", "Qwen/Qwen2.5-7B-Instruct", "bge-reranker-v2-m3", "BAAI/bge-reranker-v2-m3"}
    async with serving(own_of(fleet, principal)) as url, httpx.AsyncClient(base_url=url, trust_env=False) as client:
        assert {card["id"] for card in (await client.get("/v1/models")).json()["data"]} == allowed
        for name in NAMES:
            answer = await client.get(f"/v1/models/{name}")
            assert answer.status_code == (200 if name in allowed else 404)
            if name not in allowed:  # as if there were none: neither this one nor others that it may not use
                assert answer.json()["error"]["code"] == "model_not_found"
                known = answer.json()["error"]["message"].partition("Known models:")[2]
                assert not any(f"`{other}`" in known for other in NAMES.keys() - allowed)
