"""What can be asked of this host? Programs, files, disks, addresses and the clock: all that checks know of."""

import ctypes
import os
import shutil
import socket
import ssl
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple, Protocol

PATIENCE_SECS = 20.0
"""For one program: `docker` waits for an engine that hangs, and `nvidia-smi` for a driver that does."""
HANDSHAKE_SECS = 3.0


class Answer(NamedTuple):
    """What a program said.

    Attributes:
        status: its exit status; None: there is no such program, or it did not end in time.
    """

    status: int | None
    out: str = ""
    err: str = ""

    @property
    def good(self) -> bool:
        """Whether it did what it was asked."""
        return self.status == 0

    @property
    def words(self) -> str:
        """The last line of what it complained of, or of what it said."""
        lines = [line.strip() for line in (self.err or self.out).splitlines() if line.strip()]
        return lines[-1] if lines else "it says nothing"


class Room(NamedTuple):
    """A file system: its device's number, and its free bytes."""

    device: int
    free: int


class KernelClock(NamedTuple):
    """What the kernel knows of its clock (adjtimex(2)): whether anything keeps it right, and its largest error."""

    synchronized: bool
    error_secs: float


class Host(Protocol):
    """The host, as checks ask it; tests have one that was recorded."""

    def run(self, *command: str) -> Answer:
        """What a program says, in English."""

    def text(self, path: str) -> str | None:
        """A file's text; None where it is not there, or not for us to read."""

    def room(self, path: Path) -> Room | None:
        """The file system where a path is, or would be made."""

    def has_address(self, address: str) -> bool:
        """Whether one can listen at this address here."""

    def certificate(self, address: str, port: int) -> bytes | None:
        """What is served there as a certificate, in DER, unverified; None where nobody speaks TLS."""

    def environment(self) -> Mapping[str, str]:
        """Ours."""

    def clock(self) -> KernelClock | None:
        """The kernel's; None where it does not say."""

    def now(self) -> datetime:
        """The time of day, in UTC."""


class ThisHost:
    """The one we run on."""

    def run(self, *command: str) -> Answer:
        """See `Host`."""
        try:
            done = subprocess.run(  # noqa: S603 -- words of our own tables
                command,
                env={**os.environ, "LC_ALL": "C"},  # noqa: TID251 -- handed on
                capture_output=True,
                text=True,
                errors="replace",
                check=False,
                timeout=PATIENCE_SECS,
                stdin=subprocess.DEVNULL,
            )
        except FileNotFoundError:
            return Answer(None, err=f"there is no {command[0]} here")
        except subprocess.TimeoutExpired:
            return Answer(None, err=f"{command[0]} did not answer within {PATIENCE_SECS:g} s")
        except OSError as error:
            return Answer(None, err=f"{command[0]} cannot be run: {error.strerror}")
        return Answer(done.returncode, done.stdout, done.stderr)

    def text(self, path: str) -> str | None:
        """See `Host`."""
        try:
            return Path(path).read_bytes().decode("utf-8", "replace")
        except OSError:
            return None

    def room(self, path: Path) -> Room | None:
        """See `Host`."""
        for place in (path, *path.parents):
            try:
                return Room(place.stat().st_dev, shutil.disk_usage(place).free)
            except FileNotFoundError:
                continue
            except OSError:
                return None
        return None

    def has_address(self, address: str) -> bool:
        """See `Host`."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        try:
            with socket.socket(family) as probe:
                probe.bind((address, 0))
        except OSError:
            return False
        return True

    def certificate(self, address: str, port: int) -> bytes | None:
        """See `Host`."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        try:
            with (
                socket.create_connection((address, port), HANDSHAKE_SECS) as connection,
                context.wrap_socket(connection, server_hostname="localhost") as session,
            ):
                return session.getpeercert(binary_form=True)
        except OSError:
            return None

    def environment(self) -> Mapping[str, str]:
        """See `Host`."""
        return os.environ  # noqa: TID251 -- what Compose would see, not settings

    def clock(self) -> KernelClock | None:
        """See `Host`."""
        return kernel_clock()

    def now(self) -> datetime:
        """See `Host`."""
        return datetime.now(UTC)


class Timex(ctypes.Structure):
    """`struct timex` of <sys/timex.h>, on 64 bits; the padding behind its known fields is what the kernel may fill."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_byte * 256),
    )


STA_UNSYNC = 0x40
TIME_ERROR = 5


def kernel_clock() -> KernelClock | None:
    """What adjtimex(2) says, which anyone may ask; None on other systems than Linux."""
    try:
        ask = ctypes.CDLL(None, use_errno=True).adjtimex
    except (OSError, AttributeError):
        return None
    asked = Timex()  # modes 0: nothing is set
    state = ask(ctypes.byref(asked))
    if state < 0:
        return None
    return told_by_kernel(state, asked.status, asked.maxerror)


def told_by_kernel(state: int, status: int, error_us: int) -> KernelClock:
    """What the state, the status bits and the largest error in microseconds mean."""
    return KernelClock(state != TIME_ERROR and not status & STA_UNSYNC, error_us / 1e6)
