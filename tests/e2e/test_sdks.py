"""What OpenAI's and Anthropic's own clients see: answers, streams, and errors of the right class."""

from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from typing import Any

import anthropic
import openai
import pytest

from tests.e2e.conftest import Fleet, MakeGateway, start_fleet
from tests.support.gateway import KEY, Gateway

QUESTION: Any = [{"role": "user", "content": "What is a gateway?"}]
TOOLS: Any = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
        },
    }
]


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """One gateway before all five servers."""
    with ExitStack() as stack:
        fleet = start_fleet(stack, "chat0", "chat1", "text2sql", "embed", "rerank")
        settings = {**fleet.settings(), "GATEWAY_WORKERS": 2, "MAX_RPS_PER_IP": 1000, "RPS_BURST": 1000}
        yield stack.enter_context(Gateway(tmp_path_factory.mktemp("gateway"), **settings))


@pytest.fixture
def client(gateway: Gateway) -> Iterator[openai.OpenAI]:
    """OpenAI's client, pointed here by its base_url alone."""
    with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=KEY, max_retries=0) as client:
        yield client


@pytest.fixture
async def async_client(gateway: Gateway) -> AsyncIterator[openai.AsyncOpenAI]:
    """The asynchronous form of the same."""
    async with openai.AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key=KEY, max_retries=0) as client:
        yield client


def test_chat(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="qwen", messages=QUESTION, max_tokens=20)
    assert answer.model == "qwen"
    assert answer.choices[0].message.content
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


def test_chat_streamed(client: openai.OpenAI) -> None:
    stream = client.chat.completions.create(
        model="Qwen/Qwen2.5-7B-Instruct",
        messages=QUESTION,
        stream=True,
        max_tokens=20,
        stream_options={"include_usage": True},
    )
    events = list(stream)
    assert {event.model for event in events} == {"Qwen/Qwen2.5-7B-Instruct"}
    assert "".join(event.choices[0].delta.content or "" for event in events if event.choices)
    assert events[-1].usage is not None
    assert events[-1].usage.completion_tokens > 0


def test_two_choices(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="qwen", messages=QUESTION, n=2, max_tokens=5)
    assert [choice.index for choice in answer.choices] == [0, 1]


def test_tools(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model="qwen", messages=QUESTION, tools=TOOLS, tool_choice="required", max_tokens=200
    )
    calls = answer.choices[0].message.tool_calls
    assert calls
    assert calls[0].type == "function"
    assert calls[0].function.name == "get_weather"


def test_completions(client: openai.OpenAI) -> None:
    answer = client.completions.create(model="qwen", prompt="Once", max_tokens=5)
    assert answer.choices[0].text
    assert answer.model == "qwen"


def test_completions_streamed(client: openai.OpenAI) -> None:
    events = list(client.completions.create(model="qwen", prompt="Once", max_tokens=5, stream=True))
    assert "".join(event.choices[0].text for event in events if event.choices)


def test_responses(client: openai.OpenAI) -> None:
    answer = client.responses.create(model="Qwen/Qwen2.5-7B-Instruct", input="Hello", max_output_tokens=20)
    assert answer.output_text
    assert answer.model == "Qwen/Qwen2.5-7B-Instruct"


def test_responses_streamed(client: openai.OpenAI) -> None:
    events = list(client.responses.create(model="qwen", input="Hello", max_output_tokens=20, stream=True))
    assert events[0].type == "response.created"
    assert events[-1].type in {"response.completed", "response.incomplete"}


def test_embeddings(client: openai.OpenAI) -> None:
    answer = client.embeddings.create(model="snowflake-arctic-embed", input=["a cat", "a cat", "income tax"])
    first, second, third = (row.embedding for row in answer.data)
    assert answer.model == "snowflake-arctic-embed"
    assert first == second != third
    assert len(first) == 1024


def test_text2sql(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model="text2sql", messages=[{"role": "user", "content": "How many rows has table users(id, name)?"}]
    )
    assert answer.model == "text2sql"
    assert "SELECT" in (answer.choices[0].message.content or "")


def test_models(client: openai.OpenAI) -> None:
    names = {model.id for model in client.models.list()}
    assert {"qwen", "Qwen/Qwen2.5-7B-Instruct", "text2sql", "snowflake-arctic-embed", "bge-reranker-v2-m3"} <= names
    assert client.models.retrieve("Qwen/Qwen2.5-7B-Instruct").id == "Qwen/Qwen2.5-7B-Instruct"


@pytest.mark.anyio
async def test_chat_async(async_client: openai.AsyncOpenAI) -> None:
    answer = await async_client.chat.completions.create(model="qwen", messages=QUESTION, max_tokens=5)
    assert answer.choices[0].message.content


