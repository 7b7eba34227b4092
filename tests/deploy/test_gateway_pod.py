"""Is a gateway pod what the gateway's code expects, and what docker-compose.yml says of it?"""

import base64
import re
from pathlib import Path

import pytest
import yaml

from gateway.api.endpoints import ENDPOINTS
from gateway.core.endpoint import Access
from gateway.settings import Settings, load, names, slip_in_environment, slip_in_file
from tests.deploy.cluster import Cluster, size
from tests.deploy.kustomize import KUBERNETES, OVERLAYS, ROOT

COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
BASE = "base/gateway.env"
ENV_FILES = [
    BASE,
    *(
        f"overlays/{overlay}/gateway.env"
        for overlay in OVERLAYS
        if (KUBERNETES / "overlays" / overlay / "gateway.env").exists()
    ),
]
SHARED_MEMORY = "/dev/shm"  # noqa: S108 -- in a pod
OVERDUE_SECS = 11
"""After DRAIN_SECS, until the supervisor has ended whoever does not end: docs/operations.md, supervisor_died."""


def stated(name: str) -> dict[str, str]:
    """The settings of a gateway.env."""
    return dict(re.findall(r"^([A-Z_0-9]+)=(.*)$", (KUBERNETES / name).read_text(), re.MULTILINE))


def environment(cluster: Cluster) -> dict[str, str]:
    """What a gateway container has in its environment, by a kubelet's rules: $(NAME) names what stands above it."""
    container = cluster.container("gateway")
    secret = {
        name: base64.b64decode(value).decode() for name, value in cluster.one("Secret", "gateway")["data"].items()
    }
    found = {**cluster.one("ConfigMap", "gateway")["data"], **secret}
    above: dict[str, str] = {}
    for entry in container["env"]:
        value = entry.get("value") or secret[entry["valueFrom"]["secretKeyRef"]["key"]]
        above[entry["name"]] = re.sub(r"\$\(([A-Z_]+)\)", lambda match: above.get(match[1], match[0]), value)
    return {**found, **above}


@pytest.mark.parametrize("file", ENV_FILES)
def test_every_setting_is_one_of_the_gateways(file: str) -> None:
    assert stated(file)
    assert [slip for name in stated(file) if (slip := slip_in_file(name))] == []
    assert set(stated(file)) <= set(names())


