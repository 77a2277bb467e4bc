"""sidecar/simulator/connection.py"""

import asyncio
import json
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from sidecar.simulator import Simulator

_CHAT = {"model": "sim-small", "messages": [{"role": "user", "content": "hello"}]}


async def _call(client: httpx.AsyncClient, script: dict[str, Any], **members: Any) -> httpx.Response:
    return await client.post("/v1/chat/completions", json=_CHAT | members, headers={"x-sim-script": json.dumps(script)})


async def _raw(simulator: Simulator, sent: bytes) -> bytes:
    """All that comes back on a connection of its own, until it closes."""
    parts = urlsplit(simulator.url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    writer.write(sent)
    received = await asyncio.wait_for(reader.read(), 5)
    writer.close()
    return received


def _request(body: dict[str, Any], *fields: str, version: str = "1.1") -> bytes:
    data = json.dumps(body).encode()
    head = "\r\n".join([f"POST /v1/chat/completions HTTP/{version}", "host: x", f"content-length: {len(data)}", *fields, "", ""])
    return head.encode() + data


async def _until(is_so: Any) -> None:
    """Wait for what another task of the loop is about to do."""
    async with asyncio.timeout(5):
        while not is_so():
            await asyncio.sleep(0.001)


async def test_keep_alive(simulator: Simulator, client: httpx.AsyncClient) -> None:
    """One connection serves one request after another."""
    for _ in range(3):
        assert (await _call(client, {})).status_code == 200
    assert simulator.connection_count == 1
    assert (await client.get("/_sim/connections")).json()[0]["served"] == 3


async def test_reset_is_a_reset(client: httpx.AsyncClient, simulator: Simulator) -> None:
    """A reset reaches the caller as ECONNRESET, not as an orderly close."""
    for fault in ("reset", "reset_before_head"):
        with pytest.raises(httpx.ReadError) as caught:
            await _call(client, {"fault": fault}, stream=True)
        causes = [caught.value.__cause__]
        while causes[-1] is not None:
            causes.append(causes[-1].__cause__ or causes[-1].__context__)
        assert any(isinstance(cause, ConnectionResetError) for cause in causes)
    assert [entry.outcome for entry in simulator.ledger.entries] == ["reset", "unanswered"]


@pytest.mark.parametrize("fault", ["close_before_head", "garbage_http", "drop", "short_body"])
async def test_closes(client: httpx.AsyncClient, fault: str) -> None:
    """Other breaks end in a close that no HTTP client takes for an answer."""
    with pytest.raises(httpx.RemoteProtocolError):
        await _call(client, {"fault": fault}, stream=True)


@pytest.mark.parametrize("fault", ["cut", "no_done", "trickle", "informational", "close_delimited", "silent_close", "garbage_event"])
async def test_what_http_does_not_notice(client: httpx.AsyncClient, fault: str) -> None:
    """Faults of the form alone are well-formed HTTP."""
    response = await _call(client, {"fault": fault, "tokens": 4}, stream=True)
    assert response.content.startswith(b"data: ")


async def test_caller_leaves_while_it_waits(simulator: Simulator) -> None:
    """The moment a caller leaves is noted, before any byte went out."""
    async with httpx.AsyncClient(base_url=simulator.url, timeout=0.05) as hasty:
        with pytest.raises(httpx.ReadTimeout):
            await _call(hasty, {"ttft_ms": 60_000})
    (entry,) = simulator.ledger.entries
    await _until(lambda: entry.outcome != "open")
    assert (entry.outcome, entry.body_bytes, entry.first_byte_s) == ("client_gone", 0, None)
    assert entry.client_closed_s is not None and entry.client_closed_s >= entry.received_s
    assert entry.true_tokens.completion == 0


async def test_caller_leaves_within_a_stream(simulator: Simulator, client: httpx.AsyncClient) -> None:
    """What had been sent by then is what the ledger says."""
    request = client.build_request(
        "POST", "/v1/chat/completions", json=_CHAT | {"stream": True}, headers={"x-sim-script": '{"gap_ms": 20, "tokens": 1000}'}
    )
    response = await client.send(request, stream=True)
    async for _ in response.aiter_raw():
        break
    await response.aclose()
    (entry,) = simulator.ledger.entries
    await _until(lambda: entry.outcome != "open")
    assert entry.outcome == "client_gone"
    assert 0 < entry.true_tokens.completion < 1000
    assert not entry.is_reported


async def test_stall(simulator: Simulator) -> None:
    """A stalled answer lasts until the caller leaves, and is told apart from a caller in a hurry."""
    async with httpx.AsyncClient(base_url=simulator.url, timeout=0.1) as hasty:
        with pytest.raises(httpx.ReadTimeout):
            await _call(hasty, {"fault": "stall"}, stream=True)
    (entry,) = simulator.ledger.entries
    await _until(lambda: entry.outcome != "open")
    assert entry.outcome == "stalled"
    assert entry.client_closed_s is not None


async def test_expect(simulator: Simulator) -> None:
    """A caller that asks before it sends its body is told to go on."""
    received = await _raw(simulator, _request(_CHAT, "expect: 100-continue", "connection: close"))
    assert received.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n")


async def test_http_1_0(simulator: Simulator) -> None:
    """An old client gets no chunks: the stream ends with the connection."""
    received = await _raw(simulator, _request(_CHAT | {"stream": True}, version="1.0"))
    assert b"transfer-encoding" not in received
    assert received.endswith(b"data: [DONE]\n\n")


async def test_pipelining(simulator: Simulator) -> None:
    """Requests sent at once are answered in order."""
    fields = ['x-sim-script: {"tokens": 1, "ttft_ms": 20}'], ['x-sim-script: {"tokens": 2}', "connection: close"]
    received = await _raw(simulator, b"".join(_request(_CHAT, *each) for each in fields))
    assert [piece.partition(b",")[0] for piece in received.split(b'"completion_tokens":')[1:]] == [b"1", b"2"]


async def test_head(simulator: Simulator, client: httpx.AsyncClient) -> None:
    """HEAD has the head of GET and no body."""
    response = await client.head("/v1/models")
    assert int(response.headers["content-length"]) == len((await client.get("/v1/models")).content)
    assert response.content == b""
    assert simulator.ledger.entries[0].body_bytes == 0


async def test_not_a_request(simulator: Simulator) -> None:
    """Bytes that are not HTTP are refused, the connection closed, and nothing is accounted for."""
    assert (await _raw(simulator, b"\x16\x03\x01 hello\r\n\r\n")).startswith(b"HTTP/1.1 400 ")
    assert simulator.ledger.entries == ()


async def test_a_slow_reader(simulator: Simulator, client: httpx.AsyncClient) -> None:
    """A large answer waits for its reader, and arrives whole."""
    request = client.build_request(
        "POST", "/v1/chat/completions", json=_CHAT | {"stream": True}, headers={"x-sim-script": '{"line_bytes": 33554432, "tokens": 20}'}
    )
    response = await client.send(request, stream=True)
    await _until(lambda: simulator.ledger.entries[0].first_byte_s is not None)
    for _ in range(50):
        await asyncio.sleep(0)
    (entry,) = simulator.ledger.entries
    assert entry.outcome == "open"
    assert (await response.aread()).endswith(b"data: [DONE]\n\n")
    await _until(lambda: entry.outcome == "complete")
