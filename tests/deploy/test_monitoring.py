"""Does the operator's Prometheus know what ours knows, and does KEDA count what there is?"""

import re

import yaml

from gateway.observability.families.catalogue import CATALOGUE
from monitoring.kubernetes import RULES, WRITTEN, render
from tests.deploy.cluster import Cluster, _matches

PROMETHEUS = RULES.parent / "prometheus.yml"


def test_the_rules_are_those_of_the_host_but_for_those_about_docker() -> None:
    assert WRITTEN.read_text() == render(), "run: make kubernetes-rules"
    written = [rule for group in yaml.safe_load(WRITTEN.read_text())["spec"]["groups"] for rule in group["rules"]]
    ours = [
        rule
        for file in sorted(RULES.glob("*.yml"))
        for group in yaml.safe_load(file.read_text())["groups"]
        for rule in group["rules"]
    ]
    left = [rule["alert"] for rule in ours if rule not in written]
    assert written == [rule for rule in ours if rule in written]
    assert left == ["GatewayReplicaGone", "NginxExporterGone"]
    assert len(written) > 30


def test_a_monitor_finds_services_with_that_port_and_calls_the_job_as_the_rules_do(production: Cluster) -> None:
    jobs = set()
    for monitor in production.all("ServiceMonitor").values():
        spec = monitor["spec"]
        found = [
            one for one in production.all("Service").values() if _matches(spec["selector"], one["metadata"]["labels"])
        ]
        assert found
        for service in found:
            assert {endpoint["port"] for endpoint in spec["endpoints"]} <= {
                port["name"] for port in service["spec"]["ports"]
            }
            if "jobLabel" in spec:
                jobs.add(service["metadata"]["labels"][spec["jobLabel"]])
        relabelings = [rule for endpoint in spec["endpoints"] for rule in endpoint.get("relabelings", [])]
        jobs |= {rule["replacement"] for rule in relabelings if rule["targetLabel"] == "job"}
    configured = {job["job_name"] for job in yaml.safe_load(PROMETHEUS.read_text())["scrape_configs"]}
    assert jobs == {"gateway", "vllm"} <= configured


def test_what_is_dropped_of_vllm_is_dropped_here_too(production: Cluster) -> None:
    jobs = {job["job_name"]: job for job in yaml.safe_load(PROMETHEUS.read_text())["scrape_configs"]}
    (ours,) = jobs["vllm"]["metric_relabel_configs"]
    (here,) = production.one("ServiceMonitor", "engines")["spec"]["endpoints"][0]["metricRelabelings"]
    assert (here["regex"], here["action"]) == (ours["regex"], ours["action"])


def test_pods_are_counted_by_a_figure_that_the_gateway_has(production: Cluster) -> None:
    scaled = production.one("ScaledObject", "gateway")["spec"]
    trigger = next(one["metadata"] for one in scaled["triggers"] if one["type"] == "prometheus")
    (family,) = re.findall(r"(gateway_[a-z_]+)\{", trigger["query"])
    assert family in {known.name for known in CATALOGUE}
    namespace = production.one("Deployment", "gateway")["metadata"]["namespace"]
    assert f'namespace="{namespace}"' in trigger["query"]
    assert scaled["scaleTargetRef"]["name"] in production.all("Deployment")


def test_whoever_scales_is_alone_and_takes_no_pod_away_in_a_hurry(production: Cluster, sim: Cluster) -> None:
    assert "replicas" not in production.one("Deployment", "gateway")["spec"]
    assert sim.one("Deployment", "gateway")["spec"]["replicas"] == 2
    scaled = production.one("ScaledObject", "gateway")["spec"]
    assert 2 <= scaled["minReplicaCount"] < scaled["maxReplicaCount"]
    down = scaled["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]["scaleDown"]
    assert down["policies"] == [{"type": "Pods", "value": 1, "periodSeconds": 600}]
    assert scaled["fallback"]["behavior"] == "currentReplicasIfHigher"
