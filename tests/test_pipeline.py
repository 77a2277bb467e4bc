"""The path: every ending, one record each, and what the caller and the upstream get."""

import asyncio
import json
from dataclasses import replace
from hashlib import sha256
from typing import Any

import pytest

from sidecar.config import Ask, Capture, Content, Limits, Route, RouteKind, Settings, Tenants, TenantSource, UsageSettings
from sidecar.errors import (
    BAD_REQUEST,
    CONNECT_TIMEOUT,
    FIRST_BYTE_TIMEOUT,
    IDLE_TIMEOUT,
    POOL_FULL,
    STREAM_CUT,
    TLS_FAILED,
    TOTAL_TIMEOUT,
    TUNNEL_REFUSED,
    UNREACHABLE,
    UNRESOLVED,
    UPSTREAM_MALFORMED,
    UPSTREAM_RESET,
    ClientFault,
    ClientGone,
    SidecarFault,
    UpstreamFault,
)
from sidecar.exchange import Ending, Record, Spoken, Usage, UsageSource
from tests.core.attempt.calls import make_call
from tests.path import JSON, SETTINGS, STREAM, Played, PlayedAnswer, PlayedClient

CHAT = "/openai/v1/chat/completions"
ASKED = b'{"model": "gpt-4o-mini", "messages": []}'
STREAMED = b'{"model": "gpt-4o-mini", "stream": true, "messages": []}'
ANSWER = (
    b'{"id": "c1", "model": "gpt-4o-mini-2024-07-18", "choices": [{"index": 0, "finish_reason": "stop", "message": {"content": "hi"}}], '
    b'"usage": {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}}'
)
FIRST = b'data: {"id":"c1","model":"gpt-4o-mini","choices":[{"index":0,"delta":{"content":"hi"}}]}\n\n'
LAST = b'data: {"id":"c1","model":"gpt-4o-mini","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
USAGE = b'data: {"id":"c1","model":"gpt-4o-mini","choices":[],"usage":{"prompt_tokens":9,"completion_tokens":3,"total_tokens":12}}\n\n'
DONE = b"data: [DONE]\n\n"


def client_of(
    *headers: tuple[bytes, bytes], target: str = CHAT, body: Any = (ASKED,), method: str = "POST", version: tuple[int, int] = (1, 1)
) -> PlayedClient:
    """Return a caller with a request."""
    return PlayedClient(make_call(*headers, target=target, has_body=bool(body), method=method, version=version), body)


def whole(status: int = 200, body: bytes = ANSWER, **more: Any) -> PlayedAnswer:
    """Return an upstream that gives a JSON answer."""
    return PlayedAnswer(status, JSON, body=[body], **more)


def stream(*pieces: bytes, **more: Any) -> PlayedAnswer:
    """Return an upstream that gives a stream of events."""
    return PlayedAnswer(200, STREAM, body=pieces, framing=b"chunked", **more)


def error_of(client: PlayedClient) -> Any:
    """Return the error in the body of a refusal."""
    return json.loads(client.body)["error"]


async def test_an_answer_is_carried_and_measured() -> None:
    """The caller gets it as it came, the record knows all of it."""
    path, client = Played(whole()), client_of((b"Authorization", b"Bearer secret"))
    record = await path.carry(client)
    assert client.body == ANSWER
    assert client.head.startswith(b"HTTP/1.1 200 Said\r\n")
    for field in (b"x-sidecar-request-id: 0123456789abcdef", b"x-sidecar-upstream: openai", b"x-sidecar-attempts: 1"):
        assert field in client.head
    assert client.ends == ["kept"]
    assert path.used[0].request == (
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: api.openai.com\r\nAuthorization: Bearer secret\r\nContent-Length: 40\r\n\r\n" + ASKED
    )
    assert (record.ending, record.status, record.error_id, record.error_type) == (Ending.COMPLETED, 200, None, None)
    assert (record.route, record.upstream, record.provider, record.operation) == ("openai", "openai", "openai", "chat")
    assert (record.asked.model, record.streamed) == ("gpt-4o-mini", False)
    assert record.usage is not None
    assert (record.usage.input_total, record.usage.output_total, record.usage_source) == (9, 3, UsageSource.REPORTED)
    assert record.cost is not None
    assert (record.request_bytes, record.response_bytes) == (len(ASKED), len(ANSWER))
    assert (record.path, record.template) == (CHAT, CHAT)
    assert (record.attempts[0].status, record.attempts[0].outcome) == (200, "completed")
    assert record.trace is None
    assert "secret" not in repr(record)


async def test_own_fields_may_be_switched_off() -> None:
    """Then nothing shows that there is a sidecar, in answers and in refusals."""
    settings = replace(SETTINGS, response_headers=False)
    client = client_of()
    await Played(whole(), settings=settings).carry(client)
    assert b"x-sidecar" not in client.head
    refused = client_of()
    await Played(UpstreamFault(UNREACHABLE), settings=settings).carry(refused)
    assert b"x-sidecar-request-id" not in refused.head


