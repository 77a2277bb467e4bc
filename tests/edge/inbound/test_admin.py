"""The admin port."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from sidecar.edge.clock import SystemClock
from sidecar.edge.inbound import web
from sidecar.edge.inbound.admin import AdminServer, Change
from sidecar.edge.inbound.gate import Gate
from sidecar.edge.telemetry.logs import EventLog
from tests.edge.inbound.web_samples import PAIR, write_files

JSON = {"Content-Type": "application/json"}


async def greet(request: web.Request) -> web.Response:
    """Answer with the query."""
    return web.Response(text=f"hello {request.query_string}")


async def fail(request: web.Request) -> web.Response:
    """Break."""
    raise ZeroDivisionError("a secret")


async def keep(request: web.Request) -> web.Response:
    """Answer with what a browser may keep."""
    return web.Response(text="kept", headers={"Cache-Control": "private, no-cache"})


class Switch:
    """Something to change."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []

    def change(self, body: bytes) -> web.Response:
        """Take note of a body; refuse a bad one."""
        if body == b"bad":
            raise ValueError("allowed: anything but bad")
        self.bodies.append(body)
        return web.Response(text="changed")


@asynccontextmanager
async def serving(
    changes: Mapping[str, Change] | None = None, *, token: str | None = None, listen: str = "127.0.0.1"
) -> AsyncIterator[httpx.AsyncClient]:
    """Serve two paths to read, and some to write."""
    server = AdminServer({"/hello": greet, "/fail": fail, "/kept": keep}, changes, token=token)
    _, port = await server.start(listen, 0)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
        yield client
    await server.stop()


async def send(client: httpx.AsyncClient, *pieces: bytes) -> bytes:
    """Send raw bytes; return the head that comes back."""
    reader, writer = await asyncio.open_connection(client.base_url.host, client.base_url.port)
    try:
        async with asyncio.timeout(5):
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
            return await reader.readuntil(b"\r\n\r\n")
    finally:
        writer.close()


async def tell(request: web.Request) -> web.Response:
    """Answer with where the request came from."""
    return web.Response(text=f"{request.scheme} {request.remote} {request.has_body}")


async def test_it_is_known_who_asks_and_how(tmp_path: Path) -> None:
    """By an address, in the clear or not, with a body or without; over TLS everything is as it is without."""
    write_files(tmp_path)
    (tmp_path / "web.yml").write_text(f"tls_server_config: {{{PAIR}}}\n", encoding="utf-8")
    for path, scheme in ((None, "http"), (str(tmp_path / "web.yml"), "https")):
        server = AdminServer({"/tell": tell}, gate=Gate(path, SystemClock(), EventLog()))
        _, port = await server.start("127.0.0.1", 0)
        async with httpx.AsyncClient(base_url=f"{scheme}://127.0.0.1:{port}", verify=False, trust_env=False) as client:
            assert (await client.get("/tell")).text == f"{scheme} 127.0.0.1 False"
            assert (await client.request("GET", "/tell", content=b"1")).text == f"{scheme} 127.0.0.1 True"
        await server.stop()


async def test_an_answer_may_say_how_it_is_kept() -> None:
    """The rest of what is said of every answer stays."""
    async with serving() as client:
        headers = (await client.get("/kept")).headers
        assert headers.get_list("Cache-Control") == ["private, no-cache"] and headers["X-Content-Type-Options"] == "nosniff"


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
        policy = response.headers["Content-Security-Policy"].split("; ")
        assert {"default-src 'none'", "script-src 'self'", "connect-src 'self'", "frame-ancestors 'none'"} <= set(policy)
        assert "unsafe" not in response.headers["Content-Security-Policy"]


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


async def test_programs_of_this_machine_change_things() -> None:
    """By POST or PUT with JSON; reading the same path, or another method, is refused with the right one."""
    switch = Switch()
    async with serving({"/switch": switch.change, "/hello": switch.change}) as client:
        response = await client.post("/switch", content=b"{}", headers=JSON)
        assert (response.status_code, response.text) == (200, "changed")
        assert response.headers["Cache-Control"] == "private, no-store"
        for method in ("GET", "HEAD", "PATCH", "DELETE", "OPTIONS"):
            refused = await client.request(method, "/switch", headers=JSON)
            assert (refused.status_code, refused.headers["Allow"]) == (405, "POST, PUT")
            assert not any(name.startswith("access-control") for name in refused.headers)
        assert (await client.delete("/hello", headers=JSON)).headers["Allow"] == "GET, HEAD, POST, PUT"
        assert (await client.get("/hello")).text == "hello "
        assert (await client.post("/hello", content=b"2", headers=JSON)).status_code == 200
        assert (await client.put("/hello", content=b"3", headers=JSON)).status_code == 200
        assert (await client.put("/switch", content=b"4", headers=JSON | {"Origin": "http://evil.test"})).status_code == 403
        assert "/switch\n" in (await client.get("/other")).text
    assert switch.bodies == [b"{}", b"2", b"3"]


@pytest.mark.parametrize(
    ("headers", "status"),
    [({"Content-Type": "text/plain"}, 415), ({}, 415), (JSON | {"Origin": "http://evil.test"}, 403), (JSON | {"Origin": "null"}, 403),
     (JSON | {"Host": "evil.test:9464"}, 403), (JSON | {"Host": "evil.test", "Origin": "http://evil.test"}, 403)],
)  # fmt: skip
async def test_pages_change_nothing(headers: dict[str, str], status: int) -> None:
    """What a browser lets a page send unasked, and what a page can do under a name of its own."""
    switch = Switch()
    async with serving({"/switch": switch.change}) as client:
        response = await client.post("/switch", content=b"{}", headers=headers)
        assert response.status_code == status
        assert response.json()["error"]
    assert switch.bodies == []


