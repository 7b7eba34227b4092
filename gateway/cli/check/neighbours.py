"""Do nginx, Compose and vLLM agree with the gateway on who gives up first? The ladder of time-outs, rung by rung."""

import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from dotenv import dotenv_values

from gateway.cli.check.compose_file import Compose, UnreadableError
from gateway.cli.check.nginx_file import NGINX_FILE, Nginx, Time
from gateway.settings import Settings

ENV_FILE = Path(".env")
VLLM_KEEPALIVE_SECS = 5.0
"""vLLM closes an idle connection after this long (uvicorn's default), unless VLLM_HTTP_TIMEOUT_KEEP_ALIVE says more."""
ENDING_SECS = 11.0
"""What the gateway may take after DRAIN_SECS to tell the requests that are left, and to end workers that do not end."""


class Disagreement(NamedTuple):
    """Two times that do not fit together.

    Attributes:
        file: in which one of them stands.
        so: what they are, and how they must compare.
        otherwise: what comes of it; may be empty.
        write: what to write there.
    """

    file: str
    so: str
    otherwise: str
    write: str

    def __str__(self) -> str:
        otherwise = f", {self.otherwise}" if self.otherwise else ""
        return f"{self.file}: {self.so}{otherwise}: write {self.write}"


@dataclass(frozen=True, slots=True)
class Rung:
    """A time of nginx's beside one of the gateway's.

    Args:
        default: nginx's own, where the file does not state one, in seconds.
        must_be: how nginx's must compare with the gateway's.
        otherwise: what comes of it if it does not.
    """

    directive: str
    default: float
    must_be: Literal["above", "below", "at most"]
    setting: str
    otherwise: str
    of_upstreams: bool = False

    def holds(self, ours: float, theirs: float) -> bool:
        """Whether the two agree."""
        return {"above": theirs > ours, "below": theirs < ours, "at most": theirs <= ours}[self.must_be]

    def advice(self, ours: float) -> int:
        """Seconds for nginx that would agree: with some room, where the two must differ."""
        seconds = {"above": _tens(ours + ours / 10), "below": 0.8 * ours, "at most": ours}
        return math.floor(seconds[self.must_be])


NGINX_RUNGS = (
    Rung(
        *("keepalive_timeout", 60.0, "below", "client_keepalive_secs"),
        "nginx sends requests into connections that the gateway is closing",
        of_upstreams=True,
    ),
    Rung(
        *("proxy_read_timeout", 60.0, "above", "max_request_secs"),
        "nginx cuts a whole answer, which is silent until its end, while the gateway still works on it",
    ),
    Rung(
        *("worker_shutdown_timeout", math.inf, "above", "max_request_secs"),
        "a reload of nginx cuts requests that the gateway would finish",
    ),
    Rung(
        *("client_header_timeout", 60.0, "at most", "client_header_timeout_secs"),
        "behind nginx it is nginx's time that holds",
    ),
    Rung(
        *("client_body_timeout", 60.0, "at most", "client_body_timeout_secs"),
        "behind nginx, which takes in the whole body first, it is nginx's time that holds",
    ),
    Rung(
        *("send_timeout", 60.0, "above", "client_write_timeout_secs"),
        "nginx cuts a client that does not read before the gateway, which could say so in its log",
    ),
)