@pytest.mark.parametrize(
    ("status", "ending", "error_type"),
    [(400, Ending.REJECTED, "bad"), (404, Ending.REJECTED, "bad"), (429, Ending.RATE_LIMITED, "bad"), (500, Ending.UPSTREAM_ERROR, "bad")],
)
async def test_a_providers_refusal_is_passed_on(status: int, ending: Ending, error_type: str) -> None:
    """Its status, its body, and its own name for the error."""
    body = b'{"error": {"message": "no", "type": "t", "code": "bad"}}'
    path, client = Played(whole(status, body)), client_of()
    record = await path.carry(client)
    assert (client.status, client.body, client.ends) == (status, body, ["kept"])
    assert (record.ending, record.status, record.error_id, record.error_type) == (ending, status, None, error_type)


@pytest.mark.parametrize(
    ("fault", "ending", "status"),
    [
        (UpstreamFault(UNRESOLVED), Ending.CONNECT_FAILED, 502),
        (UpstreamFault(UNREACHABLE), Ending.CONNECT_FAILED, 502),
        (UpstreamFault(TLS_FAILED), Ending.CONNECT_FAILED, 502),
        (UpstreamFault(TUNNEL_REFUSED), Ending.CONNECT_FAILED, 502),
        (UpstreamFault(CONNECT_TIMEOUT), Ending.CONNECT_TIMEOUT, 502),
        (UpstreamFault(TOTAL_TIMEOUT), Ending.TOTAL_TIMEOUT, 504),
        (SidecarFault(POOL_FULL, "full", retry_after_s=1), Ending.OVERLOADED, 503),
    ],
    ids=lambda value: value.kind.id if hasattr(value, "kind") else None,
)
async def test_an_upstream_that_cannot_be_reached_is_told(fault: Any, ending: Ending, status: int) -> None:
    """In the caller's dialect, with the error's id. Where nobody was reached another connection is tried, and no more often than set."""
    path, client = Played(fault), client_of()
    record = await path.carry(client)
    attempts = 3 if fault.kind is UNREACHABLE else 1
    assert (client.status, client.ends) == (status, ["kept"])
    assert b"\r\nx-sidecar-error: " + fault.kind.id.encode() in client.head
    assert b"x-sidecar-attempts: %d" % attempts in client.head
    assert len(record.attempts) == attempts
    assert error_of(client)["message"] == (fault.detail or fault.kind.summary)
    assert (record.ending, record.status, record.error_id, record.error_type) == (ending, status, fault.kind.id, fault.kind.id)
    assert (record.attempts[0].outcome, record.attempts[0].connected) == (ending.value, None)
    assert (b"Retry-After: 1" in client.head) == (ending is Ending.OVERLOADED)


@pytest.mark.parametrize(
    ("kind", "ending", "status"),
    [
        (UPSTREAM_RESET, Ending.RESET, 502),
        (UPSTREAM_MALFORMED, Ending.MALFORMED, 502),
        (FIRST_BYTE_TIMEOUT, Ending.FIRST_BYTE_TIMEOUT, 504),
        (TOTAL_TIMEOUT, Ending.TOTAL_TIMEOUT, 504),
    ],
    ids=lambda value: getattr(value, "id", None),
)
async def test_an_upstream_that_gives_no_answer_is_told(kind: Any, ending: Ending, status: int) -> None:
    """The call is not made again: a POST may have been processed."""
    path, client = Played(whole(at_head=UpstreamFault(kind), reused=True)), client_of()
    record = await path.carry(client)
    assert (client.status, record.status, record.ending, record.error_id) == (status, status, ending, kind.id)
    assert path.asked == [("openai", False)]


@pytest.mark.parametrize(
    ("headers", "target", "status", "error_id"),
    [
        ((), "/openai/v1/../secret", 400, "bad_target"),
        ((), "http://evil.test/", 400, "bad_target"),
        ((), "/nowhere/v1", 404, "no_route"),
        (((b"x-sidecar-timeout", b"soon"),), CHAT, 400, "bad_request"),
        (((b"Connection", b"upgrade"), (b"Upgrade", b"h2c")), CHAT, 501, "not_upgradable"),
        (((b"Connection", b"upgrade"), (b"Upgrade", b"websocket"), (b"Upgrade", b"h2c")), CHAT, 501, "not_upgradable"),
        (((b"Connection", b"upgrade"), (b"Upgrade", b"websocket")), CHAT, 400, "bad_request"),
    ],
)
async def test_a_callers_mistake_reaches_no_upstream(headers: Any, target: str, status: int, error_id: str) -> None:
    """It is refused at once, and is no error of the service."""
    path, client = Played(), client_of(*headers, target=target)
    record = await path.carry(client)
    assert (client.status, record.ending, record.error_id, path.asked) == (status, Ending.CLIENT_FAULT, error_id, [])
    assert client.ends == ["kept" if status == 404 else "closed"]
    assert b"x-sidecar-attempts: 0" in client.head


