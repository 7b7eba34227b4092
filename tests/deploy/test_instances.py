"""Hosts with a tag are started and stopped, others never, with the rights of policy.json. moto imitates AWS."""

import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import msgspec
import pytest

from tests.support.docker import skip_or_fail
from tests.support.gateway import free_port, wait_until

CLOUD = Path(__file__).parents[2] / "deploy" / "cloud"
PROGRAMS = CLOUD / ".venv" / "bin"
TAG = "inference-gateway=production"
MAKE = """
import boto3, sys
ec2 = boto3.client("ec2")
image = ec2.describe_images()["Images"][0]["ImageId"]
ours, others = {"inference-gateway": "production", "Name": "llm"}, {"inference-gateway": "test"}
for tags, count in ((ours, 2), (others, 1), ({}, 1)):
    marked = [{"ResourceType": "instance", "Tags": [{"Key": k, "Value": v} for k, v in tags.items()]}] if tags else []
    made = ec2.run_instances(
        ImageId=image, MinCount=count, MaxCount=count, InstanceType="g6.12xlarge", TagSpecifications=marked
    )
    print(*(one["InstanceId"] for one in made["Instances"]))
"""
CALLED = """
import boto3, re, runpy, sys
calls = []
boto3.setup_default_session()
boto3.DEFAULT_SESSION.events.register("before-call.ec2", lambda model, **_: calls.append(model.name))
sys.argv = sys.argv[1:]
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
finally:
    print("called", *calls, file=sys.stderr)
"""


@dataclass
class Cloud:
    """An imitation of AWS, and who is in it."""

    endpoint: str
    ours: list[str]
    others: list[str]

    def python(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {
            "PATH": os.environ["PATH"],  # noqa: TID251 -- where it finds its tools
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_REGION": "eu-central-1",
            "AWS_DEFAULT_REGION": "eu-central-1",
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_EC2_METADATA_DISABLED": "true",
            "NO_PROXY": "127.0.0.1",
        }
        return subprocess.run(  # noqa: S603 -- our own
            [PROGRAMS / "python", *arguments], env=environment, capture_output=True, text=True, timeout=100, check=False
        )

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.python(str(CLOUD / "instances.py"), *arguments)

    def states(self) -> dict[str, str]:
        """Of all instances, by id."""
        words = (
            "import boto3\n"
            "for r in boto3.client('ec2').describe_instances()['Reservations']:\n"
            "    for i in r['Instances']: print(i['InstanceId'], i['State']['Name'])"
        )
        return dict(line.split() for line in self.python("-c", words).stdout.splitlines())


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if not (PROGRAMS / "moto_server").exists():
        skip_or_fail("needs moto in deploy/cloud/.venv: deploy/cloud/install.sh")
    port = free_port()
    log = tmp_path_factory.mktemp("moto") / "log"
    with (
        log.open("wb") as output,
        subprocess.Popen(  # noqa: S603 -- our own words
            [PROGRAMS / "moto_server", "-H", "127.0.0.1", "-p", str(port)], stdout=output, stderr=output
        ) as process,
    ):
        url = f"http://127.0.0.1:{port}"
        try:
            wait_until(lambda: answers(url), 60, "moto does not answer")
            yield url
        finally:
            process.kill()


def answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/moto-api/", trust_env=False).is_success
    except httpx.TransportError:
        return False


@pytest.fixture
def cloud(endpoint: str) -> Cloud:
    """Two instances with the tag, one with another value of it and one without."""
    httpx.post(f"{endpoint}/moto-api/reset", trust_env=False)
    made = Cloud(endpoint, [], [])
    lines = made.python("-c", MAKE).stdout.splitlines()
    made.ours, made.others = sorted(lines[0].split()), [*lines[1].split(), *lines[2].split()]
    assert len(made.ours) == 2
    assert len(made.others) == 2
    return made


def test_those_with_the_tag_are_listed(cloud: Cloud) -> None:
    result = cloud.run("list", TAG)
    assert result.returncode == 0, result.stderr
    assert result.stdout == "".join(f"{one}  running   g6.12xlarge  llm\n" for one in cloud.ours)


def test_those_with_the_tag_are_stopped_and_started_and_no_others(cloud: Cloud) -> None:
    assert cloud.run("stop", TAG, "--wait").stdout.endswith("2: stopped\n")
    assert {cloud.states()[one] for one in cloud.ours} == {"stopped"}
    assert {cloud.states()[one] for one in cloud.others} == {"running"}
    assert cloud.run("start", TAG, "--wait").stdout.endswith("2: running\n")
    assert set(cloud.states().values()) == {"running"}


def test_what_is_where_it_should_be_is_left_as_it_is(cloud: Cloud) -> None:
    result = cloud.python("-c", CALLED, str(CLOUD / "instances.py"), "start", TAG)
    assert result.stdout.count("left as it is") == 2
    assert called(result) == {"DescribeInstances"}


def test_a_terminated_instance_is_not_looked_at(cloud: Cloud) -> None:
    cloud.python("-c", f"import boto3; boto3.client('ec2').terminate_instances(InstanceIds=['{cloud.ours[0]}'])")
    assert cloud.run("list", TAG).stdout.startswith(cloud.ours[1])


def test_a_tag_that_nobody_has_is_said(cloud: Cloud) -> None:
    result = cloud.run("stop", "inference-gateway=prod")
    assert (result.returncode, "no instance has the tag" in result.stderr) == (3, True)
    assert set(cloud.states().values()) == {"running"}


@pytest.mark.parametrize("tag", ["inference-gateway", "inference-gateway=", "=production", "Name=*", "na?me=llm"])
def test_half_a_tag_or_a_pattern_means_nobody(cloud: Cloud, tag: str) -> None:
    assert cloud.run("stop", tag).returncode == 2
    assert set(cloud.states().values()) == {"running"}


def test_an_aws_that_cannot_be_reached_is_said_in_a_line(cloud: Cloud) -> None:
    away = Cloud("http://127.0.0.1:1", [], [])
    result = away.run("list", TAG)
    assert (result.returncode, result.stderr.count("\n")) == (1, 1)
    assert cloud.endpoint != away.endpoint


def test_it_asks_for_what_the_policy_allows_and_the_policy_allows_nothing_else(cloud: Cloud) -> None:
    script = str(CLOUD / "instances.py")
    asked = set()
    for words in (("list",), ("stop", "--wait"), ("start", "--wait")):
        result = cloud.python("-c", CALLED, script, words[0], TAG, *words[1:])
        assert result.returncode == 0, result.stderr
        asked |= called(result)
    policy = msgspec.json.decode((CLOUD / "policy.json").read_bytes())
    allowed = [action for one in policy["Statement"] for action in as_list(one["Action"])]
    assert {f"ec2:{name}" for name in asked} == set(allowed)
    changing = next(one for one in policy["Statement"] if "ec2:StopInstances" in as_list(one["Action"]))
    key, value = TAG.split("=")
    assert changing["Condition"] == {"StringEquals": {f"aws:ResourceTag/{key}": value}}
    assert changing["Resource"] != "*"


def called(result: subprocess.CompletedProcess[str]) -> set[str]:
    """The actions of EC2 that were asked for."""
    found = re.search(r"^called(.*)$", result.stderr, re.MULTILINE)
    assert found, result.stderr
    return set(found[1].split())


def as_list(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value
