"""Which tool-call parser does a model need? vLLM's names of them, and those of the families that we know."""

import re
from collections.abc import Iterable
from typing import Final

PARSERS: Final = frozenset(
    """
    apertus cohere_command3 cohere_command4 deepseek_v3 deepseek_v31 deepseek_v32 deepseek_v4 deepseek_v41 dots
    ernie45 functiongemma gemma4 gigachat3 glm45 glm47 granite granite-20b-fc granite4 hermes hf hunyuan_a13b hy_v3
    hy_v4 inkling internlm jamba k2_horizon kimi_k2 kimi_k3 lfm2 ling3 llama3_json llama4_json llama4_pythonic
    longcat mimo minicpm5 minimax_m2 minimax_m3 mistral muse_glimmer olmo3 openai phi4_mini_json plamo3 poolside_v1
    pythonic qwen3_coder qwen3_json qwen3_xml seed_oss step3 step3p5 xlam
    """.split()  # noqa: SIM905 -- a list of words, read as one
)
"""The values of `--tool-call-parser` that vLLM 0.32.0 lists in its help."""

FAMILIES: Final = tuple(
    (re.compile(pattern, re.IGNORECASE), parser)
    for pattern, parser in (
        (r"qwen3[^/]*coder", "qwen3_coder"),
        (r"qwen(2\.5|3)?\b|qwq|hermes", "hermes"),
        (r"llama-?4", "llama4_pythonic"),
        (r"llama-?3", "llama3_json"),
        (r"mistral|ministral|devstral", "mistral"),
        (r"deepseek[^/]*v3\.2", "deepseek_v32"),
        (r"deepseek[^/]*v3\.1", "deepseek_v31"),
        (r"deepseek[^/]*v3", "deepseek_v3"),
        (r"gpt-oss", "openai"),
        (r"kimi-k2", "kimi_k2"),
        (r"glm-4\.[56]", "glm45"),
        (r"granite-4", "granite4"),
        (r"granite-3", "granite"),
        (r"phi-4-mini", "phi4_mini_json"),
        (r"minimax-m2", "minimax_m2"),
        (r"seed-oss", "seed_oss"),
        (r"xlam", "xlam"),
    )
)
"""A pattern for a model's name, and the parser that its family calls tools by; the first that is found counts."""


def parser_of(names: Iterable[str]) -> str:
    """The parser of the family that one of a model's names tells; empty where none does."""
    for name in names:
        for pattern, parser in FAMILIES:
            if pattern.search(name):
                return parser
    return ""
