"""sidecar/simulator/websocket.py"""

import asyncio
import json

import httpx
import pytest
import websockets
from websockets.asyncio.client import connect

from sidecar.simulator import Simulator
from sidecar.simulator.websocket import compose_head, open_talk

_REALTIME = "/v1/realtime?model=sim-small"


def _url(simulator: Simulator, target: str) -> str:
    return simulator.url.replace("http", "ws") + target


async def _sealed(simulator: Simulator, count: int) -> None:
    async with asyncio.timeout(5):
        while simulator.ledger.open_count or len(simulator.ledger.entries) < count:
            await asyncio.sleep(0.001)


async def test_a_session_is_one_entry_with_all_that_it_spent(simulator: Simulator) -> None:
    """Told and true are the same: usage goes out with each answer."""
    async with connect(_url(simulator, _REALTIME), subprotocols=["realtime"]) as client:
        assert client.subprotocol == "realtime"
        assert json.loads(await client.recv())["session"]["model"] == "sim-small"
        await client.send('{"type": "response.create"}')
        async for message in client:
            if json.loads(message)["type"] == "response.done":
                break
    await _sealed(simulator, 1)
    (entry,) = simulator.ledger.entries
    told = entry.tell()
    assert (told["path"], told["status"], told["outcome"], told["model"]) == ("/v1/realtime", 101, "complete", "sim-small")
    assert told["usage"] == told["told"]
    assert told["usage"]["completion"] == 7
    assert told["cost_usd"] > 0
    assert simulator.ledger.tell_totals()["requests"] == 1


async def test_fragments_pings_and_large_messages(simulator: Simulator) -> None:
    """As any server must take them."""
    async with connect(_url(simulator, _REALTIME)) as client:
        await client.recv()
        await (await client.ping(b"there?"))
        await client.send(['{"type": "input_audio_', 'buffer.append", "audio": "', "A" * 70_000, '"}'])
        await client.send('{"type": "session.update", "session": {}}')
        assert json.loads(await client.recv())["type"] == "session.updated"


async def test_whoever_leaves_without_a_word_has_left(simulator: Simulator) -> None:
    """The entry says so, and has no usage."""
    client = await connect(_url(simulator, _REALTIME))
    client.transport.abort()
    await _sealed(simulator, 1)
    (entry,) = simulator.ledger.entries
    assert (entry.outcome, entry.is_reported, entry.status) == ("client_gone", False, 101)
    assert simulator.connection_count == 0


@pytest.mark.parametrize(("target", "key", "status"), [("/v1/nothing", "sk-x", 404), (_REALTIME, "sk-bad", 401)])
async def test_handshakes_that_are_refused(simulator: Simulator, target: str, key: str, status: int) -> None:
    """With the interface's own error, and an entry."""
    with pytest.raises(websockets.InvalidStatus) as caught:
        await connect(_url(simulator, target), additional_headers={"authorization": f"Bearer {key}"})
    assert caught.value.response.status_code == status
    assert b'"error"' in caught.value.response.body
    assert [(entry.status, entry.outcome) for entry in simulator.ledger.entries] == [(status, "complete")]


async def test_other_upgrades_are_no_requests(client: httpx.AsyncClient, simulator: Simulator) -> None:
    """As before."""
    answer = await client.get("/v1/realtime", headers={"connection": "upgrade", "upgrade": "h2c"})
    assert answer.status_code == 400
    assert simulator.ledger.entries == ()


def test_the_head_answers_the_key() -> None:
    """The example of RFC 6455 section 1.3."""
    head = compose_head({"sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ=="}, [("x", "y")])
    assert b"\r\nsec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nx: y\r\n\r\n" in head


def test_the_query_names_the_model() -> None:
    """Where the interface has it there."""
    talk = open_talk(_REALTIME)
    assert talk is not None
    assert talk.model == "sim-small"
    assert open_talk("/v1/realtime/calls") is None