@pytest.mark.parametrize(
    ("query", "headers", "status"),
    [
        ("action=switch", {}, 200), ("action=switch", {"Sec-Fetch-Site": "none"}, 200),
        ("action=switch", {"Sec-Fetch-Site": "same-origin"}, 200),
        ("action=switch", {"Sec-Fetch-Site": "cross-site"}, 403), ("action=switch", {"Sec-Fetch-Site": "same-site"}, 403),
        ("action=switch", {"Host": "evil.test"}, 403), ("action=other", {}, None), ("", {}, None),
    ],
)  # fmt: skip
async def test_an_action_can_be_asked_for_by_an_address(query: str, headers: dict[str, str], status: int | None) -> None:
    """Who may make it by POST may open it; a page of another site cannot have a browser do so. Else it is the page itself."""
    switch = Switch()
    async with serving({"/hello/switch": switch.change}) as client:
        response = await client.get(f"/hello?{query}", headers=headers)
        assert (response.status_code, response.text) == (200, f"hello {query}") if status is None else response.status_code == status
        assert len(switch.bodies) == (status == 200)
        assert (await client.head("/hello?action=switch")).status_code == 200 and len(switch.bodies) == (status == 200)


async def test_two_hosts_are_none() -> None:
    """Whoever stands in between may have looked at the other one."""
    switch = Switch()
    async with serving({"/switch": switch.change}) as client:
        fields = b"Content-Type: application/json\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"
        answer = await send(client, b"POST /switch HTTP/1.1\r\nHost: localhost\r\nHost: evil.test\r\n" + fields)
        assert answer.split(b" ")[1] in (b"400", b"403")
        assert (await send(client, b"POST /switch HTTP/1.1\r\nHost: localhost\r\n" + fields)).split(b" ")[1] == b"200"
    assert switch.bodies == [b"{}"]


async def test_from_elsewhere_a_token_is_needed() -> None:
    """On all addresses nothing can be changed without one; with one, it is asked for even on loopback."""
    switch = Switch()
    changes = {"/switch": switch.change}
    async with serving(changes, listen="0.0.0.0") as client:
        assert (await client.post("/switch", content=b"{}", headers=JSON)).status_code == 403
    for listen in ("0.0.0.0", "127.0.0.1"):
        async with serving(changes, token="secret", listen=listen) as client:
            refused = await client.post("/switch", content=b"{}", headers=JSON)
            assert (refused.status_code, refused.headers["WWW-Authenticate"]) == (401, "Bearer")
            assert "secret" not in refused.text
            right = await client.post("/switch", content=b"{}", headers={"Authorization": "Bearer secret", "Host": "pod.svc"})
            assert right.status_code == 200
            assert (await client.get("/hello")).status_code == 200
    assert switch.bodies == [b"{}"] * 2


async def test_bad_input_is_told_what_is_allowed() -> None:
    """400 with the sentence, as JSON."""
    switch = Switch()
    async with serving({"/switch": switch.change}) as client:
        response = await client.post("/switch", content=b"bad", headers=JSON)
        assert (response.status_code, response.json()) == (400, {"error": "allowed: anything but bad"})


@pytest.mark.parametrize("told", [True, False])
async def test_a_body_is_bounded(told: bool) -> None:
    """Whether or not its length is told; the rest of it is not read, and the connection is closed."""

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(64):
            yield b" " * 1024

    switch = Switch()
    async with serving({"/switch": switch.change}) as client:
        response = await client.post("/switch", content=b" " * 65536 if told else pieces(), headers=JSON)
        assert response.status_code == 413
        assert response.headers["Connection"] == "close"
        assert (await client.post("/switch", content=b" " * 16384, headers=JSON)).status_code == 200
    assert switch.bodies == [b" " * 16384]


async def test_a_body_that_does_not_come_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not for ever, at least."""
    monkeypatch.setattr("sidecar.edge.inbound.admin._BODY_S", 0.05)
    switch = Switch()
    async with serving({"/switch": switch.change}) as client:
        head = b"POST /switch HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{"
        assert (await send(client, head)).split(b" ")[1] == b"408"
    assert switch.bodies == []


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


async def test_it_goes_on_with_other_paths() -> None:
    """From the next request on, on connections that are there as well; who may change something follows, too."""
    switch = Switch()
    server = AdminServer({"/old": greet}, {"/switch": switch.change})
    host, port = await server.start("127.0.0.1", 0)
    async with httpx.AsyncClient(base_url=f"http://{host}:{port}", trust_env=False) as client:
        assert (await client.get("/old")).status_code == 200
        server.adopt({"/new": greet}, {"/switch": switch.change}, "token")
        assert [(await client.get(path)).status_code for path in ("/old", "/new")] == [404, 200]
        assert (await client.post("/switch", json={})).status_code == 401
        assert (await client.post("/switch", headers={"Authorization": "Bearer token"})).status_code == 200
    await server.stop()


async def test_a_change_may_take_its_time() -> None:
    """What it comes to is answered when it is there, be it good or bad."""

    async def change(body: bytes) -> web.Response:
        await asyncio.sleep(0.01)
        if body != b"{}":
            raise ValueError("Only {}.")
        return web.Response(text="changed")

    async with serving({"/slow": change}) as client:
        assert (await client.post("/slow", json={})).text == "changed"
        refused = await client.post("/slow", json=[])
    assert (refused.status_code, refused.json()) == (400, {"error": "Only {}."})
