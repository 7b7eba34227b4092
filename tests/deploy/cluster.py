"""How do tests look at a built overlay? By kind and name, and by who may reach whom."""

import ipaddress
from dataclasses import dataclass
from typing import Any

from tests.deploy.kustomize import Manifest


@dataclass(frozen=True, slots=True)
class Cluster:
    """An overlay's manifests."""

    manifests: list[Manifest]

    def all(self, kind: str) -> dict[str, Manifest]:
        """The manifests of a kind, by name."""
        return {one["metadata"]["name"]: one for one in self.manifests if one["kind"] == kind}

    def one(self, kind: str, name: str) -> Manifest:
        """A manifest, whose generated name may end in a hash."""
        found = [one for known, one in self.all(kind).items() if known == name or known.startswith(f"{name}-")]
        exact = [one for one in found if one["metadata"]["name"] == name]
        (manifest,) = exact or found
        return manifest

    def pods(self) -> dict[str, Manifest]:
        """The pod templates, by what makes the pods."""
        return {
            name: one["spec"]["template"]
            for kind in ("Deployment", "StatefulSet")
            for name, one in self.all(kind).items()
        }

    def container(self, name: str) -> Manifest:
        """The one container of these pods."""
        containers: list[Manifest] = self.pods()[name]["spec"]["containers"]
        assert len(containers) == 1
        return containers[0]

    def engines(self) -> dict[str, Manifest]:
        """The StatefulSets that are model servers."""
        sets = self.all("StatefulSet")
        return {name: one for name, one in sets.items() if _labels(one).get("app.kubernetes.io/component") == "engine"}

    def ways(self) -> set[tuple[str, str, int]]:
        """Who reaches whose port, as the policies have it: both ends must allow it. Other namespaces are `ns/NAME`."""
        pods, out, come = self._both_ends()
        inside = {way for way in out & come if way[0] in pods}
        from_outside = {way for way in come if way[0] not in pods}
        to_outside = {(own, other, port) for own, other, port in out if other not in pods}
        return inside | from_outside | to_outside

    def half_open(self) -> set[tuple[str, str, int]]:
        """Ways between pods that one end allows and the other does not: a second mistake would open them."""
        pods, out, come = self._both_ends()
        return {way for way in out ^ come if {way[0], way[1]} <= set(pods)}

    def _both_ends(self) -> tuple[dict[str, Manifest], set[tuple[str, str, int]], set[tuple[str, str, int]]]:
        """The pods' labels; whom they may ask; by whom they may be asked."""
        pods = {name: template["metadata"]["labels"] for name, template in self.pods().items()}
        come = {(other, own, port) for own, other, port in self._allowed("Ingress", "ingress", "from", pods)}
        return pods, self._allowed("Egress", "egress", "to", pods), come

    def _allowed(self, kind: str, rules: str, side: str, pods: dict[str, Manifest]) -> set[tuple[str, str, int]]:
        found = set()
        for policy in self.all("NetworkPolicy").values():
            spec = policy["spec"]
            if kind not in spec["policyTypes"]:
                continue
            chosen = [name for name, labels in pods.items() if _matches(spec["podSelector"], labels)]
            for rule in spec.get(rules, []):
                peers = {name for peer in rule[side] for name in _peers(peer, pods)}
                ports = {port["port"] for port in rule["ports"]}
                found |= {(own, other, port) for own in chosen for other in peers for port in ports}
        return found

    def unguarded(self) -> set[str]:
        """Pods that some direction of traffic is not denied to."""
        everybody = [one["spec"] for one in self.all("NetworkPolicy").values() if one["spec"]["podSelector"] == {}]
        denied = {kind for spec in everybody for kind in spec["policyTypes"]}
        return set() if denied == {"Ingress", "Egress"} else set(self.pods())


def seconds(duration: str) -> int:
    """nginx' `90s`."""
    return int(duration.removesuffix("s"))


def size(amount: str) -> int:
    """Kubernetes' `256Mi`, nginx' `10m`, Valkey's `768mb`: all of them powers of two."""
    number = "".join(letter for letter in amount if letter.isdigit())
    return int(number) << {"k": 10, "m": 20, "g": 30}[amount[len(number)].lower()]


def _labels(manifest: Manifest) -> dict[str, str]:
    return dict(manifest["metadata"].get("labels", {}))


def _matches(selector: Manifest, labels: Manifest) -> bool:
    assert set(selector) <= {"matchLabels"}, selector
    return all(labels.get(name) == value for name, value in selector.get("matchLabels", {}).items())


def _peers(peer: dict[str, Any], pods: dict[str, Manifest]) -> list[str]:
    """The names of those that a peer means."""
    if "ipBlock" in peer:
        private = ("10.1.2.3/32", "172.16.9.9/32", "192.168.1.1/32", "169.254.169.254/32")
        cuts = [ipaddress.ip_network(network) for network in peer["ipBlock"].get("except", [])]
        assert all(any(ipaddress.ip_network(one).subnet_of(cut) for cut in cuts) for one in private)  # type: ignore[arg-type]
        return ["Internet"]
    if "namespaceSelector" in peer:
        return [f"ns/{peer['namespaceSelector']['matchLabels']['kubernetes.io/metadata.name']}"]
    return [name for name, labels in pods.items() if _matches(peer["podSelector"], labels)]
