"""Security headers of every response."""

from __future__ import annotations

import base64
import hashlib
import re

import httpx
import pytest

from tests.support import Org, client_for

ROOT = "http://test"
BOTH = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}


async def ask(org: Org, method: str, url: str) -> httpx.Response:
    async with client_for(org.services, None) as client:
        return await client.request(method, url, follow_redirects=True)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/badges/badgeMeta"),
        ("POST", "/v1/badges/customer/earnBulk"),
        ("GET", "/nothing/here"),
        ("POST", "/oauth/token"),
        ("POST", "/v3/oauth/token/generate"),
        ("GET", "/healthz"),
        ("GET", "/openapi.json"),
    ],
)
async def test_an_answer_of_the_api_is_kept_nowhere_and_is_no_page(
    shared_org: Org, method: str, path: str
) -> None:
    answer = await ask(shared_org, method, ROOT + path)
    expected = {
        **BOTH,
        "Cache-Control": "no-store",
        "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    }
    assert {name: answer.headers.get_list(name) for name in expected} == {
        name: [value] for name, value in expected.items()
    }
    assert "Strict-Transport-Security" not in answer.headers


async def test_a_success_carries_them_too(shared_org: Org) -> None:
    answer = await shared_org.client.get("/badgeMeta")
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"


async def test_hsts_is_sent_only_over_tls(shared_org: Org) -> None:
    for path in ("/healthz", "/docs", "/v1/badges/badgeMeta"):
        answer = await ask(shared_org, "GET", f"https://test{path}")
        assert answer.headers["Strict-Transport-Security"] == "max-age=31536000"


async def test_docs_page_allows_only_its_own_scripts(shared_org: Org) -> None:
    page = await ask(shared_org, "GET", f"{ROOT}/docs")
    policy: dict[str, str] = {}
    for part in page.headers["Content-Security-Policy"].split(";"):
        name, _, sources = part.strip().partition(" ")
        policy[name] = sources
    inline = re.findall(r"<script(?![^>]*\bsrc=)[^>]*>(.*?)</script>", page.text, re.DOTALL)
    digests = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in inline]
    assert policy["script-src"] == " ".join(["'self'", *(f"'sha256-{digest}'" for digest in digests)])
    assert len(inline) == 1
    assert (policy["default-src"], policy["frame-ancestors"]) == ("'self'", "'none'")
    assert {name: page.headers[name] for name in BOTH} == BOTH


async def test_an_asset_of_the_page_may_be_kept(shared_org: Org) -> None:
    answer = await ask(shared_org, "GET", f"{ROOT}/docs/assets/swagger-ui.css")
    assert answer.status_code == 200
    assert "no-store" not in answer.headers.get("Cache-Control", "")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