async def test_an_unknown_path_lists_the_routes() -> None:
    """So that the caller finds its way, with no upstream named."""
    client = client_of(target="/nowhere")
    record = await Played().carry(client)
    assert "/openai/, /other/" in error_of(client)["message"]
    assert (record.route, record.upstream, record.path, record.template, record.operation) == ("", "", "/nowhere", "", "http")


@pytest.mark.parametrize("target", [CHAT, "/openai/v1/messages", "/other/v1/models"])
async def test_when_there_is_no_time_left_calls_are_refused(target: str) -> None:
    """In the words of the interface that was called, before anybody is asked, and on record."""
    path, client = Played(whole()), client_of(target=target)
    path.pipeline.close()
    record = await path.carry(client)
    assert (record.ending, record.error_id, record.status) == (Ending.REFUSED, "stopping", 503)
    assert error_of(client)["message"].startswith("The sidecar is stopping")
    assert path.used == []


@pytest.mark.parametrize("event", [ClientFault(BAD_REQUEST, "stopped"), ClientGone()])
async def test_a_body_that_does_not_come_is_the_callers(event: Exception) -> None:
    """It stopped, or it left: two endings, and no attempt."""
    path, client = Played(), client_of(body=(b"{", event))
    record = await path.carry(client)
    left = isinstance(event, ClientGone)
    assert record.ending is (Ending.CLIENT_GONE if left else Ending.CLIENT_FAULT)
    assert (client.status, record.status) == ((None, None) if left else (400, 400))
    assert client.ends == ["broken off" if left else "closed"]
    assert (record.error_id, record.error_type) == ((None, None) if left else ("bad_request", "bad_request"))


@pytest.mark.parametrize("phase", ["reach", "head", "stream"])
@pytest.mark.parametrize("left", [True, False])
async def test_cancellation_is_an_ending_in_every_phase(phase: str, left: bool) -> None:
    """A caller that left is no error; one that is still there, because the sidecar stops, is told."""
    never: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    path = Played(
        {"reach": never, "head": whole(at_head=never), "stream": stream(FIRST, at_end=never)}[phase],
    )
    client = client_of(body=(STREAMED,))
    task = asyncio.ensure_future(path.carry(client))
    await asyncio.sleep(0.01)
    client.gone = left
    task.cancel()
    record = await task
    assert record.ending is (Ending.CLIENT_GONE if left else Ending.REFUSED)
    assert record.error_id == (None if left else "stopping")
    if left:
        assert client.ends == ["broken off"]
    elif phase == "stream":
        assert client.got.endswith(b"\r\n\r\n") or client.got.endswith(b"\r\n")
        assert not client.got.endswith(b"0\r\n\r\n")
        assert client.ends == ["broken off"]
    else:
        assert client.status == 503


@pytest.mark.parametrize(("version", "end"), [((1, 1), "broken off"), ((1, 0), "reset")])
async def test_a_caller_that_stops_reading_has_left(version: tuple[int, int], end: str) -> None:
    """It is broken off, and no error of the upstream; where closing is an answer's end, it sees a reset if it ever looks again."""
    path, client = Played(stream(FIRST, at_end=ClientGone("the client stopped reading"))), client_of(body=(STREAMED,), version=version)
    record = await path.carry(client)
    assert (record.ending, record.error_id, client.ends) == (Ending.CLIENT_GONE, None, [end])


async def test_a_fault_of_our_own_is_told_without_details() -> None:
    """Reported with the call's id; its text, which may quote what it choked on, reaches nobody."""
    path, client = Played(ZeroDivisionError("a secret")), client_of()
    record = await path.carry(client)
    assert (client.status, record.ending, record.error_id) == (500, Ending.SIDECAR_FAULT, "internal")
    assert b"secret" not in client.got
    ((call_id, error),) = path.reports
    assert (call_id, type(error)) == ("0123456789abcdef", ZeroDivisionError)


async def test_a_stream_is_carried_to_its_end() -> None:
    """Chunk by chunk, with the last chunk at the end."""
    path, client = Played(stream(FIRST, LAST, DONE)), client_of(body=(STREAMED,), target="/other/v1/chat/completions")
    record = await path.carry(client)
    assert client.body == b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in (FIRST, LAST, DONE)) + b"0\r\n\r\n"
    assert (record.ending, record.streamed, record.seen.finish_reasons, client.ends) == (Ending.COMPLETED, True, ["stop"], ["kept"])
    assert record.usage_source is UsageSource.ABSENT
    assert record.cost is None


