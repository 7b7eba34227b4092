"""Does a refusal's time tell how much of a key was right? By what is called: times of microseconds are noise."""

import ast
import hashlib
import hmac
from pathlib import Path
from typing import Any

import pytest

from gateway.admin.gate import Gate
from gateway.auth.api_key import digest, mint
from gateway.core.asgi import Message, Receive, Scope, Send

ROOT = Path(__file__).parents[2]
RIGHT, OTHER = "an-admins-key-of-sixteen", "another-key-that-counts"
ROOMS_OF_KEYS = ("auth", "admin/gate.py", "middleware/authenticate.py")


async def asked_with(shown: bytes, monkeypatch: pytest.MonkeyPatch) -> tuple[int, list[tuple[int, int]]]:
    """The status of a request with that admin key, and the lengths of whatever was compared in constant time."""
    compared: list[tuple[int, int]] = []
    compare = hmac.compare_digest
    answered: list[Message] = []

    def counted(one: bytes, another: bytes) -> bool:
        compared.append((len(one), len(another)))
        return compare(one, another)

    async def app(_: Scope, __: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        answered.append(message)

    keys = [hashlib.sha256(key.encode()).digest() for key in (RIGHT, OTHER)]
    scope: Any = {"type": "http", "method": "GET", "path": "/admin/v1/keys", "headers": [(b"x-admin-key", shown)]}
    monkeypatch.setattr(hmac, "compare_digest", counted)
    await Gate(app, keys)(scope, receive, send)
    monkeypatch.undo()
    return answered[0]["status"], compared


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("shown", "status"),
    [
        (RIGHT, 200),
        (OTHER, 200),
        (RIGHT[:-1] + "x", 401),
        ("x" + RIGHT[1:], 401),
        (RIGHT[:1], 401),
        ("", 401),
        (RIGHT * 1000, 401),
    ],
    ids=["the first", "the second", "all but the last byte", "all but the first", "one byte", "none", "a long one"],
)
async def test_every_admin_key_is_compared_whole_with_all(
    shown: str, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await asked_with(shown.encode(), monkeypatch) == (status, [(32, 32), (32, 32)])


def test_an_issued_key_is_looked_up_by_a_hash_whose_place_nobody_can_foresee() -> None:
    key = mint().encode()
    near = key[:-1] + (b"a" if key[-1:] != b"a" else b"b")
    one, another = digest(key, b"one secret"), digest(near, b"one secret")
    assert sum(left != right for left, right in zip(one, another, strict=True)) > 16
    assert one != digest(key, b"another secret")


def test_where_keys_are_judged_nothing_secret_is_compared_by_its_bytes() -> None:
    """`==` ends at the first byte that differs; so does `in` for a list, and for what a set has found by its hash."""
    files = [file for room in ROOMS_OF_KEYS for file in _files(ROOT / "gateway" / room)]
    assert len(files) > 5
    found = [
        f"{file.name}:{node.lineno}"
        for file in files
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Compare) and _is_of_secrets(node)
    ]
    assert found == []


def _files(path: Path) -> list[Path]:
    return [path] if path.is_file() else sorted(path.glob("*.py"))


def _is_of_secrets(node: ast.Compare) -> bool:
    """Whether both sides of an equality are values of which one is called a digest or a secret."""
    if not isinstance(node.ops[0], ast.Eq | ast.NotEq | ast.In | ast.NotIn):
        return False
    sides = (node.left, node.comparators[0])
    if any(isinstance(side, ast.Constant) for side in sides):
        return False
    names = {name.id.lower() for side in sides for name in ast.walk(side) if isinstance(name, ast.Name)}
    names |= {name.attr.lower() for side in sides for name in ast.walk(side) if isinstance(name, ast.Attribute)}
    return any(word in name for name in names for word in ("digest", "secret"))
