"""What did a request come to? One compact line of the access log, for people who watch."""

from typing import Any

import click
import orjson

WARNING_STATUS = 400
ERROR_STATUS = 500
CHANGES = frozenset({"backend_changed", "circuit_changed"})
"""What is shown besides requests and troubles: how the servers fare."""
WELL = frozenset({"healthy", "closed"})
"""The state of a backend, and the standing of its circuit, with which all is as it should be."""
ENVELOPE = frozenset({"timestamp", "event", "level", "logger"})
"""What every event has."""


def parse(line: str) -> dict[str, Any]:
    """A line of the gateway's JSON log; a line that is none is an event of its own."""
    try:
        record = orjson.loads(line)
    except orjson.JSONDecodeError:
        return {"event": line, "level": "error"}
    return record if isinstance(record, dict) else {"event": line, "level": "error"}


def compact(record: dict[str, Any]) -> str | None:
    """One line about a request, a server that comes or goes, or a trouble; None for what a newcomer need not see."""
    if record.get("event") in CHANGES:
        well = record.get("state", record.get("after")) in WELL
        return click.style(f"  {told(record)}", fg="green" if well else "yellow")
    if record.get("event") != "request":
        return click.style(f"  {told(record)}", fg="red") if record.get("level") == "error" else None
    status = int(record["status"])
    parts = [
        click.style(f"  {status}", fg=colour(status)),
        f"{record['method']:<4} {record['path']:<22}",
        f"{record['model'] or '-'} on {record['backend']}" if record["backend"] else str(record["outcome"]),
        *figures(record),
    ]
    return "  ".join(parts)


def told(record: dict[str, Any]) -> str:
    """An event's name and what is said with it."""
    fields = [f"{name}={value}" for name, value in record.items() if name not in ENVELOPE]
    return "  ".join([str(record.get("event")), *fields])


def figures(record: dict[str, Any]) -> list[str]:
    """The numbers that are known: tokens, wait, first token, whole time."""
    shown = []
    if record["prompt_tokens"] is not None:
        shown.append(f"{record['prompt_tokens']}+{record['completion_tokens'] or 0} tokens")
    if (record["queue_ms"] or 0) >= 1:
        shown.append(f"waited {record['queue_ms']:.0f} ms")
    if record["ttft_ms"] is not None:
        shown.append(f"first token {record['ttft_ms']:.0f} ms")
    return [*shown, f"{record['duration_ms']:.0f} ms"]


def colour(status: int) -> str:
    """Green for what went well, yellow for the caller's part, red for ours."""
    if status < WARNING_STATUS:
        return "green"
    return "yellow" if status < ERROR_STATUS else "red"
