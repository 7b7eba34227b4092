"""What did the prober find? Its verdicts as records of the board, of which no reader sees one by halves."""

from collections.abc import Callable
from dataclasses import replace

import msgspec

from gateway.backends.board_layout import BACKENDS, COPIES, VERDICT_BYTES, Regions
from gateway.backends.health import BackendHealth
from gateway.core.fence import fence
from gateway.core.records import HEAD_BYTES, record_of, words_at

MAX_WORDS_BYTES = VERDICT_BYTES - HEAD_BYTES
"""A record's words are the verdict's version and the verdict."""
MAX_TRIES = 4
"""How often a record that is being written is read anew, before the verdict that was read last stands a bit longer."""


class Verdicts:
    """The verdicts on a board, by the backend's index.

    One process writes. Of each verdict there are two copies, and the version's parity says which one counts, so that a
    reader has a whole interval between two probes to read in. The record's checksum, over the version too, tells
    whoever was slower than that.
    """

    def __init__(self, regions: Regions) -> None:
        self._versions = regions.versions
        self._memory = regions.verdicts
        self._written: dict[int, bytes] = {}
        self._known_versions = [0] * BACKENDS
        self._known: list[BackendHealth | None] = [None] * BACKENDS
        self._encode: Callable[[tuple[int, BackendHealth]], bytes] = msgspec.msgpack.Encoder().encode
        self._decode = msgspec.msgpack.Decoder(tuple[int, BackendHealth]).decode

    def write(self, index: int, health: BackendHealth) -> bool:
        """Put a verdict on the board; False when it is the one that stands there."""
        version = self._versions[index] + 1
        words = self._encode((0, health))
        if self._written.get(index) == words:
            return False
        self._written[index] = words
        record = record_of(self._fitting(version, health))
        start = self._start(index, version)
        self._memory[start : start + len(record)] = record
        fence()
        self._versions[index] = version
        return True

    def read(self, index: int) -> BackendHealth | None:
        """The verdict, decoded once for each version; None when there is none that this release understands."""
        if self._known_versions[index] != self._versions[index]:
            self._learn(index)
        return self._known[index]

    def _fitting(self, version: int, health: BackendHealth) -> bytes:
        """The words of a record, with as many of the server's model names as there is room for."""
        words = self._encode((version, health))
        while len(words) > MAX_WORDS_BYTES:
            health = replace(health, models=health.models[: len(health.models) // 2])
            words = self._encode((version, health))
        return words

    def _start(self, index: int, version: int) -> int:
        return (COPIES * index + version % COPIES) * VERDICT_BYTES

    def _learn(self, index: int) -> None:
        for _ in range(MAX_TRIES):
            version = self._versions[index]
            fence()
            words = words_at(self._memory, self._start(index, version), MAX_WORDS_BYTES)
            if words is None:
                continue
            try:
                found, health = self._decode(words)
            except msgspec.DecodeError:  # from a supervisor of another release, whose words are not ours
                found, health = version, None
            if found == version:
                self._known_versions[index], self._known[index] = version, health
                return
