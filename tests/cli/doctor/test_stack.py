"""What Compose would start, read from its own JSON and from the short forms of its files."""

from gateway.cli.doctor.stack import Network, Port, Stack

VLLM = ("vllm", "serve")
ANY = "0.0.0.0"  # noqa: S104 -- what the files say
CONFIG = {
    "name": "inference",
    "networks": {
        "edge": {"name": "inference-edge", "ipam": {"config": [{"subnet": "10.199.0.0/24"}]}},
        "six": {"ipam": {}, "enable_ipv6": True},
        "none": None,
    },
    "services": {
        "chat0": {
            "image": "vllm/vllm-openai:v0.32.0",
            "container_name": "vllm-chat0",
            "entrypoint": ["vllm", "serve"],
            "command": ["Qwen/Qwen2.5-7B-Instruct", "--seed", "1", "--seed=$$2"],
            "environment": {"VLLM_API_KEY": "a$$b", "UNSET": None},
            "deploy": {
                "resources": {
                    "reservations": {"devices": [{"driver": "nvidia", "device_ids": ["0"], "capabilities": ["gpu"]}]}
                }
            },
        },
        "nginx": {"command": [], "ports": [{"host_ip": ANY, "target": 443, "published": "8443", "protocol": "tcp"}]},
        "models": {"entrypoint": ["python3", "-c", "pass"], "command": ["Qwen/Qwen2.5-7B-Instruct"]},
    },
}


def test_composes_json_is_read() -> None:
    stack = Stack.read(CONFIG)
    chat = stack.services["chat0"]
    assert (chat.container, chat.model, chat.gpus) == ("vllm-chat0", "Qwen/Qwen2.5-7B-Instruct", ("0",))
    assert (chat.flag("--seed"), chat.flag("--none")) == ("$2", None)
    assert chat.environment == {"VLLM_API_KEY": "a$b", "UNSET": None}
    assert stack.ports() == [("nginx", Port(ANY, 8443, 443))]
    assert stack.services["models"].model is None
    assert stack.networks == {
        "edge": Network("inference-edge", "10.199.0.0/24"),
        "six": Network("six", ipv6=True),
        "none": Network("none"),
    }


def test_a_server_that_a_shell_starts_is_one_and_its_model_is_the_first_word_behind() -> None:
    script = ["/bin/sh", "-c", 'until curl embed; do sleep $$PAUSE; done; exec vllm serve "$$@"', "rerank"]
    tree = {"services": {"rerank": {"entrypoint": script, "command": ["BAAI/bge-reranker-v2-m3", "--seed", "1"]}}}
    rerank = Stack.read(tree).services["rerank"]
    assert (rerank.model, rerank.flag("--seed")) == ("BAAI/bge-reranker-v2-m3", "1")
    assert 'sleep $PAUSE; done; exec vllm serve "$@"' in rerank.entrypoint[2]


def test_the_short_forms_of_the_files_are_read() -> None:
    ports = ["0.0.0.0:443:443", "8080:80/tcp", "[::1]:9443:443", "9000"]
    tree = {"ports": ports, "command": "serve 'a b'", "environment": ["A=1", "B"]}
    nginx = Stack.read({"services": {"nginx": tree}}).services["nginx"]
    assert nginx.ports == (Port(ANY, 443, 443), Port("", 8080, 80), Port("::1", 9443, 443))
    assert (nginx.command, nginx.environment) == (("serve", "a b"), {"A": "1"})
