"""What may be set, and what happens to a wrong value? It never becomes a directive; the start ends with its name."""

import re
from pathlib import Path

import pytest

from tests.support.nginx import development_certificate, render

SHIPPED = [
    "client_header_timeout 10s;",
    "client_body_timeout 15s;",
    "send_timeout 180s;",
    "proxy_connect_timeout 2s;",
    "proxy_read_timeout 6000s;",
    "client_max_body_size 10485760;",
    "limit_conn per_address 1000;",
    "proxy_request_buffering on;",
    "proxy_buffering off;",
    "proxy_intercept_errors off;",
    "server gateway:9000 resolve max_fails=0;",
    "server gateway:9100 resolve max_fails=0;",
    "so_keepalive=60s:15s:4",
    "worker_shutdown_timeout 6000s;",
    "ssl_session_tickets off;",
]
WRONG = {
    "GATEWAY_UPSTREAM": "gateway:9000; } evil {",
    "MAX_REQUEST_BODY_BYTES": "10m",
    "NGINX_CLIENT_HEADER_TIMEOUT": "10",
    "NGINX_OPERATORS": "10.0.0.0/8; include /etc/passwd",
    "NGINX_CONNECTIONS_PER_ADDRESS": "0",
    "NGINX_ADDRESSES": "127.0.0.1\n}",
    "NGINX_HTTPS_PORT": "443 default_server",
    "NGINX_STATUS_PORT": "8080; }",
    "NGINX_RESOLVER": "$(reboot)",
    "TLS_CERT": "a b.pem",
    "HSTS_SECONDS": '1" always; #',
}


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("certs")
    development_certificate(directory)
    return directory


@pytest.fixture(scope="module")
def shipped(certificates: Path) -> str:
    """The configuration as it is without any setting."""
    return render(certificates).stdout


@pytest.mark.parametrize("directive", SHIPPED)
def test_the_shipped_bounds(shipped: str, directive: str) -> None:
    assert directive in shipped


def test_bodies_wait_in_the_folder_that_compose_puts_on_a_tmpfs(shipped: str) -> None:
    folder = re.search(r"^pid (.*)/nginx.pid;", shipped, re.MULTILINE)
    assert folder is not None
    paths = re.findall(r"(\w+)_temp_path (.*)/\w+;", shipped)
    assert dict(paths) == dict.fromkeys(("client_body", "proxy", "fastcgi", "uwsgi", "scgi"), folder[1])


def test_nothing_is_left_to_fill_in(shipped: str) -> None:
    assert "${" not in shipped
    assert "server {" in shipped


@pytest.mark.parametrize(
    ("address", "counted_as"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2"),
        ("2001:db8:1:2::6", "2001:db8:1:2"),
        ("2001:db8:1:0:3:4:5:6", "2001:db8:1:0"),
        ("2001:db8:1::6", "2001:db8:1:0"),
        ("2001:db8:0:2:3:4:5:6", "2001:db8:0:2"),
        ("2001:db8:0:2::", "2001:db8:0:2"),
        ("2001:db8:0:0:3::", "2001:db8:0:0"),
        ("2001:db8::3:4:5:6", "2001:db8:0:0"),
        ("2001:db8::6", "2001:db8:0:0"),
        ("fd00::6", "fd00::6"),
        ("::1", "::1"),
    ],
)
def test_an_address_of_ipv6_is_counted_with_its_slash_64(shipped: str, address: str, counted_as: str) -> None:
    # nginx's own expressions on addresses as nginx spells them: a /64 of addresses cannot be had in a test.
    rows = re.findall(r'"~(\^\(\?<network>.*)" \$network(.*);', shipped)
    found = (re.match(row.replace("?<", "?P<"), address) for row, _ in rows)
    keys = [match["network"] + rest for match, (_, rest) in zip(found, rows, strict=True) if match is not None]
    assert len(rows) == 3
    assert [*keys, address][0] == counted_as


def test_the_read_time_out_exceeds_the_longest_request(shipped: str) -> None:
    found = re.search(r"proxy_read_timeout (\d+)s", shipped)
    assert found is not None
    assert int(found[1]) > 5400


@pytest.mark.parametrize(("name", "value"), WRONG.items())
def test_a_wrong_value_stops_the_start_and_is_named(certificates: Path, name: str, value: str) -> None:
    answer = render(certificates, **{name: value})
    assert answer.returncode != 0
    assert answer.stderr.startswith(f"nginx: {name}=")
    assert answer.stdout == ""


def test_a_missing_certificate_is_named_with_the_way_out(tmp_path: Path) -> None:
    answer = render(tmp_path)
    assert answer.returncode != 0
    assert "fullchain.pem" in answer.stderr
    assert "make-dev-cert.sh" in answer.stderr


def test_addresses_and_operators_are_repeated(certificates: Path) -> None:
    answer = render(
        certificates, NGINX_ADDRESSES="127.0.0.1 127.0.0.2", NGINX_OPERATORS="10.0.0.0/8 ::1", NGINX_HTTPS_PORT="8443"
    )
    assert [line.split()[1] for line in answer.stdout.splitlines() if " ssl default_server" in line] == [
        "127.0.0.1:8443",
        "127.0.0.2:8443",
    ]
    assert "10.0.0.0/8 1;" in answer.stdout
    assert "::1 1;" in answer.stdout


@pytest.mark.parametrize(
    ("port", "location"), [("443", "https://$host$request_uri"), ("8443", "https://$host:8443$request_uri")]
)
def test_the_redirect_names_the_port_that_clients_see(certificates: Path, port: str, location: str) -> None:
    assert f"return 308 {location};" in render(certificates, HTTPS_PORT=port).stdout


def test_browsers_are_told_to_insist_with_a_real_certificate_only(certificates: Path, tmp_path: Path) -> None:
    header = 'Strict-Transport-Security "{}" always'
    assert header.format("") in render(certificates).stdout
    # A real certificate is one without the line that the development script writes.
    marked = (certificates / "fullchain.pem").read_text()
    (tmp_path / "fullchain.pem").write_text(marked[marked.index("-----BEGIN") :])
    (tmp_path / "privkey.pem").write_bytes((certificates / "privkey.pem").read_bytes())
    assert header.format("max-age=63072000") in render(tmp_path).stdout
    assert header.format("max-age=60") in render(tmp_path, HSTS_SECONDS="60").stdout
    assert header.format("") in render(tmp_path, HSTS_SECONDS="0").stdout
