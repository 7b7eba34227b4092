"""Do the Compose files say what the host needs? GPUs, networks, keys, start order and limits, as Compose reads them."""

import ipaddress
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.compose.project import BACKEND_KEY, GATEWAY_KEY, HUB_TOKEN, KEYS, PASSWORDS, REAL, ROOT, Project

VLLM = {"chat0", "chat1", "text2sql", "embed", "rerank"}
CHAT = (
    "Qwen/Qwen2.5-7B-Instruct --served-model-name qwen Qwen/Qwen2.5-7B-Instruct --host 0.0.0.0 --port 8000 "
    "--max-model-len 8192 --gpu-memory-utilization 0.90 --enable-auto-tool-choice --tool-call-parser hermes "
    "--shutdown-timeout 120 --quantization fp8 --max-num-seqs 64"
)
ARGUMENTS = {
    "chat0": CHAT,
    "chat1": CHAT,
    "text2sql": "Snowflake/Arctic-Text2SQL-R1-7B --host 0.0.0.0 --port 8000 --max-model-len 8192 "
    "--gpu-memory-utilization 0.90 --shutdown-timeout 120 --max-num-seqs 32",
    "embed": "Snowflake/snowflake-arctic-embed-l-v2.0 --runner pooling --host 0.0.0.0 --port 8000 "
    "--gpu-memory-utilization 0.30 --shutdown-timeout 120",
    "rerank": "BAAI/bge-reranker-v2-m3 --runner pooling --host 0.0.0.0 --port 8000 --max-model-len 8192 "
    "--gpu-memory-utilization 0.30 --shutdown-timeout 120",
}


def _gpus(service: dict[str, Any]) -> list[str]:
    devices = service.get("deploy", {}).get("resources", {}).get("reservations", {}).get("devices", [])
    assert all(device["driver"] == "nvidia" and device["capabilities"] == ["gpu"] for device in devices)
    return [number for device in devices for number in device["device_ids"]]


def _flag(service: dict[str, Any], name: str) -> float:
    words = service["command"]
    return float(words[words.index(name) + 1])


def _seconds(duration: str) -> int:
    minutes, _, seconds = duration.rstrip("s").rpartition("m")
    return int(minutes or 0) * 60 + int(seconds or 0)


def test_each_server_has_its_gpu_and_two_share_the_last(real: dict[str, Any]) -> None:
    pinned = {name: _gpus(service) for name, service in real["services"].items() if _gpus(service)}
    assert pinned == {"chat0": ["0"], "chat1": ["1"], "text2sql": ["2"], "embed": ["3"], "rerank": ["3"]}


def test_what_shares_a_gpu_fits_it(real: dict[str, Any]) -> None:
    used: dict[str, float] = defaultdict(float)
    for name in VLLM:
        for gpu in _gpus(real["services"][name]):
            used[gpu] += _flag(real["services"][name], "--gpu-memory-utilization")
    assert max(used.values()) <= 0.90


@pytest.mark.parametrize("name", sorted(VLLM))
def test_a_server_gets_the_planned_arguments_and_the_simulator_the_same(
    real: dict[str, Any], simulated: dict[str, Any], name: str
) -> None:
    assert real["services"][name]["command"] == ARGUMENTS[name].split()
    if name != "rerank":  # which waits first: see below
        assert real["services"][name]["entrypoint"] == ["vllm", "serve"]
    assert simulated["services"][name]["command"] == ARGUMENTS[name].split()
    assert simulated["services"][name]["entrypoint"] == ["gateway", "simulate"]


@pytest.mark.parametrize(("value", "tail"), [("", ["120"]), ("--kv-cache-dtype fp8", ["--kv-cache-dtype", "fp8"])])
def test_quantization_is_a_setting(tmp_path: Path, value: str, tail: list[str]) -> None:
    chosen = Project(tmp_path, REAL, {**KEYS, "CHAT_VLLM_ARGS": value}).config()
    assert chosen["services"]["chat0"]["command"][-len(tail) :] == tail
    assert "--quantization" not in chosen["services"]["chat1"]["command"]


def test_without_gpus_nothing_asks_for_one_or_for_models(simulated: dict[str, Any]) -> None:
    assert not any("deploy" in service for service in simulated["services"].values())
    assert not any("vllm/" in service["image"] for service in simulated["services"].values())
    assert simulated["services"]["models"]["entrypoint"] == ["true"]
    mounts = {name: service["volumes"] for name, service in simulated["services"].items() if service.get("volumes")}
    assert mounts.keys() == {"gateway", "nginx"}
    places = [(mount["type"], mount["target"]) for mount in mounts["gateway"]]
    assert places == [("volume", "/data"), ("bind", "/etc/gateway/gateway.yml")]
    assert "download" not in simulated["networks"]


