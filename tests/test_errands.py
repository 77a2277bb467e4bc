"""Errands: a call of the sidecar's own, carried by the path as any other."""

import asyncio

import pytest

from sidecar.core.identify.tenants import Tenant
from sidecar.errands import Errand, ErrandClient, make_call
from sidecar.exchange import Call, Ending, Headers
from tests.path import JSON, STREAM, Played, PlayedAnswer

BODY = b'{"model":"gpt-4o","messages":[]}'
TARGET = "/openai/v1/chat/completions"


def call_of(*headers: tuple[bytes, bytes], body: bytes = BODY, method: str = "POST") -> Call:
    """Return a call of our own."""
    return make_call("e1", method, TARGET, headers, body, now=7.0, now_ns=8)


def client_of(call: Call, body: bytes = BODY) -> ErrandClient:
    """Return the caller's side of it."""
    return ErrandClient(Errand(call, body, "refresh", Tenant("a", "a")))


def test_an_errand_has_an_identity_of_its_own_and_asks_anew() -> None:
    """What it is made from gives the request, and neither its trace, its lengths, nor its directives."""
    headers: Headers = (
        (b"Host", b"localhost"), (b"Content-Length", b"3"), (b"Transfer-Encoding", b"chunked"), (b"Expect", b"100-continue"),
        (b"Traceparent", b"00-1-1-01"), (b"Tracestate", b"a=b"), (b"Idempotency-Key", b"k"), (b"Cache-Control", b"only-if-cached"),
        (b"X-Sidecar-Cache", b"only-if-cached"), (b"x_sidecar_cache", b"no-store"), (b"X-Sidecar-Tenant", b"b"),
        (b"Connection", b"keep-alive, X-Mine"), (b"X-Mine", b"1"), (b"Authorization", b"Bearer k"), (b"X-Sidecar-Prefer", b"openai"),
    )  # fmt: skip
    call = call_of(*headers)
    assert call.headers == (
        (b"Authorization", b"Bearer k"), (b"X-Sidecar-Prefer", b"openai"), (b"Content-Length", b"%d" % len(BODY)),
        (b"x-sidecar-cache", b"no-cache"),
    )  # fmt: skip
    assert call.wanted.own == {"x-sidecar-prefer": "openai", "x-sidecar-cache": "no-cache"}
    assert (call.id, call.method, call.target, call.accepted, call.accepted_ns, call.has_body) == ("e1", "POST", TARGET, 7.0, 8, True)
    assert not call.wanted.traced
    assert call.wanted.content_length == len(BODY)


def test_an_errand_without_a_body_tells_no_length() -> None:
    """As a GET."""
    call = call_of(body=b"", method="GET")
    assert (call.has_body, call.wanted.content_length, call.headers) == (False, None, ((b"x-sidecar-cache", b"no-cache"),))


@pytest.mark.parametrize("framing", [b"length", b"chunked", b"close"])
async def test_the_path_carries_an_errand_as_any_call(framing: bytes) -> None:
    """Its body goes out, its answer is read to the end and goes nowhere, its record is whole."""
    answer = b'{"id":"x","model":"gpt-4o","choices":[{"index":0,"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":4}}'
    path = Played(PlayedAnswer(200, JSON, body=[answer], framing=framing))
    client = client_of(call_of((b"Content-Type", b"application/json")))
    await path.pipeline.carry(client)
    path.check_rest()
    [record] = path.records[0]
    assert (record.id, record.ending, record.status, record.asked.model) == ("e1", Ending.COMPLETED, 200, "gpt-4o")
    assert record.usage is not None
    assert (record.usage.input, record.usage.output) == (3, 4)
    [used] = path.used
    assert used.request.endswith(BODY)
    assert b"x-sidecar" not in used.request


async def test_a_stream_is_read_to_its_end() -> None:
    """Whole, as nobody is there who could leave in the middle."""
    events = [
        b'data: {"choices":[{"index":0,"delta":{"content":"a"}}]}\n\n',
        b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n', b"data: [DONE]\n\n",
    ]  # fmt: skip
    path = Played(PlayedAnswer(200, STREAM, body=events, framing=b"chunked"))
    await path.pipeline.carry(client_of(call_of()))
    path.check_rest()
    [record] = path.records[0]
    assert (record.ending, record.seen.finish_reasons) == (Ending.COMPLETED, ["stop"])


async def test_an_errand_ends_with_its_task() -> None:
    """The sidecar stops: the call is given up, and what it held is free."""
    path = Played(PlayedAnswer(200, JSON, at_head=asyncio.get_running_loop().create_future()))
    task = asyncio.ensure_future(path.pipeline.carry(client_of(call_of())))
    async with asyncio.timeout(5):
        while not path.used:
            await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    path.check_rest()
    assert [record.ending for record in path.records[0]] == [Ending.REFUSED]
