"""Messages of alerts on their way to a webhook."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from sidecar.edge.telemetry import webhook as module
from sidecar.edge.telemetry.logs import EventLog
from sidecar.edge.telemetry.webhook import TRIES_MAX, WAITING_MAX, Webhook

SECRET = "hunter2"


class Receiver:
    """A server that answers with statuses in turn, the last one again and again."""

    def __init__(self, *statuses: int) -> None:
        self.statuses = list(statuses)
        self.seen: list[tuple[str, str, str | None, bytes]] = []
        self.news = asyncio.Event()

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Take note of a request, and answer."""
        self.seen.append((request.method, request.raw_path, request.headers.get("Authorization"), await request.read()))
        self.news.set()
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        return web.Response(status=status, headers={"Location": "/elsewhere", "Set-Cookie": "a=b"})


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses take no time."""
    monkeypatch.setattr(module, "_PAUSE_S", 0.0)


@pytest.fixture
def lines() -> Iterator[list[logging.LogRecord]]:
    """The lines that are written meanwhile."""
    found: list[logging.LogRecord] = []
    handler, logger = logging.Handler(), logging.getLogger("sidecar")
    handler.emit = found.append  # type: ignore[method-assign]
    logger.addHandler(handler)
    yield found
    logger.removeHandler(handler)


@asynccontextmanager
async def receive(receiver: Receiver, token: str | None = None) -> AsyncIterator[Webhook]:
    """A webhook that sends to a receiver."""
    server = web.Server(receiver.handle, access_log=None)
    listening = await asyncio.get_running_loop().create_server(server, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    webhook = Webhook(f"http://127.0.0.1:{port}/hooks/{SECRET}%2F%7Ex?sig={SECRET}", token, EventLog("info"), lambda: 0.5)
    webhook.start()
    try:
        yield webhook
    finally:
        await webhook.stop()
        listening.close()
        await server.shutdown(0.1)


async def until_settled(webhook: Webhook) -> None:
    """Wait until nothing waits any more."""
    async with asyncio.timeout(10):
        while webhook.waiting:
            await asyncio.sleep(0.001)


async def test_messages_arrive_in_order_with_the_token() -> None:
    """As they are, at the address as it is written."""
    receiver = Receiver(200)
    async with receive(receiver, token="tok") as webhook:
        for number in range(3):
            webhook.put(b'{"number":%d}' % number)
        await until_settled(webhook)
        webhook.put(b"{}")
        await until_settled(webhook)
        assert (webhook.sent, webhook.lost) == (4, 0)
    path = f"/hooks/{SECRET}%2F%7Ex?sig={SECRET}"
    assert receiver.seen[0] == ("POST", path, "Bearer tok", b'{"number":0}')
    assert [body for *_, body in receiver.seen] == [b'{"number":0}', b'{"number":1}', b'{"number":2}', b"{}"]


@pytest.mark.parametrize("status", [500, 503, 429, 408])
async def test_what_may_pass_is_tried_again(status: int, lines: list[logging.LogRecord]) -> None:
    """The same message, until it is taken; the log tells neither address nor token."""
    receiver = Receiver(status, status, 200)
    async with receive(receiver, token=SECRET) as webhook:
        webhook.put(b"{}")
        await until_settled(webhook)
        assert (webhook.sent, webhook.lost, len(receiver.seen)) == (1, 0, 3)
    fields = [record.__dict__["sidecar_fields"] for record in lines]
    assert fields == [{"reason": f"status_{status}", "lost": False}] * 2 and SECRET not in str(fields)


@pytest.mark.parametrize("status", [301, 307, 400, 401, 404, 413])
async def test_what_is_refused_is_lost_and_said(status: int, lines: list[logging.LogRecord]) -> None:
    """At once, without following anybody anywhere; and the next message has its turn."""
    receiver = Receiver(status)
    async with receive(receiver) as webhook:
        webhook.put(b"1")
        webhook.put(b"2")
        await until_settled(webhook)
        assert (webhook.sent, webhook.lost) == (0, 2)
    assert [(path.startswith("/hooks/"), body) for _, path, _, body in receiver.seen] == [(True, b"1"), (True, b"2")]
    assert [record.__dict__["sidecar_fields"] for record in lines] == [{"reason": f"status_{status}", "lost": True}] * 2


async def test_a_receiver_that_never_works_costs_one_message_after_the_other(lines: list[logging.LogRecord]) -> None:
    """After so many tries, and no more."""
    receiver = Receiver(500)
    async with receive(receiver) as webhook:
        webhook.put(b"{}")
        await until_settled(webhook)
        assert (webhook.sent, webhook.lost, len(receiver.seen)) == (0, 1, TRIES_MAX)
    assert [record.__dict__["sidecar_fields"]["lost"] for record in lines] == [False] * (TRIES_MAX - 1) + [True]


async def test_nobody_listens(lines: list[logging.LogRecord]) -> None:
    """Told by the kind of failure alone: its text may hold the address."""
    webhook = Webhook(f"http://127.0.0.1:1/{SECRET}", None, EventLog("info"), lambda: 0.5)
    webhook.start()
    webhook.put(b"{}")
    await until_settled(webhook)
    await webhook.stop()
    assert (webhook.sent, webhook.lost) == (0, 1) and SECRET not in str([record.__dict__ for record in lines])
    assert {record.__dict__["sidecar_fields"]["reason"] for record in lines} == {"ClientConnectorError"}


async def test_the_queue_is_bounded(lines: list[logging.LogRecord]) -> None:
    """The oldest make room: what is news matters most."""
    webhook = Webhook("http://127.0.0.1:1/", None, EventLog("info"), lambda: 0.5)
    for number in range(WAITING_MAX + 7):
        webhook.put(b"%d" % number)
    assert (webhook.waiting, webhook.lost) == (WAITING_MAX, 7)
    assert {record.__dict__["sidecar_fields"]["reason"] for record in lines} == {"too_many"}
    await webhook.stop()


async def test_a_message_that_made_room_is_not_sent_twice() -> None:
    """While the first is on its way, the queue overflows: it was counted once, and the rest goes on."""
    receiver = Receiver(200)
    async with receive(receiver) as webhook:
        webhook.put(b"first")
        async with asyncio.timeout(10):
            await receiver.news.wait()
        for number in range(WAITING_MAX):
            webhook.put(b"%d" % number)
        await until_settled(webhook)
        assert webhook.sent + webhook.lost == WAITING_MAX + 1 and len(receiver.seen) == WAITING_MAX + 1


async def test_what_waits_goes_to_the_next_address() -> None:
    """And what was counted is not forgotten."""
    receiver = Receiver(200)
    former = Webhook("http://127.0.0.1:1/", None, EventLog("info"), lambda: 0.5)
    former.put(b"{}")
    former.sent, former.lost = 3, 4
    async with receive(receiver) as webhook:
        webhook.take_over(former)
        await until_settled(webhook)
        assert (webhook.sent, webhook.lost, webhook.waiting) == (4, 4, 0)
        assert former.waiting == 0, "it is sent by one of them"


async def test_what_waits_at_the_end_is_sent_once_more(monkeypatch: pytest.MonkeyPatch, lines: list[logging.LogRecord]) -> None:
    """At once, in the middle of a pause of a minute; what is refused even then is lost, and the next has its turn."""
    monkeypatch.setattr(module, "_PAUSE_S", 60.0)
    receiver = Receiver(503, 503, 200)
    async with receive(receiver) as webhook:
        for number in range(3):
            webhook.put(b"%d" % number)
        async with asyncio.timeout(10):
            while not lines:
                await asyncio.sleep(0.001)
        await webhook.stop(10.0)
        assert (webhook.sent, webhook.lost, webhook.waiting) == (2, 1, 0)
        webhook.put(b"late")
        assert webhook.waiting == 1
    assert [body for *_, body in receiver.seen] == [b"0", b"0", b"1", b"2"]
    assert [record.__dict__["sidecar_fields"]["lost"] for record in lines] == [False, True]


async def test_a_receiver_that_hangs_keeps_nobody(lines: list[logging.LogRecord]) -> None:
    """Not longer than it is given; what it did not take is counted, and told."""
    accepted: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(lambda _, writer: accepted.append(writer), "127.0.0.1", 0)
    webhook = Webhook(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/", None, EventLog("info"), lambda: 0.5)
    webhook.start()
    webhook.put(b"1")
    webhook.put(b"2")
    async with asyncio.timeout(10):
        while not accepted:
            await asyncio.sleep(0.001)
        await webhook.stop(0.05)
    assert (webhook.sent, webhook.lost, webhook.waiting) == (0, 2, 0)
    assert {record.__dict__["sidecar_fields"]["reason"] for record in lines} == {"stopping"}
    for writer in accepted:
        writer.close()
    server.close()
