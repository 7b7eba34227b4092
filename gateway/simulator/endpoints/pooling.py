"""What do embedding and ranking share? Texts that are only read, and usage without completion tokens."""

from gateway.simulator import tokens
from gateway.simulator.exchange import Exchange
from gateway.simulator.service import Job, Service, full_usage

SPECIAL_TOKENS = 2
"""The marks at the beginning and the end of a text."""


def fitted(service: Service, text: str, truncate: int | None, *, marks: int = SPECIAL_TOKENS) -> tuple[str, int]:
    """A text cut to the wanted number of tokens (-1: to the context), and its length with the marks around it.

    Raises:
        Refusal: 400 when it is too long and was not to be cut.
    """
    if truncate is None:
        count = len(service.tokens_of(text)) + marks
        service.check_length(count)
        return text, count
    most = service.options.max_model_len if truncate == -1 else truncate
    pieces = tokens.split(text)
    if len(pieces) + marks <= most:
        return text, len(pieces) + marks
    return "".join(pieces[: max(0, most - marks)]), most


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
