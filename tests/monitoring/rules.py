"""What do the rules say? The files of monitoring/prometheus as plain values."""

import re
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
PROMETHEUS = ROOT / "monitoring" / "prometheus"
TESTS = sorted((PROMETHEUS / "tests").glob("*.yml"))


def rules(name: str) -> list[dict[str, Any]]:
    """The rules of `alerts` or `recording`, in their order."""
    groups = yaml.safe_load((PROMETHEUS / "rules" / f"{name}.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def kebab(alert: str) -> str:
    """TTFTBurnFast as ttft-burn-fast: the heading's anchor in docs/runbooks.md."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "-", alert).lower()
