"""Against which servers does the contract run? The simulator always, a real vLLM too where a variable holds its URL."""

import os
from dataclasses import dataclass

import pytest

ENVIRONMENT = os.environ  # noqa: TID251 - real servers are named to the suite, which has no settings room
KEY = "INTERNAL"
REAL_KEY = ENVIRONMENT.get("REAL_VLLM_KEY", KEY)


@dataclass(frozen=True)
class Role:
    """One kind of server: the model name it answers to, vLLM's argv for it, and the variable that names a real one."""

    name: str
    model: str
    argv: tuple[str, ...]
    url_variable: str
    environment: tuple[tuple[str, str], ...] = ()


SHARED = ("--max-num-seqs", "16", "--enable-request-id-headers", "--enable-server-load-tracking")
CHAT = ("Qwen/Qwen2.5-7B-Instruct", "--served-model-name", "qwen", "--max-model-len", "8192", *SHARED)
TOOLS = ("--enable-auto-tool-choice", "--tool-call-parser", "hermes")
FLAGS = ("--enable-force-include-usage", "--stream-interval", "4")
EMBED = ("Snowflake/snowflake-arctic-embed-l-v2.0", "--served-model-name", "arctic", "--runner", "pooling", *SHARED)
RERANK = ("BAAI/bge-reranker-v2-m3", "--served-model-name", "reranker", "--runner", "pooling")

ROLES = {
    role.name: role
    for role in (
        Role("chat", "qwen", (*CHAT, *TOOLS), "REAL_VLLM_CHAT_URL"),
        Role("embed", "arctic", EMBED, "REAL_VLLM_EMBED_URL"),
        Role("rerank", "reranker", (*RERANK, "--max-model-len", "8192", *SHARED), "REAL_VLLM_RERANK_URL"),
        Role("flagged", "qwen", (*CHAT, *FLAGS), "REAL_VLLM_FLAGGED_URL"),
        Role("bare", "qwen", CHAT[:5], "REAL_VLLM_BARE_URL", (("VLLM_HTTP_TIMEOUT_KEEP_ALIVE", "1"),)),
    )
}


Target = tuple[str, str]  # an implementation, "simulator" or "real", and the name of a role


def against(*names: str) -> pytest.MarkDecorator:
    """Run a test, whose argument is `server`, with each implementation of each of these roles.

    A difference between the two implementations is a defect of the simulator.
    """
    found = [target for name in names for target in targets(name)]
    return pytest.mark.parametrize("server", found, ids=["-".join(target) for target in found], indirect=True)


def targets(name: str) -> list[Target]:
    """The implementations of one role that can be tested here."""
    role = ROLES[name]
    return [("simulator", name), ("real", name)] if real_url(role) else [("simulator", name)]


def real_url(role: Role) -> str | None:
    """Where the real server of this role listens, if one was started."""
    return ENVIRONMENT.get(role.url_variable)
