"""How does a model's card change a request? Members that are appended to its bytes: the last of duplicate keys wins.

The body is neither taken apart nor written anew. Only members that matter are looked at, by a decoder that skips all
others, so that what is appended depends on what vLLM would have read.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec
from msgspec import UNSET, Raw, UnsetType

from gateway.core.endpoint import Dialect, Endpoint
from gateway.core.model_card import ModelCard
from gateway.transforms.system import NO_CHAT, Prefix

RESERVED: Final = frozenset(
    {
        "model",
        "stream",
        "stream_options",
        "messages",
        "prompt",
        "input",
        "system",
        "instructions",
        "tools",
        "tool_choice",
        "functions",
        "documents",
        "text_1",
        "text_2",
        "queries",
        "n",
        "request_id",
        "cache_salt",
        "priority",
        "store",
        "background",
        "previous_response_id",
    }
)
"""What the gateway decides by, or says itself: no card may set these."""
BOUNDS: Final = ("max_tokens", "max_completion_tokens", "max_output_tokens")
"""Spellings of one bound: the default of one is none where a client states another, and one that is forced is all."""
OF_DIALECT: Final[Mapping[Dialect, tuple[str, ...]]] = {
    Dialect.OPENAI: ("max_tokens", "max_completion_tokens"),
    Dialect.RESPONSES: ("max_output_tokens",),
    Dialect.ANTHROPIC: ("max_tokens",),
}
"""The spellings that a dialect knows, the usual one first."""
KWARGS: Final = "chat_template_kwargs"
OUTPUT: Final = "output_config"
NO_EFFORT: Final = "none"
EFFORTS_OF_MESSAGES: Final = frozenset({"low", "medium", "high", "xhigh", "max"})
"""What vLLM takes as `output_config.effort`; anything else there is a 400."""
NULL: Final = b"null"

Compute = Callable[[Mapping[str, bytes]], bytes | None]
"""From what a body says of the members that matter, without those that are null: another text for one, or None."""

encode = msgspec.json.Encoder().encode
_object = msgspec.json.Decoder(dict[str, Raw]).decode


class Plan:
    """What a card does on one path.

    Args:
        rows: the member that each sets, and how.
        reads: what they look at.
    """

    def __init__(self, rows: list[tuple[str, Compute]], reads: set[str]) -> None:
        self._rows = [(encode(name) + b":", compute) for name, compute in rows]
        names = {f"m{place}": name for place, name in enumerate(sorted(reads))}
        fields = [(field, Raw | UnsetType, UNSET) for field in names]
        self._names = tuple(names.items())
        self._read = msgspec.json.Decoder(msgspec.defstruct("Members", fields, rename=names)).decode

    def members(self, body: bytes) -> bytes:
        """The members to append, as text; empty where there are none."""
        found = self._read(body)
        stated = {}
        for field, name in self._names:
            value = getattr(found, field)
            if value is not UNSET and (text := bytes(value)) != NULL:
                stated[name] = text
        texts = ((start, compute(stated)) for start, compute in self._rows)
        return b",".join([start + text for start, text in texts if text is not None])


class Shaper:
    """Does to requests what a card says; made once for a fleet.

    Args:
        card: the model's.
    """

    def __init__(self, card: ModelCard) -> None:
        self._card = card
        self._plans: dict[str, Plan] = {}

    def members(self, endpoint: Endpoint, body: bytes, priority: int) -> bytes:
        """What to append to the body of a request to `endpoint`, which `peek` accepted; empty: nothing.

        Where its backends schedule by priority, that of the key counts and not what a client states: lower runs first,
        and anybody could be first.
        """
        plan = self._plans.get(endpoint.path)
        if plan is None:
            plan = self._plans[endpoint.path] = _plan_for(self._card, endpoint)
        members = plan.members(body)
        if self._card.schedules_by_priority and endpoint.uses_engine:
            return b'%b%b"priority":%d' % (members, b"," if members else b"", priority)
        return members

    def headers(self, endpoint: Endpoint, priority: int) -> tuple[tuple[bytes, bytes], ...]:
        """What to say beside it: vLLM 0.32.0 has no place for a priority in a body of /v1/messages."""
        if self._card.schedules_by_priority and endpoint.dialect is Dialect.ANTHROPIC and endpoint.uses_engine:
            return ((b"x-vllm-priority", b"%d" % priority),)
        return ()


def _plan_for(card: ModelCard, endpoint: Endpoint) -> Plan:
    # What only counts tokens needs what the prompt depends on, and nothing else.
    rows = [row for row in _parameters(card, endpoint.dialect) if endpoint.uses_engine or row[0] == KWARGS]
    rows += _reasoning(card, endpoint)
    reads = {name for name, _ in rows} | {*BOUNDS, OUTPUT}
    if card.system_prompt_prefix and (member := Prefix.member_of(endpoint)):
        rows.append((member, Prefix(card.system_prompt_prefix, member).apply))
        reads.add(member)
    return Plan(rows, reads)


def _parameters(card: ModelCard, dialect: Dialect) -> list[tuple[str, Compute]]:
    """Forced ones, and defaults where nothing is forced."""
    forced = _spelled(card.forced_parameters, dialect, every=True)
    defaults = _spelled(card.default_parameters, dialect, every=False)
    rows: list[tuple[str, Compute]] = []
    for name, value in forced.items():
        rows.append((name, _merging(name, value, ours=True) if name == KWARGS else _always(value)))
    for name, value in defaults.items():
        if name not in forced and name != KWARGS:
            rows.append((name, _unless(BOUNDS if name in BOUNDS else (name,), value)))
    if KWARGS in defaults and KWARGS not in forced and KWARGS not in card.reasoning:
        rows.append((KWARGS, _merging(KWARGS, defaults[KWARGS], ours=False)))
    return rows


def _spelled(values: Mapping[str, Any], dialect: Dialect, *, every: bool) -> dict[str, Any]:
    """The same with the bound on an answer's length as the dialect spells it; `every`: in all its spellings."""
    spelled = {name: value for name, value in values.items() if name not in BOUNDS}
    stated = [values[name] for name in BOUNDS if name in values]
    if stated:
        names = OF_DIALECT[dialect]
        spelled.update(dict.fromkeys(names if every else names[:1], stated[0]))
    return spelled


