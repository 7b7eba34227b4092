"""Tests of who may administer: keys that are refused at the start."""

import subprocess
import sys

import pytest

from gateway.settings import ROOMS, ConfigurationError, load, names, stated

KEYS = {"GATEWAY_API_KEY": "sk-first-key-of-clients", "BACKEND_API_KEY": "backend-key-1", "CHAT_BACKENDS": "http://c:1"}
LOOK = "import sys, {0}; print(*sys.modules)"


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A valid configuration and nothing else."""
    for name in names():
        monkeypatch.delenv(name, raising=False)
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def test_two_admin_keys_are_a_rotation_and_none_is_no_admin_api(environment: pytest.MonkeyPatch) -> None:
    assert load(env_file=None).admin_api_key == []
    environment.setenv("ADMIN_API_KEY", "first-0123456789abcdef, second-0123456789abcdef")
    keys = [key.get_secret_value() for key in load(env_file=None).admin_api_key]
    assert keys == ["first-0123456789abcdef", "second-0123456789abcdef"]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("short-key", "under 16 characters"),
        ("change-me-0123456789", "holds a placeholder"),
        ("first-0123456789abcdef,has a blank in it!", "holds a blank"),
        (KEYS["GATEWAY_API_KEY"], "ADMIN_API_KEY holds a key of GATEWAY_API_KEY"),
    ],
)
def test_a_key_that_will_not_do_stops_the_start_and_is_not_shown(
    environment: pytest.MonkeyPatch, value: str, said: str
) -> None:
    environment.setenv("ADMIN_API_KEY", value)
    with pytest.raises(ConfigurationError) as refused:
        load(env_file=None)
    assert said in str(refused.value)
    assert value not in str(refused.value)


def test_an_address_of_the_gateway_is_one(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("GATEWAY_URL", "https://gw.example/")
    assert load(env_file=None).gateway_url == "https://gw.example"
    environment.setenv("GATEWAY_URL", "gw.example")
    with pytest.raises(ConfigurationError, match="GATEWAY_URL must begin with http"):
        load(env_file=None)


def test_what_is_stated_is_read_without_the_rest(environment: pytest.MonkeyPatch, tmp_path: object) -> None:
    environment.chdir(str(tmp_path))
    environment.delenv("GATEWAY_API_KEY")
    with open(".env", "w", encoding="utf-8") as file:  # noqa: PTH123 -- where the command looks: here
        file.write("ADMIN_API_KEY=from-the-file\nGATEWAY_PORT=9100\nNONSENSE=1\n")
    environment.setenv("ADMIN_API_KEY", "from-the-environment")
    environment.setenv("GATEWAY_PORT", "tcp://10.0.0.7:9000")
    assert stated("ADMIN_API_KEY", "GATEWAY_PORT", "GATEWAY_URL") == {
        "ADMIN_API_KEY": "from-the-environment",
        "GATEWAY_PORT": "9100",
    }


@pytest.mark.parametrize(
    "module", ["gateway.app", "gateway.server.worker", "gateway.companion", "gateway.admin.settings"]
)
def test_no_worker_loads_the_admin_api_or_its_framework(module: str) -> None:
    code = LOOK.format(module)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603 -- this interpreter
    loaded = set(done.stdout.split())
    assert "gateway.admin.app" not in loaded
    assert loaded & {"fastapi", "starlette"} == set()


def test_no_room_takes_the_place_of_anothers_check() -> None:
    checks = [name for room in ROOMS for name in room.__pydantic_decorators__.field_validators]
    assert len(checks) == len(set(checks)), "all rooms are one class: of two checks with one name one is never called"
