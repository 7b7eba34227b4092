"""What are the rules in the Prometheus operator's words? A PrometheusRule, made from ours."""

from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
RULES = ROOT / "monitoring" / "prometheus" / "rules"
WRITTEN = ROOT / "deploy" / "kubernetes" / "components" / "monitoring" / "rules.yaml"
HEADING = "# Written by `make kubernetes-rules` from monitoring/prometheus/rules, where the comments are.\n"
WIDTH = 140
LEFT_OUT = frozenset({"containers"})
"""Groups that are about containers which Docker forgets: Kubernetes is told how many there are to be."""


def render() -> str:
    """The manifest: the groups of all files, in the files' order, but for those that are about Docker."""
    found = [group for file in sorted(RULES.glob("*.yml")) for group in yaml.safe_load(file.read_text())["groups"]]
    groups = [group for group in found if group["name"] not in LEFT_OUT]
    manifest = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "gateway"},
        "spec": {"groups": groups},
    }
    return HEADING + yaml.safe_dump(manifest, sort_keys=False, width=WIDTH)
