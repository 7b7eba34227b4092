"""Would Kubernetes take the manifests? Each against the schemas of the oldest and the newest version that is meant."""

import copy
from collections.abc import Callable
from pathlib import Path

import kubernetes_validate
import msgspec
import pytest

from tests.deploy.cluster import Cluster
from tests.deploy.kustomize import SECRETS, Manifest, build, copied
from tests.deploy.operators import KINDS

VERSIONS = ("1.32", "1.37")
"""From the first in which net.ipv4.tcp_wmem is a safe sysctl."""


def check(manifest: Manifest, version: str) -> None:
    """Raise what the schema has against it; strictly, so that an unknown field counts."""
    if manifest["kind"] in KINDS:
        msgspec.convert(manifest, KINDS[manifest["kind"]], strict=True)
    else:
        kubernetes_validate.validate(manifest, version, strict=True)


@pytest.mark.parametrize("version", VERSIONS)
def test_every_manifest_is_what_its_schema_says(cluster: Cluster, version: str) -> None:
    assert len(cluster.manifests) > 20
    for manifest in cluster.manifests:
        check(manifest, version)


MISTAKES: dict[str, tuple[str, str, Callable[[Manifest], object]]] = {
    "a misspelt probe": (
        "Deployment",
        "gateway",
        lambda one: one["spec"]["template"]["spec"]["containers"][0].update(livenesProbe={}),
    ),
    "a number that is a text": (
        "Deployment",
        "gateway",
        lambda one: one["spec"]["template"]["spec"].update(terminationGracePeriodSeconds="600"),
    ),
    "a list that is one": ("NetworkPolicy", "nobody", lambda one: one["spec"].update(policyTypes="Ingress")),
    "a Service's unknown field": ("Service", "gateway", lambda one: one["spec"].update(selectors={})),
    "a StatefulSet without its selector": ("StatefulSet", "chat", lambda one: one["spec"].pop("selector")),
    "a budget's misspelt policy": ("PodDisruptionBudget", "gateway", lambda one: one["spec"].update(maxUnavailible=1)),
    "an Ingress' path without its type": (
        "Ingress",
        "gateway",
        lambda one: one["spec"]["rules"][0]["http"]["paths"][0].pop("pathType"),
    ),
    "a ServiceMonitor's misspelt field": (
        "ServiceMonitor",
        "gateway",
        lambda one: one["spec"]["endpoints"][0].update(scrapeTimout="1s"),
    ),
    "a rule's misspelt field": (
        "PrometheusRule",
        "gateway",
        lambda one: one["spec"]["groups"][0]["rules"][0].update(form="5m"),
    ),
    "a ScaledObject's misspelt field": ("ScaledObject", "gateway", lambda one: one["spec"].update(minReplicas=1)),
}


@pytest.mark.parametrize("mistake", MISTAKES)
@pytest.mark.parametrize("version", VERSIONS)
def test_a_mistake_is_found(production: Cluster, mistake: str, version: str) -> None:
    kind, name, spoil = MISTAKES[mistake]
    spoilt = copy.deepcopy(production.one(kind, name))
    check(spoilt, version)
    spoil(spoilt)
    with pytest.raises((kubernetes_validate.ValidationError, msgspec.ValidationError)):
        check(spoilt, version)


def test_no_secret_is_in_the_repository_and_an_overlay_without_them_is_not_built(tmp_path: Path, sim: Cluster) -> None:
    assert sim.one("Secret", "gateway")["data"].keys() == SECRETS.keys()
    without = copied(tmp_path)
    (without / "overlays" / "sim" / "secrets.env").unlink()
    answer = build(without, "sim")
    assert answer.returncode != 0
    assert "secrets.env" in answer.stderr


def test_a_secret_stands_in_the_secret_alone(folder: Path) -> None:
    for overlay in ("production", "sim"):
        text = build(folder, overlay).stdout
        assert "canary" not in text  # there it is base64
        assert not [name for name in SECRETS.values() if name in text]