def _file_of_settings(project: Project) -> tuple[str, str, bool]:
    """Which file the gateway's container has, where it is told to look for it, and whether it can write it."""
    service = project.config()["services"]["gateway"]
    (mount,) = [mount for mount in service["volumes"] if mount["target"] == "/etc/gateway/gateway.yml"]
    return mount["source"], service["environment"]["GATEWAY_CONFIG"], not mount.get("read_only", False)


def test_the_file_of_settings_that_env_names_is_in_the_container(tmp_path: Path) -> None:
    place = "/etc/gateway/gateway.yml"
    assert _file_of_settings(Project(tmp_path, REAL)) == ("/dev/null", "", False)
    absolute = Project(tmp_path, REAL, {**KEYS, "GATEWAY_CONFIG": "/srv/my.yml"})
    assert _file_of_settings(absolute) == ("/srv/my.yml", place, False)
    relative = Project(tmp_path, REAL, {**KEYS, "GATEWAY_CONFIG": "my.yml"})
    assert _file_of_settings(relative) == (str(ROOT / "my.yml"), place, False)


def test_an_override_that_mounts_another_file_of_settings_goes_first(tmp_path: Path) -> None:
    override = tmp_path / "override.yml"
    override.write_text(
        """services:
  gateway:
    environment: { GATEWAY_CONFIG: /etc/gateway/gateway.yml }
    volumes: ["/srv/other.yml:/etc/gateway/gateway.yml:ro"]
"""
    )
    seen = _file_of_settings(Project(tmp_path, (*REAL, str(override))))
    assert seen == ("/srv/other.yml", "/etc/gateway/gateway.yml", False)


@pytest.mark.parametrize("stack", ["real", "simulated"])
def test_only_nginx_publishes_ports(request: pytest.FixtureRequest, stack: str) -> None:
    services = request.getfixturevalue(stack)["services"]
    assert {name for name, service in services.items() if service.get("ports")} == {"nginx"}
    assert {(port["published"], port["target"]) for port in services["nginx"]["ports"]} == {("80", 80), ("443", 443)}


@pytest.mark.parametrize("stack", ["real", "simulated"])
def test_a_key_stands_in_the_environment_of_those_who_need_it_and_nowhere_else(
    request: pytest.FixtureRequest, stack: str
) -> None:
    holders: dict[str, set[str]] = defaultdict(set)
    for name, service in request.getfixturevalue(stack)["services"].items():
        environment = service.pop("environment", None) or {}
        assert "canary" not in msgspec.json.encode(service).decode(), name
        for value in environment.values():
            holders[value or ""].add(name)
        service["environment"] = environment
    assert holders[GATEWAY_KEY] == {"gateway"}
    assert holders[BACKEND_KEY] == {*VLLM, "gateway"}
    assert holders[HUB_TOKEN] == {"models"}


def test_the_backends_have_no_way_in_and_none_out(real: dict[str, Any]) -> None:
    assert real["networks"]["backend"]["internal"] is True
    members = {name: set(service["networks"]) for name, service in real["services"].items()}
    assert all(members[name] == {"backend"} for name in VLLM)
    assert (members["gateway"], members["models"]) == ({"edge", "backend", "state"}, {"download"})


def test_what_gateways_share_starts_with_its_profile_and_is_for_them_alone(
    real: dict[str, Any], grown: dict[str, Any]
) -> None:
    shared = {"valkey", "postgres"}
    assert not shared & real["services"].keys()
    assert grown["services"].keys() - real["services"].keys() == shared
    assert grown["networks"]["state"]["internal"] is True
    members = {name: set(service["networks"]) for name, service in grown["services"].items()}
    assert all(members[name] == {"state"} for name in shared)
    assert {name for name, networks in members.items() if "state" in networks} == {*shared, "gateway"}
    assert grown["services"]["gateway"]["scale"] == 3
    for name, place in (("valkey", "/data"), ("postgres", "/var/lib/postgresql")):
        volumes = [(volume["type"], volume["target"]) for volume in grown["services"][name]["volumes"]]
        assert volumes == [("volume", place)]


def test_each_password_stands_in_one_environment_and_on_no_command_line(grown: dict[str, Any]) -> None:
    for name, value in PASSWORDS.items():
        holders = {
            service
            for service, settings in grown["services"].items()
            if value in (settings.get("environment") or {}).values()
        }
        assert holders == {name.partition("_")[0].lower()}
        for settings in grown["services"].values():
            words = str((settings.get("command"), settings.get("entrypoint"), settings.get("healthcheck")))
            assert value not in words


