"""The admin port."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from aiohttp import http_parser, web

from sidecar.edge.inbound.admin import AdminServer, has_fast_parser


async def greet(request: web.BaseRequest) -> web.Response:
    """Answer with the query."""
    return web.Response(text=f"hello {request.query_string}")


async def fail(request: web.BaseRequest) -> web.Response:
    """Break."""
    raise ZeroDivisionError("a secret")


@asynccontextmanager
async def serving() -> AsyncIterator[httpx.AsyncClient]:
    """Serve two paths."""
    server = AdminServer({"/hello": greet, "/fail": fail})
    host, port = await server.start("127.0.0.1", 0)
    async with httpx.AsyncClient(base_url=f"http://{host}:{port}", trust_env=False) as client:
        yield client
    await server.stop()


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/hello?a", 200), ("HEAD", "/hello", 200), ("POST", "/hello", 405), ("DELETE", "/hello", 405), ("GET", "/other", 404),
     ("GET", "/hello/", 404), ("GET", "/../hello", 200), ("POST", "/other", 404)],
)  # fmt: skip
async def test_known_paths_answer_get_and_head(method: str, path: str, status: int) -> None:
    """Everything else is refused, and no answer may be cached or framed."""
    async with serving() as client:
        response = await client.request(method, path)
        assert response.status_code == status
        assert response.headers["Cache-Control"] == "private, no-store"
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["X-Frame-Options"] == "DENY"
        assert "frame-ancestors 'none'" in response.headers["Content-Security-Policy"]


async def test_an_unknown_path_lists_the_known_ones() -> None:
    """And a wrong method the right ones."""
    async with serving() as client:
        assert "/hello\n" in (await client.get("/other")).text
        assert (await client.post("/hello")).headers["Allow"] == "GET, HEAD"
        assert (await client.get("/hello?a=b")).text == "hello a=b"
        assert (await client.head("/hello")).text == ""


async def test_a_page_that_breaks_tells_nothing_of_it(caplog: pytest.LogCaptureFixture) -> None:
    """500, without the exception's text."""
    async with serving() as client:
        response = await client.get("/fail")
        assert response.status_code == 500
        assert "secret" not in response.text


async def test_a_port_in_use_is_told_and_a_stopped_one_is_free() -> None:
    """Starting fails as the system says; stopping before starting does no harm."""
    first, second = AdminServer({}), AdminServer({})
    host, port = await first.start("127.0.0.1", 0)
    with pytest.raises(OSError, match="in use"):
        await second.start(host, port)
    await second.stop()
    await first.stop()
    await asyncio.sleep(0)
    assert await second.start(host, port) == (host, port)
    await second.stop()


def test_the_fast_parser_is_there() -> None:
    """Most of what could be smuggled past a parser concerns the slow one."""
    assert has_fast_parser()


def test_the_slow_parser_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """An installation without compiled extensions is told apart."""
    monkeypatch.setattr(http_parser, "HttpRequestParser", http_parser.HttpRequestParserPy)
    assert not has_fast_parser()
