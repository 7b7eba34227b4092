"""What can go wrong on purpose? One table of faults, and the rows of it that are switched on."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from gateway.simulator import strikes
from gateway.simulator.errors import FORMS
from gateway.simulator.exchange import Exchange
from gateway.simulator.strikes import Answer, Parameters, Strike


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of fault: what it does to a request, and its parameters with their defaults."""

    strike: Strike
    parameters: Parameters


KINDS: Mapping[str, Kind] = {
    "refuse": Kind(strikes.as_usual, {}),
    "reset_before_headers": Kind(strikes.reset_before_headers, {}),
    "hang": Kind(strikes.hang, {}),
    "status": Kind(strikes.status, {"status": 500, "form": "", "message": ""}),
    "html_200": Kind(strikes.html, {}),
    "reset_mid_stream": Kind(strikes.reset_mid_stream, {"after": 3}),
    "eof_mid_stream": Kind(strikes.eof_mid_stream, {"after": 3, "terminated": False}),
    "truncated_body": Kind(strikes.truncated_body, {}),
    "broken_json_event": Kind(strikes.broken_json_event, {"after": 3}),
    "silence": Kind(strikes.silence, {"after": 3}),
    "comments_only": Kind(strikes.comments_only, {"after": 3, "seconds": 0.5}),
    "in_band_error": Kind(strikes.in_band_error, {"after": 3}),
    "abort": Kind(strikes.abort, {"after": 3}),
    "slow": Kind(strikes.slow, {"seconds": 1.0}),
    "stray_second_answer": Kind(strikes.stray_second_answer, {"seconds": 0.0}),
    "close_idle": Kind(strikes.close_idle, {"seconds": 0.0}),
    "delay": Kind(strikes.delay, {"seconds": 1.0}),
    "text": Kind(strikes.text, {"text": "", "repeat": 1, "type": "text/plain; version=0.0.4; charset=utf-8"}),
    "endless": Kind(strikes.endless, {"text": "# nothing\n", "seconds": 0.01}),
}
"""The faults.

`refuse` closes the listener and idle connections, so that connecting is refused until it is taken away.
`after` counts events of the stream (in `silence`, `comments_only`, `in_band_error` and `abort`: tokens), and the first
event of a chat stream is the role. A JSON answer that a mid-stream fault meets is cut in its middle.
`status` with the form `queue_full`, `engine_dead` or `draining` says it in vLLM's words and with vLLM's status;
`string` and `detail` are its other body forms. 401 is a string unless another form is asked for.
`eof_mid_stream` ends with FIN inside the chunked body, or with `terminated` after its last chunk, without `[DONE]`.
`slow` makes one token every so many seconds. `close_idle` closes the kept-alive connection so many seconds after an
answer.
`delay` answers as usual, so many seconds later. `text` says the words it is given, `repeat` times in a row, and
`endless` says them for ever; with the path `/metrics` they are metrics that are stale, garbage or without bounds, and
`delay` with the path `/health` is a server too busy to answer a probe in time.
An engine that stands still is no row: `POST /stop-engine` and `/resume-engine` of the control port.
"""


@dataclass(slots=True)
class Fault:
    """A fault that is switched on.

    Args:
        count: how many more requests it strikes; None is every one until it is taken away.
        path: strikes this path only; without one every POST.
    """

    name: str
    parameters: dict[str, Any]
    count: int | None = None
    path: str | None = None
    struck: int = 0

    async def strike(self, exchange: Exchange, answer: Answer) -> None:
        """Let it happen to this request."""
        await KINDS[self.name].strike(exchange, answer, self.parameters)

    def meets(self, method: str, path: str) -> bool:
        """Whether it strikes this request."""
        if self.name == "refuse" or self.count == 0:
            return False
        return path == self.path if self.path else method == "POST"


class Door(Protocol):
    """The listener, which the `refuse` fault closes."""

    def shut(self) -> None:
        """Refuse connections and close idle ones."""

    async def open(self) -> None:
        """Listen again."""


class Faults:
    """The rows that are switched on; the first that meets a request strikes it."""

    def __init__(self) -> None:
        self._rows: list[Fault] = []

    def take(self, method: str, path: str) -> Fault | None:
        """The fault for this request, if any, with its count used up by one."""
        for fault in self._rows:
            if fault.meets(method, path):
                fault.struck += 1
                if fault.count is not None:
                    fault.count -= 1
                return fault
        return None

    def rows(self) -> list[dict[str, Any]]:
        """The rows as plain values."""
        return [asdict(fault) for fault in self._rows]

    async def replace(self, rows: list[dict[str, Any]], door: Door) -> None:
        """Switch on these faults and no others.

        Raises:
            ValueError: a row names no fault, or an unknown fault or parameter.
        """
        self._rows = [_read(row) for row in rows]
        if any(fault.name == "refuse" for fault in self._rows):
            door.shut()
        else:
            await door.open()


def _read(row: dict[str, Any]) -> Fault:
    given = dict(row)
    name, count, path = given.pop("name", None), given.pop("count", None), given.pop("path", None)
    if name is None:
        raise ValueError(f'a fault\'s "name" is missing; there are {", ".join(KINDS)}')
    if name not in KINDS:
        raise ValueError(f"unknown fault {name!r}; there are {', '.join(KINDS)}")
    known = KINDS[name].parameters
    if strange := set(given) - set(known):
        raise ValueError(f"{name} has no parameter {', '.join(sorted(strange))}; it has {', '.join(known) or 'none'}")
    if given.get("form") and given["form"] not in (*FORMS, "string", "detail"):
        raise ValueError(f"unknown form {given['form']!r}; there are {', '.join((*FORMS, 'string', 'detail'))}")
    return Fault(name, {**known, **given}, count, path)
