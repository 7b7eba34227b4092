"""Is an audit's verdict read as it was meant? Outputs of pip-audit."""

from tests.security.audit import verdict

CLEAN = '{"dependencies": [{"name": "h2", "version": "4.4.0", "vulns": []}], "fixes": []}'
HOLES = """{"dependencies": [
    {"name": "old", "version": "1.0", "vulns": [
        {"id": "PYSEC-2026-1", "fix_versions": ["1.1", "2.0"], "aliases": ["CVE-2026-1"], "description": "x"},
        {"id": "GHSA-x", "fix_versions": [], "aliases": [], "description": "y"}]},
    {"name": "ours", "skip_reason": "Dependency not found on the index"}], "fixes": []}"""


def test_what_was_found_is_told_by_package_and_name() -> None:
    told = verdict("runtime.lock", HOLES, "Found 2 known vulnerabilities in 1 package")
    assert told.found
    assert told.lines == [
        "runtime.lock: 2 packages, 1 of them unknown there (ours), 2 known holes",
        "  old 1.0: PYSEC-2026-1, mended in 1.1, 2.0",
        "  old 1.0: GHSA-x, not mended yet",
    ]


def test_where_nothing_is_known_that_is_said() -> None:
    assert verdict("dev.lock", CLEAN, "No known vulnerabilities found") == (
        ["dev.lock: 1 packages, no known holes"],
        False,
    )


def test_who_could_ask_nobody_has_no_verdict() -> None:
    told = verdict("dev.lock", "", "Traceback ...\nConnectionError: no route\n")
    assert told == (["dev.lock: not audited, as nobody could be asked: ConnectionError: no route"], False)
    assert verdict("dev.lock", "", "").lines[0].endswith("it said nothing")
    unknown = '{"dependencies": [{"name": "a", "skip_reason": "Dependency not found"}], "fixes": []}'
    told = verdict("dev.lock", unknown, "No known vulnerabilities found")
    assert told == (["dev.lock: not audited, as nobody knows any of its 1 packages"], False)
