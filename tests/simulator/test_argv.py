"""Is vLLM's command line read as vLLM reads it?"""

import pytest

from gateway.simulator import flags, switches
from gateway.simulator.argv import Options, parse

CHAT = "Qwen/Qwen2.5-7B-Instruct"
COMPOSED = f"{CHAT} --served-model-name qwen {CHAT} --host 0.0.0.0 --port 8000 --max-model-len 8192 --dtype auto"
REJECTED = (
    "--task",
    "--disable-log-requests",
    "--swap-space",
    "--use-v2-block-manager",
    "--num-scheduler-steps",
    "--guided-decoding-backend",
    "--enable-reasoning",
    "--device",
    "--max-seq-len-to-capture",
    "--override-pooler-config",
)


def read(line: str, **environ: str) -> Options:
    return parse(line.split(), environ)


def test_the_compose_files_line_is_understood() -> None:
    options = read(f"{COMPOSED} --gpu-memory-utilization 0.90 --enable-auto-tool-choice --tool-call-parser hermes")
    assert (options.kind, options.served, options.port) == ("chat", ("qwen", CHAT), 8000)
    assert (options.max_model_len, options.auto_tools) == (8192, True)


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        (CHAT, "chat"),
        ("Snowflake/Arctic-Text2SQL-R1-7B", "text2sql"),
        ("models/chat --served-model-name text2sql", "text2sql"),
        ("Snowflake/snowflake-arctic-embed-l-v2.0 --runner pooling", "embed"),
        ("BAAI/bge-reranker-v2-m3 --runner pooling", "rerank"),
        ("anything --runner pooling", "embed"),
    ],
)
def test_the_runner_and_the_name_say_what_kind_of_server_it_is(line: str, kind: str) -> None:
    assert read(line).kind == kind


@pytest.mark.parametrize("flag", REJECTED)
def test_flags_of_older_versions_are_refused_with_2(flag: str) -> None:
    with pytest.raises(SystemExit) as ended:
        read(f"{CHAT} {flag} 1")
    assert ended.value.code == 2
    assert flag not in {*switches.SWITCHES, *flags.ONE_VALUE, *flags.MANY_VALUES}


def test_the_word_serve_is_no_part_of_the_arguments() -> None:
    with pytest.raises(SystemExit) as ended:
        read(f"serve {CHAT}")
    assert ended.value.code == 2


def test_every_switch_is_accepted() -> None:
    assert read(" ".join([CHAT, *sorted(switches.SWITCHES)])).model == CHAT


def test_every_flag_with_values_is_accepted() -> None:
    typed = {"--runner", "--scheduling-policy"}
    given = [f"{flag} 1" for flag in sorted(flags.ONE_VALUE - typed)] + [
        f"{flag} 1 2" for flag in sorted(flags.MANY_VALUES)
    ]
    assert read(" ".join([CHAT, *given])).port == 1


@pytest.mark.parametrize(
    ("length", "tokens"), [("8192", 8192), ("8k", 8000), ("8K", 8192), ("auto", 32_768), ("1.5k", 1500)]
)
def test_lengths_may_be_written_short(length: str, tokens: int) -> None:
    assert read(f"{CHAT} --max-model-len {length}").max_model_len == tokens


def test_a_rerankers_own_length_is_two_more_than_expected() -> None:
    assert read("BAAI/bge-reranker-v2-m3").max_model_len == 8194


def test_underscores_and_equals_signs_are_fine() -> None:
    assert read(f"{CHAT} --max_model_len=4096").max_model_len == 4096


def test_the_keys_flag_wins_over_the_environment() -> None:
    assert read(CHAT, VLLM_API_KEY="env").api_keys == ("env",)
    assert read(f"{CHAT} --api-key a b", VLLM_API_KEY="env").api_keys == ("a", "b")
    assert read(CHAT).api_keys == ()


def test_simulator_options_come_by_flag_or_environment() -> None:
    by_flag = read(f"{CHAT} --sim-ttft-ms 100 --sim-token-ms 20 --sim-spread-ms 5 --sim-control-port 9100")
    by_environment = read(CHAT, SIM_TTFT_MS="100", SIM_TOKEN_MS="20", SIM_SPREAD_MS="5", SIM_CONTROL_PORT="9100")
    assert by_flag == by_environment
    assert (by_flag.pace.first, by_flag.pace.each, by_flag.pace.spread, by_flag.control_port) == (
        0.1,
        0.02,
        0.005,
        9100,
    )


def test_the_control_port_is_off_unless_asked_for() -> None:
    assert read(CHAT).control_port is None
    assert read(f"{CHAT} --sim-control-port auto").control_port == 0


def test_at_full_speed_nothing_waits() -> None:
    fast = read(f"{CHAT} --sim-speed max").pace
    assert (fast.first, fast.each, fast.per_prompt_token) == (0, 0, 0)
    assert read(CHAT).pace.each > 0
