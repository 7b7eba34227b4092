#!/usr/bin/env python3
"""Which cloud hosts carry this tag, and shall they run? Lists, starts and stops EC2 instances; needs boto3 alone.

    instances.py list  inference-gateway=production
    instances.py start inference-gateway=production --wait
    instances.py stop  inference-gateway=production

Region and credentials are boto3's own affair (AWS_REGION, AWS_PROFILE, an instance's role). What it may do there is
policy.json beside it, and it needs no more.
"""

import argparse
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

FAILED, NONE_FOUND = 1, 3
"""Exit statuses; 2 is argparse's, for a command line that will not do."""
LIVING = ("pending", "running", "stopping", "stopped")
"""States of EC2: an instance that was terminated is shown for another hour, and cannot be started."""
BEFORE = {"start": {"stopped"}, "stop": {"pending", "running"}}
"""In which states an instance is told; in all others it is where it should be, or on its way."""
WAITERS = {"start": "instance_running", "stop": "instance_stopped"}


@dataclass(frozen=True, slots=True)
class Instance:
    """An instance.

    Attributes:
        id: `i-...`.
        state: one of `LIVING`.
        kind: its type, as g6.12xlarge.
        name: its tag Name; may be empty.
    """

    id: str
    state: str
    kind: str
    name: str


def tagged(ec2: Any, key: str, value: str) -> list[Instance]:  # noqa: ANN401 -- boto3 makes its clients' types at run time
    """The living instances with this tag, by id."""
    filters = [{"Name": f"tag:{key}", "Values": [value]}, {"Name": "instance-state-name", "Values": list(LIVING)}]
    pages = ec2.get_paginator("describe_instances").paginate(Filters=filters)
    found = [
        instance for page in pages for reservation in page["Reservations"] for instance in reservation["Instances"]
    ]
    return sorted(map(instance_of, found), key=lambda one: one.id)


def instance_of(said: dict[str, Any]) -> Instance:
    """What EC2 says of an instance, as far as it is of use here."""
    tags = {tag["Key"]: tag["Value"] for tag in said.get("Tags", ())}
    return Instance(said["InstanceId"], said["State"]["Name"], said["InstanceType"], tags.get("Name", ""))


def tell(ec2: Any, what: str, found: Iterable[Instance], *, wait: bool) -> None:  # noqa: ANN401 -- see `tagged`
    """Start or stop those that are not where they should be, and say what became of each."""
    told = [one.id for one in found if one.state in BEFORE[what]]
    for one in found:
        print(f"{one.id}  {one.state:<8}  {one.kind}  {one.name}  {what if one.id in told else 'left as it is'}")
    if not told:
        return
    if what == "start":
        ec2.start_instances(InstanceIds=told)
    else:
        ec2.stop_instances(InstanceIds=told)
    if wait:
        ec2.get_waiter(WAITERS[what]).wait(InstanceIds=told)
        print(f"{len(told)}: {WAITERS[what].removeprefix('instance_')}")


def tag(text: str) -> tuple[str, str]:
    """`key=value` of the command line: both, so that no instance is meant by accident.

    Raises:
        argparse.ArgumentTypeError: it is something else.
    """
    key, _, value = text.partition("=")
    if not key or not value or any(letter in text for letter in "*?"):
        raise argparse.ArgumentTypeError(f"{text!r} is not key=value, without * and ?")
    return key, value


def main(arguments: list[str]) -> int:
    """Do what the command line says; the exit status."""
    parser = argparse.ArgumentParser(description="EC2 instances with a tag: list, start, stop.")
    parser.add_argument("what", choices=("list", "start", "stop"))
    parser.add_argument("tag", type=tag, help="key=value")
    parser.add_argument("--wait", action="store_true", help="until they run, or have stopped")
    options = parser.parse_args(arguments)
    try:
        ec2 = boto3.client("ec2")
        found = tagged(ec2, *options.tag)
        if not found:
            print("no instance has the tag {}={} here".format(*options.tag), file=sys.stderr)
            return NONE_FOUND
        if options.what == "list":
            for one in found:
                print(f"{one.id}  {one.state:<8}  {one.kind}  {one.name}".rstrip())
        else:
            tell(ec2, options.what, found, wait=options.wait)
    except (BotoCoreError, ClientError) as error:
        print(f"instances: {error}", file=sys.stderr)
        return FAILED
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
