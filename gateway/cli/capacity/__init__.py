"""`gateway capacity`: how much do so many GPUs carry, and what is to be set for it?"""

import dataclasses
import math
import sys
from typing import Any

import click

from gateway.cli.capacity.arithmetic import Assumptions, DoesNotFitError, Load, engine_for
from gateway.cli.capacity.arithmetic import capacity as capacity_of
from gateway.cli.capacity.hardware import GPUS
from gateway.cli.capacity.models import KV_BYTES, MODELS, WEIGHTS
from gateway.cli.capacity.shown import as_json as plain
from gateway.cli.capacity.shown import as_text
from gateway.cli.tables import echo_json, json_option


class Share(click.FloatRange):
    """More than nothing of something, and no more than all of it."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:  # noqa: ANN401 -- click's
        """The number; `nan` is in every range of click's."""
        found = super().convert(value, param, ctx)
        return self.fail(f"{value} is no number", param, ctx) if math.isnan(found) else found


_GIVEN = Assumptions()
_SHARE = Share(0, 1, min_open=True)
_TOKENS = click.IntRange(min=1)


@click.command(short_help="What so many GPUs carry, computed.")
@click.option("--gpus", type=click.IntRange(min=1), default=4, show_default=True, help="So many, all for this model.")
@click.option("--gpu", type=click.Choice(list(GPUS)), default="l4", show_default=True)
@click.option("--model", type=click.Choice(list(MODELS)), default="7b", show_default=True)
@click.option("--context", type=_TOKENS, default=8192, show_default=True, help="Tokens of the longest request.")
@click.option("--prompt", type=_TOKENS, default=1000, show_default=True, help="Tokens of a usual prompt.")
@click.option("--answer", type=_TOKENS, default=250, show_default=True, help="Tokens of a usual answer.")
@click.option("--dtype", type=click.Choice(list(WEIGHTS)), default="fp8", show_default=True, help="Of the weights.")
@click.option("--kv-dtype", type=click.Choice(list(KV_BYTES)), default="auto", show_default=True, help="Of the cache.")
@click.option("--max-num-seqs", "batch", type=_TOKENS, default=_GIVEN.batch, show_default=True, help="vLLM's own.")
@click.option("--memory-share", type=_SHARE, default=_GIVEN.memory_share, show_default=True, help="vLLM's, of a GPU.")
@click.option("--bandwidth-share", type=_SHARE, default=_GIVEN.bandwidth_share, show_default=True, help="Reached.")
@click.option("--compute-share", type=_SHARE, default=_GIVEN.compute_share, show_default=True, help="Reached.")
@click.option("--organizations", type=click.IntRange(min=1), default=4, show_default=True, help="Busy at one time.")
@json_option
def capacity(  # noqa: PLR0913 -- click passes each option by its name
    *,
    gpus: int,
    gpu: str,
    model: str,
    context: int,
    prompt: int,
    answer: int,
    dtype: str,
    kv_dtype: str,
    batch: int,
    memory_share: float,
    bandwidth_share: float,
    compute_share: float,
    organizations: int,
    as_json: bool,
) -> None:
    """Compute how many requests GPUs carry, how fast, and what to set for it.

    Nothing is asked or measured: the figures follow from data sheets and the assumptions that are printed with them.
    """
    if prompt + answer > context:
        raise click.UsageError(f"--prompt {prompt} and --answer {answer} are more than --context {context} together")
    if context > MODELS[model].context:
        raise click.UsageError(f"--context {context}: {MODELS[model].name} was made for {MODELS[model].context}")
    load = Load(context, prompt, answer)
    given = dataclasses.replace(
        _GIVEN,
        batch=batch,
        memory_share=memory_share,
        bandwidth_share=bandwidth_share,
        compute_share=compute_share,
    )
    try:
        engine = engine_for(GPUS[gpu], MODELS[model], WEIGHTS[dtype], KV_BYTES[kv_dtype], load, given)
        found = capacity_of(engine, load, gpus)
    except DoesNotFitError as error:
        click.echo(f"gateway: {error}", err=True)
        sys.exit(1)
    if as_json:
        echo_json(plain(found, kv_dtype=kv_dtype, organizations=organizations))
    else:
        click.echo("\n".join(as_text(found, kv_dtype=kv_dtype, organizations=organizations, gpus=gpus)))
