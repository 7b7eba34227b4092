"""Will clients believe nginx? The pair in CERTS_DIR: whether it is one, its chain, dates, names, its key's rights."""

import ssl
import stat
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.hashes import HashAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from gateway.cli.doctor.finding import Check, Finding, Subject, error, note, ok, warning
from gateway.cli.doctor.host import Host
from gateway.cli.doctor.site import Site

SOON = timedelta(days=14)
"""Let's Encrypt's tools renew 30 days before the end: who is nearer than this has renewed nothing."""
MIN_RSA_BITS = 2048
WEAK_HASHES = frozenset({"md5", "sha1"})
OTHERS = stat.S_IRWXG | stat.S_IRWXO
DEVELOPMENT = b"development certificate"
"""How the first line of what make-dev-cert.sh writes begins."""
MAKE = "certs/make-dev-cert.sh llm.example.org   # for development; or see certs/README.md"
RENEW = "renew it, put it in place, then: docker compose kill -s HUP nginx"
FULL = "the server's certificate, then each intermediate, in one file: what Let's Encrypt calls fullchain.pem"


@dataclass(frozen=True, slots=True)
class Facts:
    """The pair as it lies there.

    Args:
        cert_path: of the certificates, and the file's content; a text instead of it says why it could not be read.
        key_path: of the private key, likewise.
        folder: what is mounted in nginx' container.
        outside: which of the two leads out of that folder when links are followed.
        key_mode: the rights of the key's file.
        roots: subjects of the authorities that this host trusts, in DER.
    """

    cert_path: Path
    key_path: Path
    folder: Path
    cert: bytes | str
    key: bytes | str
    now: datetime
    outside: tuple[Path, ...] = ()
    key_mode: int = 0
    roots: frozenset[bytes] = frozenset()

    def chain(self) -> Sequence[x509.Certificate]:
        """The file's certificates; none where it has none, or one that cannot be read."""
        if isinstance(self.cert, str):
            return ()
        try:
            return x509.load_pem_x509_certificates(self.cert)
        except ValueError:
            return ()

    def private(self) -> PrivateKeyTypes | None:
        """The key, where it can be read without a pass phrase."""
        if isinstance(self.key, str):
            return None
        try:
            return load_pem_private_key(self.key, None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            return None

    @property
    def development(self) -> bool:
        """Whether make-dev-cert.sh made it."""
        return isinstance(self.cert, bytes) and self.cert.startswith(DEVELOPMENT)


def gather(host: Host, site: Site) -> Facts:
    """Read both files, and which authorities this host trusts."""
    values = site.values
    folder = site.folder / (values.get("CERTS_DIR") or "certs")
    cert_path = folder / (values.get("TLS_CERT") or "fullchain.pem")
    key_path = folder / (values.get("TLS_KEY") or "privkey.pem")
    within = folder.resolve()
    outside = tuple(path for path in (cert_path, key_path) if not _end(path).is_relative_to(within))
    cert, key = _content(cert_path), _content(key_path)
    mode = key_path.stat().st_mode if isinstance(key, bytes) else 0
    return Facts(cert_path, key_path, folder, cert, key, host.now(), outside, mode, _roots())


def _end(path: Path) -> Path:
    """Where links lead; of those that lead to each other, where they begin: they cannot be read, which is said."""
    try:
        return path.resolve()
    except (OSError, RuntimeError):
        return path.parent.resolve() / path.name


def _content(path: Path) -> bytes | str:
    try:
        return path.read_bytes()
    except OSError as error_:
        return str(error_.strerror)


def _roots() -> frozenset[bytes]:
    trusted = ssl.create_default_context().get_ca_certs(binary_form=True)
    return frozenset(filter(None, map(_subject, trusted)))


def _subject(der: bytes) -> bytes | None:
    """An authority's name; None for one that the library does not take, of which a host has a few old ones."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # such as serial numbers of 0, which nobody here can mend
        try:
            return x509.load_der_x509_certificate(der).subject.public_bytes()
        except ValueError:
            return None


def there(facts: Facts) -> Iterable[Finding]:
    """Are both files there, readable, and what they should be?"""
    for path, content in ((facts.cert_path, facts.cert), (facts.key_path, facts.key)):
        if content == "Permission denied":
            yield warning(f"{path} is not for you to read", "it is not looked at", "sudo .venv/bin/gateway doctor")
        elif isinstance(content, str):
            yield error(f"{path}: {content}", "nginx does not start", MAKE)
    if isinstance(facts.cert, bytes) and not facts.chain():
        yield error(f"{facts.cert_path} holds no certificate in PEM", "nginx does not start", MAKE)
    if isinstance(facts.key, bytes) and facts.private() is None:
        encrypted = b"ENCRYPTED" in facts.key
        mend = f"openssl pkey -in {facts.key_path} -out {facts.key_path}.plain   # then put that in its place"
        seen = f"{facts.key_path} " + ("has a pass phrase" if encrypted else "holds no private key in PEM")
        yield error(seen, "nginx does not start", mend if encrypted else MAKE)


def inside(facts: Facts) -> Iterable[Finding]:
    """Do links stay within what is mounted?"""
    for path in facts.outside:
        yield error(
            f"{path} is a link to {path.resolve()}, outside of CERTS_DIR ({facts.folder})",
            "the container has the folder alone: the link leads nowhere there, and nginx does not start",
            "mount the folder above both; for Let's Encrypt CERTS_DIR=/etc/letsencrypt, "
            "TLS_CERT=live/NAME/fullchain.pem, TLS_KEY=live/NAME/privkey.pem in .env",
        )


def pair(facts: Facts) -> Iterable[Finding]:
    """Does the key belong to the first certificate?"""
    chain, key = facts.chain(), facts.private()
    if not chain or key is None:
        return
    wanted = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    place = [index for index, one in enumerate(chain) if _public(one) == wanted]
    if place[:1] == [0]:
        yield ok("the key belongs to the certificate")
    elif place:
        seen = f"the key belongs to certificate {place[0] + 1} of {facts.cert_path}, not to the first"
        yield error(seen, "nginx does not start (`key values mismatch`)", f"put it first: {FULL}")
    else:
        seen = f"{facts.key_path} is not the key of {facts.cert_path}"
        mend = (
            f"put in place what was issued together; both print the same then: openssl x509 -in {facts.cert_path} "
            f"-noout -pubkey; openssl pkey -in {facts.key_path} -pubout"
        )
        yield error(seen, "nginx does not start (`key values mismatch`)", mend)


def _public(one: x509.Certificate) -> bytes | None:
    """A certificate's key; None for one of a kind that the library does not know."""
    try:
        return one.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    except (ValueError, UnsupportedAlgorithm):
        return None


def linked(facts: Facts) -> Iterable[Finding]:
    """Does each certificate vouch for the one before it, up to an authority that clients know?"""
    chain = facts.chain()
    if not chain:
        return
    for below, above in pairwise(chain):
        try:
            below.verify_directly_issued_by(above)
        except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
            seen = f"{_name(above)} did not issue {_name(below)}, which stands before it"
            yield error(seen, "clients find no way to an authority, and refuse", f"write the file anew: {FULL}")
            return
    last = chain[-1]
    if last.issuer.public_bytes() in facts.roots:
        yield ok(f"the chain leads to {_name(last, issuer=True)}, which this host trusts")
    elif last.issuer == last.subject:
        by = "certs/make-dev-cert.sh made it" if facts.development else "it is its own authority"
        yield note(
            f"nobody vouches for the certificate: {by}",
            "each client must be told to trust it",
            f"--cacert or SSL_CERT_FILE={facts.cert_path}; a public one: certs/README.md",
        )
    else:
        yield warning(
            f"the chain ends at {_name(last)}, issued by {_name(last, issuer=True)}, which this host does not know",
            "an intermediate is missing, or the authority is your own: clients that do not know it refuse",
            f"{FULL}; for an authority of your own: tell clients, as certs/README.md says",
        )


def dates(facts: Facts) -> Iterable[Finding]:
    """Is every certificate good now, and for a while?"""
    for one in facts.chain():
        left = one.not_valid_after_utc - facts.now
        if facts.now < one.not_valid_before_utc:
            seen = f"{_name(one)} is good from {one.not_valid_before_utc:%Y-%m-%d %H:%M} UTC on"
            yield error(seen, "clients refuse it until then", "wait, or look at this host's clock: timedatectl")
        elif left <= timedelta(0):
            ended = f"{_name(one)} ended on {one.not_valid_after_utc:%Y-%m-%d}"
            yield error(ended, "every client refuses it", RENEW)
        elif left < SOON:
            yield warning(f"{_name(one)} ends in {left.days} days", "after that every client refuses it", RENEW)
        else:
            yield ok(f"{_name(one)} is good for {left.days} days")


def names(facts: Facts) -> Iterable[Finding]:
    """For which addresses is it?"""
    if not (chain := facts.chain()):
        return
    try:
        stated = chain[0].extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        yield error("the certificate states no names (subjectAltName)", "every client refuses it", MAKE)
        return
    except ValueError:
        yield error("the certificate's extensions, names among them, cannot be read", "clients refuse it", MAKE)
        return
    found = [*stated.get_values_for_type(x509.DNSName), *map(str, stated.get_values_for_type(x509.IPAddress))]
    yield ok(f"clients may call it {', '.join(found)}")


def strength(facts: Facts) -> Iterable[Finding]:
    """Are key and signature of a kind that clients still take?"""
    key = facts.private()
    if isinstance(key, rsa.RSAPrivateKey) and key.key_size < MIN_RSA_BITS:
        seen = f"the key has {key.key_size} bits (RSA)"
        yield error(seen, "OpenSSL and clients refuse under 2048", "have a certificate issued for a new key")
    elif key is not None and not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
        yield warning("the key is neither RSA nor ECDSA", "many clients know no other", "take an ECDSA key (P-256)")
    if (chain := facts.chain()) and _public(chain[0]) is None:
        means = "many clients do not know it either, and whether the key belongs to it is not looked at"
        yield warning("the certificate's key is of a kind that is not known here", means, "take an ECDSA key (P-256)")
    for one in chain[:-1] or chain:
        hashed = _hashed(one)
        if hashed is not None and hashed.name in WEAK_HASHES:
            means = "clients refuse signatures with it"
            yield error(f"{_name(one)} is signed with {hashed.name}", means, "have it issued anew")


def _hashed(one: x509.Certificate) -> HashAlgorithm | None:
    """With what a signature is made; None for a kind without one, or that the library does not know."""
    try:
        return one.signature_hash_algorithm
    except UnsupportedAlgorithm:
        return None


def rights(facts: Facts) -> Iterable[Finding]:
    """Can anybody else on this host read the key?"""
    if isinstance(facts.key, str):
        return
    mode = stat.S_IMODE(facts.key_mode)
    if mode & OTHERS:
        means = "whoever reads it can pose as this server"
        yield warning(f"{facts.key_path} is for others too ({mode:04o})", means, f"chmod 600 {facts.key_path}")
    else:
        yield ok(f"the key is its owner's alone ({mode:04o})")


def _name(one: x509.Certificate, *, issuer: bool = False) -> str:
    """What a certificate, or who issued it, is called."""
    whole = one.issuer if issuer else one.subject
    common = whole.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    return str(common[0].value) if common else whole.rfc4514_string() or "a certificate without a name"


SUBJECT = Subject(
    "Certificate",
    gather,
    (
        Check("files", there),
        Check("links", inside),
        Check("pair", pair),
        Check("chain", linked),
        Check("dates", dates),
        Check("names", names),
        Check("strength", strength),
        Check("rights", rights),
    ),
)