def _reasoning(card: ModelCard, endpoint: Endpoint) -> list[tuple[str, Compute]]:
    """How it is to think, where the path knows of it; the client's own word counts."""
    rows: list[tuple[str, Compute]] = []
    if endpoint.path in NO_CHAT:
        return rows
    effort, kwargs = card.reasoning.get("reasoning_effort"), card.reasoning.get(KWARGS)
    defaults = card.default_parameters.get(KWARGS, {})
    merged = {**defaults, **kwargs} if kwargs else {}
    if effort is not None and "reasoning_effort" not in card.forced_parameters:
        if endpoint.dialect is Dialect.OPENAI and not endpoint.uses_engine:
            # /tokenize has no word for it, and chat makes these of the word
            merged = {"enable_thinking": effort != NO_EFFORT, "reasoning_effort": effort, **defaults, **merged}
        else:
            rows += EFFORT_OF[endpoint.dialect](card, effort)
    if merged and KWARGS not in card.forced_parameters:
        rows.append((KWARGS, _merging(KWARGS, merged, ours=False)))
    return rows


def _effort_of_chat(_: ModelCard, effort: object) -> list[tuple[str, Compute]]:
    return [("reasoning_effort", _unless(("reasoning_effort",), effort))]


def _effort_of_responses(_: ModelCard, effort: object) -> list[tuple[str, Compute]]:
    return [("reasoning", _merging("reasoning", {"effort": effort}, ours=False))]


def _effort_of_messages(card: ModelCard, effort: object) -> list[tuple[str, Compute]]:
    """In Anthropic's words, of which `minimal` is none; a card that states them itself has said enough."""
    if {OUTPUT, "thinking"} & (card.forced_parameters.keys() | card.default_parameters.keys()):
        return []
    if effort == NO_EFFORT:
        return [("thinking", _unless(("thinking", OUTPUT), {"type": "disabled"}))]
    if isinstance(effort, str) and effort in EFFORTS_OF_MESSAGES:
        return [(OUTPUT, _merging(OUTPUT, {"effort": effort}, ours=False))]
    return []


EFFORT_OF: Final[Mapping[Dialect, Callable[[ModelCard, object], list[tuple[str, Compute]]]]] = {
    Dialect.OPENAI: _effort_of_chat,
    Dialect.RESPONSES: _effort_of_responses,
    Dialect.ANTHROPIC: _effort_of_messages,
}
"""How a dialect says how hard a model is to think."""


def _always(value: Any) -> Compute:  # noqa: ANN401 -- any JSON
    text = encode(value)
    return lambda _: text


def _unless(names: tuple[str, ...], value: Any) -> Compute:  # noqa: ANN401 -- any JSON
    """A value where none of these is stated."""
    text = encode(value)
    return lambda stated: None if any(name in stated for name in names) else text


def _merging(name: str, members: Mapping[str, Any], *, ours: bool) -> Compute:
    """Members of an object that the client may have stated in part; `ours`: they overrule the client's."""
    texts = {key: Raw(encode(value)) for key, value in members.items()}

    def merged(stated: Mapping[str, bytes]) -> bytes | None:
        try:
            theirs = _object(stated.get(name, b"{}"))
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None  # no object, or names that are no text: the backend's to refuse
        return encode({**theirs, **texts} if ours else {**texts, **theirs})

    return merged
