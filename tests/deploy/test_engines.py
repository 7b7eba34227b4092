"""Are the model servers those of docker-compose.yml, and the simulators those of compose.sim.yml?"""

import re
import subprocess
from pathlib import Path

import pytest

from gateway.backends.common import is_one_for_all
from gateway.backends.roster import build_roster
from gateway.settings import Settings
from gateway.simulator.argv import parse
from tests.compose.test_files import ARGUMENTS
from tests.deploy.cluster import Cluster
from tests.deploy.test_gateway_pod import BASE, stated

ENGINES = {"chat": "chat0", "text2sql": "text2sql", "embed": "embed", "rerank": "rerank"}
"""And the first of each under Compose."""


@pytest.mark.parametrize("name", ENGINES)
def test_an_engine_gets_composes_arguments_with_a_gpu_and_without(production: Cluster, sim: Cluster, name: str) -> None:
    expected = ARGUMENTS[ENGINES[name]].split()
    assert production.container(name)["args"] == sim.container(name)["args"] == expected
    assert production.container(name)["command"] == ["vllm", "serve"]
    assert sim.container(name)["command"] == ["gateway", "simulate"]
    assert parse(expected, {}).port == production.container(name)["ports"][0]["containerPort"]


def test_each_takes_a_gpu_and_the_simulators_none(production: Cluster, sim: Cluster) -> None:
    assert set(production.engines()) == set(sim.engines()) == set(ENGINES)
    for name in ENGINES:
        assert production.container(name)["resources"]["limits"]["nvidia.com/gpu"] == "1"
        assert "nvidia.com/gpu" not in sim.container(name)["resources"]["limits"]
        assert "volumeClaimTemplates" not in sim.engines()[name]["spec"]


def test_the_gateway_names_every_replica_as_its_service_does(cluster: Cluster) -> None:
    known = set()
    for name, engine in cluster.engines().items():
        service = cluster.one("Service", name)["spec"]
        assert (service["clusterIP"], service["publishNotReadyAddresses"]) == ("None", True)
        assert service["selector"].items() <= engine["spec"]["template"]["metadata"]["labels"].items()
        replicas = engine["spec"]["replicas"]
        port = service["ports"][0]["port"]
        known |= (
            {f"http://{name}-{index}.{name}:{port}" for index in range(replicas)}
            if replicas > 1
            else {f"http://{name}:{port}"}
        )
    settings = stated(BASE)
    named = [settings[f"{group}_BACKEND"] for group in ("TEXT2SQL", "EMBED", "RERANK")]
    assert {*settings["CHAT_BACKENDS"].split(","), *named} == known


def test_an_engine_is_one_for_all_pods() -> None:
    keys = {"gateway_api_key": "sk-0123456789", "backend_api_key": "of-the-backends"}
    settings = Settings(**{name.lower(): value for name, value in stated(BASE).items()}, **keys)  # type: ignore[arg-type]
    urls = [backend.url for _, backend in build_roster(settings).backends()]
    assert urls
    assert all(is_one_for_all(url, settings.backends_shared) for url in urls)


def test_what_prometheus_calls_a_backend_is_what_the_gateway_calls_it(production: Cluster) -> None:
    keys = {"gateway_api_key": "sk-0123456789", "backend_api_key": "of-the-backends"}
    given = {name.lower(): value for name, value in stated(BASE).items()}
    roster = build_roster(Settings(**given, **keys))  # type: ignore[arg-type]
    labelled = set()
    endpoint = production.one("ServiceMonitor", "engines")["spec"]["endpoints"][0]
    for name, engine in production.engines().items():
        for index in range(engine["spec"]["replicas"]):
            labels = {"__meta_kubernetes_pod_name": f"{name}-{index}"}
            for rule in endpoint["relabelings"]:
                source = ";".join(labels.get(label, "") for label in rule.get("sourceLabels", []))
                if match := re.fullmatch(rule.get("regex", "(.*)"), source):
                    labels[rule["targetLabel"]] = match.expand(re.sub(r"\$(\d)", r"\\\1", rule["replacement"]))
            assert labels["job"] == "vllm"
            labelled.add(labels["backend"])
    assert labelled == {backend.name for _, backend in roster.backends()}


def test_an_engine_has_time_to_load_and_to_finish(production: Cluster) -> None:
    for name in ENGINES:
        container = production.container(name)
        startup = container["startupProbe"]
        assert startup["periodSeconds"] * startup["failureThreshold"] >= 900
        flag = int(container["args"][container["args"].index("--shutdown-timeout") + 1])
        assert production.pods()[name]["spec"]["terminationGracePeriodSeconds"] > flag
        liveness = container["livenessProbe"]
        assert liveness["periodSeconds"] * liveness["failureThreshold"] >= 120


def test_its_key_and_the_hubs_token_are_references(production: Cluster) -> None:
    for name in ENGINES:
        spec = production.pods()[name]["spec"]
        entries = [entry for one in (*spec["containers"], *spec["initContainers"]) for entry in one["env"]]
        referred = {entry["name"] for entry in entries if "valueFrom" in entry}
        assert referred == {"VLLM_API_KEY", "HF_TOKEN"}
        assert "--api-key" not in production.container(name)["args"]


def test_an_engine_may_do_little_though_its_image_is_roots(production: Cluster) -> None:
    for name in ENGINES:
        spec = production.pods()[name]["spec"]
        assert (spec["automountServiceAccountToken"], spec["enableServiceLinks"]) == (False, False)
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert "hostNetwork" not in spec
        for container in (*spec["containers"], *spec["initContainers"]):
            least = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
            assert container["securityContext"] == least


def test_a_model_is_fetched_once_and_a_later_start_needs_no_hub(production: Cluster, tmp_path: Path) -> None:
    (fetching,) = production.pods()["chat"]["spec"]["initContainers"]
    script = fetching["args"][0].replace("/hf-cache", str(tmp_path / "cache"))
    model = {entry["name"]: entry.get("value") for entry in fetching["env"]}["MODEL"]
    assert model == production.container("chat")["args"][0]
    hub = tmp_path / "hf"

    def run(name: str, hub_does: str) -> int:
        hub.write_text(f"#!/bin/sh\n{hub_does}\n")
        hub.chmod(0o755)
        environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "MODEL": name}
        return subprocess.run([*fetching["command"], script], env=environment, check=False, timeout=30).returncode  # noqa: S603 -- our own

    asked = f'echo "$2" >> {tmp_path}/asked'
    assert run("another/one", "exit 1") != 0
    assert [run(model, asked), run(model, asked), run(model, "exit 1")] == [0, 0, 0]
    assert run("another/one", asked) == 0
    assert (tmp_path / "asked").read_text() == f"{model}\nanother/one\n"
