"""The pair that nginx shows: what is wrong with it is said before nginx refuses to start, or clients refuse it."""

import datetime as dt
import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from gateway.cli.doctor.certificate import SUBJECT, Facts, gather
from gateway.cli.doctor.finding import Level
from gateway.cli.doctor.site import Site
from tests.cli.doctor.pki import Issued
from tests.cli.doctor.recorded import NOW, RecordedHost, Row, every_check_has_a_fault, fault, findings
from tests.support.nginx import development_certificate

ROOT = Issued.root()
MIDDLE = ROOT.issue("An Intermediate", authority=True)
LEAF = MIDDLE.issue("llm.example.org")
OTHER = MIDDLE.issue("other.example.org")
NAMELESS = MIDDLE.issue("llm.example.org", names=False)
ENDED, ENDING = MIDDLE.issue("llm.example.org", days=-1), MIDDLE.issue("llm.example.org", days=10)
SHORT = MIDDLE.issue("llm.example.org", key=rsa.generate_private_key(65537, 1024))  # noqa: S505 -- what is to be found
OWN = Issued.root("localhost")
CERT, KEY, FOLDER = Path("certs/fullchain.pem"), Path("certs/privkey.pem"), Path("certs")
LOCKED = LEAF.locked(serialization.BestAvailableEncryption(b"a phrase"))
ED25519 = ed25519.Ed25519PrivateKey.generate().private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
)
ROOTS = frozenset({ROOT.certificate.subject.public_bytes()})
CLEAN = Facts(CERT, KEY, FOLDER, LEAF.pem + MIDDLE.pem, LEAF.key_pem, NOW, key_mode=0o100600, roots=ROOTS)


def shown(*chain: Issued) -> Facts:
    """A chain in the file, with the key of its first certificate."""
    return replace(CLEAN, cert=b"".join(one.pem for one in chain), key=chain[0].key_pem)


FAULTS = [
    Row(
        "files",
        replace(CLEAN, cert="No such file or directory"),
        Level.ERROR,
        "certs/fullchain.pem: No such",
        "make-dev",
    ),
    Row("files", replace(CLEAN, key="Permission denied"), Level.WARNING, "privkey.pem is not for you", "sudo"),
    Row(
        "files", replace(CLEAN, cert=b"nothing"), Level.ERROR, "fullchain.pem holds no certificate", "make-dev-cert.sh"
    ),
    Row("files", replace(CLEAN, key=b"nothing"), Level.ERROR, "privkey.pem holds no private key", "make-dev-cert.sh"),
    Row("files", replace(CLEAN, key=LOCKED), Level.ERROR, "has a pass phrase", "openssl pkey"),
    Row("links", replace(CLEAN, outside=(CERT,)), Level.ERROR, "is a link to", "CERTS_DIR=/etc/letsencrypt"),
    Row("pair", replace(CLEAN, key=OTHER.key_pem), Level.ERROR, "privkey.pem is not the key of", "openssl x509"),
    Row("pair", replace(shown(MIDDLE, LEAF), key=LEAF.key_pem), Level.ERROR, "certificate 2 of", "put it first"),
    Row("chain", shown(LEAF), Level.WARNING, "issued by An Intermediate, which this host", "intermediate"),
    Row("chain", shown(LEAF, ROOT), Level.ERROR, "A Root did not issue llm.example.org", "fullchain.pem"),
    Row("chain", shown(OWN), Level.NOTE, "it is its own authority", "SSL_CERT_FILE"),
    Row("dates", shown(ENDED, MIDDLE), Level.ERROR, "llm.example.org ended on 2026-11-21", "kill -s HUP nginx"),
    Row("dates", shown(ENDING, MIDDLE), Level.WARNING, "ends in 9 days", "kill -s HUP nginx"),
    Row("names", shown(NAMELESS, MIDDLE), Level.ERROR, "states no names", "make-dev-cert.sh"),
    Row("strength", shown(SHORT, MIDDLE), Level.ERROR, "1024 bits (RSA)", "new key"),
    Row("strength", replace(CLEAN, key=ED25519), Level.WARNING, "neither RSA nor ECDSA", "P-256"),
    Row(
        "rights",
        replace(CLEAN, key_mode=0o100644),
        Level.WARNING,
        "for others too (0644)",
        "chmod 600 certs/privkey.pem",
    ),
]


@pytest.mark.parametrize("row", FAULTS, ids=str)
def test_a_fault_is_found_with_what_mends_it(row: Row[Facts]) -> None:
    row.holds(SUBJECT)


