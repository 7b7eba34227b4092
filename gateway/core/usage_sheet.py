"""Which usage records stay together on their way to the ledger? What one worker wrote down at once: a sheet."""

from collections.abc import Sequence

from msgspec import MsgspecError, Struct, msgpack

from gateway.core.usage_record import UsageRecord, decode_usage

ARRAY_16 = 0xDC
"""Behind it stand 16 bits of length, behind the next one 32; below it the length stands in the byte itself."""
SHORT = 0x0F

_encode = msgpack.Encoder().encode
_decode = msgpack.Decoder(list[bytes]).decode


class Sheet(Struct, frozen=True, array_like=True, gc=False):
    """Records that are booked together, and once.

    Attributes:
        key: of the sheet in its journal, which never has another one of that key.
        content: the records, as `encode_sheet` makes it; whoever passes it on does not look into it.
    """

    key: bytes
    content: bytes

    def count(self) -> int:
        """How many records stand there: MessagePack's head of an array says it, and nothing is decoded for it."""
        head = self.content[0] if self.content else 0
        if head < ARRAY_16:
            return head & SHORT
        return int.from_bytes(self.content[1 : 3 if head == ARRAY_16 else 5])

    def records(self) -> list[bytes]:
        """The bytes of each record; none of a sheet that cannot be read."""
        try:
            return _decode(self.content)
        except MsgspecError:
            return []


def encode_sheet(records: Sequence[bytes]) -> bytes:
    """The content of a sheet, each record framed for itself: one that is spoilt takes no other along."""
    return _encode(records)


def read_sheet(content: bytes) -> tuple[list[UsageRecord], int]:
    """The records on a sheet, and how many are lost because they cannot be read: 1 for a sheet that is none."""
    try:
        contents = _decode(content)
    except MsgspecError:
        return [], 1
    try:
        return [decode_usage(one) for one in contents], 0
    except MsgspecError:
        records = [record for one in contents if (record := _read(one)) is not None]
        return records, len(contents) - len(records)


def _read(content: bytes) -> UsageRecord | None:
    try:
        return decode_usage(content)
    except MsgspecError:
        return None
