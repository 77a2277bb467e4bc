"""What the admin port answers."""

import gzip
import re
from typing import Any

import pytest

from sidecar import __version__
from sidecar.edge.inbound import web
from sidecar.edge.inbound.pages import make_pages, make_status_page
from tests.house.source import ROOT

PARTS = {file.name: file.read_text(encoding="utf-8") for file in (ROOT / "sidecar" / "page").iterdir()}


class Scrape:
    """What an exposition renders."""

    def __init__(self, body: bytes, content_type: str, content_encoding: str | None) -> None:
        self.body = body
        self.content_type = content_type
        self.content_encoding = content_encoding


class Exposition:
    """Notes what was negotiated."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.scrape = Scrape(b"metrics", "text/plain; version=0.0.4; charset=utf-8", None)

    async def render(self, accept: str, accept_encoding: str) -> Scrape:
        self.asked.append((accept, accept_encoding))
        return self.scrape


class Site:
    """The pages over a fake exposition."""

    def __init__(self) -> None:
        exposition: Any = Exposition()
        self.exposition = exposition
        self.is_ready = False
        self.data_url = ""
        routes = [("/openai/", "https://api.test"), ("/<b>/", "https://x.test/?a&b")]
        pages = make_pages(self.exposition, lambda: self.is_ready)
        self.pages = {**pages, **make_status_page(routes, lambda: self.data_url, {**pages, "/api/live": None})}

    async def get(self, path: str, **headers: str) -> Any:
        """Return the answer of a path."""
        fields = tuple((name.replace("_", "-").encode(), value.encode()) for name, value in headers.items())
        return await self.pages[path](web.Request("GET", path, fields))


@pytest.mark.parametrize("coding", [None, "gzip"])
async def test_a_scrape_is_negotiated(coding: str | None) -> None:
    """What the scraper accepts is passed on, and the answer says what it is."""
    site = Site()
    site.exposition.scrape.content_encoding = coding
    response = await site.get("/metrics", Accept="application/openmetrics-text", Accept_Encoding="gzip")
    assert site.exposition.asked == [("application/openmetrics-text", "gzip")]
    assert response.body == b"metrics"
    assert response.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert response.headers.get("Content-Encoding") == coding
    assert response.headers["Vary"] == "Accept, Accept-Encoding"
    await site.get("/metrics")
    assert site.exposition.asked[1] == ("", "")


async def test_liveness_is_not_readiness() -> None:
    """A sidecar that starts or drains lives, and is not ready."""
    site = Site()
    assert (await site.get("/-/healthy")).status == 200
    assert (await site.get("/-/ready")).status == 503
    site.is_ready = True
    assert (await site.get("/-/ready")).status == 200


async def test_the_page_says_where_things_are() -> None:
    """Version, links and routes; what comes from a configuration is escaped."""
    site = Site()
    site.data_url = "http://127.0.0.1:4000"
    response = await site.get("/")
    assert response.headers["Content-Type"] == "text/html; charset=utf-8"
    for expected in (__version__, 'href="/metrics"', "http://127.0.0.1:4000/openai/", "https://api.test", "/&lt;b&gt;/", "?a&amp;b"):
        assert expected in response.text
    assert "<b>" not in response.text and "$" not in response.text


async def test_only_what_is_there_is_linked() -> None:
    """A part that is missing leaves no link that leads nowhere."""
    text = (await Site().get("/")).text
    assert 'href="/-/ready"' in text and 'href="/api/alerts"' not in text


@pytest.mark.parametrize("name", sorted(PARTS.keys() - {"index.html"}))
async def test_every_part_of_the_page_is_served(name: str) -> None:
    """As what it is, packed for who takes that, and not again for who has it."""
    site, whole, (_, _, kind) = Site(), PARTS[name].encode(), name.partition(".")
    response = await site.get(f"/page/{name}")
    assert response.body == whole
    expected = {"js": "text/javascript", "css": "text/css", "svg": "image/svg+xml"}[kind]
    assert response.headers["Content-Type"] == f"{expected}; charset=utf-8"
    assert response.headers["Cache-Control"] == "private, no-cache"
    packed = await site.get(f"/page/{name}", Accept_Encoding="gzip, br")
    assert gzip.decompress(packed.body) == whole and packed.headers["Content-Encoding"] == "gzip"
    assert packed.headers["Vary"] == "Accept-Encoding" and packed.headers["ETag"] != response.headers["ETag"]
    again = await site.get(f"/page/{name}", If_None_Match=response.headers["ETag"])
    assert (again.status, again.body) == (304, b"")
    assert (await site.get(f"/page/{name}", If_None_Match='"another"')).status == 200


def test_the_page_is_small_and_needs_nobody() -> None:
    """Files of at most 300 lines and 60 kB in all, no other host, and nothing that the policy of the port would refuse."""
    assert sum(len(text.encode()) for text in PARTS.values()) < 60_000
    assert [name for name, text in PARTS.items() if len(text.splitlines()) > 300] == []
    addresses = {found for text in PARTS.values() for found in re.findall(r"(?:https?:)?//[a-z0-9.-]+\.[a-z]+[^'\"\s]*", text)}
    assert addresses <= {"http://www.w3.org/2000/svg"}
    assert re.findall(r"<script(?![^>]*src=)|<style|\sstyle=|\son[a-z]+=", PARTS["index.html"]) == []
    assert [name for name, text in PARTS.items() if re.search(r"innerHTML|insertAdjacentHTML|document\.write|\beval\b", text)] == []
