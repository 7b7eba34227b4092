"""What does `gateway capacity` print, and what does it refuse?"""

import orjson
import pytest
from click.testing import CliRunner, Result

from gateway.cli import main
from gateway.cli.capacity.hardware import GPUS
from gateway.cli.capacity.models import KV_BYTES, MODELS, WEIGHTS
from gateway.settings import names


def gateway(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["capacity", *arguments])


def test_four_l4_are_answered_with_slots_rates_and_what_to_set() -> None:
    said = gateway("--gpus", "4", "--model", "7b", "--context", "8192").output
    for words in (
        "Qwen/Qwen2.5-7B-Instruct on 1 x NVIDIA L4:",
        "8.1 GiB of weights\n",
        "56 KiB of cache for each token, and room for 190,832 of them",
        "23 requests at once of 8,192 tokens each\n  64 requests at once of 1,000 + 250\n",
        "Replicas on 4 GPUs: 4\n",
        "MAX_INFLIGHT_PER_BACKEND=64",
        "vllm serve Qwen/Qwen2.5-7B-Instruct --max-model-len 8192 --max-num-seqs 64",
        "gateway simulate Qwen/Qwen2.5-7B-Instruct",
        "Computed, not measured. Assumed:",
        "300 GB/s, of which 80% are reached",
    ):
        assert words in said


def test_scripts_get_the_same_as_json() -> None:
    said = orjson.loads(gateway("--json").output)
    assert said["replica"]["cache_tokens"] == 190_832
    assert said["fleet"]["slots"] == said["replica"]["slots"] * said["fleet"]["replicas"] == 256
    assert set(said["settings"]) <= set(names())
    assert said["simulator"][0] == said["vllm"][0] == said["model"]


def test_a_better_guess_of_what_a_card_reaches_changes_the_rates_and_is_said() -> None:
    usual, better = (orjson.loads(gateway("--json", "--bandwidth-share", share).output) for share in ("0.8", "1"))
    assert better["fleet"]["requests_per_sec"] > usual["fleet"]["requests_per_sec"]
    assert better["assumptions"]["bandwidth_share"] == 1


@pytest.mark.parametrize("gpu", GPUS)
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("dtype", WEIGHTS)
@pytest.mark.parametrize("kv_dtype", KV_BYTES)
def test_every_row_can_be_asked_for(gpu: str, model: str, dtype: str, kv_dtype: str) -> None:
    asked = gateway("--gpus", "8", "--gpu", gpu, "--model", model, "--dtype", dtype, "--kv-dtype", kv_dtype)
    assert asked.exit_code == 0, asked.output


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["--prompt", "8000", "--answer", "200"], 2, "are more than --context 8192 together"),
        (["--context", "99999"], 2, "was made for 32768"),
        (["--gpus", "8", "--model", "70b", "--dtype", "bf16", "--context", "131072"], 1, "do not fit 8 of NVIDIA L4"),
        (["--gpus", "1", "--model", "32b"], 1, "needs 2 of NVIDIA L4, not 1"),
        (["--memory-share", "nan"], 2, "nan is no number"),
        (["--bandwidth-share", "inf"], 2, "not in the range"),
        (["--gpu", "abacus"], 2, "'abacus' is not one of"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(arguments: list[str], status: int, words: str) -> None:
    asked = gateway(*arguments)
    assert (asked.exit_code, words in asked.output) == (status, True), asked.output


def test_what_is_idle_and_what_must_be_quantized_before_is_said() -> None:
    assert "Replicas on 5 GPUs: 2 (1 GPUs idle)" in gateway("--model", "32b", "--gpus", "5").output
    assert "a checkpoint that was quantized with AWQ" in gateway("--dtype", "awq").output
    assert "GPUs of a replica tell each other everything in no time" in gateway("--model", "32b").output
