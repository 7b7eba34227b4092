"""Does docker-compose.monitoring.yml say what it should? What it may do, where it listens, what it needs to start."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.compose.project import GRAFANA_PASSWORD, MONITORING, ROOT, Project

EVERYBODY = {"prometheus", "alertmanager", "grafana", "otel-collector", "tempo", "nginx-exporter", "dcgm-exporter"}
WITHOUT_A_PROBE = {"otel-collector", "nginx-exporter", "dcgm-exporter"}
"""Their images hold one program, which cannot ask itself: Prometheus notices (TargetDown)."""
KEPT = {"prometheus", "alertmanager", "grafana", "tempo"}


@pytest.fixture(scope="module")
def services(monitoring: dict[str, Any]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = monitoring["services"]
    return found


def test_these_services_are_there(services: dict[str, dict[str, Any]]) -> None:
    assert set(services) == EVERYBODY
    assert {service["container_name"] for service in services.values()} == {f"inference-{name}" for name in EVERYBODY}


def test_without_gpus_nothing_asks_for_one(tmp_path: Path) -> None:
    plain = Project(tmp_path, MONITORING, {"GRAFANA_ADMIN_PASSWORD": GRAFANA_PASSWORD}).config()["services"]
    assert set(plain) == EVERYBODY - {"dcgm-exporter"}
    assert not any("devices" in str(service.get("deploy", {})) for service in plain.values())


def test_the_exporter_of_gpus_sees_all_of_them(services: dict[str, dict[str, Any]]) -> None:
    (device,) = services["dcgm-exporter"]["deploy"]["resources"]["reservations"]["devices"]
    assert (device["driver"], device["count"], device["capabilities"]) == ("nvidia", -1, ["gpu"])


def test_it_is_published_on_loopback_alone_and_traces_not_at_all(services: dict[str, dict[str, Any]]) -> None:
    ports = {name: service["ports"] for name, service in services.items() if service.get("ports")}
    assert {name: [port["target"] for port in published] for name, published in ports.items()} == {
        "prometheus": [9090],
        "alertmanager": [9093],
        "grafana": [3000],
    }
    assert {port["host_ip"] for published in ports.values() for port in published} == {"127.0.0.1"}


def test_it_is_a_project_of_its_own_that_joins_networks_by_their_fixed_names(
    real: dict[str, Any], monitoring: dict[str, Any]
) -> None:
    assert (real["name"], monitoring["name"]) == ("inference", "inference-monitoring")
    joined = {name: network for name, network in monitoring["networks"].items() if network.get("external")}
    assert set(joined) == {"backend", "status"}
    assert all(network["name"] == real["networks"][name]["name"] for name, network in joined.items())


def test_nobody_of_it_is_where_the_gateway_believes_an_address(services: dict[str, dict[str, Any]]) -> None:
    members = {name: set(service["networks"]) for name, service in services.items()}
    assert members.pop("prometheus") == members.pop("otel-collector") == {"backend", "monitoring"}
    assert members.pop("nginx-exporter") == {"status", "monitoring"}
    assert set(map(frozenset, members.values())) == {frozenset({"monitoring"})}


def test_what_is_published_stands_on_a_network_with_a_way_out(
    services: dict[str, dict[str, Any]], monitoring: dict[str, Any]
) -> None:
    assert not monitoring["networks"]["monitoring"].get("internal")
    assert all("monitoring" in service["networks"] for service in services.values() if service.get("ports"))


def test_nothing_may_do_more_than_it_must(services: dict[str, dict[str, Any]]) -> None:
    for name, service in services.items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert int(service["mem_limit"]) <= 2 << 30, name
        assert service["restart"] == "unless-stopped", name
        assert set(service["logging"]["options"]) == {"max-size", "max-file"}, name
    assert {name for name, service in services.items() if service.get("cap_add")} == {"dcgm-exporter"}


def test_every_image_is_pinned_to_a_release(services: dict[str, dict[str, Any]]) -> None:
    images = {name: service["image"].rpartition(":")[2] for name, service in services.items()}
    assert [name for name, tag in images.items() if not re.fullmatch(r"v?\d+\.\d+\.\d+(-[\w.-]+)?", tag)] == []


def test_whatever_can_say_how_it_is_is_asked(services: dict[str, dict[str, Any]]) -> None:
    assert {name for name, service in services.items() if "healthcheck" not in service} == WITHOUT_A_PROBE
    # `start_interval` leaves containers unstarted on engines before 25; a shell is in none of these images for certain.
    probes = [service["healthcheck"] for service in services.values() if "healthcheck" in service]
    assert not any("start_interval" in probe or probe["test"][0] != "CMD" for probe in probes)


def test_what_is_kept_is_in_a_volume_and_what_is_configured_is_read_only(services: dict[str, dict[str, Any]]) -> None:
    mounts = {name: service.get("volumes", []) for name, service in services.items()}
    assert {name for name, found in mounts.items() if any(mount["type"] == "volume" for mount in found)} == KEPT
    binds = [mount for found in mounts.values() for mount in found if mount["type"] == "bind"]
    assert binds
    assert all(mount["read_only"] for mount in binds)
    assert [mount["source"] for mount in binds if not Path(mount["source"]).exists()] == []


def test_grafana_does_not_start_without_a_password_and_has_it_from_the_environment(
    services: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    answer = Project(tmp_path, MONITORING, {}).run("config", "--quiet")
    assert answer.returncode != 0
    assert "GRAFANA_ADMIN_PASSWORD" in answer.stderr
    assert "gateway init" in answer.stderr
    holders = {name for name, service in services.items() if GRAFANA_PASSWORD in str(service)}
    assert holders == {"grafana"}
    assert services["grafana"]["environment"]["GF_SECURITY_ADMIN_PASSWORD"] == GRAFANA_PASSWORD


def test_the_objectives_window_is_kept(services: dict[str, dict[str, Any]]) -> None:
    (kept,) = [word for word in services["prometheus"]["command"] if "retention.time" in word]
    assert int(re.findall(r"=(\d+)d$", kept)[0]) > 30


def test_whoever_is_scraped_or_written_to_is_a_service(
    real: dict[str, Any], services: dict[str, dict[str, Any]]
) -> None:
    config = yaml.safe_load((ROOT / "monitoring/prometheus/prometheus.yml").read_text())
    scraped = set()
    for job in config["scrape_configs"]:
        targets = [target for group in job.get("static_configs", []) for target in group["targets"]]
        scraped |= {target.partition(":")[0] for target in targets}
        scraped |= {name for lookup in job.get("dns_sd_configs", []) for name in lookup["names"]}
    assert scraped - {"127.0.0.1"} <= {*real["services"], *services}
    assert {"gateway", "chat0", "chat1", "text2sql", "embed", "rerank"} <= scraped
    assert EVERYBODY - {"prometheus"} <= scraped
    # Who is scraped is on a network that Prometheus is on.
    everyone = {**real["services"], **services}
    near = set(services["prometheus"]["networks"])
    assert [name for name in scraped - {"127.0.0.1"} if not near & set(everyone[name]["networks"])] == []


def test_grafana_reads_the_services_that_are_there_and_its_dashboards_where_they_are_mounted(
    services: dict[str, dict[str, Any]],
) -> None:
    provisioning = ROOT / "monitoring/grafana/provisioning"
    sources = yaml.safe_load((provisioning / "datasources/datasources.yaml").read_text())["datasources"]
    assert {source["uid"] for source in sources} == {"prometheus", "tempo", "alertmanager"}
    assert {source["url"] for source in sources} == {
        "http://prometheus:9090",
        "http://tempo:3200",
        "http://alertmanager:9093",
    }
    (provider,) = yaml.safe_load((provisioning / "dashboards/dashboards.yaml").read_text())["providers"]
    targets = {mount["target"]: Path(mount["source"]) for mount in services["grafana"]["volumes"]}
    assert targets[provider["options"]["path"]] == ROOT / "monitoring/grafana/dashboards"


def test_spans_go_from_the_collector_to_tempo(services: dict[str, dict[str, Any]]) -> None:
    collector = yaml.safe_load((ROOT / "monitoring/otel-collector/config.yaml").read_text())
    tempo = yaml.safe_load((ROOT / "monitoring/tempo/tempo.yaml").read_text())
    pipeline = collector["service"]["pipelines"]["traces"]
    assert all(name in collector[kind] for kind in ("receivers", "processors", "exporters") for name in pipeline[kind])
    host, _, port = collector["exporters"]["otlp"]["endpoint"].partition(":")
    assert host in services
    assert tempo["distributor"]["receivers"]["otlp"]["protocols"]["grpc"]["endpoint"] == f"0.0.0.0:{port}"
    kept = {mount["target"] for mount in services["tempo"]["volumes"] if mount["type"] == "volume"}
    paths = (tempo["storage"]["trace"]["local"]["path"], tempo["storage"]["trace"]["wal"]["path"])
    assert {str(Path(path).parent) for path in paths} == kept
