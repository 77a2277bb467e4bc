"""Readers that stall: memory stays bounded, the upstream is paused, and everybody else is served."""

import asyncio
import time
from hashlib import sha256
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from sidecar.config import Timeouts
from tests.rig.caller import Caller, compose, fetch
from tests.rig.process import run_sidecar
from tests.rig.side import CHAT, facing, running
from tests.rig.sockets import ESTABLISHED, list_sockets
from tests.rig.streams import write_chunk, write_head
from tests.rig.upstream import End, Script, Upstream

READERS = 50
PIECE = b'data: {"model":"m","choices":[{"index":0,"delta":{"content":"' + b"x" * 65_536 + b'"}}]}\n\n'
PIECES = 320  # 20 MiB
LAST = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
STREAM = {"model": "m", "messages": [], "stream": True, "stream_options": {"include_usage": True}}
WHOLE = Script([b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 14\r\n\r\n{"choices":[]}'])
GROWTH_BYTES_MAX = 40 * 1024 * 1024
NEIGHBOUR_S_MAX = 0.25


async def test_stalled_readers_cost_bounded_memory_and_nobody_else(tmp_path: Path) -> None:
    """Fifty readers stall within 20 MiB each: little is held, the upstream waits, others are served, and nothing is lost."""
    upstream = Upstream()
    upstream.send_buffer_bytes = 256 * 1024
    await upstream.start()
    upstream.scripts["large"] = Script([write_head("chunked", 0), *[write_chunk(PIECE)] * PIECES, write_chunk(LAST), b"0\r\n\r\n"])
    upstream.scripts["small"] = WHOLE
    with run_sidecar(tmp_path, upstream.url) as side:
        for _ in range(50):
            await fetch(side.url, compose(CHAT, STREAM, name="small"))
        before = side.rss_bytes
        readers = [await Caller.connect(side.url, receive_bytes=64 * 1024) for _ in range(READERS)]
        for reader in readers:
            reader.send(compose(CHAT, STREAM, name="large"))
            await reader.until_bytes(1)
            reader.stop_reading()
        most, delays = before, []
        for _ in range(200):
            began = time.monotonic()
            answer = await fetch(side.url, compose(CHAT, STREAM, name="small"))
            delays.append(time.monotonic() - began)
            assert (answer.status, answer.whole) == (200, True)
            most = max(most, side.rss_bytes)
        # Two kernels' buffers lie between what the upstream has sent and what the sidecar has read: they fill up for a while.
        sent, later = [], [visit.sent_bytes for visit in upstream.visits_of("large")]
        for _ in range(20):
            sent = later
            await asyncio.sleep(0.5)
            later = [visit.sent_bytes for visit in upstream.visits_of("large")]
            if later == sent:
                break
        for reader in readers[:5]:
            reader.read_on()
            await reader.until_end()
        most = max(most, side.rss_bytes)
        for reader in readers:
            reader.leave()
        await asyncio.sleep(0.2)
    await upstream.stop()
    delays.sort()
    print(
        f"\n{READERS} stalled readers of 20 MiB: RSS {before / 2**20:.1f} MiB, at most {most / 2**20:.1f} MiB; upstream sent "
        f"{sum(sent) / 2**20:.0f} of {READERS * 20} MiB; neighbours p50 {delays[100] * 1e3:.2f} ms, p99 {delays[197] * 1e3:.2f} ms"
    )  # fmt: skip
    assert most - before < GROWTH_BYTES_MAX
    assert len(sent) == READERS
    assert later == sent, "the upstream is paused"
    assert max(sent) < 20 * 2**20, "and was before it had sent everything"
    assert max(sent) < PIECES * len(PIECE), "kernel buffers alone held the whole answer: this proves nothing"
    assert delays[197] < NEIGHBOUR_S_MAX
    whole = sha256(PIECE * PIECES + LAST).digest()
    assert [sha256(reader.answer.body).digest() for reader in readers[:5]] == [whole] * 5


def count_connections(port: int) -> int:
    """Return the connections that are open on a listening port of this machine."""
    return sum(each.local_port == port and each.state == ESTABLISHED for each in list_sockets())


@pytest.mark.parametrize(
    ("limits", "ending"), [(Timeouts(idle=0.5), "client_gone"), (Timeouts(idle=0.6, total=0.5), "total_timeout")], ids=["idle", "total"]
)
async def test_a_reader_that_stalls_for_too_long_is_given_up(limits: Timeouts, ending: str) -> None:
    """Whoever takes nothing for timeouts.idle has left: both sockets close, though the caller reads nothing ever again."""
    async with facing(timeouts=limits) as (upstream, side):
        upstream.send_buffer_bytes = 256 * 1024
        upstream.scripts["large"] = Script([write_head("chunked", 0), *[write_chunk(PIECE)] * PIECES], End.HANG)
        port = urlsplit(side.url).port or 0
        reader = await Caller.connect(side.url, receive_bytes=16 * 1024)
        reader.send(compose(CHAT, STREAM, name="large"))
        await reader.until_bytes(1)
        reader.stop_reading()
        began = time.monotonic()
        await side.records.until(1)
        lasted = time.monotonic() - began
        await asyncio.sleep(0.05)
        endings, closed_at, gauges = side.records.endings, upstream.visits[0].closed_at, await side.gauges()
        await asyncio.sleep(1.0)
        left = count_connections(port)
        reader.leave()
    assert endings == {ending: 1}
    assert closed_at is not None
    assert gauges["active"] == 0
    assert 0.4 < lasted < 1.5
    assert left == 0


async def test_a_slow_reader_is_not_given_up() -> None:
    """A reader that takes something now and then gets all of it, however long that lasts."""
    upstream = Upstream()
    await upstream.start()
    pieces = 60
    upstream.scripts["large"] = Script([write_head("chunked", 0), *[write_chunk(PIECE)] * pieces, write_chunk(LAST), b"0\r\n\r\n"])
    async with running(upstream.url, timeouts=Timeouts(idle=0.5)) as side:
        reader = await Caller.connect(side.url, receive_bytes=16 * 1024)
        reader.send(compose(CHAT, STREAM, name="large"))
        began = time.monotonic()
        while not reader.answer.whole and reader.answer.ended is None and time.monotonic() - began < 20:
            reader.read_on()
            await asyncio.sleep(0.02)
            reader.stop_reading()
            await asyncio.sleep(0.2)
        reader.leave()
        await side.records.until(1)
        assert side.records.endings == {"completed": 1}
    await upstream.stop()
    assert sha256(reader.answer.body).digest() == sha256(PIECE * pieces + LAST).digest()
