"""Does the repository hold a secret? Every tracked text is read; what only looks like one is listed, with a reason."""

import secrets
import subprocess
from pathlib import Path

import pytest

from gateway.auth.api_key import mint
from tests.security.credentials import Finding, findings

ROOT = Path(__file__).parents[2]
OF_HASHES = ("requirements/*.lock", "bench/locks/*", "tests/real_vllm/*.lock", "tests/e2e/node/package-lock.json")
"""Files that are lists of hashes of packages."""
KNOWN = {
    "4bf92f3577b34da6a3ce929d0e0e4736": "the trace of W3C's own examples",
    "gw-0123456789ABCDEFGHIJKLMNOPQRSTUV": "the tests' own key, letters in their order",
    "9a2d6cd7a273f4d5": "that key's digest, as openssl computes it",
    "9b69590c7428470a": "the commit of a release of a toolkit of NVIDIA's, as it tells it",
    "canary-": "what a test puts where nothing may find it",
    "0123456789abcdef": "a secret of tests that keeps nothing",
    "fedcba9876543210": "the same",
    "5f0c6a3e9d21b784": "the same",
    "5f3c0b7e9d1a4e66": "the same",
    "b1946ac92492d234": "the same",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0": "a well-known example, in a test of what lines must not hold",
}
"""Texts that are none, by how they begin, and what they are."""


def tracked() -> list[Path]:
    """The files of the repository."""
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S607
    if listing.returncode:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in listing.stdout.split("\0") if name and (ROOT / name).is_file()]


def found_in(file: Path) -> list[Finding]:
    if any(file.relative_to(ROOT).match(pattern) for pattern in OF_HASHES):
        return []
    try:
        content = file.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return []
    return [finding for finding in findings(content) if not any(finding.text.startswith(known) for known in KNOWN)]


def test_no_tracked_file_holds_a_secret() -> None:
    found = [f"{file.relative_to(ROOT)}, {finding}" for file in tracked() for finding in found_in(file)]
    assert found == [], "take it out and make it invalid; what only looks like a secret goes into KNOWN, with a reason"


def test_nothing_is_known_that_is_not_there() -> None:
    everything = "".join(file.read_text(errors="replace") for file in tracked() if file.name != Path(__file__).name)
    assert [known for known in KNOWN if known not in everything] == []


def test_no_tracked_file_is_one_that_is_to_be_kept() -> None:
    names = {file.name for file in tracked()}
    assert not {name for name in names if name == ".env" or name.endswith((".pem", ".key", ".p12", ".secret"))}


SECRETS = {
    "a private key": "-----BEGIN EC " + "PRIVATE KEY-----",
    "a key of this gateway": mint(),
    "a token of Hugging Face": "hf_" + "aB3" * 11,
    "a token of GitHub": "ghp_" + "aB3d" * 9,
    "a key of a model service": "sk-ant-" + "aB3d" * 9,
    "a password in a URL": "postgresql://gateway:correct-horse-" + "battery@db/gateway",
    "a text of chance": secrets.token_urlsafe(48),
}


@pytest.mark.parametrize("kind", SECRETS)
@pytest.mark.parametrize("line", ["{}", 'KEY = "{}"', "KEY={}", "  key: {}", '{{"key":"{}"}}', "curl -H 'X-Key: {}'"])
def test_each_kind_would_be_found(kind: str, line: str) -> None:
    assert kind in {finding.kind for finding in findings(line.format(SECRETS[kind]))}


def test_a_finding_does_not_repeat_the_secret() -> None:
    found = list(findings(SECRETS["a key of this gateway"]))
    assert found
    assert SECRETS["a key of this gateway"] not in "".join(map(str, found))


@pytest.mark.parametrize(
    "text",
    [
        "test_a_request_that_was_admitted_before_a_keys_limits_changed_leaves_the_new_ones_in_force",
        "gw-" + "x" * 38,
        "GATEWAY_API_KEY=change-me-and-then-some-more-of-it",
        "postgresql://user:password@host:5432/name",
        "redis://:${REDIS_PASSWORD_OF_THE_HOST}@valkey",
        "abcdefghijklmnopqrstuvwxyz0123456789",
        '"$GATEWAY_URL/admin/v1/backends/chat1/undrain"',
    ],
)
def test_what_is_no_secret_is_not_taken_for_one(text: str) -> None:
    assert list(findings(text)) == []
