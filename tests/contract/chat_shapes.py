"""Which parts make up a chat answer and its chunks? Tool calls are written in the same parts."""

import re

from tests.contract.answers import TEXT_OR_NOTHING, USAGE, USAGE_DETAILED, identifier

FINGERPRINT = re.compile(r"vllm-0\.32\.0-[0-9a-f]{8}")

MESSAGE = {
    "role": "assistant",
    "content": str,
    "refusal": None,
    "annotations": None,
    "audio": None,
    "function_call": None,
    "reasoning": None,
}
CHOICE = {
    "index": int,
    "message": MESSAGE,
    "logprobs": None,
    "finish_reason": "length",
    "stop_reason": None,
    "token_ids": None,
    "routed_experts": None,
}
COMPLETION = {
    "id": identifier("chatcmpl-"),
    "object": "chat.completion",
    "created": int,
    "model": "qwen",
    "choices": (CHOICE,),
    "service_tier": None,
    "system_fingerprint": FINGERPRINT,
    "usage": USAGE_DETAILED,
    "prompt_logprobs": None,
    "prompt_token_ids": None,
    "prompt_text": None,
    "kv_transfer_params": None,
    "ec_transfer_params": None,
    "metrics": None,
}

HEAD = {"id": identifier("chatcmpl-"), "object": "chat.completion.chunk", "created": int, "model": "qwen"}
OPENING = {"role": "assistant", "content": ""}
ROLE = {"index": int, "delta": OPENING, "logprobs": None, "finish_reason": None}
TEXT = {"index": int, "delta": TEXT_OR_NOTHING, "logprobs": None, "finish_reason": None, "token_ids": None}
FINISH = TEXT | {"finish_reason": "length", "stop_reason": None}
ROLE_CHUNK = HEAD | {"choices": (ROLE,), "prompt_token_ids": None, "prompt_text": None}
TEXT_CHUNK = HEAD | {"choices": (TEXT,)}
FINISH_CHUNK = HEAD | {"choices": (FINISH,)}
USAGE_CHUNK = HEAD | {"choices": (), "usage": USAGE, "system_fingerprint": FINGERPRINT}
SIGNED = {"system_fingerprint": FINGERPRINT}
COUNTED = {"usage": USAGE | {"completion_tokens_details": None}}
