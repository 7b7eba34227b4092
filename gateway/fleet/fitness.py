"""Is that a model that could be served? The checks of one card, the same for YAML and for the admin API."""

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from gateway.core.model_card import BackendCard, ModelCard
from gateway.core.tool_parsers import PARSERS
from gateway.routing.choices import Balancing
from gateway.transforms.shape import KWARGS, RESERVED
from gateway.upstream.address import Address

NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~:@+=,/-]{0,199}")
"""What `GET /v1/models/{id}` can ask for."""
BACKEND_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
PARAMETER: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
MAX_WEIGHT: Final = 100
MAX_PREFIX: Final = 32_768
"""Characters of a system prompt's beginning, four times as many as tokens fit an 8k context."""
MAX_PARAMETERS: Final = 65_536
"""Bytes of JSON that a card's parameters may add to each request."""
REASONING: Final = frozenset({"reasoning_effort", KWARGS})


def check_model(card: ModelCard) -> None:
    """Refuse a card that says what cannot be done.

    Raises:
        ValueError: with one sentence that names the member at fault.
    """
    for name in (card.name, *card.aliases, *((card.model,) if card.model else ())):
        if not NAME.fullmatch(name):
            raise ValueError(f"models.{card.name}: {name!r} is no name of a model (letters, digits and ._~:@+=,/-)")
    policies = [policy.value for policy in Balancing]
    if card.policy is not None and card.policy not in policies:
        raise ValueError(f"models.{card.name}.policy is {card.policy!r}: there are {', '.join(policies)}")
    if card.tool_call_parser and card.tool_call_parser not in PARSERS:
        known = ", ".join(sorted(PARSERS))
        raise ValueError(f"models.{card.name}.tool_call_parser is {card.tool_call_parser!r}: vLLM has {known}")
    if len(card.system_prompt_prefix) > MAX_PREFIX:
        raise ValueError(f"models.{card.name}.system_prompt_prefix may have {MAX_PREFIX} characters at the most")
    _check_parameters(card)
    for backend in card.backends:
        check_backend(backend)


def check_backend(card: BackendCard) -> None:
    """Refuse a backend that cannot be asked, or must not be.

    Raises:
        ValueError: likewise.
    """
    if not BACKEND_NAME.fullmatch(card.name):
        raise ValueError(f"{card.name!r} is no name of a backend (letters, digits, dots, dashes; 64 at the most)")
    if not 1 <= card.weight <= MAX_WEIGHT:
        raise ValueError(f"the weight of {card.name} is {card.weight}: it must be 1 to {MAX_WEIGHT}")
    if card.url.lower().rstrip("/").endswith("/v1"):
        raise ValueError(f"the url of {card.name} ends with /v1: leave that out, the gateway adds the paths")
    Address.parse(card.url)


def _check_parameters(card: ModelCard) -> None:
    for member in ("default_parameters", "forced_parameters", "reasoning"):
        values: Mapping[str, Any] = getattr(card, member)
        place = f"models.{card.name}.{member}"
        for key in values:
            if not PARAMETER.fullmatch(key):
                raise ValueError(f"{place} has a member {key!r}, which is no field of a request")
            if key in RESERVED:
                raise ValueError(f"{place}.{key} is the gateway's or the client's own to say")
        if not isinstance(values.get(KWARGS, {}), dict):
            raise ValueError(f"{place}.{KWARGS} must be an object")  # noqa: TRY004 -- pydantic's way
        try:
            size = len(msgspec.json.encode(values))
        except (TypeError, ValueError) as error:
            raise ValueError(f"{place} is no JSON: {error}") from None
        if size > MAX_PARAMETERS:
            raise ValueError(f"{place} may have {MAX_PARAMETERS} bytes at the most")
    for key in card.reasoning:
        if key not in REASONING:
            known = ", ".join(sorted(REASONING))
            raise ValueError(f"models.{card.name}.reasoning has no member {key!r}: there are {known}")
