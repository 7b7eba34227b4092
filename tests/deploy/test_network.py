"""Who reaches whom? The policies, worked out, against the table of who needs to."""

from gateway.api.endpoints import ENDPOINTS
from gateway.settings import Settings
from tests.deploy.cluster import Cluster, seconds, size

ENGINES = ("chat", "text2sql", "embed", "rerank")
PODS = ("gateway", "valkey", "postgres", *ENGINES)
DNS = {(pod, "ns/kube-system", 53) for pod in PODS}
INSIDE = {
    ("gateway", "valkey", 6379),
    ("gateway", "postgres", 5432),
    *(("gateway", engine, 8000) for engine in ENGINES),
}


def test_in_production_only_the_gateway_reaches_the_others_and_only_the_ingress_reaches_it(production: Cluster) -> None:
    assert production.ways() == {
        *DNS,
        *INSIDE,
        ("ns/nginx-ingress", "gateway", 9000),
        ("ns/monitoring", "gateway", 9100),
        *(("ns/monitoring", engine, 8000) for engine in ENGINES),
        *((engine, "Internet", 443) for engine in ENGINES),
    }
    assert production.unguarded() == set()
    assert production.half_open() == set()


def test_without_gpus_nobody_reaches_the_internet(sim: Cluster) -> None:
    assert sim.ways() == {*DNS, *INSIDE}
    assert sim.unguarded() == set()
    assert sim.half_open() == set()


def test_a_service_names_ports_that_its_pods_have(cluster: Cluster) -> None:
    for service in cluster.all("Service").values():
        chosen = [
            template
            for template in cluster.pods().values()
            if service["spec"]["selector"].items() <= template["metadata"]["labels"].items()
        ]
        assert len(chosen) == 1, service["metadata"]["name"]
        named = {port["name"] for port in chosen[0]["spec"]["containers"][0]["ports"]}
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= named


def test_clients_reach_every_path_but_the_operators(production: Cluster) -> None:
    (rule,) = production.one("Ingress", "gateway")["spec"]["rules"]
    rows = [(row["path"], row["pathType"]) for row in rule["http"]["paths"]]

    def led(path: str) -> bool:
        return any(path == row or (kind == "Prefix" and path.startswith(f"{row.rstrip('/')}/")) for row, kind in rows)

    served = {row.path for row in ENDPOINTS}
    assert {path for path in served if not led(path)} == {path for path in served if path.startswith("/admin")}
    assert not led("/metrics")
    assert {row["backend"]["service"]["port"]["name"] for row in rule["http"]["paths"]} == {"http"}


def test_the_ingress_hands_streams_on_and_outlasts_the_longest_request(production: Cluster) -> None:
    ingress = production.one("Ingress", "gateway")
    notes = {name.removeprefix("nginx.org/"): value for name, value in ingress["metadata"]["annotations"].items()}
    default = {name: field.default for name, field in Settings.model_fields.items()}
    assert notes["proxy-buffering"] == "False"
    assert seconds(notes["proxy-read-timeout"]) > default["max_request_secs"]
    assert size(notes["client-max-body-size"]) == default["max_request_body_bytes"]
    assert seconds(notes["proxy-connect-timeout"]) <= 5
    assert notes["max-fails"] == "0"
    (tls,) = ingress["spec"]["tls"]
    assert tls["hosts"] == [ingress["spec"]["rules"][0]["host"]]


def test_what_the_ingress_says_of_clients_is_believed_and_nobody_else_gets_to_say_it(production: Cluster) -> None:
    assert production.one("ConfigMap", "gateway")["data"]["TRUSTED_PROXIES"] == "10.244.0.0/16"
    assert {way[0] for way in production.ways() if way[1:] == ("gateway", 9000)} == {"ns/nginx-ingress"}
