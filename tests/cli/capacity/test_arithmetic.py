"""Does the arithmetic give what is known of these cards and models, and does it hold together?"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.cli.capacity.arithmetic import BLOCK, Assumptions, Capacity, DoesNotFitError, Load, capacity, engine_for
from gateway.cli.capacity.hardware import GIB, GPUS
from gateway.cli.capacity.models import KV_BYTES, MODELS, WEIGHTS

USUAL = Load(8192, 1000, 250)
AT_BEST = Assumptions(bandwidth_share=1.0, compute_share=1.0)


def reckon(
    *, gpus: int = 4, gpu: str = "l4", model: str = "7b", dtype: str = "fp8", load: Load = USUAL, kv: str = "auto"
) -> Capacity:
    engine = engine_for(GPUS[gpu], MODELS[model], WEIGHTS[dtype], KV_BYTES[kv], load, Assumptions())
    return capacity(engine, load, gpus)


@pytest.mark.parametrize(
    ("model", "parameters"),
    [
        ("3b", 3_085_938_688),
        ("7b", 7_615_616_512),
        ("14b", 14_770_033_664),
        ("32b", 32_763_876_352),
        ("70b", 70_553_706_496),
    ],
)
def test_a_models_sizes_add_up_to_the_parameters_that_it_is_known_to_have(model: str, parameters: int) -> None:
    assert MODELS[model].parameters == parameters


@pytest.mark.parametrize(
    ("dtype", "weights_gib", "cache_tokens", "whole_contexts", "tokens_per_sec"),
    [("bf16", 14.2, 77_000, 9, 20), ("fp8", 8.1, 190_000, 23, 34), ("awq", 5.2, 245_000, 29, 54)],
)
def test_an_l4_holds_of_a_7b_model_what_record_23_says(
    dtype: str, weights_gib: float, cache_tokens: int, whole_contexts: int, tokens_per_sec: int
) -> None:
    engine = engine_for(GPUS["l4"], MODELS["7b"], WEIGHTS[dtype], KV_BYTES["auto"], USUAL, AT_BEST)
    assert engine.token_bytes == 56 * 1024
    assert round(engine.weight_bytes / GIB, 1) == weights_gib
    assert engine.cache_tokens == pytest.approx(cache_tokens, rel=0.01)
    assert engine.sequences(8192) == whole_contexts
    assert 1 / engine.step_secs(1, 0) == pytest.approx(tokens_per_sec, abs=0.6)


def test_a_cache_of_half_the_width_holds_twice_as_much() -> None:
    assert reckon(kv="fp8").engine.cache_tokens == pytest.approx(2 * reckon().engine.cache_tokens, rel=0.001)


def test_a_sequence_takes_whole_blocks() -> None:
    engine = reckon().engine
    assert engine.sequences(1) == engine.cache_tokens // BLOCK
    assert engine.sequences(8192 + 1) == engine.cache_tokens // (8192 + BLOCK)


def test_no_more_run_than_vllm_lets_and_no_more_than_the_cache_holds() -> None:
    assert reckon().slots == Assumptions().batch
    assert reckon(dtype="bf16").slots == 77_040 // 1264
    assert reckon(load=Load(8192, 8000, 192)).slots == 23


def test_a_model_that_one_card_cannot_hold_is_spread_over_the_fewest_that_can() -> None:
    assert [reckon(model=model, gpus=8).engine.spread for model in ("7b", "14b", "32b", "70b")] == [1, 1, 2, 4]
    assert reckon(model="32b", gpus=5).replicas == 2


def test_heads_of_the_cache_are_not_cut_in_two() -> None:
    little = Assumptions(memory_share=0.13)
    with pytest.raises(DoesNotFitError, match="do not fit 2 of NVIDIA L4"):
        engine_for(GPUS["l4"], MODELS["3b"], WEIGHTS["bf16"], KV_BYTES["auto"], USUAL, little)


def test_a_step_is_bound_by_the_memory_and_a_large_one_by_the_cores() -> None:
    engine = engine_for(GPUS["l4"], MODELS["7b"], WEIGHTS["bf16"], KV_BYTES["auto"], USUAL, AT_BEST)
    assert engine.step_secs(1, 0) == engine.weight_bytes / 300e9
    assert engine.step_secs(1000, 0) == 1000 * 2 * MODELS["7b"].parameters / 121e12


def test_a_prompt_of_one_token_is_read_with_all_weights() -> None:
    engine = reckon().engine
    assert engine.prefill_secs(1) == engine.step_secs(0, 0)
    assert engine.prefill_secs(4000) == engine.model.prefill_flop(4000) / (242e12 * 0.5)


def test_what_fits_nowhere_says_how_much_it_is_and_how_much_there_is() -> None:
    with pytest.raises(DoesNotFitError, match=r"131.4 GiB of weights and 131,072 tokens .* do not fit 8 of NVIDIA L4"):
        reckon(model="70b", dtype="bf16", load=Load(131_072, 1000, 250))
    with pytest.raises(DoesNotFitError, match="needs 2 of NVIDIA L4, not 1"):
        reckon(model="32b", gpus=1)


def test_an_answer_of_one_token_is_its_prompt_and_those_of_the_others() -> None:
    found = reckon(load=Load(8192, 1000, 1))
    assert found.stay_secs == found.first_secs == pytest.approx(found.slots * found.engine.prefill_secs(1000))


@given(
    prompt=st.integers(1, 6000),
    answer=st.integers(1, 2000),
    gpu=st.sampled_from(sorted(GPUS)),
    model=st.sampled_from(["3b", "7b", "14b"]),
    dtype=st.sampled_from(sorted(WEIGHTS)),
    gpus=st.integers(8, 64),
)
def test_whatever_is_asked_the_figures_hold_together(
    prompt: int, answer: int, gpu: str, model: str, dtype: str, gpus: int
) -> None:
    found = reckon(gpus=gpus, gpu=gpu, model=model, dtype=dtype, load=Load(8192, prompt, answer))
    assert found.slots * found.load.whole <= found.engine.cache_tokens
    assert 1 <= found.whole_contexts <= max(found.whole_contexts, found.slots)
    assert found.replica_rps * found.stay_secs == pytest.approx(found.slots)  # Little's law
    assert found.replicas * found.engine.spread <= gpus
    if answer > 1:
        assert found.each_secs >= found.engine.step_secs(found.slots, prompt + answer / 2) * (1 - 1e-9)
        # A replica makes no token faster than its memory is read, nor reads a prompt faster than its cores compute.
        busy = found.replica_rps * (found.engine.prefill_secs(prompt) + (answer - 1) * found.alone_secs / found.slots)
        assert busy <= 1 + 1e-9