@pytest.mark.anyio
async def test_chat_async_streamed(async_client: openai.AsyncOpenAI) -> None:
    stream = await async_client.chat.completions.create(model="qwen", messages=QUESTION, max_tokens=5, stream=True)
    assert [event async for event in stream]


def test_a_wrong_key_is_an_authentication_error(gateway: Gateway) -> None:
    with (
        openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="sk-wrong") as client,
        pytest.raises(openai.AuthenticationError, match="incorrect API key") as refusal,
    ):
        client.models.list()
    assert refusal.value.code == "invalid_api_key"
    assert refusal.value.request_id


@pytest.mark.parametrize(
    ("wish", "error", "words"),
    [
        ({"model": "nope"}, openai.NotFoundError, "`nope` does not exist.*`qwen`"),
        ({"model": "snowflake-arctic-embed"}, openai.BadRequestError, "does not serve /v1/chat/completions"),
        ({"n": 16384}, openai.BadRequestError, "128"),
        ({"max_tokens": 100_000}, openai.BadRequestError, "8192"),
        ({"temperature": -1}, openai.BadRequestError, "temperature"),
        ({"store": True}, openai.BadRequestError, "store"),
        ({"stream": "yes"}, openai.BadRequestError, "stream"),
    ],
)
def test_mistakes_raise_the_sdks_own_errors(
    client: openai.OpenAI, wish: dict[str, Any], error: type[openai.APIStatusError], words: str
) -> None:
    request = {"model": "qwen", "messages": QUESTION, **wish}
    with pytest.raises(error, match=words) as refusal:
        client.chat.completions.create(**request)
    assert refusal.value.request_id


def test_an_image_for_a_text_model_never_leaves_the_house(client: openai.OpenAI) -> None:
    parts: Any = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://127.0.0.1/x.png"}}]}]
    with pytest.raises(openai.BadRequestError, match="reads text only"):
        client.chat.completions.create(model="qwen", messages=parts)


def test_a_previous_response_would_live_in_one_replica(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="previous_response_id"):
        client.responses.create(model="qwen", input="go on", previous_response_id="resp_1")


def test_the_rate_limit_is_a_rate_limit_error(whole_fleet: Fleet, make_gateway: MakeGateway) -> None:
    gateway = make_gateway(whole_fleet, MAX_RPS_PER_IP=0.01, RPS_BURST=1, RPS_WINDOW_SECS=0.25)
    with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=KEY, max_retries=0) as client:
        client.models.list()
        with pytest.raises(openai.RateLimitError, match="Rate limit reached"):
            client.models.list()


def test_the_sdk_waits_the_rate_limit_out(whole_fleet: Fleet, make_gateway: MakeGateway) -> None:
    gateway = make_gateway(whole_fleet, MAX_RPS_PER_IP=4, RPS_BURST=1, RPS_WINDOW_SECS=0.25)
    with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=KEY, max_retries=4) as client:
        assert [bool(client.models.list().data) for _ in range(4)] == [True] * 4


def test_a_stream_that_breaks_raises(whole_fleet: Fleet, make_gateway: MakeGateway) -> None:
    gateway = make_gateway(whole_fleet)
    for name in ("chat0", "chat1"):
        whole_fleet[name].set_fault("reset_mid_stream", after=4)
    with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=KEY, max_retries=0) as client:
        stream = client.chat.completions.create(model="qwen", messages=QUESTION, stream=True)
        with pytest.raises(openai.APIError, match="broke off"):
            list(stream)


def test_anthropic_messages(gateway: Gateway) -> None:
    with anthropic.Anthropic(base_url=gateway.url, api_key=KEY, max_retries=0) as client:
        answer = client.messages.create(model="qwen", max_tokens=20, messages=QUESTION)
        counted = client.messages.count_tokens(model="qwen", messages=QUESTION)
        with client.messages.stream(model="qwen", max_tokens=20, messages=QUESTION) as stream:
            text = stream.get_final_text()
    assert answer.model == "qwen"
    assert answer.usage.output_tokens > 0
    assert counted.input_tokens > 0
    assert text


def test_anthropic_errors_are_anthropics(gateway: Gateway) -> None:
    with (
        anthropic.Anthropic(base_url=gateway.url, api_key="wrong-key", max_retries=0) as client,
        pytest.raises(anthropic.AuthenticationError) as refusal,
    ):
        client.messages.create(model="qwen", max_tokens=5, messages=QUESTION)
    assert refusal.value.body == {
        "type": "error",
        "error": {"type": "authentication_error", "message": refusal.value.body["error"]["message"]},  # type: ignore[index]
        "request_id": refusal.value.response.headers["x-request-id"],
    }
