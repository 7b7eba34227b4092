"""What does `/v1/tokenize` take and give?"""

from pydantic import Field

from gateway.api.schemas.chat import ChatMessage
from gateway.api.schemas.common import Body


class TokenizeRequest(Body):
    """A text, or a conversation in its model's template; one of the two."""

    prompt: str | None = Field(default=None, description="A text.")
    messages: list[ChatMessage] | None = Field(default=None, description="A conversation.")
    model: str | None = Field(default=None, description="A name from `/v1/models`; the chat model when absent.")
    add_special_tokens: bool | None = None
    return_token_strs: bool | None = None


class Tokens(Body):
    """The tokens of a text."""

    count: int
    max_model_len: int = Field(description="The model's context in tokens.")
    tokens: list[int]
    token_strs: list[str] | None = None
