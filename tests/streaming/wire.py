"""What does vLLM write? Its events, byte for byte as vLLM 0.32 sends them, with the parts that vary as arguments."""

from collections.abc import Iterable
from itertools import pairwise

import orjson

from gateway.core.endpoint import Dialect
from gateway.streaming.relay import StreamRelay

HEAD = b'"id":"chatcmpl-912529492fa6bc81","object":"chat.completion.chunk","created":1795225026,"model":"qwen"'
DONE = b"data: [DONE]\n\n"
IN_BAND_ERROR = (
    b'data: {"error": {"message": "EngineCore encountered an issue.", "type": "InternalServerError", '
    b'"param": null, "code": 500}}\n\n'
)

NASTY = (
    '"model":"qwen"',
    "data: [DONE]",
    "\n\ndata: [DONE]\n\n",
    '"usage":{',
    '}],"usage":{"prompt_tokens":1}',
    '"finish_reason":"abort"',
    'data: {"error": {"message": "x"}}',
    "event: error\ndata: {}\n\n",
    "event: message_stop",
    '"choices":[]',
    ": ping",
    "\r\n",
    "abort",
)
"""What a model may write, and a relay misread."""


def figures(prompt: int, completion: int) -> bytes:
    return (
        b',"usage":{"prompt_tokens":%d,"total_tokens":%d,"completion_tokens":%d,"completion_tokens_details":null}'
        % (prompt, prompt + completion, completion)
    )


def chunk(content: str = "hi", *, finish: str | None = None, usage: bytes = b"", index: int = 0) -> bytes:
    """One chunk of a chat stream."""
    return b'data: {%b,"choices":[{"index":%d,"delta":{"content":%b},"logprobs":null,"finish_reason":%b}]%b}\n\n' % (
        HEAD,
        index,
        orjson.dumps(content),
        orjson.dumps(finish),
        usage,
    )


def role_chunk(usage: bytes = b"") -> bytes:
    """The first chunk, in which the figures stand before the last members."""
    return (
        b'data: {%b,"choices":[{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,'
        b'"finish_reason":null}]%b,"prompt_token_ids":null,"prompt_text":null}\n\n' % (HEAD, usage)
    )


def totals(prompt: int, completion: int) -> bytes:
    """The event that only states the stream's usage."""
    return (
        b'data: {%b,"choices":[],"usage":{"prompt_tokens":%d,"total_tokens":%d,"completion_tokens":%d},'
        b'"system_fingerprint":"vllm-0.32.0-87c92627"}\n\n' % (HEAD, prompt, prompt + completion, completion)
    )


def typed(name: str, data: bytes) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (name.encode(), data)


def response_event(word: str, *, status: str, model: str = "qwen", usage: bytes = b"null", text: str = "") -> bytes:
    """An event of a response as a whole; the client's own metadata stand before the model's name."""
    data = (
        b'{"response":{"id":"resp_ad91c60fc053aa74","created_at":1795225026,"incomplete_details":null,'
        b'"instructions":null,"metadata":{"model":"qwen"},"model":%b,"object":"response","output":[%b],'
        b'"status":%b,"usage":%b,"user":null},"sequence_number":0,"type":"response.%b"}'
    ) % (orjson.dumps(model), orjson.dumps(text), orjson.dumps(status), usage, word.encode())
    return typed(f"response.{word}", data)


def response_delta(text: str) -> bytes:
    data = (
        b'{"content_index":0,"delta":%b,"item_id":"msg_bdb8b094acbecd07","logprobs":[],"output_index":0,'
        b'"sequence_number":4,"type":"response.output_text.delta"}'
    ) % orjson.dumps(text)
    return typed("response.output_text.delta", data)


RESPONSE_USAGE = b'{"input_tokens":29,"input_tokens_details":{"cached_tokens":0},"output_tokens":2,"total_tokens":31}'


def message_start(model: str = "qwen") -> bytes:
    data = (
        b'{"type":"message_start","message":{"id":"chatcmpl-b95511d75e6d5c09","type":"message","role":"assistant",'
        b'"content":[],"model":%b,"stop_reason":null,"stop_sequence":null,'
        b'"usage":{"input_tokens":29,"output_tokens":0}}}'
    ) % orjson.dumps(model)
    return typed("message_start", data)


def message_text(text: str) -> bytes:
    data = b'{"type":"content_block_delta","delta":{"type":"text_delta","text":%b},"index":0}' % orjson.dumps(text)
    return typed("content_block_delta", data)


def message_delta(stop_reason: str | None = "end_turn") -> bytes:
    data = (
        b'{"type":"message_delta","delta":{"stop_reason":%b,"stop_sequence":null},'
        b'"usage":{"input_tokens":20,"cache_read_input_tokens":9,"output_tokens":2}}'
    ) % orjson.dumps(stop_reason)
    return typed("message_delta", data)


MESSAGE_STOP = typed("message_stop", b'{"type":"message_stop"}')


def fed(relay: StreamRelay, *pieces: bytes) -> bytes:
    """All that comes out when `pieces` go in and the input ends."""
    out = b"".join([relay.feed(piece) for piece in pieces])
    relay.finish()
    return out


def pieces(data: bytes, cuts: Iterable[int]) -> list[bytes]:
    """`data` cut at those places."""
    places = [0, *sorted({cut % (len(data) + 1) for cut in cuts}), len(data)]
    return [data[start:end] for start, end in pairwise(places)]


def relay(dialect: Dialect = Dialect.OPENAI) -> StreamRelay:
    """A relay that changes nothing."""
    return StreamRelay(dialect)
