"""A batch on the path, with everything around it played: what its entries share, and what they do not."""

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest
from msgspec import structs

from sidecar.batch import EntryClient, Room
from sidecar.config import Limits, Route, RouteKind
from sidecar.errors import UNREACHABLE, ClientGone, UpstreamFault
from sidecar.exchange import Ending, Record
from tests.core.attempt.calls import make_call
from tests.path import JSON, SETTINGS, Played, PlayedAnswer, PlayedClient

SETTINGS_WITH_TOOLS = replace(SETTINGS, routes=(*SETTINGS.routes, Route("/tools/w/", "other", kind=RouteKind.TOOL)))
BATCH = "/x-sidecar/batch"
TYPE = (b"Content-Type", b"application/json")


def whole(body: bytes = b'{"a":1}', **more: Any) -> PlayedAnswer:
    """Return an upstream that gives a JSON answer."""
    return PlayedAnswer(200, JSON, body=[body], **more)


def client_of(entries: Any, **more: Any) -> PlayedClient:
    """Return a caller with a batch."""
    body = entries if isinstance(entries, bytes) else json.dumps(entries).encode()
    return PlayedClient(make_call(TYPE, target=BATCH, has_body=True, **more), [body])


async def carry(path: Played, client: PlayedClient) -> tuple[Record, list[Record]]:
    """Carry a batch; return its own record and those of its entries."""
    try:
        await path.pipeline.carry(client)
    except asyncio.CancelledError:
        pass
    assert path.in_flight == 0
    assert len(client.ends) == 1
    assert all(answer.released for answer in path.used)
    *entries, batch = path.records[0]
    assert not batch.batched
    assert all(entry.batched for entry in entries)
    return batch, entries


def play(*answers: Any, **changes: Any) -> Played:
    """Return a path with a tool route."""
    return Played(*answers, settings=replace(SETTINGS_WITH_TOOLS, **changes))


async def test_a_batch_and_its_entries_are_exchanges_each() -> None:
    """Each with its record; the batch's shows no upstream and no tool."""
    path, client = play(whole(), UpstreamFault(UNREACHABLE)), client_of([{"path": "/tools/w/one"}, {"path": "/tools/w/two", "body": 1}])
    batch, entries = await carry(path, client)
    assert [answer["status"] for answer in json.loads(client.body)] == [200, 502]
    assert (batch.route, batch.template, batch.upstream, batch.operation) == ("x-sidecar/batch", BATCH, "", "http")
    assert (batch.ending, batch.status, client.ends) == (Ending.COMPLETED, 200, ["kept"])
    assert {(entry.id, entry.asked.tool, str(entry.ending)) for entry in entries} == {
        (f"{batch.id}-0", "one", "completed"), (f"{batch.id}-1", "two", "connect_failed"),
    }  # fmt: skip
    assert {entry.route for entry in entries} == {"tools/w"}
    assert b"x-sidecar-request-id: " + batch.id.encode() in client.head


@pytest.mark.parametrize(
    ("client", "status", "error_id"),
    [
        (client_of(b"nonsense"), 400, "bad_batch"),
        (client_of([{}] * 4), 400, "bad_batch"),
        (PlayedClient(make_call(target=BATCH, has_body=True), [b"[]"]), 400, "bad_batch"),
        (client_of(b"[" + b" " * 2000), 413, "too_large"),
        (client_of([], method="PUT"), 404, "no_route"),
        (PlayedClient(make_call(target=BATCH + "?x=1", has_body=True), [b"[]"]), 404, "no_route"),
        (PlayedClient(make_call((b"x-sidecar-timeout", b"soon"), TYPE, target=BATCH, has_body=True), [b"[]"]), 400, "bad_request"),
    ],
)
async def test_what_is_no_batch_is_refused_as_any_call(client: PlayedClient, status: int, error_id: str) -> None:
    """With its own error id, and a record."""
    path = play(limits=Limits(batch=3, body=1000))
    batch, entries = await carry(path, client)
    assert (client.status, batch.status, batch.error_id, batch.ending, entries) == (status, status, error_id, Ending.CLIENT_FAULT, [])


async def test_a_caller_that_leaves_while_it_sends_is_gone() -> None:
    """Before there is a batch at all."""
    path, client = play(), client_of([])
    client.pieces = [b"[", ClientGone()]
    batch, _ = await carry(path, client)
    assert batch.ending is Ending.CLIENT_GONE


@pytest.mark.parametrize("leaves", [False, True])
async def test_the_end_of_a_batch_is_the_end_of_its_entries(leaves: bool) -> None:
    """Whether its caller leaves or the sidecar stops: all of them end, and none is waited for."""
    waiting = [asyncio.get_running_loop().create_future() for _ in range(3)]
    path = play(*(whole(at_head=future) for future in waiting))
    client = client_of([{"path": "/tools/w/x"}] * 3)
    task = asyncio.ensure_future(carry(path, client))
    async with asyncio.timeout(5):
        while len(path.used) < 3:
            await asyncio.sleep(0)
    await asyncio.sleep(0)
    client.gone = leaves
    task.cancel()
    batch, entries = await task
    ending = Ending.CLIENT_GONE if leaves else Ending.REFUSED
    assert {record.ending for record in (batch, *entries)} == {ending}
    assert client.status == (None if leaves else 503)


