"""What do embeddings, rerank and score take and give?"""

from typing import Literal

from pydantic import Field

from gateway.api.schemas.common import Body, TokenCounts


class EmbeddingRequest(Body):
    """Texts to be turned into vectors."""

    input: str | list[str] | list[int] | list[list[int]] = Field(description="Texts, or texts as token ids.")
    model: str | None = Field(default=None, description="A name from `/v1/models`; the embedding model when absent.")
    encoding_format: Literal["float", "base64"] = Field(
        default="float", description="base64: little-endian 32-bit floats."
    )
    dimensions: int | None = Field(default=None, ge=1, description="Only for models trained for shorter vectors.")
    truncate_prompt_tokens: int | None = Field(
        default=None, ge=-1, description="Cut longer texts to so many tokens; -1: to the model's context."
    )


class Embedding(Body):
    """One text's vector."""

    index: int
    object: Literal["embedding"] = "embedding"
    embedding: list[float] | str


class EmbeddingList(Body):
    """The vectors, in the order of the texts."""

    id: str | None = None
    object: Literal["list"] = "list"
    created: int | None = None
    model: str
    data: list[Embedding]
    usage: TokenCounts


class RerankRequest(Body):
    """Documents to be ordered by how well they answer a query."""

    query: str
    documents: list[str] = Field(min_length=1)
    model: str | None = Field(default=None, description="A reranker or an embedding model; the reranker when absent.")
    top_n: int | None = Field(default=None, ge=0, description="The best so many; 0 or absent: all.")


class RankedText(Body):
    """A document as it was sent."""

    text: str


class RankedDocument(Body):
    """One document with its score."""

    index: int = Field(description="Its place in the request.")
    document: RankedText
    relevance_score: float = Field(description="Between 0 and 1 for the reranker.")


class RerankAnswer(Body):
    """The documents, the best first."""

    id: str
    model: str
    usage: TokenCounts
    results: list[RankedDocument]


class ScoreRequest(Body):
    """Pairs of texts to be compared: one with many, or as many with as many."""

    text_1: str | list[str]
    text_2: str | list[str]
    model: str | None = Field(default=None, description="A reranker or an embedding model; the reranker when absent.")


class Score(Body):
    """One pair's score."""

    index: int
    object: Literal["score"] = "score"
    score: float


class ScoreList(Body):
    """The scores, in the order of the pairs."""

    id: str | None = None
    object: Literal["list"] = "list"
    created: int | None = None
    model: str
    data: list[Score]
    usage: TokenCounts
