"""What is one of the gateway's own paths? Who answers it, and under which heading it is described."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from gateway.core.asgi import Headers


@dataclass(frozen=True, slots=True)
class OwnPath:
    """One row of the own paths: the application answers by it, the document is made from it.

    Attributes:
        path: as FastAPI writes it; `{name:path}` at its end stands for the rest, which `answer` takes.
        tag: the heading it stands under.
        answer: makes the answer to GET, a dataclass, or raises `GatewayError`. Its name, its words and what it returns
            are the documentation.
        sparse: leaves out what is None.
        headers: further fields of the answer.
        answer_to: answers instead of `answer` where it matters who asks: takes the principal before anything else.
    """

    path: str
    tag: str
    answer: Callable[..., Any]
    sparse: bool = False
    headers: Headers = field(default_factory=list)
    answer_to: Callable[..., Any] | None = None
