"""COMMANDS: what an operator types. `gateway` and its subcommands, a file each."""

import click

from gateway.cli.serve import serve


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """An OpenAI-compatible gateway in front of a small fleet of vLLM servers."""


main.add_command(serve)
