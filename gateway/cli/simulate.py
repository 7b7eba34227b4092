"""`gateway simulate`: how does a vLLM server behave, without a GPU?"""

import sys

import click


@click.command(
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False, "help_option_names": []},
    short_help="A vLLM server without a GPU.",
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def simulate(arguments: tuple[str, ...]) -> None:
    """Start one simulated vLLM server; the arguments are `vllm serve`'s, untouched."""
    from gateway.simulator import main  # noqa: PLC0415 -- a stranger: only this command knows it

    sys.exit(main(arguments))
