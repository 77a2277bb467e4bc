"""WebSockets on the path: who is let in, how they end, and what is recorded."""

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest

from sidecar.config import Limits, Route
from sidecar.errors import STOPPING, UNREACHABLE, UpstreamFault
from sidecar.exchange import Departure, Ending, Session, Usage, UsageSource
from tests.core.attempt.calls import make_call
from tests.core.observe.test_frames import KEY as MASK
from tests.core.observe.test_frames import frame
from tests.path import SETTINGS, Played, PlayedAnswer, PlayedClient
from tests.rig.websocket import KEY, accept_of

REALTIME = "/openai/v1/realtime"
USAGE = {"input_tokens": 1000, "output_tokens": 10}
BEGUN, DONE, CREATED = (
    frame(json.dumps(event).encode())
    for event in (
        {"type": "response.created", "response": {}}, {"type": "response.done", "response": {"status": "completed", "usage": USAGE}},
        {"type": "session.created", "session": {"model": "gpt-4o"}},
    )
)  # fmt: skip
GOODBYE = frame(b"\x03\xe8", 0x8)


def client_of(target: str = REALTIME, *more: tuple[bytes, bytes]) -> PlayedClient:
    """A caller with a handshake."""
    fields = ((b"Connection", b"Upgrade"), (b"Upgrade", b"websocket"), (b"Sec-WebSocket-Version", b"13"),
              (b"Sec-WebSocket-Key", KEY.encode()))  # fmt: skip
    return PlayedClient(make_call(*fields, *more, target=target, method="GET", keep_alive=False))


def session(*said: bytes, asked: bytes = b"", departure: Departure = Departure.CLIENT, key: str = KEY, at_end: Any = None) -> PlayedAnswer:
    """An upstream that accepts."""
    answer = PlayedAnswer(
        101, (b"Upgrade", b"websocket"), (b"Connection", b"Upgrade"), (b"Sec-WebSocket-Accept", accept_of(key).encode()), body=said,
        framing=b"", at_end=at_end,
    )  # fmt: skip
    answer.asked, answer.departure = asked, departure
    return answer


async def test_a_session_is_one_exchange() -> None:
    """One record with the sum of its answers, their cost, and what the handshake took."""
    answer = session(CREATED, BEGUN, DONE + BEGUN, DONE, GOODBYE, asked=frame(b"{}", key=MASK))
    path, client = Played(answer, traces=True), client_of(REALTIME + "?model=asked&key=secret")
    record = await path.carry(client)
    assert client.got.startswith(b"HTTP/1.1 101 Said\r\nSec-WebSocket-Accept: ")
    assert b"\r\nx-sidecar-upstream: openai\r\n" in client.got
    assert client.ends == ["handed over"]
    assert answer.request.startswith(b"GET /v1/realtime?model=asked&key=secret HTTP/1.1\r\nHost: api.openai.com\r\n")
    assert (record.status, record.ending, record.error_type, record.method) == (101, Ending.COMPLETED, None, "GET")
    assert (record.operation, record.template) == ("generate_content", REALTIME)
    assert (record.asked.model, record.seen.model) == ("asked", "gpt-4o")
    assert (record.usage, record.usage_source) == (Usage(2000, 0, 0, 20, 0), UsageSource.REPORTED)
    assert record.cost is not None
    assert record.cost.usd == pytest.approx(2 * (1000 * 2.50 + 10 * 10.00) / 1e6)
    assert record.session == Session(record.session.opened, 1000, 1, 5)  # type: ignore[union-attr]
    assert record.accepted < record.session.opened < record.ended  # type: ignore[union-attr]
    assert record.request_bytes == len(answer.asked)
    assert (record.attempts[0].status, record.attempts[0].outcome) == (101, "completed")
    assert path.websockets.value == 0
    assert "secret" not in repr(record)


@pytest.mark.parametrize(
    ("said", "departure", "ending", "error_id", "error_type"),
    [
        ((GOODBYE,), Departure.UPSTREAM, Ending.COMPLETED, None, None),
        ((frame(b"\x03\xf3", 0x8),), Departure.UPSTREAM, Ending.IN_BAND_ERROR, None, "websocket_1011"),
        ((frame(b"\x03\xf0", 0x8),), Departure.UPSTREAM, Ending.REJECTED, None, "websocket_1008"),
        ((BEGUN, GOODBYE), Departure.UPSTREAM, Ending.CUT, "stream_cut", "stream_cut"),
        ((), Departure.UPSTREAM, Ending.CUT, "stream_cut", "stream_cut"),
        ((), Departure.CLIENT, Ending.CLIENT_GONE, None, None),
        ((), Departure.IDLE, Ending.IDLE_TIMEOUT, "idle_timeout", "idle_timeout"),
    ],
)
async def test_each_end_of_a_session_is_told(said: Any, departure: Departure, ending: Ending, error_id: Any, error_type: Any) -> None:
    """By the close code, else by who left."""
    path = Played(session(*said, departure=departure))
    record = await path.carry(client_of())
    assert (record.ending, record.error_id, record.error_type) == (ending, error_id, error_type)
    assert (record.status, path.websockets.value) == (101, 0)


