"""Settings that are read by another interpreter: whatever comes of it is sentences, and never the end of who asked."""

import pickle
import sys
from pathlib import Path

import pytest

from gateway.cli.fresh import UnreadableError, load_fresh
from gateway.settings import Settings, load

pytestmark = pytest.mark.anyio

OTHER_CODE = """#!{python}
import os, sys
os.write(sys.stdout.fileno(), {answer!r})
"""


def given() -> Settings:
    return load(
        None, gateway_api_key="sk-of-a-test", backend_api_key="key-of-a-test", chat_backends="http://127.0.0.1:9"
    )


def without(*names: str) -> bytes:
    """What an interpreter says whose code knows no settings of these names."""
    settings = given()
    for name in names:
        del vars(settings)[name]
    return pickle.dumps(settings)


def answers(folder: Path, answer: bytes) -> str:
    """An interpreter whose code gives this answer."""
    path = folder / "python"
    path.write_text(OTHER_CODE.format(python=sys.executable, answer=answer))
    path.chmod(0o700)
    return str(path)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (without("metrics_host"), "metrics_host is gone"),
        (without("log_format", "drain_secs"), "drain_secs, log_format is gone"),
        (b"cgateway.settings\nSettingsOfToday\n.", "SettingsOfToday"),
        (pickle.dumps("another thing altogether"), "no settings"),
        (b"", "Ran out of input"),
    ],
    ids=["one is gone", "two are gone", "an unknown class", "no settings", "nothing"],
)
async def test_who_does_not_understand_newer_code_is_told_to_be_too_old(
    answer: bytes, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", answers(tmp_path, answer))
    with pytest.raises(UnreadableError) as caught:
        await load_fresh({})
    (why,) = caught.value.reasons
    assert why.startswith("the supervisor is too old for the code as it is now: restart it (")
    assert reason in why


async def test_what_only_newer_code_knows_is_kept_for_the_workers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = given()
    vars(settings)["of_tomorrow"] = 7
    monkeypatch.setattr(sys, "executable", answers(tmp_path, pickle.dumps(settings)))
    assert vars(await load_fresh({}))["of_tomorrow"] == 7


async def test_an_interpreter_that_cannot_be_started_is_a_reason_and_no_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "renamed"))
    with pytest.raises(UnreadableError, match=r"no interpreter can be started .* No such file"):
        await load_fresh({})
