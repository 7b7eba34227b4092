"""What does `/v1/completions` take and give?"""

from typing import Literal

from pydantic import Field

from gateway.api.schemas.common import Body, Sampling, TokenCounts


class CompletionRequest(Sampling):
    """A text, or several, to be continued."""

    prompt: str | list[str] | list[int] | list[list[int]] = Field(description="Texts, or texts as token ids.")
    model: str | None = Field(default=None, description="A name from `/v1/models`; the chat model when absent.")
    max_tokens: int | None = Field(default=16, ge=1, description="Tokens to generate at the most.")
    echo: bool | None = Field(default=None, description="Repeat the prompt before what is generated.")
    suffix: str | None = None


class CompletionChoice(Body):
    """One continuation."""

    index: int
    text: str
    finish_reason: str | None = None


class Completion(Body):
    """A whole answer."""

    id: str
    object: Literal["text_completion"] = "text_completion"
    created: int = Field(description="Seconds since 1970 UTC.")
    model: str
    choices: list[CompletionChoice]
    usage: TokenCounts | None = None