@pytest.mark.parametrize(
    ("pieces", "at_end", "kind", "ending"),
    [
        ((FIRST,), None, STREAM_CUT, Ending.CUT),
        ((), None, STREAM_CUT, Ending.CUT),
        ((FIRST,), UpstreamFault(STREAM_CUT), STREAM_CUT, Ending.CUT),
        ((FIRST, LAST), UpstreamFault(STREAM_CUT), STREAM_CUT, Ending.CUT),
        ((FIRST,), UpstreamFault(IDLE_TIMEOUT), IDLE_TIMEOUT, Ending.IDLE_TIMEOUT),
        ((FIRST,), UpstreamFault(TOTAL_TIMEOUT), TOTAL_TIMEOUT, Ending.TOTAL_TIMEOUT),
    ],
)
@pytest.mark.parametrize("version", [(1, 1), (1, 0)])
async def test_a_cut_stream_is_never_shown_as_whole(pieces: Any, at_end: Any, kind: Any, ending: Ending, version: tuple[int, int]) -> None:
    """An error event in the caller's dialect, then a connection that breaks; no last chunk, no plain close where that is an end."""
    path, client = Played(stream(*pieces, at_end=at_end)), client_of(body=(STREAMED,), version=version)
    record = await path.carry(client)
    event = client.body.rpartition(b"data: ")[2]
    assert kind.id.encode() in event or kind.summary.encode() in event or b"end mark" in event
    assert not client.got.endswith(b"0\r\n\r\n")
    assert client.ends == ["broken off" if version == (1, 1) else "reset"]
    assert (record.ending, record.error_id, record.status) == (ending, kind.id, 200)
    assert path.asked == [("openai", False)], "after the commit nothing is tried again"


async def test_a_compressed_stream_that_is_cut_gets_no_words() -> None:
    """Plain text inside a coding would be garbage: breaking off says enough."""
    answer = PlayedAnswer(
        200, STREAM, (b"Content-Encoding", b"gzip"), body=[b"\x1f\x8b"], framing=b"chunked", at_end=UpstreamFault(STREAM_CUT)
    )
    path, client = Played(answer), client_of(body=(STREAMED,))
    record = await path.carry(client)
    assert client.body == b"2\r\n\x1f\x8b\r\n"
    assert (record.ending, client.ends) == (Ending.CUT, ["broken off"])


async def test_a_short_body_of_known_length_is_broken_off() -> None:
    """The caller counts the bytes itself."""
    path, client = Played(whole(at_end=UpstreamFault(STREAM_CUT))), client_of()
    record = await path.carry(client)
    assert (client.body, client.ends, record.ending) == (ANSWER, ["broken off"], Ending.CUT)


@pytest.mark.parametrize(("body", "ending"), [(ANSWER, Ending.COMPLETED), (ANSWER[:-5], Ending.CUT), (b"", Ending.CUT)])
async def test_a_body_that_ends_by_closing_must_be_whole(body: bytes, ending: Ending) -> None:
    """A crash looks like an end: half a JSON text, or nothing, is a cut."""
    path, client = Played(PlayedAnswer(200, JSON, body=[body] if body else [], framing=b"close")), client_of()
    record = await path.carry(client)
    assert record.ending is ending
    assert client.got.endswith(b"0\r\n\r\n") is (ending is Ending.COMPLETED)


async def test_an_error_within_a_stream_is_its_end() -> None:
    """The provider said what went wrong: passed on as it came, under its own name."""
    event = b'data: {"error": {"message": "boom", "type": "server_error", "code": null}}\n\n'
    path, client = Played(stream(FIRST, event)), client_of(body=(STREAMED,))
    record = await path.carry(client)
    assert (record.ending, record.error_type, record.error_id) == (Ending.IN_BAND_ERROR, "server_error", None)
    assert event in client.body


async def test_a_broken_observer_harms_nobody() -> None:
    """The answer is not called cut for want of a reader."""
    answer = stream(FIRST)
    answer.observer_failed = True
    record = await Played(answer).carry(client_of(body=(STREAMED,)))
    assert (record.ending, record.observer_failed) == (Ending.COMPLETED, True)


@pytest.mark.parametrize(
    ("method", "reused", "kind", "again"),
    [
        ("GET", True, UPSTREAM_RESET, True),
        ("DELETE", True, UPSTREAM_RESET, True),
        ("GET", False, UPSTREAM_RESET, False),
        ("POST", True, UPSTREAM_RESET, False),
        ("GET", True, FIRST_BYTE_TIMEOUT, False),
    ],
)
async def test_only_what_can_have_done_nothing_is_repeated(method: str, reused: bool, kind: Any, again: bool) -> None:
    """Once, and on a fresh connection."""
    lost = whole(at_head=UpstreamFault(kind), reused=reused)
    path, client = Played(lost, whole()), client_of(method=method, body=(), target="/openai/v1/models")
    record = await path.carry(client)
    assert path.asked == [("openai", False), ("openai", True)][: 1 + again]
    assert record.ending is (Ending.COMPLETED if again else {UPSTREAM_RESET: Ending.RESET}.get(kind, Ending.FIRST_BYTE_TIMEOUT))
    assert b"x-sidecar-attempts: %d" % (1 + again) in client.head
    if again:
        assert [attempt.outcome for attempt in record.attempts] == ["reset", "completed"]
        assert path.used[0].request == path.used[1].request


