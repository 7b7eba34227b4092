"""What do embedding and ranking share? Texts that are only read, and usage without completion tokens."""

from gateway.simulator import tokens
from gateway.simulator.exchange import Exchange
from gateway.simulator.service import Job, Service, full_usage

SPECIAL_TOKENS = 2
"""The marks at the beginning and the end of a text."""


def fitted(
    service: Service, given: str | list[int], truncate: int | None, *, marks: int = SPECIAL_TOKENS
) -> tuple[str, int]:
    """A text cut to the wanted number of tokens (-1: to the context), and its length with the marks around it.

    Token ids are taken as they are, without marks.

    Raises:
        Refusal: 400 when it is too long and was not to be cut.
    """
    around = marks if isinstance(given, str) else 0
    if truncate is None:
        text = given if isinstance(given, str) else tokens.decode(given)
        count = (len(service.tokens_of(given)) if isinstance(given, str) else len(given)) + around
        service.check_length(count)
        return text, count
    most = service.options.max_model_len if truncate == -1 else truncate
    pieces = tokens.split(given) if isinstance(given, str) else [tokens.decode([token]) for token in given]
    kept = pieces[: max(0, most - around)]
    return "".join(kept), min(len(pieces) + around, most)


async def finished(service: Service, exchange: Exchange, job: Job) -> None:
    """Wait until the engine has read all texts.

    Raises:
        ClientGone: the client left first.
        Refusal: the engine failed.
    """
    async with exchange.watched(lambda: service.leave(job)):
        async for _ in job.outbox.outputs():
            pass


def pooling_usage(prompt_tokens: int) -> dict[str, object]:
    """Usage of a request that generates nothing."""
    return full_usage(prompt_tokens, 0)
