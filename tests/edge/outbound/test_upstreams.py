"""All upstreams by name, over real sockets."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from sidecar.config import Dns, Upstream
from sidecar.core.attempt.deadlines import Deadlines
from sidecar.core.choose.places import Place, read_places
from sidecar.edge.clock import SystemClock
from sidecar.edge.outbound import dial
from sidecar.edge.outbound.upstreams import Upstreams
from sidecar.errors import CONNECT_TIMEOUT, POOL_FULL, TOTAL_TIMEOUT, UNREACHABLE, UPSTREAM_RESET, ConfigError, ErrorKind, Fault
from tests.edge import sockets

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@asynccontextmanager
async def serving(answer: bytes = ANSWER, *, greeting: bytes = b"") -> AsyncIterator[tuple[str, list[int]]]:
    """Serve `answer` to each request; yield the url and the numbers of requests by connection."""
    counts: list[int] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = len(counts)
        counts.append(0)
        writer.write(greeting)
        while await reader.readuntil(b"\r\n\r\n"):
            counts[number] += 1
            writer.write(answer)

    async with sockets.serving(serve) as port:
        yield f"http://127.0.0.1:{port}", counts


def make(url: str, connections: int = 2) -> Upstreams:
    """Return the way to one upstream called `up`."""
    settings = {"up": Upstream(url, connections=connections)}
    return Upstreams(settings, read_places(settings, {}), Dns(), SystemClock(), {}, head_bytes_max=4096)


def limits(*, connect_s: float = 5.0, total_s: float = 60.0) -> Deadlines:
    """Return the deadlines of a call accepted now."""
    return Deadlines(connect_s, 5.0, 5.0, SystemClock().now() + total_s)


async def call(upstreams: Upstreams, *, fresh: bool = False) -> bool:
    """Make one call; return whether its connection had been used before."""
    answer = await upstreams.reach("up", limits(), fresh=fresh)
    answer.start("GET", b"GET / HTTP/1.1\r\nHost: up\r\n\r\n", whole=True)
    assert (await answer.until_head()).status == 200
    await answer.until_end()
    answer.release()
    return answer.reused


async def failure(upstreams: Upstreams, deadlines: Deadlines) -> ErrorKind:
    """Return the kind of fault that reaching it ends with."""
    with pytest.raises(Fault) as raised:
        await upstreams.reach("up", deadlines, fresh=False)
    return raised.value.kind


async def test_connections_are_kept_and_counted() -> None:
    """The second call uses the first one's connection; a fresh one does not."""
    async with serving() as (url, counts):
        upstreams = make(url)
        assert not await call(upstreams)
        assert upstreams.count_connections() == {"up": (1, 0)}
        assert await call(upstreams)
        assert not await call(upstreams, fresh=True)
        assert counts == [2, 1]
        assert upstreams.count_connections() == {"up": (2, 0)}
        upstreams.close()
        assert upstreams.count_connections() == {"up": (0, 0)}
        await asyncio.sleep(0)


async def test_a_call_that_leaves_while_dialling_takes_no_room_along() -> None:
    """Cancellation gives everything back."""
    async with serving() as (url, _):
        upstreams = make(url, connections=1)
        leaving = asyncio.ensure_future(upstreams.reach("up", limits(), fresh=False))
        await asyncio.sleep(0)
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        assert upstreams.count_connections() == {"up": (0, 0)}
        assert not await call(upstreams)
        upstreams.close()


async def test_a_busy_upstream_is_waited_for_within_the_limit_of_connecting() -> None:
    """All connections busy: the call is refused by the pool in time."""
    async with serving() as (url, _):
        upstreams = make(url, connections=1)
        held = await upstreams.reach("up", limits(), fresh=False)
        assert upstreams.count_connections() == {"up": (0, 1)}
        assert await failure(upstreams, limits(connect_s=0.05)) is POOL_FULL
        held.release()
        assert upstreams.count_connections() == {"up": (0, 0)}
        upstreams.close()


async def test_a_knock_takes_no_room_from_calls() -> None:
    """With all connections busy it is answered all the same, on one of its own, and none is left over."""
    async with serving() as (url, counts):
        upstreams = make(url, connections=1)
        held = await upstreams.reach("up", limits(), fresh=False)
        assert await upstreams.knock("up", b"GET / HTTP/1.1\r\nHost: up\r\n\r\n", 5.0) == 200
        assert upstreams.count_connections() == {"up": (0, 1)}
        assert counts == [0, 1]
        held.release()
        assert await upstreams.knock("up", b"", 5.0) is None
        assert upstreams.count_connections() == {"up": (0, 0)}
        upstreams.close()