async def test_stopping_tells_both_ends() -> None:
    """The session has told its end; nothing more is written to the caller."""
    waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    answer = session(CREATED, BEGUN, DONE, at_end=waiting)
    path, client = Played(answer), client_of()
    task = asyncio.create_task(path.carry(client))
    while answer.tunnel is None:
        await asyncio.sleep(0)
    assert path.websockets.value == 1
    await asyncio.sleep(0)
    task.cancel()
    record = await task
    assert answer.tunnel.dismissals == [(Departure.STOPPING, STOPPING)]
    assert (record.ending, record.error_id, record.usage) == (Ending.REFUSED, "stopping", Usage(1000, 0, 0, 10, 0))


async def test_a_101_that_does_not_fit_is_no_answer() -> None:
    """Before anything was said to the caller."""
    client = client_of()
    record = await Played(session(key="bm90IHRoZSBzYW1lIGtleQ==")).carry(client)
    assert (client.status, record.ending, record.error_id, record.session) == (502, Ending.MALFORMED, "upstream_malformed", None)


async def test_an_upstream_that_cannot_be_reached_is_told_as_ever() -> None:
    """A handshake is a call."""
    path, client = Played(UpstreamFault(UNREACHABLE)), client_of()
    record = await path.carry(client)
    assert (client.status, record.ending, record.session, path.websockets.value) == (502, Ending.CONNECT_FAILED, None, 0)


async def test_any_other_answer_is_relayed() -> None:
    """And the connection closed behind it."""
    answer = PlayedAnswer(401, (b"Content-Type", b"application/json"), body=[b'{"error": {"code": "bad_key"}}'])
    path, client = Played(answer), client_of()
    record = await path.carry(client)
    assert (client.status, client.ends, answer.upgrades) == (401, ["closed"], True)
    assert (record.ending, record.error_type, record.session, path.websockets.value) == (Ending.REJECTED, "bad_key", None, 0)


async def test_a_route_may_forbid_them() -> None:
    """It is a policy's refusal, and no error of the service."""
    settings = replace(SETTINGS, routes=(Route("/openai/", "openai", websocket=False),))
    path, client = Played(settings=settings), client_of()
    record = await path.carry(client)
    assert (client.status, record.ending, record.error_id, path.asked) == (403, Ending.REFUSED, "websocket_refused", [])
    assert (client.ends, path.websockets.value) == (["closed"], 0)


async def test_there_are_only_so_many() -> None:
    """Handshakes included; the refusal says when to come again."""
    settings = replace(SETTINGS, limits=Limits(websockets=1))
    waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    answer = session(at_end=waiting)
    path = Played(answer, settings=settings)
    first = asyncio.create_task(path.pipeline.carry(client_of()))
    while answer.tunnel is None:
        await asyncio.sleep(0)
    refused = client_of()
    await path.pipeline.carry(refused)
    assert refused.status == 503
    assert b"\r\nx-sidecar-error: websockets_full\r\nRetry-After: 1\r\n" in refused.got
    waiting.set_result(None)
    await first
    path.answers.append(session(GOODBYE))
    again = client_of()
    await path.pipeline.carry(again)
    assert again.status == 101
    assert [record.ending for record in path.records[0]] == [Ending.REFUSED, Ending.CLIENT_GONE, Ending.COMPLETED]


async def test_a_long_session_is_not_a_slow_call() -> None:
    """Else the trace of every session would be kept as one of something slow."""
    waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    settings = replace(SETTINGS, tracing=replace(SETTINGS.tracing, ratio=0.0))
    answer = session(GOODBYE, at_end=waiting)
    path = Played(answer, settings=settings, traces=True)
    task = asyncio.create_task(path.carry(client_of()))
    while answer.tunnel is None:
        await asyncio.sleep(0)
    path.clock.time += 3600
    waiting.set_result(None)
    record = await task
    assert (record.duration_s > 3600, record.kept) == (True, False)


async def test_an_entry_of_a_batch_has_no_connection_to_upgrade() -> None:
    """It is refused before any upstream hears of it."""

    bare = type(
        "Bare", (), {name: value for name, value in vars(PlayedClient).items() if name not in ("hand_over", "__dict__", "__weakref__")}
    )
    path, client = Played(), bare(client_of().call)
    record = await path.carry(client)
    assert (client.status, record.error_id, path.asked, path.websockets.value) == (501, "not_upgradable", [], 0)


async def test_sessions_that_began_under_other_settings_count() -> None:
    """They go on, and there may be no more together with them than the new settings say."""
    waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    answer = session(at_end=waiting)
    path = Played(answer, settings=SETTINGS)
    first = asyncio.create_task(path.pipeline.carry(client_of()))
    while answer.tunnel is None:
        await asyncio.sleep(0)
    path.adopt(replace(SETTINGS, limits=Limits(websockets=1)))
    refused = client_of()
    await path.pipeline.carry(refused)
    assert refused.status == 503
    assert not first.done()
    waiting.set_result(None)
    await first
    assert path.websockets.value == 0
    path.answers.append(session(GOODBYE))
    again = client_of()
    await path.pipeline.carry(again)
    assert again.status == 101
