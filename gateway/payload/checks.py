"""May a request ask for this at all? Rules as rows, judged before anything is reserved."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NamedTuple

from gateway.core.endpoint import Dialect
from gateway.core.errors import BadRequestError, UnsupportedFeatureError
from gateway.payload.peek import Peek

if TYPE_CHECKING:
    from gateway.payload.settings import PayloadSettings

_STATEFUL: Final = "This gateway keeps no state between requests: '{param}' is not supported."


class Case(NamedTuple):
    """One request under judgement."""

    peek: Peek
    dialect: Dialect
    limits: "PayloadSettings"


class Rule(NamedTuple):
    """A row: what is refused, and in which words; `{limit}` stands for the bound."""

    param: str
    refuses: Callable[[Case], bool]
    message: str
    error: type[BadRequestError] = BadRequestError
    limit: "Callable[[PayloadSettings], int]" = lambda _limits: 0


RULES: Final = (
    Rule("previous_response_id", lambda case: case.peek.previous_response_id, _STATEFUL, UnsupportedFeatureError),
    Rule("background", lambda case: case.peek.background, _STATEFUL, UnsupportedFeatureError),
    Rule("store", lambda case: case.peek.store, _STATEFUL, UnsupportedFeatureError),
    Rule(
        "n",
        lambda case: case.peek.n > case.limits.max_choices,
        "'{param}' may be {limit} at the most.",
        limit=lambda limits: limits.max_choices,
    ),
    Rule(
        "prompt",
        lambda case: case.peek.prompts > case.limits.max_batch,
        "'{param}' may hold {limit} prompts at the most.",
        limit=lambda limits: limits.max_batch,
    ),
    Rule(
        "n",
        lambda case: case.peek.prompts * case.peek.n > case.limits.max_batch,
        "'{param}' times the number of prompts may be {limit} at the most.",
        limit=lambda limits: limits.max_batch,
    ),
    Rule(
        "input",
        # A list is a batch for embeddings, but the turns of one conversation for responses.
        lambda case: case.dialect is not Dialect.RESPONSES and case.peek.inputs > case.limits.max_batch,
        "'{param}' may hold {limit} inputs at the most.",
        limit=lambda limits: limits.max_batch,
    ),
    Rule(
        "documents",
        lambda case: case.peek.documents > case.limits.max_batch,
        "'{param}' may hold {limit} texts at the most.",
        limit=lambda limits: limits.max_batch,
    ),
)


def check_request(peek: Peek, dialect: Dialect, limits: "PayloadSettings") -> None:
    """Refuse what no model of this gateway may be asked.

    Raises:
        UnsupportedFeatureError: the request asks for state that would live in one replica.
        BadRequestError: it asks for more choices, prompts, inputs or documents than one request may.
    """
    # No rule could refuse it, as nearly always: eight rules cost ten times this look.
    if (
        peek.n == peek.prompts == peek.inputs == 1
        and not peek.documents
        and not (peek.previous_response_id or peek.background or peek.store)
    ):
        return
    case = Case(peek, dialect, limits)
    for rule in RULES:
        if rule.refuses(case):
            raise rule.error(rule.message.format(param=rule.param, limit=rule.limit(limits)), param=rule.param)


def check_model_fit(peek: Peek, *, context: int | None) -> None:
    """Refuse what the chosen model cannot do; every model of this gateway reads text alone.

    Args:
        peek: what the request asks for.
        context: the model's context length in tokens (`max_model_len` of its `/v1/models` row), None when unknown.

    Raises:
        UnsupportedFeatureError: images, audio, video or files.
        BadRequestError: an answer longer than the model's context, which vLLM refuses too.
    """
    if peek.has_media:
        raise UnsupportedFeatureError("This model reads text only: images, audio, video and files are not supported.")
    if context is not None and peek.max_tokens is not None and peek.max_tokens > context:
        message = f"At most {context} tokens fit this model's context, {peek.max_tokens} were asked for."
        raise BadRequestError(message, param="max_tokens")
