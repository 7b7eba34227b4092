"""Tests of what is read from nginx's configuration without running it."""

from pathlib import Path

import pytest

from gateway.cli.check.nginx_file import ENTRYPOINT, NGINX_FILE, Nginx

ROOT = Path(__file__).parents[3]
TEXT = """
# keepalive_timeout 1s;
http {
    map $request $method_only { "~^(?<method_part>[A-Z]{1,20}) # ;" $method_part; }
    keepalive_timeout 75s;   # of clients
    upstream gateway { server ${GATEWAY_UPSTREAM} resolve; keepalive_timeout 60s; }
    client_body_timeout ${NGINX_CLIENT_BODY_TIMEOUT};
    server { location / { client_body_timeout 2m; } }
}
"""


def test_a_directive_of_upstreams_is_told_from_its_namesake() -> None:
    nginx = Nginx(TEXT, {})
    assert [time.seconds for time in nginx.times("keepalive_timeout", of_upstreams=True)] == [60]
    assert [time.seconds for time in nginx.times("keepalive_timeout", of_upstreams=False)] == [75]


def test_a_setting_stands_for_its_value_and_is_what_to_write() -> None:
    first, second = Nginx(TEXT, {"NGINX_CLIENT_BODY_TIMEOUT": "15s"}).times("client_body_timeout", of_upstreams=False)
    assert (first.seconds, first.written.format(9)) == (15, "NGINX_CLIENT_BODY_TIMEOUT=9s for the nginx service")
    assert (second.seconds, second.written.format(9)) == (120, "`client_body_timeout 9s;`")


def test_a_value_that_is_no_time_is_none() -> None:
    assert [time.seconds for time in Nginx(TEXT, {}).times("client_body_timeout", of_upstreams=False)] == [120]


def test_the_entrypoint_has_the_defaults_and_compose_goes_before_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert Nginx.at_hand({}) is None
    for file in (NGINX_FILE, ENTRYPOINT):
        file.parent.mkdir(exist_ok=True)
        file.write_text((ROOT / file).read_text())
    for stated, expected in (({}, 180), ({"NGINX_SEND_TIMEOUT": "7m"}, 420)):
        nginx = Nginx.at_hand(stated)
        assert nginx is not None
        assert [time.seconds for time in nginx.times("send_timeout", of_upstreams=False)] == [expected]