async def test_a_repeated_attempt_is_not_repeated_again() -> None:
    """Two failures are told."""
    path = Played(*(whole(at_head=UpstreamFault(UPSTREAM_RESET), reused=True) for _ in range(3)))
    record = await path.carry(client_of(method="GET", body=(), target="/openai/v1/models"))
    assert ([attempt.outcome for attempt in record.attempts], record.ending) == (["reset", "reset"], Ending.RESET)


async def test_a_failure_to_reach_it_again_is_the_ending() -> None:
    """The record shows both, and the second is what happened."""
    path = Played(whole(at_head=UpstreamFault(UPSTREAM_RESET), reused=True), UpstreamFault(UNREACHABLE))
    client = client_of(method="GET", body=(), target="/openai/v1/models")
    record = await path.carry(client)
    assert [attempt.outcome for attempt in record.attempts] == ["reset", "connect_failed", "connect_failed"]
    assert (record.ending, client.status) == (Ending.CONNECT_FAILED, 502)
    assert b"x-sidecar-attempts: 3" in client.head


SMALL = replace(SETTINGS, limits=Limits(body=8))


@pytest.mark.parametrize("length", [True, False])
async def test_a_large_body_is_streamed_on_unobserved(length: bool) -> None:
    """Under its own length, or in chunks; nothing of it is read."""
    pieces = (b"12345678", b"9", b"abc")
    path = Played(whole(), settings=SMALL)
    client = client_of(*([(b"Content-Length", b"12")] if length else []), body=pieces)
    record = await path.carry(client)
    head, _, sent = path.used[0].request.partition(b"\r\n\r\n")
    assert sent == (b"123456789abc" if length else b"9\r\n123456789\r\n3\r\nabc\r\n0\r\n\r\n")
    assert (b"Content-Length: 12" if length else b"Transfer-Encoding: chunked") in head
    assert (record.ending, record.request_bytes, record.asked.model, client.ends) == (Ending.COMPLETED, 12, None, ["kept"])


async def test_an_answer_before_a_large_body_is_whole_is_passed_on() -> None:
    """The rest of the body is no longer read."""
    path = Played(whole(413, b"{}", after_pieces=1), settings=SMALL)
    client = client_of(body=(b"123456789", b"abc", b"never", b"read"))
    record = await path.carry(client)
    assert (client.status, record.ending, client.pieces) == (413, Ending.REJECTED, [b"never", b"read"])


async def test_a_caller_that_leaves_during_a_large_body_ends_the_attempt() -> None:
    """With one attempt on record."""
    path, client = Played(whole(), settings=SMALL), client_of(body=(b"123456789", ClientGone()))
    record = await path.carry(client)
    assert (record.ending, record.attempts[0].outcome) == (Ending.CLIENT_GONE, "client_gone")


@pytest.mark.parametrize(
    ("target", "settings", "body", "headers", "asks"),
    [
        (CHAT, SETTINGS, STREAMED, (), True),
        (CHAT, SETTINGS, ASKED, (), False),
        (CHAT, SETTINGS, STREAMED[:-1] + b', "stream_options": {"include_usage": true}}', (), False),
        (CHAT, SETTINGS, STREAMED[:-1] + b', "stream_options": {"include_usage": false}}', (), False),
        (CHAT, replace(SETTINGS, usage=UsageSettings(ask=Ask.NEVER)), STREAMED, (), False),
        ("/other/v1/chat/completions", SETTINGS, STREAMED, (), False),
        ("/openai/v1/completions", SETTINGS, STREAMED, (), False),
    ],
    ids=["asks", "unary", "asked already", "declined", "never", "unknown provider", "other form"],
)
async def test_usage_is_asked_for_only_where_it_is_known_to_be_answered(
    target: str, settings: Settings, body: bytes, headers: Any, asks: bool
) -> None:
    """What is added is asked for without a coding, and taken out again before the caller sees it."""
    path = Played(stream(FIRST, LAST, USAGE, DONE), settings=settings)
    client = client_of(*headers, target=target, body=(body,))
    record = await path.carry(client)
    sent = path.used[0].request
    assert record.usage_added is asks
    assert (json.loads(sent.partition(b"\r\n\r\n")[2]).get("stream_options") == {"include_usage": True}) is (asks or b": true}}" in body)
    assert (b"Accept-Encoding: identity" in sent) is asks
    assert (USAGE in client.body) is not asks
    assert record.usage is not None
    assert record.usage.output_total == 3


async def test_a_compressed_request_is_not_altered() -> None:
    """It would have to be packed again."""
    import gzip

    body = gzip.compress(STREAMED)
    path = Played(stream(FIRST, LAST, DONE))
    record = await path.carry(client_of((b"Content-Encoding", b"gzip"), body=(body,)))
    assert path.used[0].request.endswith(body)
    assert (record.asked.stream, record.usage_added) == (True, False)


