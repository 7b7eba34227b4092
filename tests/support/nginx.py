"""Where does a real nginx come from? One with the repository's configuration, on free ports, before a given port."""

import contextlib
import fcntl
import os
import re
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.support import docker

ROOT = Path(__file__).resolve().parents[2]
NGINX = ROOT / "nginx"
MINIMUM = (1, 30)
"""`server ... resolve`, `max_headers` and `add_header_inherit` need it; distributions often have an older one."""
IMAGE = "nginx:1.30-alpine"
START_SECS = 30.0
"""A container needs about a second; a busy machine may need many."""
# A line on standard input reloads; its end ends nginx: whatever becomes of the test process, nothing is left running.
TIED_TO_STDIN = '"$0" & child=$!; while read -r _; do kill -HUP $child; done; kill -TERM $child; wait $child'


@dataclass(frozen=True, slots=True)
class NginxServer:
    """A running nginx.

    Attributes:
        https_url, http_url, status_url: where it listens, without a trailing slash.
        ca_file: the development certificate, which is its own authority.
        scratch: its own folder, gone when it stops.
    """

    https_url: str
    http_url: str
    status_url: str
    ca_file: Path
    scratch: Path
    process: subprocess.Popen[bytes]

    @property
    def https_port(self) -> int:
        """The port of `https_url`."""
        return int(self.https_url.rsplit(":", 1)[1])

    @property
    def http_port(self) -> int:
        """The port of `http_url`."""
        return int(self.http_url.rsplit(":", 1)[1])

    def log(self) -> str:
        """The access log, JSON lines, and nginx's own errors, so far; a line may be late by a second."""
        return (self.scratch / "log").read_text()

    def reload(self) -> None:
        """Have nginx read its configuration and certificates again; old workers end their streams."""
        assert self.process.stdin is not None
        self.process.stdin.write(b"reload\n")
        self.process.stdin.flush()

    def stop(self) -> None:
        """End nginx, wait for it and remove its folder; harmless when it has ended."""
        if self.process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self.process.stdin.close()
        self.process.wait(START_SECS)
        shutil.rmtree(self.scratch, ignore_errors=True)


def start_nginx(
    upstream_port: int, *, metrics_port: int | None = None, certificates: Path | None = None, **settings: str
) -> NginxServer:
    """Start nginx with TLS on loopback; the caller stops it.

    Args:
        upstream_port: where the gateway listens on 127.0.0.1.
        metrics_port: where its metrics are served; by default nobody listens there.
        certificates: a folder with fullchain.pem and privkey.pem; by default a development pair is made.
        settings: settings of nginx/entrypoint.sh, e.g. `NGINX_CLIENT_BODY_TIMEOUT="1s"`.

    Without nginx >= 1.30 and without an engine that has its image the test is skipped, or fails where CI is set.
    """
    _require()
    for _ in range(3):
        server = _start(upstream_port, metrics_port or _free_port(), certificates, settings)
        if _answers(server):
            return server
        log = server.log()
        server.stop()
        # Another process may have taken a port between our asking for it and nginx's binding it.
        if "Address already in use" not in log:
            raise RuntimeError(f"nginx did not start: {log}")
    raise RuntimeError("nginx found no free ports in three attempts")


@cache
def missing() -> str | None:
    """Why no nginx can be started here, or None."""
    if _native() is not None:
        return None
    if (reason := docker.missing_engine()) is not None:
        return reason
    with _one_at_a_time():
        return docker.missing_image(IMAGE, standin="nginx")