class Neighbours:
    """What stands beside the gateway's settings: nginx/nginx.conf and the Compose files, as far as they are there."""

    def __init__(self, nginx: Nginx | None, compose: Compose | None, mistakes: tuple[str, ...] = ()) -> None:
        self._nginx = nginx
        self._compose = compose
        self.mistakes = mistakes

    @classmethod
    def at_hand(cls) -> "Neighbours":
        """Those of the current folder."""
        mistakes: tuple[str, ...] = ()
        compose = None
        try:
            compose = Compose.at_hand(seen_by_compose(os.environ))  # noqa: TID251 -- what Compose would see, not a setting
        except UnreadableError as error:
            mistakes = (str(error),)
        return cls(Nginx.at_hand(compose.environment("nginx") if compose else {}), compose, mistakes)

    def compared(self) -> list[str]:
        """With which files the time-outs were compared."""
        there = [str(NGINX_FILE)] if self._nginx else []
        there += [self._compose.name] if self._compose else []
        return [f"  They were compared with those of {' and '.join(there)}."] if there else []

    def findings(self, settings: Settings) -> list[str]:
        """A sentence for each pair of time-outs that do not fit together: which file, and what to write there."""
        return [*self.mistakes, *map(str, self.disagreements(settings))]

    def disagreements(self, settings: Settings) -> list[Disagreement]:
        """The pairs themselves, for whoever shows them otherwise (`gateway doctor`)."""
        return [*self._of_nginx(settings), *self._of_vllm(settings), *self._of_stops(settings)]

    def _ours(self, settings: Settings, name: str) -> float:
        """A setting as it counts where Compose starts the gateway."""
        stated = self._compose.environment("gateway").get(name.upper()) if self._compose else None
        return _number(stated, float(getattr(settings, name)))

    def _of_nginx(self, settings: Settings) -> list[Disagreement]:
        if self._nginx is None:
            return []
        found = []
        for rung in NGINX_RUNGS:
            stated = self._nginx.times(rung.directive, of_upstreams=rung.of_upstreams)
            for time in stated or [Time(rung.default, f"`{rung.directive} {{}}s;`")]:
                ours = self._ours(settings, rung.setting)
                if not rung.holds(ours, time.seconds):
                    so = (
                        f"{rung.directive} is {time.seconds:g} s and must be {rung.must_be} "
                        f"{rung.setting.upper()} ({ours:g} s)"
                    )
                    write = time.written.format(rung.advice(ours))
                    found.append(Disagreement(str(NGINX_FILE), so, f"or {rung.otherwise}", write))
        return found

    def _of_vllm(self, settings: Settings) -> list[Disagreement]:
        """Who closes an idle connection between the gateway and vLLM first: it must be the gateway."""
        ours = self._ours(settings, "upstream_keepalive_secs")
        theirs = {server: self._keepalive(server) for server in (self._servers() or ["vLLM"])}
        server, idle = min(theirs.items(), key=lambda item: item[1])
        so = (
            f"UPSTREAM_KEEPALIVE_SECS is {ours:g} s and must be below the {idle:g} s after which {server} closes an "
            "idle connection"
        )
        write = f"UPSTREAM_KEEPALIVE_SECS={0.8 * idle:g}"
        return [] if ours < idle else [Disagreement(str(ENV_FILE), so, "or requests meet closing ones", write)]

    def _keepalive(self, server: str) -> float:
        stated = self._compose.environment(server).get("VLLM_HTTP_TIMEOUT_KEEP_ALIVE") if self._compose else None
        return _number(stated, VLLM_KEEPALIVE_SECS)

    def _of_stops(self, settings: Settings) -> list[Disagreement]:
        """Whether Docker lets each finish what it would finish."""
        if self._compose is None:
            return []
        found: list[Disagreement] = []
        if self._compose.has("gateway"):
            drain = self._ours(settings, "drain_secs")
            words = f"DRAIN_SECS ({drain:g} s) and {ENDING_SECS:g} s to end"
            found += self._too_short("gateway", drain + ENDING_SECS, words)
        for server in self._servers():
            timeout = _number(self._compose.argument(server, "--shutdown-timeout"), 0.0)
            if not timeout:
                so, otherwise = f"{server} has no --shutdown-timeout", "so that a stop cuts short what it generates"
                write = "--shutdown-timeout 120 into its command"
                found.append(Disagreement(self._compose.name, so, otherwise, write))
            found += self._too_short(server, timeout, f"--shutdown-timeout ({timeout:g} s)")
        return found

    def _too_short(self, service: str, needed: float, words: str) -> list[Disagreement]:
        if self._compose is None:
            return []
        grace = self._compose.grace(service)
        so = f"{service} is killed {grace:g} s after SIGTERM, which must be above {words}"
        write = f"stop_grace_period: {_tens(needed + 20)}s"
        return [] if grace > needed else [Disagreement(self._compose.name, so, "", write)]

    def _servers(self) -> list[str]:
        return self._compose.model_servers() if self._compose else []


def seen_by_compose(environment: Mapping[str, str]) -> dict[str, str]:
    """What `${NAME}` stands for in the Compose files: the environment goes before `.env`."""
    try:
        file = dotenv_values(ENV_FILE) if ENV_FILE.is_file() else {}
    except (OSError, UnicodeDecodeError):  # `load` says so
        file = {}
    return {**{name: value for name, value in file.items() if value is not None}, **environment}


def _number(text: str | None, otherwise: float) -> float:
    """A number as its reader will read it; what is none is the reader's to refuse, and counts here as not stated."""
    return float(text) if text and re.fullmatch(r"\d+(\.\d+)?", text) else otherwise


def _tens(number: float) -> int:
    """The next whole ten."""
    return math.ceil(number / 10) * 10