async def test_only_tools_can_be_called_in_a_batch() -> None:
    """Models cannot, and a batch cannot hold a batch, even where a tool's route takes every path."""
    everything = (*SETTINGS.routes, Route("/", "other", kind=RouteKind.TOOL))
    path = play(routes=everything)
    client = client_of([{"path": "/openai/v1/chat/completions", "body": {}}, {"path": BATCH, "body": []}])
    _, entries = await carry(path, client)
    assert [answer["headers"]["x-sidecar-error"] for answer in json.loads(client.body)] == ["not_batchable", "bad_batch"]
    assert [entry.error_id for entry in entries] == ["not_batchable"]
    assert path.asked == []


async def test_an_answer_that_broke_off_is_none() -> None:
    """What came of it is not shown as the whole."""
    path = play(whole(at_end=UpstreamFault(UNREACHABLE)))
    client = client_of([{"path": "/tools/w/x"}])
    _, [entry] = await carry(path, client)
    [answer] = json.loads(client.body)
    assert (answer["status"], answer["headers"]["x-sidecar-error"]) == (502, "stream_cut")
    assert entry.ending is Ending.CONNECT_FAILED


async def test_the_room_of_a_batch_is_shared() -> None:
    """One answer too many is given up, and what it took is free again."""
    outer = PlayedClient(make_call(target=BATCH))
    room = Room(100)
    one, two, three = (EntryClient(make_call(), b"", outer, room, 80) for _ in range(3))
    one.write(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 41)
    assert (room.left_bytes, one.fault) == (40, None)
    two.write(b"y" * 30)
    two.write(b"y" * 30)
    two.write(b"y" * 30)
    assert (room.left_bytes, two.fault is not None, two.answer().status) == (40, True, 503)
    three.write(b"HTTP/1.1 200 OK\r\n\r\n" + b"z" * 20)
    for client in (one, three):
        client.finish(keep=False)
        assert client.answer().status == 200
    alone = EntryClient(make_call(), b"", outer, Room(1000), 80)
    alone.write(b"x" * 81)
    assert alone.answer().headers["x-sidecar-error"] == "batch_overflow"


async def test_a_traced_batch_holds_its_entries_together() -> None:
    """The same trace, under the batch's span; each entry is sampled as the batch is."""
    path = Played(whole(), settings=SETTINGS_WITH_TOOLS, traces=True)
    batch, [entry] = await carry(path, client_of([{"path": "/tools/w/x"}]))
    assert batch.trace is not None
    assert entry.trace is not None
    assert (entry.trace.trace_id, entry.trace.remote_span_id) == (batch.trace.trace_id, batch.trace.server_span_id)


async def test_an_entry_that_has_no_end_has_one_in_a_batch() -> None:
    """A batch is answered some time."""
    path = play(whole())
    await carry(path, client_of([{"path": "/tools/w/x", "method": "GET", "headers": {"Accept": "text/event-stream"}}]))
    [deadlines] = path.deadlines
    assert deadlines.total_at - 100.0 < SETTINGS.timeouts.total + 1


@pytest.mark.parametrize("waits", [False, True])
async def test_an_answer_too_large_for_a_batch_ends_as_that(waits: bool) -> None:
    """Not as a caller that left, nor as complete: it is our own limit that ended it, whether it was all there or not."""
    more = {"at_end": asyncio.get_running_loop().create_future()} if waits else {}
    path = play(whole(b"x" * 5000, **more), whole(), limits=Limits(observed=2000))
    client = client_of([{"path": "/tools/w/big"}, {"path": "/tools/w/small"}])
    batch, entries = await carry(path, client)
    big, small = sorted(entries, key=lambda record: record.id)
    assert [answer["headers"].get("x-sidecar-error") for answer in json.loads(client.body)] == ["batch_overflow", None]
    assert (big.ending, big.error_id, big.error_type) == (Ending.REFUSED, "batch_overflow", "batch_overflow")
    assert (small.ending, batch.ending) == (Ending.COMPLETED, Ending.COMPLETED)


async def test_the_time_of_a_batch_begins_with_the_batch() -> None:
    """How long its body took to come is not given to its entries a second time."""
    path = play(whole())
    call = make_call(TYPE, (b"x-sidecar-timeout", b"5"), target=BATCH, has_body=True)
    await carry(path, PlayedClient(structs.replace(call, accepted=97.0), [b'[{"path": "/tools/w/x"}]']))
    [deadlines] = path.deadlines
    assert deadlines.total_at == pytest.approx(97.0 + 5.0, abs=0.1)
