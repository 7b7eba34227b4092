"""The page to try the API: files of ours alone, and a browser that renders them with no network to reach."""

import asyncio
import os
import re
import shutil
from pathlib import Path

import httpx
import pytest

from gateway.api.docs import POLICY
from gateway.api.endpoints import ENDPOINTS
from gateway.core.asgi import Receive, Scope, Send
from tests.api.served import serving

pytestmark = pytest.mark.anyio

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
ASSETS = [row.path for row in ENDPOINTS if row.path.startswith("/docs/")]


async def test_the_page_names_only_files_of_ours_and_carries_nothing_inline(client: httpx.AsyncClient) -> None:
    page = (await client.get("/docs")).text
    named = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert set(named) == set(ASSETS)
    assert re.findall(r"<script(?![^>]*\bsrc=)|<style|\bstyle=|\bon[a-z]+=", page) == []


@pytest.mark.parametrize("path", ASSETS)
async def test_every_file_is_there_with_its_type_and_the_policy(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.get(path)
    assert answer.status_code == 200
    assert answer.content
    kinds = {"css": "text/css", "js": "text/javascript", "png": "image/png"}
    assert answer.headers["content-type"].startswith(kinds[path.rsplit(".", 1)[1]])
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-security-policy"] == POLICY


async def test_the_policy_allows_nothing_inline_and_nobody_else(client: httpx.AsyncClient) -> None:
    policy = (await client.get("/docs")).headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    assert "http" not in policy


async def test_swagger_ui_is_a_version_that_knows_openapi_3_1(client: httpx.AsyncClient) -> None:
    bundle = (await client.get("/docs/swagger-ui-bundle.js")).text
    version = re.search(r'PACKAGE_VERSION:"(\d+)\.', bundle)
    assert version is not None
    assert int(version[1]) >= 5


async def browse(url: str, profile: Path) -> tuple[str, str]:
    """The page's DOM after its scripts ran, and the browser's log.

    Every host but ours resolves to nothing. Virtual time ends when the page has nothing left to do, or after 20 s
    of its own clock.
    """
    if CHROMIUM is None:
        if os.environ.get("CI") == "true":  # noqa: TID251 -- a test's own question to its surroundings
            pytest.fail("Chromium is missing: in CI the documentation page must be seen in a browser")
        pytest.skip("NO CHROMIUM: the documentation page was not seen in a browser")
    process = await asyncio.create_subprocess_exec(
        CHROMIUM,
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--no-first-run",
        "--disable-background-networking",
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
        "--no-proxy-server",
        "--enable-logging=stderr",
        "--virtual-time-budget=20000",
        f"--user-data-dir={profile}",
        "--dump-dom",
        url,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        dom, log = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, log.decode(errors="replace")
    return dom.decode(), log.decode(errors="replace")


def complaints(log: str) -> list[str]:
    """What the page's console had to say; a policy that forbids something is told there."""
    return [line for line in log.splitlines() if ":CONSOLE" in line]


@pytest.mark.timeout(300)
async def test_chromium_renders_every_path_without_network_or_complaint(
    client: httpx.AsyncClient, tmp_path: Path
) -> None:
    dom, log = await browse(f"{client.base_url}/docs#/Chat/v1-chat-completions", tmp_path)
    rendered = set(re.findall(r'data-path="([^"]+)"', dom.replace("\u200b", "")))
    assert rendered >= {row.path for row in ENDPOINTS if row.relayed}
    assert rendered >= {"/v1/models", "/health", "/ready", "/health/detailed"}
    assert "Say hello in five languages." in dom, "the path in the address is not open with its example"
    assert complaints(log) == []


async def inline(_scope: Scope, _receive: Receive, send: Send) -> None:
    """A page that does what the policy forbids."""
    headers = [(b"content-type", b"text/html"), (b"content-security-policy", POLICY.encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"<!doctype html><style>p{color:red}</style><p>red</p>"})


@pytest.mark.timeout(300)
async def test_a_violation_of_the_policy_would_be_seen(tmp_path: Path) -> None:
    async with serving(inline) as url:
        _, log = await browse(url, tmp_path)
    assert any("Content Security Policy" in line for line in complaints(log))