def test_the_gateway_starts_with_what_the_pod_hands_it(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    handed = environment(cluster)
    assert [slip for name in handed if (slip := slip_in_environment(name))] == []
    for name in names():
        monkeypatch.delenv(name, raising=False)
    for name, value in handed.items():
        monkeypatch.setenv(name, value)
    settings = load(env_file=tmp_path / "none.env")
    assert settings.gateway_workers == 1
    assert settings.redis_url.get_secret_value() == "redis://:canary-of-valkey-0f1e2d3c4b5a6978@valkey:6379/0"
    address = "postgresql://gateway:canary-of-postgres-8796a5b4c3d2e1f0@postgres:5432/gateway"
    assert settings.database_url.get_secret_value() == address
    assert settings.key_hash_secret.get_secret_value()
    assert "$(" not in "".join(handed.values())


def test_its_ports_are_those_that_it_listens_on_and_the_service_hands_on(cluster: Cluster) -> None:
    settings = stated(BASE)
    listened = {"http": int(settings["GATEWAY_PORT"]), "metrics": int(settings["METRICS_PORT"])}
    ports = cluster.container("gateway")["ports"]
    assert {port["name"]: port["containerPort"] for port in ports} == listened
    service = cluster.one("Service", "gateway")["spec"]["ports"]
    assert {port["targetPort"]: port["port"] for port in service} == listened
    given = COMPOSE["gateway"]["environment"]
    assert [given["GATEWAY_PORT"], given["METRICS_PORT"]] == [settings["GATEWAY_PORT"], settings["METRICS_PORT"]]
    assert [settings["GATEWAY_HOST"], settings["METRICS_HOST"]] == ["0.0.0.0", "0.0.0.0"]  # noqa: S104 -- in a pod


def test_it_is_asked_at_paths_that_need_no_key(cluster: Cluster) -> None:
    container = cluster.container("gateway")
    asked = {name: container[f"{name}Probe"]["httpGet"] for name in ("startup", "liveness", "readiness")}
    assert {name: get["path"] for name, get in asked.items()} == {
        "startup": "/health",
        "liveness": "/health",
        "readiness": "/ready",
    }
    assert {get["port"] for get in asked.values()} == {"http"}
    open_paths = {row.path for row in ENDPOINTS if row.access is Access.OPEN}
    assert {get["path"] for get in asked.values()} <= open_paths


def test_it_is_not_killed_while_its_requests_end(cluster: Cluster) -> None:
    spec = cluster.pods()["gateway"]["spec"]
    pause = cluster.container("gateway")["lifecycle"]["preStop"]["sleep"]["seconds"]
    drain = int(stated(BASE)["DRAIN_SECS"])
    assert pause >= 5
    assert spec["terminationGracePeriodSeconds"] > pause + drain + OVERDUE_SECS


def test_a_rollout_takes_nobody_away_before_another_is_ready(cluster: Cluster) -> None:
    assert cluster.one("Deployment", "gateway")["spec"]["strategy"]["rollingUpdate"] == {
        "maxSurge": 1,
        "maxUnavailable": 0,
    }
    budget = cluster.one("PodDisruptionBudget", "gateway")["spec"]
    assert budget["maxUnavailable"] == 1
    assert budget["selector"]["matchLabels"].items() <= cluster.pods()["gateway"]["metadata"]["labels"].items()


@pytest.mark.parametrize("pod", ["gateway", "valkey", "postgres"])
def test_a_pod_of_ours_may_do_as_little_as_pod_security_calls_restricted(cluster: Cluster, pod: str) -> None:
    spec, container = cluster.pods()[pod]["spec"], cluster.container(pod)
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert spec["automountServiceAccountToken"] is False
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert "hostNetwork" not in spec
    assert container["resources"]["limits"]["memory"]


def test_the_namespace_itself_refuses_a_pod_that_could_do_more(cluster: Cluster) -> None:
    (namespace,) = cluster.all("Namespace").values()
    levels = {name: level for name, level in namespace["metadata"]["labels"].items() if "pod-security" in name}
    assert levels == {
        "pod-security.kubernetes.io/enforce": "baseline",  # vLLM's image is root's
        "pod-security.kubernetes.io/warn": "restricted",
    }


def test_the_gateway_is_who_it_is_under_compose(cluster: Cluster) -> None:
    context = cluster.pods()["gateway"]["spec"]["securityContext"]
    assert f"{context['runAsUser']}:{context['runAsGroup']}" == COMPOSE["gateway"]["user"]
    sysctls = {one["name"]: one["value"] for one in context["sysctls"]}
    assert sysctls == {name: " ".join(value.split()) for name, value in COMPOSE["gateway"]["sysctls"].items()}
    assert cluster.pods()["gateway"]["spec"]["enableServiceLinks"] is False


def test_what_it_writes_is_in_volumes_of_its_own_in_folders_that_it_makes(cluster: Cluster) -> None:
    volumes = {volume["name"]: volume["emptyDir"] for volume in cluster.pods()["gateway"]["spec"]["volumes"]}
    mounts = {mount["mountPath"]: volumes[mount["name"]] for mount in cluster.container("gateway")["volumeMounts"]}
    settings = stated(BASE)
    shared = mounts[SHARED_MEMORY]
    assert shared["medium"] == "Memory"
    assert Path(settings["LIMITER_PATH"]).parent == Path(SHARED_MEMORY)
    assert Path(settings["DATA_PATH"]).parent == Path("/data")
    assert set(mounts) == {SHARED_MEMORY, "/tmp", "/data"}  # noqa: S108 -- in a pod
    assert shared["sizeLimit"].lower() == f"{COMPOSE['gateway']['shm_size'].removesuffix('b')}i"


def test_memory_is_enough_for_bodies_and_what_lies_in_memory(cluster: Cluster) -> None:
    limit = size(cluster.container("gateway")["resources"]["limits"]["memory"])
    volumes = [volume["emptyDir"] for volume in cluster.pods()["gateway"]["spec"]["volumes"]]
    in_memory = sum(size(one["sizeLimit"]) for one in volumes if one.get("medium") == "Memory")
    processes_and_streams = 150 * 2**20 + 2000 * 16 * 2**10
    assert limit > in_memory + Settings.model_fields["max_held_body_bytes"].default + processes_and_streams


def test_the_images_are_those_of_the_compose_file(sim: Cluster, production: Cluster) -> None:
    assert sim.container("gateway")["image"] == COMPOSE["gateway"]["image"]
    assert {sim.container(name)["image"] for name in sim.engines()} == {COMPOSE["gateway"]["image"]}
    assert production.container("gateway")["image"].rpartition("/")[2].partition(":")[0] == "inference-gateway"
    default = re.fullmatch(r"\$\{VLLM_IMAGE:-(.*)\}", COMPOSE["models"]["image"])
    assert default is not None
    engines = [production.pods()[name]["spec"] for name in production.engines()]
    used = {one["image"] for spec in engines for one in (*spec["containers"], *spec["initContainers"])}
    assert used == {default[1]}


def test_everything_says_what_it_is_part_of(cluster: Cluster) -> None:
    labelled = [one["metadata"].get("labels", {}) for one in (*cluster.manifests, *cluster.pods().values())]
    assert {labels.get("app.kubernetes.io/part-of") for labels in labelled} == {"inference-gateway"}


def test_pods_spread_over_hosts_and_zones(cluster: Cluster) -> None:
    spread = cluster.pods()["gateway"]["spec"]["topologySpreadConstraints"]
    assert {one["topologyKey"] for one in spread} == {"kubernetes.io/hostname", "topology.kubernetes.io/zone"}
