"""Until when are certificates good? What addresses really serve, asked for now and then."""

import asyncio
import contextlib
import logging
import ssl
from collections import Counter
from collections.abc import Sequence

from gateway.core.clock import Clock
from gateway.observability.families.processes import CERTIFICATE_EXPIRY, TLS_PROBE_UP
from gateway.observability.gauge import Gauge
from gateway.observability.metrics import Metrics
from gateway.observability.tls_address import tls_address

logger = logging.getLogger(__name__)

LOOK_SECS = 60.0
"""Between two looks: a certificate that was renewed, or not, is seen so much later."""
PATIENCE_SECS = 5.0
"""For the name, the connection and the handshake together."""
TOLD_AT = 2
"""At so many failures in a row it is logged, once: a proxy that waits for the gateway is not there at first."""


class Certificates:
    """Looks after the certificates of some addresses; its life is `run`.

    What is served is reported, whoever issued it and for whichever name: nothing is sent that a stranger in between
    could read, and a certificate that is about to end is to be seen where no client trusts it too. So none is verified.

    Args:
        addresses: as `host:port`.
        metrics: where it is shown what they serve.
        clock: the time between looks.
    """

    def __init__(self, addresses: Sequence[str], metrics: Metrics, clock: Clock) -> None:
        self._clock = clock
        self._metrics = metrics
        self._up = {address: Gauge(metrics, TLS_PROBE_UP, address) for address in addresses}
        self._expiries: dict[str, Gauge] = {}
        self._failures = Counter[str]()
        """Looks in a row at an address that serves none."""
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._context.check_hostname = False
        self._context.verify_mode = ssl.CERT_NONE

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            try:
                await asyncio.gather(*map(self.look, self._up))
            except Exception:  # a fault of ours must not end what else this process does
                logger.exception("certificates_not_seen", extra={"again_in_secs": LOOK_SECS})
            await self._clock.sleep(LOOK_SECS)

    async def look(self, address: str) -> None:
        """See what one of the addresses serves. When that ends stays shown where it serves nothing any more."""
        try:
            async with asyncio.timeout(PATIENCE_SECS):
                expiry = expiry_of(await self._served(address))
        except (OSError, ValueError) as error:  # ssl.SSLError and TimeoutError are OSErrors
            self._up[address].set(0)
            self._failures[address] += 1
            if self._failures[address] == TOLD_AT:
                logger.warning("tls_probe_failed", extra={"address": address, "why": str(error) or repr(error)})
            return
        if address not in self._expiries:  # not before it is known: an end in 1970 would be an alarm
            self._expiries[address] = Gauge(self._metrics, CERTIFICATE_EXPIRY, address)
        self._expiries[address].set(expiry)
        self._up[address].set(1)
        self._failures[address] = 0

    async def _served(self, address: str) -> bytes:
        """The certificate, in DER. Raises OSError."""
        host, port = tls_address(address)
        _, writer = await asyncio.open_connection(host, port, ssl=self._context, server_hostname=host)
        try:
            session: ssl.SSLObject = writer.get_extra_info("ssl_object")
            return session.getpeercert(binary_form=True) or b""
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


def expiry_of(certificate: bytes) -> float:
    """A certificate's `notAfter`, in seconds since 1970.

    Python's own reader of certificates has no words for one that is not verified.

    Raises:
        ValueError: this is no certificate.
    """
    from cryptography import x509  # noqa: PLC0415 -- some MiB, which only a host that asks for certificates needs

    try:
        return x509.load_der_x509_certificate(certificate).not_valid_after_utc.timestamp()
    except ValueError as error:
        raise ValueError("what was served is no certificate") from error