def test_every_check_has_a_fault_above_and_none_where_all_is_well() -> None:
    every_check_has_a_fault(SUBJECT, CLEAN, FAULTS)


def test_a_certificate_that_has_not_begun_points_at_the_clock() -> None:
    early = replace(CLEAN, now=NOW - dt.timedelta(days=30))
    said = [one for one in findings(SUBJECT, "dates", early) if "llm.example.org" in one.seen]
    assert said[0].level is Level.ERROR
    assert "timedatectl" in said[0].mend


def test_the_development_pair_is_whole_and_known_for_what_it_is(tmp_path: Path) -> None:
    made = development_certificate(tmp_path / "certs", "llm.example.org")
    assert made.returncode == 0, made.stderr
    facts = replace(gather(RecordedHost(), Site(tmp_path)), now=dt.datetime.now(dt.UTC))
    said = fault(SUBJECT, "chain", facts)
    assert (said.level, "make-dev-cert.sh made it" in said.seen) == (Level.NOTE, True)
    others = [row.name for row in SUBJECT.checks if row.name != "chain"]
    assert [one for name in others for one in findings(SUBJECT, name, facts) if one.level is not Level.OK] == []
    (names,) = findings(SUBJECT, "names", facts)
    assert "llm.example.org" in names.seen


def test_the_files_of_the_settings_are_read_and_a_link_out_of_the_folder_is_seen(tmp_path: Path) -> None:
    archive, live = tmp_path / "archive", tmp_path / "live"
    archive.mkdir()
    live.mkdir()
    (archive / "chain1.pem").write_bytes(LEAF.pem)
    (archive / "key1.pem").write_bytes(LEAF.key_pem)
    (archive / "key1.pem").chmod(0o640)
    (live / "chain.pem").symlink_to("../archive/chain1.pem")
    (live / "key.pem").symlink_to("../archive/key1.pem")
    names = {"TLS_CERT": "chain.pem", "TLS_KEY": "key.pem"}
    facts = gather(RecordedHost(), Site(tmp_path, values={"CERTS_DIR": str(live), **names}))
    assert (facts.cert, facts.key, facts.key_mode & 0o777) == (LEAF.pem, LEAF.key_pem, 0o640)
    assert facts.outside == (live / "chain.pem", live / "key.pem")
    above = {"CERTS_DIR": str(tmp_path), **{name: f"live/{file}" for name, file in names.items()}}
    assert gather(RecordedHost(), Site(tmp_path, values=above)).outside == ()


def test_what_the_library_does_not_know_or_cannot_read_is_a_finding(tmp_path: Path) -> None:
    folder = tmp_path / "certs"
    folder.mkdir()
    for arguments, check, said in (
        (("sm2", "-addext", "subjectAltName=DNS:a"), "strength", "of a kind that is not known here"),
        (("rsa:2048", "-addext", "subjectAltName=DER:0500"), "names", "cannot be read"),
    ):
        words = ("-newkey", *arguments, "-subj", "/CN=a", "-keyout", "certs/privkey.pem", "-out", "certs/fullchain.pem")
        made = subprocess.run(  # noqa: S603 -- a fixed command
            ["openssl", "req", "-x509", "-nodes", *words],  # noqa: S607 -- found on the PATH, as the script finds it
            cwd=tmp_path,
            capture_output=True,
            check=False,
            text=True,
        )
        assert made.returncode == 0, made.stderr
        facts = gather(RecordedHost(), Site(tmp_path))
        assert said in fault(SUBJECT, check, facts).seen
        assert all(one.seen for row in SUBJECT.checks for one in row.judge(facts))


def test_links_that_lead_to_each_other_are_a_finding(tmp_path: Path) -> None:
    (tmp_path / "certs").mkdir()
    (tmp_path / "certs" / "fullchain.pem").write_bytes(LEAF.pem)
    (tmp_path / "certs" / "privkey.pem").symlink_to("privkey.pem")
    facts = gather(RecordedHost(), Site(tmp_path))
    assert ("symbolic links" in fault(SUBJECT, "files", facts).seen, facts.outside) == (True, ())


@pytest.mark.skipif(os.getuid() == 0, reason="root reads everything")
def test_a_key_that_is_not_ours_to_read_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "certs").mkdir()
    (tmp_path / "certs" / "fullchain.pem").write_bytes(LEAF.pem)
    (tmp_path / "certs" / "privkey.pem").write_bytes(LEAF.key_pem)
    (tmp_path / "certs" / "privkey.pem").chmod(0)
    assert fault(SUBJECT, "files", gather(RecordedHost(), Site(tmp_path))).level is Level.WARNING
