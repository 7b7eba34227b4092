"""What are the rules in the Prometheus operator's words? A PrometheusRule, made from ours."""

from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
RULES = ROOT / "monitoring" / "prometheus" / "rules"
WRITTEN = ROOT / "deploy" / "kubernetes" / "components" / "monitoring" / "rules.yaml"
HEADING = "# Written by `make kubernetes-rules` from monitoring/prometheus/rules, where the comments are.\n"
WIDTH = 140


def render() -> str:
    """The manifest: all groups of all files, in the files' order."""
    groups = [group for file in sorted(RULES.glob("*.yml")) for group in yaml.safe_load(file.read_text())["groups"]]
    manifest = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "gateway"},
        "spec": {"groups": groups},
    }
    return HEADING + yaml.safe_dump(manifest, sort_keys=False, width=WIDTH)