def render(certificates: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    """What nginx/entrypoint.sh makes of `settings`: the configuration on stdout, or a refusal on stderr."""
    _require()
    scratch = Path(tempfile.mkdtemp(prefix="nginx-test-"))
    try:
        script = f'"$0" check && cat {_run_dir(scratch)}/nginx.conf'
        command, environment = _command(certificates, scratch, settings, script)
        return subprocess.run(  # noqa: S603 -- our own script
            command, env=environment, capture_output=True, text=True, check=False, timeout=START_SECS
        )
    finally:
        shutil.rmtree(scratch)


def development_certificate(directory: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run certs/make-dev-cert.sh with `options` for `directory`."""
    script = str(ROOT / "certs" / "make-dev-cert.sh")
    environment = {"PATH": _path(), "CERTS_DIR": str(directory)}
    return subprocess.run(  # noqa: S603 -- our own script
        [script, *options], env=environment, capture_output=True, text=True, check=False, timeout=30
    )


def _start(
    upstream_port: int, metrics_port: int, certificates: Path | None, settings: Mapping[str, str]
) -> NginxServer:
    scratch = Path(tempfile.mkdtemp(prefix="nginx-test-"))
    if certificates is None:
        certificates = scratch / "certs"
        development_certificate(certificates)
    http_port, https_port, status_port = _free_port(), _free_port(), _free_port()
    ours = {
        "GATEWAY_UPSTREAM": f"127.0.0.1:{upstream_port}",
        "GATEWAY_METRICS_UPSTREAM": f"127.0.0.1:{metrics_port}",
        "NGINX_ADDRESSES": "127.0.0.1",
        "NGINX_HTTP_PORT": str(http_port),
        "NGINX_HTTPS_PORT": str(https_port),
        "NGINX_STATUS_PORT": str(status_port),
        "HTTPS_PORT": str(https_port),
        "NGINX_WORKERS": "2",
    }
    command, environment = _command(certificates, scratch, {**ours, **settings}, TIED_TO_STDIN)
    with (scratch / "log").open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 -- our own script
            command, env=environment, stdin=subprocess.PIPE, stdout=output, stderr=output
        )
    ca_file = certificates / "fullchain.pem"
    urls = (f"https://127.0.0.1:{https_port}", f"http://127.0.0.1:{http_port}", f"http://127.0.0.1:{status_port}")
    return NginxServer(*urls, ca_file, scratch, process)


def _command(
    certificates: Path, scratch: Path, settings: Mapping[str, str], script: str
) -> tuple[list[str], dict[str, str]]:
    """A command that runs `script`, its $0 being nginx/entrypoint.sh, here or in a container; and its environment."""
    settings = {"NGINX_RESOLVER": "127.0.0.1", **settings}  # nothing is resolved: the upstreams are addresses
    if _native() is None:
        return _in_container(certificates, settings, script), {"PATH": _path()}
    here = {
        "PATH": _path(),
        "NGINX_CERTS_DIR": str(certificates),
        "NGINX_RUN_DIR": _run_dir(scratch),
        "NGINX_USER": os.environ.get("USER", "root"),  # noqa: TID251 -- nginx's `user` must exist on this host
    }
    return ["/bin/sh", "-c", script, str(NGINX / "entrypoint.sh")], {**here, **settings}


def _in_container(certificates: Path, settings: Mapping[str, str], script: str) -> list[str]:
    variables = [word for name, value in settings.items() for word in ("-e", f"{name}={value}")]
    mounts = ["-v", f"{NGINX}:/opt/edge:ro", "-v", f"{certificates}:/etc/nginx/certs:ro", "--tmpfs", "/run/nginx"]
    name = f"nginx-test-{os.getpid()}-{secrets.token_hex(4)}"
    options = ["--rm", "-i", "--name", name, "--network", "host", "--pull", "never", "--entrypoint", "/bin/sh"]
    return ["docker", "run", *options, *mounts, *variables, IMAGE, "-c", script, "/opt/edge/entrypoint.sh"]


def _run_dir(scratch: Path) -> str:
    return "/run/nginx" if _native() is None else str(scratch / "run")


def _require() -> None:
    if (reason := missing()) is not None:
        docker.skip_or_fail(f"needs nginx >= 1.30 or a Docker engine with {IMAGE}: {reason}")


def _answers(server: NginxServer) -> bool:
    """Whether it answers before it ends or the time is up. (A connection is no sign: `nginx -t` listens, too.)"""
    deadline = time.monotonic() + START_SECS
    while server.process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", server.http_port), 1) as probe:
            probe.sendall(b"GET / HTTP/1.0\r\n\r\n")
            if probe.recv(4) == b"HTTP":
                return True
        time.sleep(0.02)
    return False


@cache
def _native() -> Path | None:
    """Nginx on PATH, if it is new enough."""
    found = shutil.which("nginx", path=_path())
    if found is None:
        return None
    answer = subprocess.run([found, "-v"], capture_output=True, text=True, check=False)  # noqa: S603 -- found on PATH
    version = re.search(r"nginx/(\d+)\.(\d+)", answer.stderr)
    return Path(found) if version and (int(version[1]), int(version[2])) >= MINIMUM else None


def _path() -> str:
    # Distributions keep nginx in /usr/sbin, which is on root's PATH only.
    return os.environ.get("PATH", os.defpath) + ":/usr/sbin:/usr/local/sbin"  # noqa: TID251 -- where programs are


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Of several test processes one fetches or builds the image, the others find it."""
    with (Path(tempfile.gettempdir()) / f"nginx-test-image-{os.getuid()}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