async def test_nobody_there_is_unreachable() -> None:
    """A closed port."""
    async with serving() as (url, _):
        pass
    assert await failure(make(url), limits()) is UNREACHABLE


async def test_an_upstream_that_speaks_first_is_not_used() -> None:
    """What greets before it is asked is no HTTP server."""
    async with serving(greeting=b"220 mail.test ESMTP\r\n") as (url, _):
        upstreams = make(url)
        try:
            answer = await upstreams.reach("up", limits(), fresh=False)
        except Fault as fault:
            assert fault.kind is UPSTREAM_RESET
        else:
            answer.start("GET", b"GET / HTTP/1.1\r\n\r\n", whole=True)
            with pytest.raises(Fault):
                await answer.until_head()
            answer.release()
        assert upstreams.count_connections() == {"up": (0, 0)}


@pytest.mark.parametrize(
    ("connect_s", "total_s", "kind"), [(0.05, 60.0, CONNECT_TIMEOUT), (5.0, 0.05, TOTAL_TIMEOUT), (5.0, -1.0, TOTAL_TIMEOUT)]
)
async def test_the_limit_that_ran_out_is_named(monkeypatch: pytest.MonkeyPatch, connect_s: float, total_s: float, kind: ErrorKind) -> None:
    """An upstream that does not take connections: the caller's own total is told from the limit of connecting."""

    async def hang(*_: object, **__: object) -> None:
        await asyncio.get_running_loop().create_future()

    monkeypatch.setattr(dial, "start_connection", hang)
    assert await failure(make("http://127.0.0.1:9"), limits(connect_s=connect_s, total_s=total_s)) is kind


def follow(upstreams: Upstreams, *, keys: dict[str, str] | None = None, head_bytes_max: int = 4096, **settings: Upstream) -> Upstreams:
    """Let other settings come; return the way to their upstreams."""
    successor = upstreams.succeed(settings, read_places(settings, keys or {}), Dns(), head_bytes_max=head_bytes_max)
    upstreams.retire(successor)
    return successor


async def test_connections_to_a_place_that_stays_are_kept() -> None:
    """Under the new limits; calls that began before use the same ones."""
    async with serving() as (url, counts):
        upstreams = make(url)
        await call(upstreams)
        successor = follow(upstreams, up=Upstream(url + "/", connections=1, api_key_file="/run/key"), keys={"up": "sk-2"})
        assert await call(successor) and await call(upstreams)
        assert counts == [3]
        held = await upstreams.reach("up", limits(), fresh=False)
        assert await failure(successor, limits(connect_s=0.05)) is POOL_FULL
        held.release()
        successor.close()


async def test_connections_to_another_place_are_new_ones() -> None:
    """The idle ones to the place before are closed at once; calls that began before go on there, and leave nothing open."""
    async with serving() as (old, old_counts), serving() as (new, new_counts):
        upstreams = make(old)
        await call(upstreams)
        running = await upstreams.reach("up", limits(), fresh=True)
        successor = follow(upstreams, up=Upstream(new))
        assert upstreams.count_connections() == {"up": (0, 1)}
        assert not await call(successor)
        running.start("GET", b"GET / HTTP/1.1\r\nHost: up\r\n\r\n", whole=True)
        assert (await running.until_head()).status == 200
        await running.until_end()
        running.release()
        assert not await call(upstreams), "it may be repeated there"
        assert (old_counts, new_counts) == ([1, 1, 1], [1])
        assert upstreams.count_connections() == {"up": (0, 0)}
        assert successor.count_connections() == {"up": (1, 0)}
        successor.close()


async def test_who_is_gone_is_reached_by_calls_that_know_it() -> None:
    """And is counted no more."""
    async with serving() as (url, counts):
        upstreams = make(url)
        await call(upstreams)
        successor = follow(upstreams, other=Upstream(url))
        assert not await call(upstreams)
        assert counts == [1, 1]
        assert successor.count_connections() == {"other": (0, 0)}
        with pytest.raises(KeyError):
            await successor.reach("up", limits(), fresh=False)


