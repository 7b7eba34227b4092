"""What does each relayed path do? One documented row per path: its words, its bodies, an example that works."""

from dataclasses import dataclass, field

from gateway.api.schemas import chat, completions, messages, responses, tokenize, vectors
from gateway.api.schemas.common import Body, JsonObject


@dataclass(frozen=True, slots=True)
class Operation:
    """The documentation of one relayed path.

    Attributes:
        path: the path, which is a row of `ENDPOINTS` too.
        tag: the heading it stands under.
        summary: a few words.
        description: what a caller must know beyond the schema.
        request: the body's model.
        answer: the answer's model, when it is not streamed.
        example: a body that works; the model's name is filled in from the configured fleet.
        stream: what a streamed answer looks like; empty where nothing streams.
    """

    path: str
    tag: str
    summary: str
    description: str
    request: type[Body]
    answer: type[Body]
    example: JsonObject = field(hash=False)
    stream: str = ""


_CHUNKS = (
    'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":0,"model":"qwen",'
    '"choices":[{"index":0,"delta":{"content":"Hello"},"finish_reason":null}]}\n\ndata: [DONE]\n\n'
)
_SQL = (
    "Database schema:\nCREATE TABLE orders (id INT, customer TEXT, total NUMERIC, placed DATE);\n\n"
    "Question: What did each customer spend in 2025?"
)
_RERANK = {
    "query": "How do I reset my password?",
    "documents": ["Choose 'Forgot password' on the sign-in page.", "We deliver to 30 countries."],
}
_RERANK_WORDS = "The documents in the order of their relevance to the query. An embedding model ranks by similarity."

OPERATIONS: tuple[Operation, ...] = (
    Operation(
        path="/v1/chat/completions",
        tag="Chat",
        summary="Answer in a conversation",
        description=(
            "OpenAI's chat completions. Text-to-SQL models answer here too, by name. A stream ends with "
            "`data: [DONE]`; one that ends otherwise has failed, and its last event is then an `error`."
        ),
        request=chat.ChatRequest,
        answer=chat.ChatCompletion,
        example={"messages": [{"role": "user", "content": "Say hello in five languages."}], "max_tokens": 128},
        stream=_CHUNKS,
    ),
    Operation(
        path="/v1/text2sql",
        tag="Chat",
        summary="Turn a question into SQL",
        description="A chat body for the text-to-SQL model; the model's name may be left out.",
        request=chat.TextToSqlRequest,
        answer=chat.ChatCompletion,
        example={"messages": [{"role": "user", "content": _SQL}], "max_tokens": 1024},
        stream=_CHUNKS,
    ),
    Operation(
        path="/v1/completions",
        tag="Chat",
        summary="Continue a text",
        description="OpenAI's older completions: the text is continued as it stands, without a chat template.",
        request=completions.CompletionRequest,
        answer=completions.Completion,
        example={"prompt": "Once upon a time", "max_tokens": 64},
        stream=(
            'data: {"id":"cmpl-1","object":"text_completion","created":0,"model":"qwen",'
            '"choices":[{"index":0,"text":" there","finish_reason":null}]}\n\ndata: [DONE]\n\n'
        ),
    ),
    Operation(
        path="/v1/responses",
        tag="Chat",
        summary="Answer through the Responses API",
        description=(
            "OpenAI's responses, without state: `previous_response_id`, `background` and `store: true` are refused. "
            "A stream ends with `response.completed`, `response.incomplete` or `response.failed`, without `[DONE]`."
        ),
        request=responses.ResponseRequest,
        answer=responses.ModelResponse,
        example={"input": "Say hello in five languages.", "max_output_tokens": 128},
        stream=(
            "event: response.output_text.delta\n"
            'data: {"type":"response.output_text.delta","delta":"Hello","sequence_number":4}\n\n'
        ),
    ),
    Operation(
        path="/v1/messages",
        tag="Anthropic",
        summary="Answer through the Messages API",
        description=(
            "Anthropic's messages; the key may come as `x-api-key`. Errors have Anthropic's form. "
            "A stream ends with `message_stop`."
        ),
        request=messages.MessageRequest,
        answer=messages.MessageAnswer,
        example={"messages": [{"role": "user", "content": "Say hello in five languages."}], "max_tokens": 128},
        stream=(
            "event: content_block_delta\n"
            'data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hello"}}\n\n'
        ),
    ),
    Operation(
        path="/v1/messages/count_tokens",
        tag="Anthropic",
        summary="Count a conversation's tokens",
        description="Anthropic's token count; nothing is generated.",
        request=messages.TokenCountRequest,
        answer=messages.TokenCount,
        example={"messages": [{"role": "user", "content": "Say hello in five languages."}]},
    ),
    Operation(
        path="/v1/embeddings",
        tag="Retrieval",
        summary="Turn texts into vectors",
        description="OpenAI's embeddings.",
        request=vectors.EmbeddingRequest,
        answer=vectors.EmbeddingList,
        example={"input": ["The invoice is overdue.", "Please pay the bill."]},
    ),
    Operation(
        path="/v1/rerank",
        tag="Retrieval",
        summary="Order documents by relevance",
        description=_RERANK_WORDS,
        request=vectors.RerankRequest,
        answer=vectors.RerankAnswer,
        example=_RERANK,
    ),
    Operation(
        path="/v2/rerank",
        tag="Retrieval",
        summary="Order documents by relevance",
        description=f"{_RERANK_WORDS} The same as `/v1/rerank`, where Cohere's clients look for it.",
        request=vectors.RerankRequest,
        answer=vectors.RerankAnswer,
        example=_RERANK,
    ),
    Operation(
        path="/v1/score",
        tag="Retrieval",
        summary="Score pairs of texts",
        description="How well each pair fits: one text with many, or as many with as many.",
        request=vectors.ScoreRequest,
        answer=vectors.ScoreList,
        example={"text_1": "What is the capital of France?", "text_2": ["Paris.", "A baguette."]},
    ),
    Operation(
        path="/v1/tokenize",
        tag="Retrieval",
        summary="Split a text into tokens",
        description="The tokens of a text, or of a conversation, in any model's vocabulary; nothing is generated.",
        request=tokenize.TokenizeRequest,
        answer=tokenize.Tokens,
        example={"prompt": "Say hello in five languages."},
    ),
)
