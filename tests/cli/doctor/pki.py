"""Where do chains of certificates come from? An authority, an intermediate and a server, made for a test."""

import datetime as dt
from dataclasses import dataclass
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from tests.cli.doctor.recorded import NOW

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


@dataclass(frozen=True)
class Issued:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: Key

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        return self.locked(serialization.NoEncryption())

    def locked(self, how: serialization.KeySerializationEncryption) -> bytes:
        """The key in PEM."""
        return self.key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, how)

    @classmethod
    def root(cls, name: str = "A Root") -> Self:
        return cls._made(name, None, authority=True)

    def issue(
        self, name: str, *, authority: bool = False, key: Key | None = None, names: bool = True, days: int = 90
    ) -> "Issued":
        """A certificate for `name`, good from yesterday on."""
        return Issued._made(name, self, authority=authority, key=key, names=names, days=days)

    @classmethod
    def _made(
        cls,
        name: str,
        issuer: "Issued | None",
        *,
        authority: bool,
        key: Key | None = None,
        names: bool = True,
        days: int = 3650,
    ) -> Self:
        own = key or ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer.certificate.subject if issuer else subject)
            .public_key(own.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(NOW - dt.timedelta(days=max(1, 1 - days)))
            .not_valid_after(NOW + dt.timedelta(days=days, minutes=-1))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        )
        if names and not authority:
            builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        return cls(builder.sign(issuer.key if issuer else own, hashes.SHA256()), own)