async def test_a_successor_that_is_not_taken_changes_nothing() -> None:
    """Preparing is not adopting."""
    async with serving() as (url, counts):
        upstreams = make(url)
        await call(upstreams)
        settings = {"up": Upstream(url, connections=1), "more": Upstream("http://127.0.0.1:9")}
        upstreams.succeed(settings, read_places(settings, {}), Dns(ttl=1.0), head_bytes_max=10)
        elsewhere = {"up": Upstream("http://127.0.0.1:9")}
        upstreams.succeed(elsewhere, read_places(elsewhere, {}), Dns(), head_bytes_max=10)
        assert await call(upstreams) and not await call(upstreams, fresh=True)
        assert counts == [2, 1]
        assert upstreams.count_connections() == {"up": (2, 0)}
        upstreams.close()


async def test_a_proxy_that_cannot_be_used_keeps_the_old_way_open() -> None:
    """What fails, fails before anything has changed."""
    async with serving() as (url, _):
        settings = {"up": Upstream(url)}
        environ = {"https_proxy": "socks5://127.0.0.1:1"}
        upstreams = Upstreams(settings, read_places(settings, {}), Dns(), SystemClock(), environ, head_bytes_max=4096)
        secure = {"up": Upstream(url), "tls": Upstream("https://tls.test")}
        with pytest.raises(ConfigError):
            upstreams.succeed(secure, read_places(secure, {}), Dns(), head_bytes_max=4096)
        await call(upstreams)
        upstreams.close()


async def test_the_limit_of_heads_follows() -> None:
    """On new connections to a place that stays."""
    async with serving(b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 500 + b"\r\nContent-Length: 0\r\n\r\n") as (url, _):
        upstreams = make(url)
        await call(upstreams)
        successor = follow(upstreams, up=Upstream(url, connections=2), head_bytes_max=100)
        with pytest.raises(Fault):
            await call(successor, fresh=True)
        successor.close()


async def test_no_key_meets_an_address_of_other_settings() -> None:
    """Two places take each other's names and keys, again and again, while calls are being made: each place sees its own key only."""
    seen: dict[str, set[bytes]] = {"one": set(), "two": set()}

    def serve_as(name: str) -> Any:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while head := await reader.readuntil(b"\r\n\r\n"):
                seen[name].update(line for line in head.split(b"\r\n") if line.startswith(b"Authorization"))
                writer.write(ANSWER)

        return serve

    async with sockets.serving(serve_as("one")) as one, sockets.serving(serve_as("two")) as two:
        urls = {"one": f"http://127.0.0.1:{one}", "two": f"http://127.0.0.1:{two}"}
        upstreams: Upstreams | None = None
        calls: list[asyncio.Task[None]] = []
        for number in range(60):
            names = ("a", "b") if number % 2 else ("b", "a")
            settings = {name: Upstream(url, connections=3) for name, url in zip(names, urls.values(), strict=True)}
            places = read_places(settings, {name: f"sk-{place}" for name, place in zip(names, urls, strict=True)})
            if upstreams is None:
                upstreams = Upstreams(settings, places, Dns(), SystemClock(), {}, head_bytes_max=4096)
            else:
                successor = upstreams.succeed(settings, places, Dns(), head_bytes_max=4096)
                upstreams.retire(successor)
                upstreams = successor
            for name in names:
                calls.append(asyncio.ensure_future(send(upstreams, places[name])))
            await asyncio.sleep(0.001)
        await asyncio.gather(*calls)
        assert seen == {"one": {b"Authorization: Bearer sk-one"}, "two": {b"Authorization: Bearer sk-two"}}
        assert upstreams is not None
        assert all(busy == 0 for _, busy in upstreams.count_connections().values())
        upstreams.close()


async def send(upstreams: Upstreams, place: Place) -> None:
    """Make a call with the place's own key, a little later than it was decided."""
    await asyncio.sleep(0.002)
    answer = await upstreams.reach(place.name, limits(), fresh=False)
    await asyncio.sleep(0.002)
    answer.start("GET", b"GET / HTTP/1.1\r\nHost: up\r\n" + place.credential[0] + b"\r\n\r\n", whole=True)
    assert (await answer.until_head()).status == 200
    await answer.until_end()
    answer.release()
