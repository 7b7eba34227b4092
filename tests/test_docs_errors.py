"""Tests of docs/errors.md: every code that a client may be answered with stands there with its status, and no other."""

import importlib
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path

import gateway
from gateway.core.errors import GatewayError
from gateway.settings import names

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "errors.md").read_text()
README = (ROOT / "README.md").read_text()
NGINX = (ROOT / "nginx" / "nginx.conf").read_text()
NEVER_ANSWERED = {
    (403, "permission_denied"),  # a class above others, which are what is raised
    (409, "not_copied"),  # of `gateway db` alone
}
ANSWERED = re.compile(r"""^ +(?:return )?(\d{3}|default) '\{"error":.*"code":"(\w+)"}}';$""", re.MULTILINE)


def kinds(above: type[GatewayError] = GatewayError) -> Iterator[type[GatewayError]]:
    """That class and all below it, of the modules that are imported."""
    yield above
    for below in above.__subclasses__():
        yield from kinds(below)


def of_the_gateway() -> set[tuple[int, str]]:
    """Status and code of every failure that any room knows."""
    for module in pkgutil.walk_packages(gateway.__path__, "gateway."):
        if not re.search(r"__main__|\.migrations\.", module.name):  # these do something when they are imported
            importlib.import_module(module.name)
    return {(kind.status, kind.code) for kind in kinds() if kind.__module__.startswith("gateway.")}


def of_nginx() -> set[tuple[int, str]]:
    """Those of its own answers; its default is what it says of a 500."""
    return {(500 if status == "default" else int(status), code) for status, code in ANSWERED.findall(NGINX)}


def rows() -> list[tuple[int, str]]:
    """Status and code of each row of the page's tables."""
    return [(int(status), code) for status, code in re.findall(r"^\| (\d{3}) \| `(\w+)` \|", PAGE, re.MULTILINE)]


def test_what_the_gateway_and_nginx_answer_with_is_what_the_tables_have() -> None:
    assert len(NGINX.split('{"error":')) - 1 == len(ANSWERED.findall(NGINX))
    assert set(rows()) == (of_the_gateway() | of_nginx()) - NEVER_ANSWERED
    assert len(rows()) == len(set(rows()))


def test_no_row_of_a_table_is_without_status_and_code() -> None:
    lines = [line for line in PAGE.splitlines() if line.startswith("|") and not line.startswith(("| status", "|---"))]
    assert len(lines) == len(rows())


def test_what_is_named_without_a_row_is_a_row_elsewhere_or_a_setting() -> None:
    in_a_stream = PAGE.partition("\n## In a stream\n")[2].partition("\n## ")[0]
    assert set(re.findall(r"`([a-z]+(?:_[a-z]+)+)`", in_a_stream)) - {"message_stop"} <= {code for _, code in rows()}
    assert set(re.findall(r"\b(?:[A-Z]+_)+[A-Z]+\b", PAGE)) <= {*names(), "GATEWAY_CONFIG"}


def test_the_readme_speaks_of_the_same_codes() -> None:
    table = README.partition("| status | meaning | what to do |")[2].partition("\n\n")[0]
    statuses = {
        int(status) for row in re.findall(r"^\| ([\d, ]+) \|", table, re.MULTILINE) for status in row.split(", ")
    }
    codes = set(re.findall(r"`([a-z]+(?:_[a-z]+)+)`", table))
    assert "unsupported_feature" in codes
    assert codes <= {code for _, code in rows()}
    assert statuses <= {status for status, _ in rows()}
    clients = {status for status, _ in of_the_gateway()} - {409, 412, 428}  # the admin API's
    assert clients <= statuses


def test_what_it_links_is_there() -> None:
    linked = re.findall(r"\]\(([^)#]+)(?:#([\w-]+))?\)", PAGE)
    assert linked
    for file, anchor in linked:
        headings = re.findall(r"^#+ (.+)$", (ROOT / "docs" / file).read_text(), re.MULTILINE)
        anchors = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
        assert not anchor or anchor in anchors
