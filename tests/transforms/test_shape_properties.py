"""What vLLM reads of a shaped body is what a parse, a change and a dump would have given it."""

import itertools
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.endpoint import Dialect, Endpoint
from gateway.core.model_card import ModelCard
from gateway.payload.splice import splice
from gateway.transforms.shape import BOUNDS, KWARGS, OF_DIALECT, Shaper
from tests.core.requests import CHAT, MESSAGES, RESPONSES

COMPLETIONS = Endpoint("/v1/completions", frozenset({"POST"}), upstream_path=b"/v1/completions", streams=True)
PREFIXED = {CHAT.path: "messages", MESSAGES.path: "system", RESPONSES.path: "instructions"}

texts = st.text(st.characters(codec="utf-8"), max_size=8)
scalars = st.none() | st.booleans() | st.integers(-5, 5) | texts
anything = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3))
names = st.sampled_from(["temperature", "top_p", "stop", *BOUNDS, "é"])
values = st.integers(0, 9) | texts | st.lists(st.integers(0, 3), max_size=2)
kwargs = st.dictionaries(st.sampled_from(["a", "b", "enable_thinking"]), st.booleans(), max_size=2)
parameters = st.dictionaries(names, values, max_size=4)
cards = st.builds(
    lambda defaults, forced, prefix, effort, template: ModelCard(
        name="m",
        default_parameters=defaults,
        forced_parameters=forced,
        system_prompt_prefix=prefix,
        reasoning={
            **({"reasoning_effort": effort} if effort else {}),
            **({KWARGS: template} if template else {}),
        },
    ),
    parameters,
    parameters,
    texts,
    st.sampled_from(["", "low", "none"]),
    kwargs,
)
parts = st.lists(st.fixed_dictionaries({"type": st.just("text"), "text": texts}), max_size=2)
contents = st.none() | texts | parts | st.integers(0, 3)
messages = st.lists(
    st.dictionaries(st.sampled_from(["name", "x"]), texts, max_size=1).flatmap(
        lambda rest: st.fixed_dictionaries(
            {"role": st.sampled_from(["system", "user", "developer"]), "content": contents}
        ).map(lambda message: {**rest, **message})
    )
    | scalars,
    max_size=3,
)
members = st.one_of(
    st.tuples(names, scalars),
    st.tuples(st.just("messages"), messages | scalars),
    st.tuples(st.sampled_from(["system", "instructions"]), contents),
    st.tuples(st.just(KWARGS), kwargs | scalars),
    st.tuples(st.just("reasoning"), st.dictionaries(st.sampled_from(["effort", "x"]), texts, max_size=2) | scalars),
    st.tuples(st.sampled_from(["reasoning_effort", "thinking"]), scalars),
    st.tuples(st.just("output_config"), st.dictionaries(st.sampled_from(["effort", "x"]), texts, max_size=2) | scalars),
    st.tuples(texts, anything),
)


def spelled(pairs: list[tuple[str, Any]], spaces: str, *, escaped: bool) -> bytes:
    """A body with these members, duplicates included, in an odd spelling."""

    def name(text: str) -> str:
        if escaped and text.isascii() and text:
            return '"' + f"\\u{ord(text[0]):04x}" + orjson.dumps(text[1:]).decode()[1:]
        return orjson.dumps(text).decode()

    inside = ",".join(f"{spaces}{name(key)}{spaces}:{spaces}{orjson.dumps(value).decode()}" for key, value in pairs)
    return f"{{{inside}{spaces}}}{spaces}".encode()


def joined(prefix: str, own: Any) -> Any:
    """The naive system prompt; the same where it is none that vLLM takes."""
    if own is None:
        return prefix
    if isinstance(own, str):
        return f"{prefix}\n\n{own}"
    if isinstance(own, list):
        return [{"type": "text", "text": f"{prefix}\n\n"}, *own]
    return own


def naive_system(card: ModelCard, path: str, body: dict[str, Any]) -> None:
    member = PREFIXED.get(path)
    if member is None or not card.system_prompt_prefix:
        return
    if member != "messages":
        body[member] = joined(card.system_prompt_prefix, body.get(member))
        return
    own = body.get("messages")
    if not isinstance(own, list) or not own:
        return
    if isinstance(own[0], dict) and own[0].get("role") == "system":
        own[0]["content"] = joined(card.system_prompt_prefix, own[0].get("content"))
    else:
        own.insert(0, {"role": "system", "content": card.system_prompt_prefix})


def naive_reasoning(card: ModelCard, endpoint: Endpoint, read: dict[str, Any], body: dict[str, Any]) -> None:
    stated = {name for name, value in read.items() if value is not None}
    effort = card.reasoning.get("reasoning_effort")
    objects = {KWARGS: card.reasoning.get(KWARGS)}
    if endpoint.dialect is Dialect.RESPONSES:
        objects["reasoning"] = effort and {"effort": effort}
    elif endpoint.dialect is Dialect.ANTHROPIC and effort == "none":
        if not stated & {"thinking", "output_config"}:
            body["thinking"] = {"type": "disabled"}
    elif endpoint.dialect is Dialect.ANTHROPIC:
        objects["output_config"] = effort and {"effort": effort}
    elif effort and "reasoning_effort" not in stated:
        body["reasoning_effort"] = effort
    for name, ours in objects.items():
        theirs = read.get(name)
        if ours and (theirs is None or isinstance(theirs, dict)):
            body[name] = {**ours, **(theirs or {})}


def naive(card: ModelCard, endpoint: Endpoint, read: dict[str, Any]) -> dict[str, Any]:
    """Parse, change, dump."""
    body = dict(read)
    stated = {name for name, value in read.items() if value is not None}
    bound = OF_DIALECT[endpoint.dialect]
    forced = {name: value for name, value in card.forced_parameters.items() if name not in BOUNDS}
    for value in itertools.islice((card.forced_parameters[n] for n in BOUNDS if n in card.forced_parameters), 1):
        forced.update(dict.fromkeys(bound, value))
    defaults = {name: value for name, value in card.default_parameters.items() if name not in BOUNDS}
    for value in itertools.islice((card.default_parameters[n] for n in BOUNDS if n in card.default_parameters), 1):
        if not stated & set(BOUNDS):
            defaults[bound[0]] = value
    body.update({name: value for name, value in defaults.items() if name not in stated})
    body.update(forced)
    if endpoint.path != COMPLETIONS.path:
        naive_reasoning(card, endpoint, read, body)
    naive_system(card, endpoint.path, body)
    return body


@pytest.mark.parametrize("endpoint", [CHAT, COMPLETIONS, MESSAGES, RESPONSES], ids=lambda endpoint: endpoint.path)
@given(
    card=cards,
    pairs=st.lists(members, max_size=7),
    spaces=st.sampled_from(["", " ", "\n\t "]),
    escaped=st.booleans(),
)
def test_the_splice_reads_as_a_parse_a_change_and_a_dump(
    endpoint: Endpoint, card: ModelCard, pairs: list[tuple[str, Any]], spaces: str, *, escaped: bool
) -> None:
    body = spelled(pairs, spaces, escaped=escaped)
    appended = Shaper(card).members(endpoint, body, 0)
    shaped = splice(body, appended) if appended else body
    assert shaped.startswith(body.rstrip()[:-1].rstrip()) or not appended
    assert orjson.loads(shaped) == naive(card, endpoint, orjson.loads(body))
