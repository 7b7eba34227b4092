"""May an answer be given twice? The response cache's settings."""

from pydantic import Field

from gateway.cache.choices import CacheSalt
from gateway.core.room_settings import RoomSettings

MEBIBYTE = 1024 * 1024


class CacheSettings(RoomSettings):
    """What is kept of answers, for how long, and who shares what the backends keep of prompts."""

    cache_ttl_secs: float = Field(
        60.0,
        ge=0,
        le=86_400,
        description="Seconds for which an answer is given again to the same organization's same request: embeddings, "
        "rerank, score, tokenize, and chat that is not streamed with an explicit temperature of 0. While such a "
        "request runs, identical ones wait for its answer. 0 switches both off.",
    )
    cache_max_entries: int = Field(10_000, ge=1, le=10_000_000, description="Answers kept at the most.")
    cache_max_bytes: int = Field(
        32 * MEBIBYTE,
        ge=MEBIBYTE,
        description="Bytes of answers kept at the most, over all workers of a host. Beside LIMITER_PATH, on tmpfs, "
        "half as much again and 8 MiB are set aside for them from the start; where there is no room, nothing is kept.",
    )
    cache_max_answer_bytes: int = Field(
        MEBIBYTE,
        ge=1,
        description="A longer answer is not kept, and whoever waits for one asks by itself.",
    )
    cache_sampled: bool = Field(
        default=False,
        description="Whether chat that is not streamed is kept at any temperature: who asks again gets the same words.",
    )
    cache_salt: CacheSalt = Field(
        CacheSalt.OFF,
        description="org: vLLM's prefix cache is shared within an organization alone, so that the time to an answer "
        "does not tell others' prompts. It costs the hits between organizations: a system prompt that all of them "
        "share is computed and held once for each.",
    )