async def test_a_caller_may_shorten_the_total() -> None:
    """Counted from acceptance; the other limits stay."""
    path = Played(whole())
    await path.carry(client_of((b"X-Sidecar-Timeout", b"2.5")))
    timeouts = SETTINGS.timeouts
    deadlines = path.deadlines[0]
    assert (deadlines.connect_s, deadlines.first_byte_s, deadlines.idle_s) == (timeouts.connect, timeouts.first_byte, timeouts.idle)
    assert deadlines.total_at == 102.5
    assert b"sidecar" not in path.used[0].request.lower()


async def test_unreadable_json_is_forwarded_and_said_so() -> None:
    """The provider judges it."""
    path = Played(whole(400, b"{}"))
    record = await path.carry(client_of(body=(b'{"model": ',)))
    assert path.used[0].request.endswith(b'\r\n\r\n{"model": ')
    assert (record.asked.readable, record.ending) == (False, Ending.REJECTED)


async def test_unknown_traffic_passes_with_no_more_than_http() -> None:
    """Its body is not looked at."""
    path, client = Played(whole(200, b"\0\1")), client_of(target="/openai/v1/audio/speech", body=(b"\0",))
    record = await path.carry(client)
    assert client.body == b"\0\1"
    assert (record.operation, record.dialect, record.template, record.usage) == ("http", "opaque", "/openai/v1/audio/speech", None)


