"""What kind of server is asked for? vLLM's own command line, read as its 0.32 parser does, plus `--sim-` options."""

import argparse
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NoReturn

from gateway.simulator import flags, pace, switches
from gateway.simulator.pace import Pace

Kind = Literal["chat", "text2sql", "embed", "rerank"]

MAX_LEN: Mapping[Kind, int] = {"chat": 32_768, "text2sql": 32_768, "embed": 8_192, "rerank": 8_194}
"""Context lengths of the models this gateway is made for, when --max-model-len does not say otherwise."""

_DESCRIPTION = """\
Run a vLLM server without a GPU: the same HTTP, errors and load signals, with stand-ins for the models. It takes the
command line of `vllm serve` unchanged; the flags below change what a client sees, all others of vLLM's are taken and
have no effect.
"""
_MAX_NUM_SEQS = 256
_CONTROL_AUTO = "auto"
_SWITCHES: Mapping[str, str] = {
    "enable-auto-tool-choice": "answer tools, with --tool-call-parser",
    "enable-force-include-usage": "tell usage in every stream, asked for or not",
    "enable-request-id-headers": "send x-request-id with every answer",
    "enable-server-load-tracking": "count at /load",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """One simulated server. Times are in seconds; a `control_port` of None is off, 0 lets the kernel choose."""

    kind: Kind
    model: str
    served: tuple[str, ...]
    host: str
    port: int
    api_keys: tuple[str, ...]
    max_model_len: int
    max_num_seqs: int
    max_num_queued: int | None
    priority_policy: bool
    auto_tools: bool
    tool_parser: bool
    force_usage: bool
    request_id_headers: bool
    load_tracking: bool
    stream_interval: int
    keep_alive_comment: float
    shutdown_timeout: float
    http_keep_alive: int
    pace: Pace
    seed: int
    dimensions: int
    matryoshka: tuple[int, ...] | None
    control_host: str
    control_port: int | None
    keep_bodies: bool

    @property
    def pooling(self) -> bool:
        """Whether the server answers with vectors or scores instead of text."""
        return self.kind in ("embed", "rerank")


class _Parser(argparse.ArgumentParser):
    """argparse with vLLM's answer to what it does not know: the usage, one line, exit status 2."""

    def error(self, message: str) -> NoReturn:
        self.print_usage()
        self.exit(2, f"{self.prog}: error: {message}\n")


def parse(argv: Sequence[str], environ: Mapping[str, str]) -> Options:
    """Read vLLM's argv, the model first, and the environment.

    Raises:
        SystemExit: with status 2 where vLLM's parser would refuse the argument.
    """
    parser = _build_parser(environ)
    given = parser.parse_args([_normalised(word) for word in argv])
    given.model = given.model_tag or given.model
    kind = _kind(given)
    return Options(
        kind=kind,
        model=given.model,
        served=tuple(given.served_model_name or [given.model]),
        host=given.host or "0.0.0.0",  # noqa: S104 -- vLLM listens everywhere unless told otherwise
        port=given.port,
        api_keys=tuple(key for key in given.api_key or [environ.get("VLLM_API_KEY", "")] if key),
        max_model_len=given.max_model_len or MAX_LEN[kind],
        max_num_seqs=given.max_num_seqs or _MAX_NUM_SEQS,
        max_num_queued=given.max_num_queued_reqs,
        priority_policy=given.scheduling_policy == "priority",
        auto_tools=bool(given.enable_auto_tool_choice and given.tool_call_parser),
        tool_parser=bool(given.tool_call_parser),
        force_usage=bool(given.enable_force_include_usage),
        request_id_headers=bool(given.enable_request_id_headers),
        load_tracking=bool(given.enable_server_load_tracking),
        stream_interval=given.stream_interval,
        keep_alive_comment=float(given.sse_keep_alive_interval),
        shutdown_timeout=float(given.shutdown_timeout),
        http_keep_alive=int(environ.get("VLLM_HTTP_TIMEOUT_KEEP_ALIVE", "5")),
        pace=_pace(given, kind),
        seed=given.sim_seed,
        dimensions=given.sim_dimensions,
        matryoshka=_matryoshka(given.hf_overrides),
        control_host=given.sim_control_host,
        control_port=_control_port(parser, given.sim_control_port),
        keep_bodies=given.sim_keep_bodies,
    )


def _build_parser(environ: Mapping[str, str]) -> _Parser:
    parser = _Parser(prog="gateway simulate", usage="%(prog)s [model] [flag ...]", description=_DESCRIPTION)
    parser.add_argument(
        "model_tag", nargs="?", metavar="model", help="its name says the kind: sql, embed, rerank, else chat"
    )
    typed = _add_flags_that_matter(parser)
    for flag in sorted(switches.SWITCHES - typed):
        parser.add_argument(*_names(flag), action="store_true", help=argparse.SUPPRESS)
    for flag in sorted(flags.ONE_VALUE - typed):
        parser.add_argument(*_names(flag), help=argparse.SUPPRESS)
    for flag in sorted(flags.MANY_VALUES - typed):
        parser.add_argument(*_names(flag), nargs="+", help=argparse.SUPPRESS)
    _add_own_flags(parser, environ)
    return parser


def _add_flags_that_matter(parser: _Parser) -> set[str]:
    """The flags whose values change what a client sees; returned so that the rest can be accepted and ignored."""
    add = parser.add_argument
    add("--model", default="Qwen/Qwen3-0.6B", help="the same as the model in front")
    add("--host", help="address to listen on; every one unless told otherwise, as vLLM does")
    add("--port", type=int, default=8000, help="0 lets the kernel choose one")
    add("--api-key", nargs="+", help="keys that /v1 and /v2 ask for; without it that of VLLM_API_KEY, if set")
    add("--served-model-name", nargs="+", help="names of the model for clients; the first stands in answers")
    add("--max-model-len", type=_human_int, help="context in tokens, as 8192, 8k or 8K")
    add("--max-num-seqs", type=int, help=f"requests that run at a time ({_MAX_NUM_SEQS}); further ones wait")
    add("--max-num-queued-reqs", type=int, help="requests in flight beyond which a 503 is the answer")
    add(
        "--runner", choices=("auto", "draft", "generate", "pooling"), default="auto", help="pooling: vectors and scores"
    )
    add(
        "--scheduling-policy", choices=("fcfs", "priority"), default="fcfs", help="in what order waiting requests start"
    )
    add("--tool-call-parser", help="any name; together with --enable-auto-tool-choice tools are answered")
    add("--stream-interval", type=int, default=1, help="tokens in one chunk of a stream")
    add("--sse-keep-alive-interval", type=int, default=0, help="seconds between comments in a stream; 0: none")
    add("--shutdown-timeout", type=int, default=0, help="seconds that running requests get at the end; 0: aborted")
    add("--hf-overrides", default="", help="JSON; matryoshka_dimensions states the lengths an embedding may have")
    for switch, words in _SWITCHES.items():
        add(f"--{switch}", action=argparse.BooleanOptionalAction, default=False, help=words)
    return {option for action in parser._actions for option in action.option_strings}  # noqa: SLF001 -- argparse offers no list


def _add_own_flags(parser: _Parser, environ: Mapping[str, str]) -> None:
    own = parser.add_argument_group("simulator", "each can be set as SIM_NAME in the environment, too")

    def add(name: str, kind: type, default: object, text: str) -> None:
        value = environ.get("SIM_" + name.upper().replace("-", "_"), default)
        own.add_argument(f"--sim-{name}", type=kind, default=value, help=text)

    add("speed", str, "gpu", "gpu: about what an L4 does; max: no waiting at all")
    add("ttft-ms", float, None, "milliseconds to the first token")
    add("token-ms", float, None, "milliseconds from one token to the next")
    add("spread-ms", float, None, "half the width of the noise on both")
    add("seed", int, 0, "of the noise, so that two runs are alike")
    add("dimensions", int, 1024, "of an embedding")
    add("control-host", str, "127.0.0.1", "address of the control port")
    add("control-port", str, "0", "faults, ledger and pace over HTTP; 0 is off, auto lets the kernel choose")
    own.add_argument(
        "--sim-keep-bodies",
        action="store_true",
        default=environ.get("SIM_KEEP_BODIES", "") not in ("", "0"),
        help="keep each request's headers and body in the ledger",
    )


def _names(flag: str) -> list[str]:
    return [flag, *(short for short, stands_for in flags.SHORT.items() if stands_for == flag)]


def _normalised(word: str) -> str:
    """VLLM takes --max_model_len for --max-model-len."""
    if not word.startswith("--"):
        return word
    name, equals, value = word.partition("=")
    return name.replace("_", "-") + equals + value


def _kind(given: argparse.Namespace) -> Kind:
    """A pooling server ranks or embeds, a generating one chats or writes SQL: the model's name says which."""
    names = " ".join([given.model, *(given.served_model_name or [])]).lower()
    ranks = "rerank" in names
    if given.runner == "pooling" or (given.runner == "auto" and (ranks or "embed" in names)):
        return "rerank" if ranks else "embed"
    return "text2sql" if "sql" in names else "chat"


def _pace(given: argparse.Namespace, kind: Kind) -> Pace:
    if given.sim_speed == "max":
        chosen = pace.AT_ONCE
    else:
        chosen = pace.LIKE_A_GPU_POOLING if kind in ("embed", "rerank") else pace.LIKE_A_GPU
    times = {"first": given.sim_ttft_ms, "each": given.sim_token_ms, "spread": given.sim_spread_ms}
    if given.sim_ttft_ms is not None:
        chosen = chosen.changed(per_prompt_token=0.0)
    return chosen.changed(**{name: value / 1000 for name, value in times.items() if value is not None})


def _control_port(parser: _Parser, value: str) -> int | None:
    if value == _CONTROL_AUTO:
        return 0
    if not value.isdigit():
        parser.error(f"argument --sim-control-port: {value!r} is neither a port nor {_CONTROL_AUTO!r}")
    return int(value) or None


def _human_int(text: str) -> int | None:
    """`8192`, `8k` (8,000) or `8K` (8,192), as vLLM takes them; `auto` is the model's own length."""
    if text in ("auto", "-1"):
        return None
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([kKmM]?)", text)
    if not match:
        raise argparse.ArgumentTypeError(f"invalid length {text!r}")
    factor = {"": 1, "k": 1_000, "K": 1_024, "m": 1_000_000, "M": 1_048_576}[match[2]]
    return int(float(match[1]) * factor)


def _matryoshka(overrides: str) -> tuple[int, ...] | None:
    """The lengths an embedding may be cut to, as --hf-overrides states them; None where it says nothing."""
    match = re.search(r'"matryoshka_dimensions"\s*:\s*\[([\d,\s]+)\]', overrides)
    return tuple(int(number) for number in match[1].split(",")) if match else None
