"""COMMANDS: what an operator types. `gateway` and its subcommands, a file each."""

from importlib import import_module

import click

from gateway.cli.descriptors import occupy_standard

COMMANDS = {
    "serve": "gateway.cli.serve",
    "reload": "gateway.cli.reload",
    "demo": "gateway.cli.demo",
    "simulate": "gateway.cli.simulate",
    "init": "gateway.cli.init",
    "db": "gateway.cli.db",
    "keys": "gateway.cli.keys",
    "orgs": "gateway.cli.orgs",
    "models": "gateway.cli.models",
    "backends": "gateway.cli.backends",
    "usage": "gateway.cli.usage",
    "quotas": "gateway.cli.running",
    "limits": "gateway.cli.running",
    "state": "gateway.cli.running",
    "cache": "gateway.cli.running",
    "audit": "gateway.cli.audit",
    "idle": "gateway.cli.idle",
    "check": "gateway.cli.check",
    "doctor": "gateway.cli.doctor",
    "capacity": "gateway.cli.capacity",
    "healthcheck": "gateway.cli.healthcheck",
}
"""A module per command, holding it under the command's own name."""


class LazyGroup(click.Group):
    """Imports a command's module when the command is used: a health check every few seconds loads no web framework."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order of the table."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name, None when there is none."""
        del ctx
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(import_module(COMMANDS[cmd_name]), cmd_name)
        return command


@click.command(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="inference-gateway", prog_name="gateway")
def main() -> None:
    """An OpenAI-compatible gateway in front of a small fleet of vLLM servers."""
    occupy_standard()
