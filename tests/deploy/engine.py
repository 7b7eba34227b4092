"""What does Docker do with the gateway's containers? A `docker` of files: as much of it as deploy/upgrade.sh asks.

A container is a file, `c0` and so on, in the folder CONTAINERS, with its image's revision and its status. Beside them
`revision` is what a build makes, `mute` names revisions whose containers never answer, `fails` commands that fail when
they have done their work, and `idles` those that do nothing, successfully.
"""

import os
import sys
from pathlib import Path

FOLDER = Path(os.environ["CONTAINERS"])  # noqa: TID251 -- a program of its own


def said(name: str) -> list[str]:
    """The words of one of the test's files."""
    path = FOLDER / name
    return path.read_text().split() if path.exists() else []


def containers() -> dict[str, tuple[str, str]]:
    """Revision and status by id, in the order in which they were made."""
    found = {path.name: path.read_text().split() for path in sorted(FOLDER.glob("c*"))}
    return {name: (revision, status) for name, (revision, status) in found.items()}


def put(name: str, revision: str, status: str) -> None:
    """Make or change a container."""
    (FOLDER / name).write_text(f"{revision} {status}")


def compose(command: str, *words: str) -> str:
    """`docker compose`, for the service `gateway`."""
    if command == "build":
        (FOLDER / "image").write_text(" ".join(said("revision")))
    elif command == "rm":
        for name, (_, status) in containers().items():
            if status == "exited":
                (FOLDER / name).unlink()
    elif command == "ps":
        return "\n".join(name for name, (_, status) in containers().items() if status == "running")
    elif command == "up":
        wanted = int(next(word.partition("=")[2] for word in words if word.startswith("gateway=")))
        for name, (revision, _) in containers().items():  # what was stopped is started, as Compose does
            put(name, revision, "running")
        first = 1 + max((int(name[1:]) for name in containers()), default=-1)
        for number in range(first, first + wanted - len(containers())):
            put(f"c{number}", " ".join(said("image")), "running")
    return ""


def docker(command: str, *words: str) -> str:
    """The engine's own commands."""
    if command == "compose":
        return compose(*words)
    if command == "exec":
        revision, status = containers()[words[0]]
        if status != "running" or revision in said("mute"):
            sys.exit(1)
    elif command == "inspect":
        return containers()[words[-1]][1] if "{{.State.Status}}" in words else words[-1]
    elif command == "stop":
        put(words[-1], containers()[words[-1]][0], "exited")
    elif command == "rm":
        for name in words:
            if not name.startswith("-"):
                (FOLDER / name).unlink()
    return ""


if __name__ == "__main__":
    asked = sys.argv[1] if sys.argv[1] != "compose" else f"compose-{sys.argv[2]}"
    if asked not in said("idles") and (answer := docker(*sys.argv[1:])):
        print(answer)  # noqa: T201 -- what a program says
    if asked in said("fails"):
        sys.exit("Cannot connect to the Docker daemon")
