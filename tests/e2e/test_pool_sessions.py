"""WebSockets over a pool: a handshake goes to whoever can take it, and a session that is over holds nothing."""

import pytest

from tests.core.observe.test_frames import KEY as MASK
from tests.core.observe.test_frames import frame
from tests.rig.pools import pair, running_settings
from tests.rig.upstream import Closed
from tests.rig.websocket import compose_handshake, dial, join, listening

PATH = "/pool/v1/realtime"
CLOSE = frame(b"\x03\xe8", 0x8)


@pytest.mark.parametrize("first_lives", [True, False])
async def test_a_session_goes_to_an_upstream_that_lives(first_lives: bool) -> None:
    """Nothing listens at the first: the second takes the handshake, and the session is its own."""
    closed = Closed()
    async with listening() as one, listening() as two:
        first = one.url if first_lives else closed.url
        async with running_settings(pair(first, two.url)) as side:
            for _ in range(3):
                client, end = await join(side.url, one if first_lives else two, target=PATH)
                await client.send(frame(b"hello", key=MASK))
                assert await end.read(11) == frame(b"hello", key=MASK)
                await end.send(frame(b"world") + CLOSE)
                assert await client.read(7) == frame(b"world")
                await client.send(frame(b"\x03\xe8", 0x8, key=MASK))
                end.close()
                client.close()
            scrape = await side.settle()
            upstreams = {record.upstream for record in side.records.all}
    closed.close()
    assert upstreams == {"first" if first_lives else "second"}
    assert scrape.count_by("requests_total", "ending") == {"completed": 3}
    assert scrape.sum("websocket_sessions") == 0


async def test_clients_that_leave_and_sessions_that_are_refused_hold_nothing() -> None:
    """One session at a time at each upstream would soon be too few if any were not given back."""
    one, two = {"concurrency": 1}, {"concurrency": 1}
    async with listening() as first, listening() as second, running_settings(pair(first.url, second.url, one=one, two=two)) as side:
        for _ in range(6):
            client, end = await join(side.url, first, target=PATH)
            client.reset()
            assert await end.read_end() == "rst"
            end.close()
            await side.settle()
        first.instead = b"HTTP/1.1 401 Unauthorized\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
        for _ in range(3):
            client = await dial(side.url)
            await client.send(compose_handshake(PATH))
            assert (await client.read_head()).startswith(b"HTTP/1.1 401 ")
            client.close()
            (await first.take()).close()
            await side.settle()
        first.instead = None
        client, end = await join(side.url, first, target=PATH)
        client.close()
        end.close()
        await side.settle()