async def test_trace_context_goes_along() -> None:
    """The caller's trace is continued, its own header replaced; without tracing it passes untouched."""
    parent = (b"traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
    path = Played(whole(), traces=True)
    record = await path.carry(client_of(parent))
    assert record.trace is not None
    assert record.trace.remote_span_id == 0xB7AD6B7169203331
    assert record.kept
    assert path.used[0].request.count(b"traceparent") == 1
    assert b"traceparent: 00-0af7651916cd43dd8448eb211c80319c-%016x-01" % record.trace.attempt_span_id in path.used[0].request
    plain = Played(whole())
    await plain.carry(client_of(parent))
    assert b"traceparent: " + parent[1] in plain.used[0].request


async def test_trace_context_may_be_kept_back() -> None:
    """With propagation off, neither ours nor the caller's reaches the provider."""
    settings = replace(SETTINGS, tracing=replace(SETTINGS.tracing, propagate=False))
    path = Played(whole(), settings=settings, traces=True)
    await path.carry(client_of((b"traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")))
    assert b"traceparent" not in path.used[0].request


async def test_overhead_is_ours_alone() -> None:
    """Waiting for the body, for connections and for attempts that failed is not in it."""
    slow = whole(at_head=UpstreamFault(UPSTREAM_RESET), reused=True)
    path = Played(slow, whole())
    original = path.reach

    async def reach(name: str, deadlines: Any, *, fresh: bool) -> Any:
        path.clock.time += 20.0
        return await original(name, deadlines, fresh=fresh)

    path.reach = reach  # type: ignore[method-assign]
    client = client_of(method="PUT", target="/openai/v1/files")
    read = client.read_body

    async def read_slowly(bytes_max: int) -> tuple[bytes, bool]:
        path.clock.time += 5.0
        return await read(bytes_max)

    client.read_body = read_slowly  # type: ignore[method-assign]
    record = await path.carry(client)
    assert len(record.attempts) == 2
    assert record.overhead_request_s is not None
    assert 0 <= record.overhead_request_s < 0.1
    assert record.overhead_response_s is not None
    assert 0 <= record.overhead_response_s < 0.1
    assert record.duration_s > 45


async def test_a_request_that_never_became_a_call_is_on_record() -> None:
    """One record to every sink, with nothing of it in."""
    path = Played()
    head, _, body = path.pipeline.refuse_malformed().partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    error = json.loads(body)["error"]
    assert error["code"] == "bad_request" or error["type"]
    records: list[Record] = path.records[0]
    assert (len(records), path.records[1]) == (1, records)
    assert (records[0].ending, records[0].status, records[0].error_id) == (Ending.CLIENT_FAULT, 400, "bad_request")


TOOLS = replace(SETTINGS, routes=(*SETTINGS.routes, Route("/tools/w/", "other", name="weather", kind=RouteKind.TOOL)))
MCP_CALL = b'{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"add","arguments":{"a":"secret"}}}'
MCP_RESULT = b'data: {"jsonrpc":"2.0","id":7,"result":{"content":[],"isError":true}}\n\n'
MCP_NOTE = b'data: {"jsonrpc":"2.0","method":"notifications/progress"}\n\n'


def tool_client(body: Any = (MCP_CALL,), *headers: tuple[bytes, bytes], method: str = "POST", target: str = "/tools/w/mcp") -> PlayedClient:
    """Return a caller of a tool."""
    return client_of(*headers, target=target, body=body, method=method)


async def test_an_http_tool_is_named_by_its_path() -> None:
    """Its answer is not read, and neither are the codings that its caller accepts narrowed."""
    path, client = (
        Played(whole(body=b"sunny"), settings=TOOLS),
        tool_client((b"{}",), (b"Accept-Encoding", b"br"), target="/tools/w/now/x?k=1"),
    )
    record = await path.carry(client)
    assert (record.operation, record.asked.tool, record.asked.mcp_method, record.ending) == ("execute_tool", "now", None, Ending.COMPLETED)
    assert (record.route, record.template, record.unread) == ("weather", "/tools/w/*", None)
    assert path.used[0].request.startswith(b"POST /base/now/x?k=1 HTTP/1.1\r\n")
    assert b"Accept-Encoding: br" in path.used[0].request
    assert client.body == b"sunny"


async def test_a_failed_tool_of_an_mcp_server_is_an_error_within_the_answer() -> None:
    """Notifications go by, the response tells."""
    record = await Played(stream(MCP_NOTE, MCP_RESULT), settings=TOOLS).carry(tool_client())
    assert (record.operation, record.asked.tool, record.asked.mcp_method) == ("execute_tool", "add", "tools/call")
    assert (record.ending, record.error_type, record.dialect) == (Ending.IN_BAND_ERROR, "tool_error", "mcp")
    assert "secret" not in repr(record)


@pytest.mark.parametrize(
    ("pieces", "ending", "error_type"),
    [((MCP_NOTE,), Ending.CLIENT_GONE, None), ((MCP_NOTE, MCP_RESULT), Ending.IN_BAND_ERROR, "tool_error")],
)  # fmt: skip
async def test_a_caller_that_leaves_with_its_response_has_missed_nothing(pieces: Any, ending: Ending, error_type: str | None) -> None:
    """MCP's clients close a stream as soon as they have what they asked for."""
    record = await Played(stream(*pieces, at_end=ClientGone()), settings=TOOLS).carry(tool_client())
    assert (record.ending, record.error_type, record.attempts[0].outcome) == (ending, error_type, str(ending))


FAILED = b'data: {"error":{"message":"no room","code":"overloaded"}}\n\n'


@pytest.mark.parametrize(
    ("pieces", "ending", "error_type"),
    [
        ((FIRST,), Ending.CLIENT_GONE, None),
        ((FIRST, LAST), Ending.CLIENT_GONE, None),  # usage may still come, or another choice
        ((FIRST, LAST, DONE), Ending.COMPLETED, None),
        ((FIRST, FAILED), Ending.IN_BAND_ERROR, "overloaded"),
    ],
)
async def test_a_caller_that_leaves_behind_the_end_has_missed_nothing(pieces: Any, ending: Ending, error_type: str | None) -> None:
    """Clients close a stream at its end mark, or at an error in it, while the upstream takes its time to end the answer."""
    record = await Played(stream(*pieces, at_end=ClientGone())).carry(client_of(body=(STREAMED,)))
    assert (record.ending, record.error_type, record.attempts[0].outcome) == (ending, error_type, str(ending))


async def test_a_cut_answer_of_an_mcp_server_is_told_with_the_requests_id() -> None:
    """Unless events had ids, by which the caller can ask for the rest itself."""
    client = tool_client()
    record = await Played(stream(MCP_NOTE), settings=TOOLS).carry(client)
    assert record.ending is Ending.CUT
    assert b'"id":7,"error":{"code":-32000' in client.body
    for at_end, expected, ends in ((None, Ending.COMPLETED, "kept"), (UpstreamFault(STREAM_CUT), Ending.CUT, "broken off")):
        resumed = tool_client()
        record = await Played(stream(b"id: 1\n" + MCP_NOTE, at_end=at_end), settings=TOOLS).carry(resumed)
        assert (record.ending, resumed.ends) == (expected, [ends])
        assert b'"error"' not in resumed.body


async def test_a_refusal_of_ours_is_json_rpc_to_an_mcp_client() -> None:
    """With the status, the request's id and our error id."""
    client = tool_client()
    await Played(UpstreamFault(UNREACHABLE), settings=TOOLS).carry(client)
    assert client.status == 502
    assert json.loads(client.body) == {
        "jsonrpc": "2.0", "id": 7, "error": {"code": -32000, "message": UNREACHABLE.summary, "data": {"id": "upstream_unreachable"}},
    }  # fmt: skip


@pytest.mark.parametrize("timeout", [None, b"5"])
async def test_a_stream_without_an_end_has_no_deadlines(timeout: bytes | None) -> None:
    """But the caller's own; and nothing waits for it when the sidecar stops."""
    own = () if timeout is None else ((b"x-sidecar-timeout", timeout),)
    path, client = Played(stream(MCP_NOTE), settings=TOOLS), tool_client((), (b"Mcp-Session-Id", b"s"), *own, method="GET")
    record = await path.carry(client)
    assert (record.operation, record.asked.tool, record.ending, client.outlasts, record.endless) == (
        "http",
        None,
        Ending.COMPLETED,
        True,
        True,
    )
    assert path.deadlines[0].idle_s == float("inf")
    assert path.deadlines[0].total_at == (float("inf") if timeout is None else 105.0)
    assert not client_of().outlasts


@pytest.mark.parametrize(("method", "kept"), [("GET", False), ("POST", True)])
async def test_lasting_is_not_being_slow(method: str, kept: bool) -> None:
    """A slow call's trace is kept whatever the ratio; a stream without an end is not one."""
    settings = replace(TOOLS, tracing=replace(TOOLS.tracing, ratio=0.0, slow=0.001))
    client = tool_client((MCP_CALL,) if method == "POST" else (), (b"Mcp-Session-Id", b"s"), method=method)
    record = await Played(stream(MCP_NOTE, MCP_RESULT.replace(b"true", b"false")), settings=settings, traces=True).carry(client)
    assert (record.ending, record.kept) == (Ending.COMPLETED, kept)


async def test_nothing_of_our_own_is_ever_sent_on() -> None:
    """Whatever routes there are."""
    everything = replace(SETTINGS, routes=(Route("/", "other"),))
    client = client_of(target="/x-sidecar/unknown")
    record = await Played(settings=everything).carry(client)
    assert (client.status, record.error_id) == (404, "no_route")


@pytest.mark.parametrize(
    ("tenants", "headers", "target", "account"),
    [
        (Tenants(), (), CHAT, "default"),
        (Tenants(default="us"), (), CHAT, "us"),
        (Tenants(names=("acme",)), ((b"x-sidecar-tenant", b"acme"),), CHAT, "acme"),
        (Tenants(names=("acme",)), ((b"x-sidecar-timeout", b"9"),), CHAT, "default"),
        (Tenants(keys={sha256(b"secret").hexdigest(): "acme"}), ((b"Authorization", b"Bearer secret"),), CHAT, "acme"),
        (Tenants(keys={sha256(b"secret").hexdigest(): "acme"}), (), CHAT, "default"),
        (Tenants(sources=(TenantSource.PATH,), names=("acme",)), (), f"/tenants/acme{CHAT}", "acme"),
    ],
)
async def test_whose_a_call_is(tenants: Tenants, headers: tuple[tuple[bytes, bytes], ...], target: str, account: str) -> None:
    """A header, a credential or the path tells, also of calls with none of our headers; else it is the default's."""
    path = Played(whole(), settings=replace(SETTINGS, tenants=tenants))
    record = await path.carry(client_of(*headers, target=target))
    assert (record.status, record.tenant, record.path) == (200, account, CHAT)


CAPTURING = replace(SETTINGS, content=Content(capture=Capture.FILE, file="unused"), usage=UsageSettings(ask=Ask.NEVER))
ESTIMATING = replace(SETTINGS, usage=UsageSettings(ask=Ask.NEVER, estimate=True))
SAID = b'{"model": "gpt-4o-mini", "stream": true, "messages": [{"role": "user", "content": "12345678"}]}'


async def test_what_is_said_is_taken_down_where_it_is_captured() -> None:
    """Of a stream and of a whole answer; the caller gets the same bytes, and the record the same numbers."""
    for capture, answer in ((CAPTURING, whole()), (CAPTURING, stream(FIRST, LAST, USAGE, DONE)), (SETTINGS, whole())):
        client = client_of(body=(SAID,))
        record = await Played(answer, settings=capture).carry(client)
        assert (record.usage, record.seen.model) == (Usage(9, 0, 0, 3, 0), record.seen.model)
        if capture is SETTINGS:
            assert record.said is None
        else:
            assert record.said is not None
            assert record.said.request == SAID
            assert record.said.answer == ANSWER or record.said.spoken == (Spoken(0, "text", "hi"),)


async def test_a_call_that_failed_before_its_answer_says_what_was_asked() -> None:
    """There is nothing more to say."""
    record = await Played(UpstreamFault(UNREACHABLE), settings=CAPTURING).carry(client_of(body=(SAID,)))
    assert record.said is not None
    assert (record.said.request, record.said.spoken, record.said.answer) == (SAID, (), b"")


async def test_tokens_of_a_cut_stream_are_estimated_where_that_is_asked_for() -> None:
    """And called so; of one that reported them, never."""
    cut = stream(FIRST, at_end=UpstreamFault(STREAM_CUT))
    record = await Played(cut, settings=ESTIMATING).carry(client_of(body=(SAID,)))
    assert (record.ending, record.usage, record.usage_source) == (Ending.CUT, Usage(input=2, output=1), UsageSource.ESTIMATED)
    gone = stream(FIRST, at_end=ClientGone())
    record = await Played(gone, settings=ESTIMATING).carry(client_of(body=(SAID,)))
    assert (record.ending, record.usage_source) == (Ending.CLIENT_GONE, UsageSource.ESTIMATED)
    record = await Played(stream(FIRST, LAST, USAGE, DONE), settings=ESTIMATING).carry(client_of(body=(SAID,)))
    assert (record.usage, record.usage_source) == (Usage(9, 0, 0, 3, 0), UsageSource.REPORTED)