def test_nobody_but_nginx_and_the_gateway_is_where_an_address_is_believed(real: dict[str, Any]) -> None:
    members = {name: set(service["networks"]) for name, service in real["services"].items()}
    assert {name for name, networks in members.items() if "edge" in networks} == {"gateway", "nginx"}
    # What reads nginx' figures comes by another way.
    assert members["nginx"] == {"edge", "status"}
    assert real["networks"]["status"]["internal"] is True


def test_the_gateway_trusts_exactly_the_network_of_nginx(real: dict[str, Any], tmp_path: Path) -> None:
    moved = Project(tmp_path, REAL, {**KEYS, "EDGE_SUBNET": "10.77.0.0/28"}).config()
    for stack, expected in ((real, "10.199.0.0/24"), (moved, "10.77.0.0/28")):
        assert stack["networks"]["edge"]["ipam"]["config"] == [{"subnet": expected}]
        assert stack["services"]["gateway"]["environment"]["TRUSTED_PROXIES"] == expected
        assert ipaddress.ip_network(expected).is_private


def test_containers_have_plain_names_and_the_gateway_can_be_scaled(grown: dict[str, Any]) -> None:
    names = {name: service.get("container_name") for name, service in grown["services"].items()}
    assert names == {
        **{name: f"vllm-{name}" for name in VLLM},
        "models": "inference-models",
        "nginx": "inference-nginx",
        "valkey": "inference-valkey",
        "postgres": "inference-postgres",
        "gateway": None,
    }


def test_models_are_there_before_a_server_starts_and_the_second_on_a_gpu_waits(
    real: dict[str, Any], grown: dict[str, Any]
) -> None:
    def waits(name: str) -> dict[str, str]:
        return {other: rule["condition"] for other, rule in grown["services"][name].get("depends_on", {}).items()}

    done = "service_completed_successfully"
    assert all(waits(name) == {"models": done} for name in VLLM - {"rerank"})
    assert waits("rerank") == {"models": done, "embed": "service_healthy"}
    # For no model: it says what is loading. What it shares with others is asked for its first decision.
    assert waits("gateway") == {"valkey": "service_healthy", "postgres": "service_healthy"}
    assert not any(rule["required"] for rule in grown["services"]["gateway"]["depends_on"].values())
    assert waits("nginx") == {"gateway": "service_started"}
    assert all(real["services"][name]["environment"]["HF_HUB_OFFLINE"] == "1" for name in VLLM)


@pytest.mark.parametrize(("healthy_at", "asked"), [(1, 1), (4, 4), (1000, 450)])
def test_the_second_on_a_gpu_waits_by_itself_too_as_docker_knows_no_order_at_a_boot(
    real: dict[str, Any], tmp_path: Path, healthy_at: int, asked: int
) -> None:
    service = real["services"]["rerank"]
    programs = {
        "curl": f'echo "$*" >> curls; [ "$(wc -l < curls)" -ge {healthy_at} ]',
        "sleep": "true",
        "vllm": 'for word; do echo "$word"; done > began',
    }
    for name, words in programs.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{words}\n")
        (tmp_path / name).chmod(0o755)
    command = [*service["entrypoint"], *service["command"]]
    # Compose shows a dollar as the two that a file needs.
    command = [word.replace("$$", "$") for word in command]
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    subprocess.run(command, cwd=tmp_path, env=environment, check=True, timeout=60)  # noqa: S603 -- our own
    curls = (tmp_path / "curls").read_text().splitlines()
    assert len(curls) == asked
    assert all(line.endswith("http://embed:8000/health") for line in curls)
    assert (tmp_path / "began").read_text().split("\n")[:-1] == ["serve", *ARGUMENTS["rerank"].split()]


def test_it_waits_as_long_as_the_first_may_load(real: dict[str, Any]) -> None:
    tries, pause = 450, 2
    assert f"tries={tries}" in real["services"]["rerank"]["entrypoint"][2]
    assert tries * pause == _seconds(real["services"]["embed"]["healthcheck"]["start_period"])


def test_no_log_fills_the_disk(real: dict[str, Any], simulated: dict[str, Any], monitoring: dict[str, Any]) -> None:
    for stack in (real, simulated, monitoring):
        for name, service in stack["services"].items():
            logging = service["logging"]
            assert logging["driver"] == "json-file", name
            assert set(logging["options"]) == {"max-size", "max-file"}, name


def test_nginx_can_be_published_on_loopback_alone(tmp_path: Path) -> None:
    tunnelled = Project(tmp_path, REAL, {**KEYS, "PUBLISH_ADDRESS": "127.0.0.1"}).config()
    ports = [port for service in tunnelled["services"].values() for port in service.get("ports", ())]
    assert {port["host_ip"] for port in ports} == {"127.0.0.1"}
    assert {port["target"] for port in ports} == {80, 443}


