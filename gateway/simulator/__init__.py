"""A vLLM server without a GPU: the same HTTP, the same errors, the same load signals, and faults on demand."""

from collections.abc import Sequence


def main(argv: Sequence[str]) -> int:
    """Run a simulated server with vLLM's argv, the model first, until it is told to stop; give back the exit status.

    Raises:
        SystemExit: with status 2 where vLLM's parser would refuse an argument.
    """
    from gateway.simulator.server import run  # noqa: PLC0415 -- whoever only imports the name need not load a server

    return run(argv)


__all__ = ["main"]
