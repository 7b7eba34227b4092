"""Is a record whole? Words with their length and checksum, which one process writes where another one reads meanwhile.

No order of stores is relied on, which arm64 would not keep: whoever sees a record by halves finds another checksum.
"""

import zlib
from typing import Final

CHECKSUM_BYTES: Final = 4
LENGTH_BYTES: Final = 4
HEAD_BYTES: Final = CHECKSUM_BYTES + LENGTH_BYTES
"""Eight zeros are no record: they would be one of no words, whose checksum is another."""


def record_of(words: bytes) -> bytes:
    """The record: a checksum of all that follows, the length of the words, the words."""
    framed = len(words).to_bytes(LENGTH_BYTES, "little") + words
    return zlib.crc32(framed).to_bytes(CHECKSUM_BYTES, "little") + framed


def words_at(memory: "memoryview[int]", start: int, most: int) -> bytes | None:
    """The words of the record that begins there; None unless it is whole, and has `most` bytes of words at the most."""
    framed_at = start + CHECKSUM_BYTES
    length = int.from_bytes(memory[framed_at : framed_at + LENGTH_BYTES], "little")
    end = framed_at + LENGTH_BYTES + length
    if length > most or end > len(memory):  # of nothing at all the checksum is zero
        return None
    framed = bytes(memory[framed_at:end])
    checksum = int.from_bytes(memory[start:framed_at], "little")
    return framed[LENGTH_BYTES:] if zlib.crc32(framed) == checksum else None