@pytest.mark.parametrize("stack", ["real", "simulated"])
def test_nobody_is_killed_while_requests_end(request: pytest.FixtureRequest, stack: str) -> None:
    services = request.getfixturevalue(stack)["services"]
    for name in VLLM:
        assert _seconds(services[name]["stop_grace_period"]) > _flag(services[name], "--shutdown-timeout")
    assert _seconds(services["gateway"]["stop_grace_period"]) > 120
    assert _seconds(services["nginx"]["stop_grace_period"]) > 120
    assert services["nginx"]["stop_signal"] == "SIGQUIT"


@pytest.mark.parametrize("stack", ["grown", "simulated"])
def test_every_server_says_how_it_is(request: pytest.FixtureRequest, stack: str) -> None:
    services = request.getfixturevalue(stack)["services"]
    assert {name for name, service in services.items() if "healthcheck" not in service} == {"models"}
    # `start_interval` leaves containers unstarted on engines before 25.
    assert not any("start_interval" in service.get("healthcheck", {}) for service in services.values())
    if stack == "grown":
        assert {services[name]["healthcheck"]["start_period"] for name in VLLM} == {"15m0s"}


ROOT_MAY = {
    **{name: {"DAC_OVERRIDE"} for name in (*VLLM, "models", "valkey")},
    "nginx": {"CHOWN", "SETGID", "SETUID", "DAC_OVERRIDE"},
    "postgres": {"CHOWN", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETUID"},
}
"""What is left to root, in the containers that begin as root; in the gateway's nobody is."""


def test_every_container_may_do_little(grown: dict[str, Any]) -> None:
    for name, service in grown["services"].items():
        assert service["cap_drop"] == ["ALL"], name
        assert set(service.get("cap_add", ())) == ROOT_MAY.get(name, set()), name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert "privileged" not in service
        # vLLM and its libraries keep caches in many places of their own file system.
        assert service.get("read_only", False) is (name not in {*VLLM, "models"}), name
    assert grown["services"]["gateway"]["user"] == "1001:1001"


def test_nginx_and_the_gateway_refuse_bodies_at_the_same_length(real: dict[str, Any], tmp_path: Path) -> None:
    changed = Project(tmp_path, REAL, {**KEYS, "MAX_REQUEST_BODY_BYTES": "5000"}).config()
    for stack, expected in ((real, "10485760"), (changed, "5000")):
        limits = [stack["services"][name]["environment"]["MAX_REQUEST_BODY_BYTES"] for name in ("nginx", "gateway")]
        assert limits == [expected, expected]


def test_a_stack_without_a_backend_key_does_not_start(tmp_path: Path) -> None:
    answer = Project(tmp_path, REAL, {"GATEWAY_API_KEY": GATEWAY_KEY}).run("config", "--quiet")
    assert answer.returncode != 0
    assert "BACKEND_API_KEY" in answer.stderr
    assert "gateway init" in answer.stderr


def test_the_cache_is_filled_once_and_then_needs_no_hub(real: dict[str, Any], tmp_path: Path) -> None:
    service = real["services"]["models"]
    hub = tmp_path / "modules" / "huggingface_hub.py"
    hub.parent.mkdir()
    hub.write_text("def snapshot_download(name, **options): print('asked for', name)\n")
    (cache := tmp_path / "cache").mkdir()

    def run(modules: Path) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, *service["entrypoint"][1:], *service["command"]]
        environment = {"HF_HOME": str(cache), "PYTHONPATH": str(modules)}
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=30)  # noqa: S603 -- our own

    first = run(hub.parent)
    assert first.returncode == 0, first.stderr
    models = {service["command"][0] for name, service in real["services"].items() if name in VLLM}
    assert {f"asked for {name}" for name in models} == {line for line in first.stdout.splitlines() if "asked" in line}
    hub.write_text("raise RuntimeError('the hub is out of reach')\n")
    second = run(hub.parent)
    assert (second.returncode, second.stdout) == (0, "all models are in the cache\n")


def test_a_download_that_failed_is_tried_again(real: dict[str, Any], tmp_path: Path) -> None:
    service = real["services"]["models"]
    (tmp_path / "huggingface_hub.py").write_text("def snapshot_download(name, **options): raise OSError('cut')\n")
    command = [sys.executable, *service["entrypoint"][1:], *service["command"]]
    environment = {"HF_HOME": str(tmp_path), "PYTHONPATH": str(tmp_path)}
    for _ in range(2):
        answer = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=30)  # noqa: S603 -- our own
        assert answer.returncode != 0
        assert "OSError: cut" in answer.stderr
