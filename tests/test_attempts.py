"""Attempts on the path: when an answer is held back, what follows a failure, and that all that was taken is given back."""

import asyncio
import gzip
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from sidecar.config import Breaker, Features, Force, Limits, Retries, Settings, Timeouts
from sidecar.core.attempt.causes import Cause
from sidecar.core.attempt.conduct import CONDUCT, Next, Same, Waits
from sidecar.core.choose import reasons
from sidecar.core.choose.verdicts import Verdict
from sidecar.errors import (
    POOL_FULL,
    STREAM_CUT,
    TLS_FAILED,
    UNREACHABLE,
    UPSTREAM_MALFORMED,
    UPSTREAM_RESET,
    ClientGone,
    SidecarFault,
    UpstreamFault,
)
from sidecar.exchange import Ending, UsageSource
from tests.edge.virtual import turn, virtually
from tests.path import JSON, STREAM, PlayedAnswer, PlayedClient
from tests.pooled import (
    ASKED,
    CHAT,
    DONE,
    FIRST,
    LAST,
    REPEATING,
    ROLE,
    SETTINGS,
    USAGE,
    Pooled,
    begin,
    caller,
    counted,
    failure,
    leave,
    listener,
    names,
    narrow_settings,
    never,
    settings_of,
    stream,
    whole,
)  # fmt: skip

KEY = (b"Authorization", b"Bearer mine")
FAILED = b'data: {"error": {"message": "boom", "type": "server_error", "code": null}}\n\n'
NO_USAGE = {"provider": "mistral_ai"}  # is not known to answer when asked for usage


def in_chunks(*pieces: bytes) -> bytes:
    """Return what a caller gets of a stream."""
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


# -- what is held back -----------------------------------------------------------------------


@pytest.mark.parametrize("answer", [stream, whole, lambda: failure(500), lambda: failure(429)])
@virtually
async def test_a_single_upstreams_answer_goes_on_at_its_head(answer: Callable[[], PlayedAnswer]) -> None:
    """Nobody else could be asked: nothing is looked at first."""
    path = Pooled(answer())
    await path.carry(listener("/one/" + CHAT))
    assert (names(path), path.used[0].previews) == (["a"], [])


@virtually
async def test_a_single_upstreams_head_does_not_wait_for_a_token() -> None:
    """The caller has it while the first piece is still to come."""
    path, client = Pooled(stream(never())), listener("/one/" + CHAT)
    task = await begin(path, client)
    assert client.status == 200
    await leave(client, task)
    path.check_rest()


@virtually
async def test_a_pools_stream_is_held_back_until_its_first_token() -> None:
    """Not a byte before it; then everything, in order, and seen once."""
    token = never()
    path, client = Pooled(stream(ROLE, token, FIRST, LAST, DONE)), listener()
    task = await begin(path, client)
    assert client.got == b""
    shown = path.switchboard.routing.describe(path.clock.now())[0]
    assert (shown.pending, shown.in_use) == (0, 1), "it has begun to answer"
    token.set_result(None)
    await task
    assert client.body == in_chunks(ROLE, FIRST, LAST, DONE)
    (record,) = path.records[0]
    assert (record.ending, record.seen.chunks, record.seen.finish_reasons, client.ends) == (Ending.COMPLETED, 3, ["stop"], ["kept"])
    assert record.first_byte is not None
    path.check_rest()


@virtually
async def test_a_first_token_is_waited_for_as_long_as_a_first_byte() -> None:
    """From when the request was sent, not from the head: one time for both."""
    settings = replace(SETTINGS, timeouts=Timeouts(first_byte=7.0))
    path, client = Pooled(at={"a": [stream(ROLE, 100.0, FIRST, at_head=3.0)], "b": [stream()]}, settings=settings), listener()
    record = await path.carry(client)
    assert path.used[0].previews == [(64 * 1024, 1007.0, False)]
    first, second = record.attempts
    assert (first.ended, first.outcome, first.cause, second.started) == (1007.0, "first_byte_timeout", "silence", 1007.0)
    assert (record.ending, record.upstream, client.body) == (Ending.COMPLETED, "b", in_chunks(ROLE, FIRST, LAST, DONE))


@virtually
async def test_the_last_of_a_pool_has_the_time_of_a_single_upstream() -> None:
    """To give it up would help nobody: what it sends goes on at once, and its first token may be late."""
    settings = replace(SETTINGS, timeouts=Timeouts(first_byte=7.0, total=100.0))
    path, client = Pooled(at={"a": [stream(ROLE, never())], "b": [stream(ROLE, 20.0, FIRST, LAST, DONE)]}, settings=settings), listener()
    record = await path.carry(client)
    assert names(path) == ["a", "b"]
    assert (client.status, client.body, record.ending) == (200, in_chunks(ROLE, FIRST, LAST, DONE), Ending.COMPLETED)
    assert record.attempts[0].ended - record.attempts[0].started == 7.0


@virtually
async def test_a_first_token_may_be_given_more_time_than_a_first_byte() -> None:
    """A model that thinks is not silent."""
    settings = replace(SETTINGS, timeouts=Timeouts(first_byte=7.0, first_token=30.0, total=100.0))
    path, client = Pooled(at={"a": [stream(ROLE, 20.0, FIRST, LAST, DONE)]}, settings=settings), listener()
    record = await path.carry(client)
    assert (names(path), record.ending) == (["a"], Ending.COMPLETED)


@virtually
async def test_an_error_in_place_of_a_token_leads_to_the_next() -> None:
    """The caller sees nothing of it; one behind a token is the caller's."""
    path, client = Pooled(at={"a": [stream(ROLE, FAILED)], "b": [stream()]}), listener()
    record = await path.carry(client)
    assert (names(path), client.body, record.ending) == (["a", "b"], in_chunks(ROLE, FIRST, LAST, DONE), Ending.COMPLETED)
    assert [(attempt.outcome, attempt.cause) for attempt in record.attempts] == [("in_band_error", "in_band"), ("completed", None)]
    for pieces in ((ROLE, FIRST, FAILED), (ROLE, FIRST + FAILED)):
        path, client = Pooled(at={"a": [stream(*pieces)], "b": [stream()]}), listener()
        record = await path.carry(client)
        assert (names(path), record.ending, client.body) == (["a"], Ending.IN_BAND_ERROR, in_chunks(*pieces))


@pytest.mark.parametrize(
    ("pieces", "asked"), [((ROLE,), ["a", "b"]), ((), ["a", "b"]), ((LAST, DONE), ["a"])], ids=["cut", "nothing", "no token, but an end"]
)
@virtually
async def test_an_end_without_a_token_is_judged(pieces: Any, asked: list[str]) -> None:
    """Without its own end mark it is a cut, and nobody has seen it."""
    empty = PlayedAnswer(200, STREAM, body=pieces, framing=b"chunked")
    path, client = Pooled(at={"a": [empty], "b": [stream()]}), listener()
    record = await path.carry(client)
    assert (names(path), record.ending) == (asked, Ending.COMPLETED)
    if len(asked) > 1:
        assert (record.attempts[0].outcome, record.attempts[0].cause) == ("cut", "reset")


@virtually
async def test_a_broken_observer_costs_nobody_an_answer() -> None:
    """What was not seen is not missing: the answer is passed on as it came."""
    unseen = PlayedAnswer(200, STREAM, body=(ROLE,), framing=b"chunked")
    unseen.observer_failed = True
    path, client = Pooled(at={"a": [unseen], "b": [stream()]}), listener()
    record = await path.carry(client)
    assert (names(path), client.body, record.ending) == (["a"], in_chunks(ROLE), Ending.COMPLETED)


@virtually
async def test_not_more_than_64_kib_are_held_back() -> None:
    """Then it is sent on, for what it is worth."""
    padding = b": ping\n\n" * 8192
    path, client = Pooled(stream(padding, never())), listener()
    task = await begin(path, client)
    assert padding in client.got
    await leave(client, task)
    short = Pooled(stream(padding[8:], never()))
    task = await begin(short, client := listener())
    assert client.got == b""
    await leave(client, task)


@virtually
async def test_a_whole_answer_is_not_held_back() -> None:
    """Its head tells what it is worth; so does that of what is not understood."""
    for target, body in (("/two/" + CHAT, ASKED), ("/two/v1/audio/speech", b"{}")):
        path = Pooled(whole())
        await path.carry(caller(target, body=(body,)))
        assert path.used[0].previews == []
    message = b'{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"add"}}'
    for target, body in (("/two/v1/unknown", b"{}"), ("/tools/t/mcp", message)):
        opaque = PlayedAnswer(200, STREAM, body=[b"data: x\n\n"], framing=b"chunked")
        path = Pooled(opaque)
        await path.carry(caller(target, body=(body,)))
        assert opaque.previews == []


@virtually
async def test_a_failures_body_is_read_whole_and_passed_on_as_it_came() -> None:
    """Every byte once, more than are held too."""
    pieces = [b'{"error": {"code": "bad", "message": "', b"x" * 70_000, b"y" * 70_000, b'"}}']
    refusal = PlayedAnswer(422, JSON, body=pieces)
    path, client = Pooled(at={"a": [refusal], "b": [whole()]}), caller()
    record = await path.carry(client)
    assert refusal.previews == [(64 * 1024, 1060.0, True)]
    assert (client.status, client.body, record.ending, names(path)) == (422, b"".join(pieces), Ending.REJECTED, ["a"])


@virtually
async def test_a_compressed_failure_is_understood() -> None:
    """And goes on as it came."""
    body = gzip.compress(b'{"error": {"message": "This model\'s maximum context length is 10 tokens.", "code": null}}')
    settings = settings_of(a={"context": 10}, b={"context": 20})
    path = Pooled(at={"a": [whole(400, body, (b"Content-Encoding", b"gzip"))], "b": [whole()]}, settings=settings)
    record = await path.carry(caller())
    assert (names(path), record.attempts[0].cause) == (["a", "b"], "context_too_long")
    path = Pooled(whole(400, body, (b"Content-Encoding", b"gzip")))
    await path.carry(client := caller())
    assert (names(path), client.body) == (["a"], body)


@virtually
async def test_a_failure_that_never_ends_is_left() -> None:
    """When an answer would be late."""
    path = Pooled(at={"a": [PlayedAnswer(500, JSON, body=[b"{", never()], framing=b"chunked")], "b": [whole()]})
    record = await path.carry(caller())
    assert (names(path), record.ending, record.attempts[0].ended) == (["a", "b"], Ending.COMPLETED, 1060.0)


@pytest.mark.parametrize(
    "settings",
    [
        replace(SETTINGS, features=Features(failover=False)), replace(SETTINGS, retries=Retries(attempts=1)),
        replace(SETTINGS, limits=Limits(body=8)),
    ],
    ids=["no failover", "one attempt", "the body is not held"],
)  # fmt: skip
@virtually
async def test_where_nothing_could_follow_nothing_is_held_back(settings: Settings) -> None:
    """Failures of a pool's upstream too are passed on at once."""
    for answer in (stream(), failure(500)):
        path = Pooled(answer, settings=settings)
        await path.carry(listener())
        assert (names(path), answer.previews) == (["a"], [])


@virtually
async def test_the_last_attempt_is_not_held_back() -> None:
    """Whatever it brings, nothing follows it."""
    path = Pooled(at={"a": [failure(500)], "b": [failure(502)], "c": [failure(503)]})
    client = caller("/three/" + CHAT)
    record = await path.carry(client)
    assert (names(path), client.status, [len(answer.previews) for answer in path.used]) == (["a", "b", "c"], 503, [1, 1, 0])
    assert [attempt.cause for attempt in record.attempts] == ["server_error", "server_error", None]


# -- what follows a failure ------------------------------------------------------------------

TROUBLES: dict[Cause, Callable[[], Any]] = {
    Cause.NEVER_SENT: lambda: UpstreamFault(UNREACHABLE),
    Cause.RESET: lambda: whole(at_head=UpstreamFault(UPSTREAM_RESET)),
    Cause.SILENCE: lambda: whole(at_head=never()),
    Cause.MALFORMED: lambda: whole(at_head=UpstreamFault(UPSTREAM_MALFORMED)),
    Cause.IN_BAND: lambda: stream(FAILED),
    Cause.RATE_LIMITED: lambda: failure(429, "rate_limit_exceeded"),
    Cause.OVERLOADED: lambda: failure(503),
    Cause.SERVER_ERROR: lambda: failure(500),
    Cause.CREDENTIALS: lambda: failure(401, "invalid_api_key"),
    Cause.CONTEXT_TOO_LONG: lambda: failure(400, "context_length_exceeded"),
    Cause.CONTENT_REFUSED: lambda: failure(400, "content_filter"),
    Cause.REJECTED: lambda: failure(422),
    Cause.NO_ROOM: lambda: SidecarFault(POOL_FULL, retry_after_s=1),
}
FITTING = settings_of(a={"context": 10}, b={"context": 20, "api_key_file": "/another"})


def test_every_cause_is_tried() -> None:
    """None of the table is left out below."""
    assert TROUBLES.keys() == CONDUCT.keys() == set(Cause)


@pytest.mark.parametrize("cause", list(Cause))
@virtually
async def test_in_a_pool_each_cause_leads_where_the_table_says(cause: Cause) -> None:
    """To the next upstream, after the pause that the table has; or nowhere, and the failure is the caller's."""
    conduct = CONDUCT[cause]
    path, client = Pooled(at={"a": [TROUBLES[cause](), None], "b": [stream()]}, settings=FITTING), listener()
    record = await path.carry(client)
    if conduct.next is Next.NEVER:
        assert (names(path), path.rests, client.status) == (["a"], [], path.used[0].status)
        return
    assert (names(path), client.body, record.upstream) == (["a", "b"], in_chunks(ROLE, FIRST, LAST, DONE), "b")
    assert path.rests == ([0.025] if conduct.waits is Waits.BACK_OFF else [])
    assert [attempt.cause for attempt in record.attempts] == [cause.value, None]
    assert record.attempts[1].waited_s == sum(path.rests)
    assert [fresh for _, fresh in path.asked] == [False, False], "a kept connection saves time"
    assert counted(path, "failovers", "a", "b") == 1


@pytest.mark.parametrize("cause", [cause for cause in Cause if CONDUCT[cause].next in (Next.OTHER_CREDENTIALS, Next.LARGER_CONTEXT)])
@virtually
async def test_to_one_that_would_say_the_same_it_does_not_go(cause: Cause) -> None:
    """The same account, or no larger context."""
    path, client = Pooled(at={"a": [TROUBLES[cause]()], "b": [stream()]}), listener()
    await path.carry(client)
    assert (names(path), client.status, path.rests) == (["a"], path.used[0].status, [])


@pytest.mark.parametrize("repeats", [False, True])
@pytest.mark.parametrize("cause", list(Cause))
@virtually
async def test_alone_each_cause_leads_where_the_table_says(cause: Cause, repeats: bool) -> None:
    """To the same upstream on a new connection where nothing was sent; after an answer only where that is asked for."""
    conduct = CONDUCT[cause]
    path, client = Pooled(TROUBLES[cause](), stream(), settings=REPEATING if repeats else SETTINGS), listener("/one/" + CHAT)
    record = await path.carry(client)
    again = conduct.same is Same.ALONE or (repeats and conduct.same is not Same.NEVER)
    assert path.asked == [("a", False), ("a", True)][: 1 + again]
    assert (record.ending is Ending.COMPLETED) is again
    assert path.rests == ([0.05] if again and conduct.waits is Waits.BACK_OFF else [])
    assert counted(path, "retries", cause.value) == again


@pytest.mark.parametrize(
    ("cause", "target", "method", "goes_on"),
    [
        (Cause.RESET, "/tools/t/x", "POST", False),
        (Cause.SILENCE, "/tools/t/x", "POST", False),
        (Cause.SERVER_ERROR, "/tools/t/x", "POST", False),
        (Cause.OVERLOADED, "/tools/t/x", "POST", False),
        (Cause.RATE_LIMITED, "/tools/t/x", "POST", True),
        (Cause.NEVER_SENT, "/tools/t/x", "POST", True),
        (Cause.NO_ROOM, "/tools/t/x", "POST", True),
        (Cause.RESET, "/tools/t/x", "PUT", True),
        (Cause.SERVER_ERROR, "/tools/t/x", "GET", True),
        (Cause.RESET, "/tools/safe/x", "POST", True),
        (Cause.RESET, "/two/v1/audio/speech", "POST", False),
        (Cause.RESET, "/two/v1/models", "GET", True),
        (Cause.RESET, "/two/" + CHAT, "POST", True),
    ],
)
@virtually
async def test_what_may_have_been_carried_out_is_repeated_only_where_that_does_no_harm(
    cause: Cause, target: str, method: str, goes_on: bool
) -> None:
    """HTTP's methods tell, the operator, and that an answer of a model has no effect but its cost."""
    path, client = Pooled(at={"a": [TROUBLES[cause](), None], "b": [whole()]}), caller(target, method=method)
    record = await path.carry(client)
    assert names(path) == ["a", "b"][: 1 + goes_on]
    assert (record.ending is Ending.COMPLETED) is goes_on


@virtually
async def test_a_kept_connection_that_was_closed_is_replaced_once() -> None:
    """The same upstream for what may be done twice; a POST goes on to the next."""
    path = Pooled(at={"a": [whole(at_head=UpstreamFault(UPSTREAM_RESET), reused=True), whole()], "b": [whole()]})
    await path.carry(caller("/two/v1/models", method="GET", body=()))
    assert path.asked == [("a", False), ("a", True)]
    lost = [whole(at_head=UpstreamFault(UPSTREAM_RESET), reused=True) for _ in range(2)]
    path = Pooled(at={"a": lost, "b": [whole()]})
    await path.carry(caller("/two/v1/models", method="GET", body=()))
    assert path.asked == [("a", False), ("a", True), ("b", False)]
    path = Pooled(at={"a": lost, "b": [whole()]})
    await path.carry(caller())
    assert path.asked == [("a", False), ("b", False)]
    failing = [whole(at_head=UpstreamFault(UPSTREAM_RESET), reused=True), whole(503)]
    path = Pooled(at={"a": failing, "b": [whole()]})
    record = await path.carry(caller("/two/v1/models", method="GET", body=()))
    assert (path.asked, record.status) == ([("a", False), ("a", True), ("b", False)], 200), "twice the same is not the whole pool"


@pytest.mark.parametrize("kind", [TLS_FAILED])
@virtually
async def test_what_will_last_is_not_tried_again_alone(kind: Any) -> None:
    """But with another upstream there is."""
    path = Pooled(UpstreamFault(kind))
    await path.carry(caller("/one/" + CHAT))
    assert names(path) == ["a"]
    path = Pooled(at={"a": [UpstreamFault(kind)], "b": [whole()]})
    await path.carry(caller())
    assert names(path) == ["a", "b"]


@virtually
async def test_after_the_commit_nothing_is_tried_again() -> None:
    """Whatever happens to the rest."""
    for trouble in (UpstreamFault(STREAM_CUT), UpstreamFault(UPSTREAM_RESET), None):
        path, client = Pooled(stream(ROLE, FIRST, at_end=trouble), stream()), listener()
        record = await path.carry(client)
        assert names(path) == ["a"]
        assert (record.ending, record.status, client.ends) != (Ending.COMPLETED, 200, ["kept"])
        assert path.verdicts() == [("a", Verdict.FAILURE)]


@virtually
async def test_a_body_that_is_not_held_is_not_sent_again() -> None:
    """Unless nothing of it was sent: then the next one gets all of it."""
    settings, pieces = replace(SETTINGS, limits=Limits(body=8)), (b"12345678", b"9", b"abc")
    path = Pooled(at={"a": [whole(at_head=UpstreamFault(UPSTREAM_RESET))], "b": [whole()]}, settings=settings)
    record = await path.carry(caller(body=pieces))
    assert (names(path), record.ending) == (["a"], Ending.RESET)
    path = Pooled(at={"a": [UpstreamFault(UNREACHABLE)], "b": [whole()]}, settings=settings)
    record = await path.carry(caller(body=pieces))
    assert (names(path), record.ending, record.request_bytes) == (["a", "b"], Ending.COMPLETED, 12)
    assert path.used[0].request.endswith(b"\r\n\r\n9\r\n123456789\r\n3\r\nabc\r\n0\r\n\r\n")


@virtually
async def test_each_failure_narrows_who_may_be_next() -> None:
    """Other credentials than those refused, a larger context than the one that was too small; nobody who failed already."""
    own = {"api_key_file": "/c"}
    path = Pooled(at={"a": [failure(401)], "b": [whole()], "c": [whole()]}, settings=settings_of(c=own))
    await path.carry(caller("/three/" + CHAT))
    assert names(path) == ["a", "c"]
    settings = settings_of(a={"context": 10}, b={"context": 5}, c={"context": 20})
    path = Pooled(at={"a": [failure(400, "context_length_exceeded")], "b": [whole()], "c": [whole()]}, settings=settings)
    await path.carry(caller("/three/" + CHAT))
    assert names(path) == ["a", "c"]
    path = Pooled(at={"a": [failure(500)], "b": [failure(401)], "c": [whole()]}, settings=settings_of(c=own))
    await path.carry(client := caller("/three/" + CHAT, (b"x-sidecar-exclude", b"c")))
    assert (names(path), client.status) == (["a", "b"], 401)


@virtually
async def test_a_caller_that_has_no_time_left_gets_the_failure() -> None:
    """A wait that would outlast it is not begun."""
    busy = (b"Retry-After", b"5")
    for timeout, asked, status in ((b"3", ["a"], 429), (b"30", ["a", "a"], 200)):
        path = Pooled(failure(429, "", busy), whole(), settings=REPEATING)
        await path.carry(client := caller("/one/" + CHAT, (b"x-sidecar-timeout", timeout)))
        assert (names(path), client.status) == (asked, status)
        assert path.rests == [5.05][: len(asked) - 1]
    path = Pooled(at={"a": [whole(at_head=never())], "b": [whole()]})
    record = await path.carry(caller("/two/" + CHAT, (b"x-sidecar-timeout", b"1")))
    assert (names(path), record.ending, record.duration_s) == (["a"], Ending.TOTAL_TIMEOUT, 1.0)


@virtually
async def test_where_the_budget_is_spent_failures_are_passed_on() -> None:
    """And counted."""
    settings = replace(SETTINGS, retries=Retries(budget_share=0.0, budget_floor=0.1))
    path = Pooled(at={"a": [failure(500), failure(500)], "b": [whole(), failure(500)]}, settings=settings)
    clients = [caller("/two/" + CHAT, (b"x-sidecar-prefer", b"a")) for _ in range(2)]
    for client in clients:
        await path.pipeline.carry(client)
    assert ([client.status for client in clients], names(path)) == ([200, 500], ["a", "b", "a"])
    assert path.meter.resilience.budget_exhausted.value == 1
    path.check_rest()


@virtually
async def test_what_really_failed_is_told_rather_than_that_nobody_is_left() -> None:
    """Here its own failure has opened the breaker."""
    settings = replace(SETTINGS, breaker=Breaker(consecutive=1))
    path = Pooled(UpstreamFault(UNREACHABLE), settings=settings)
    record = await path.carry(caller("/one/" + CHAT))
    assert (names(path), record.error_id) == (["a"], UNREACHABLE.id)


@virtually
async def test_where_nobody_else_can_be_asked_the_failure_is_passed_on_as_it_came() -> None:
    """With the provider's own words."""
    path = Pooled(failure(500, message="in its own words"))
    path.switchboard.force("b", Force.OPEN)
    await path.carry(client := caller())
    assert (names(path), client.status, path.rests) == (["a"], 500, [])
    assert b"in its own words" in client.body


# -- what goes to whom -----------------------------------------------------------------------


@virtually
async def test_each_upstream_is_asked_for_its_own_model() -> None:
    """Every other byte stays, and the record says what the caller asked for."""
    settings = settings_of(b={"models": {"gpt-4o-mini": "theirs"}})
    path = Pooled(at={"a": [failure(500)], "b": [whole()]}, settings=settings)
    record = await path.carry(caller())
    first, second = path.used
    assert first.request.endswith(b"\r\n\r\n" + ASKED)
    assert second.request.endswith(b"\r\n\r\n" + ASKED.replace(b"gpt-4o-mini", b"theirs"))
    assert b"Content-Length: 35\r\n" in second.request
    assert ([attempt.model for attempt in record.attempts], record.asked.model) == ([None, "theirs"], "gpt-4o-mini")
    packed = gzip.compress(ASKED)
    path = Pooled(at={"a": [failure(500)], "b": [whole()]}, settings=settings)
    record = await path.carry(caller("/two/" + CHAT, (b"Content-Encoding", b"gzip"), body=(packed,)))
    assert path.used[1].request.endswith(packed)
    assert record.attempts[1].model is None


@virtually
async def test_a_model_in_the_path_is_renamed_there() -> None:
    """As Gemini's form has it."""
    path = Pooled(whole(body=b"{}"), settings=settings_of(a={"models": {"gemini-1": "gemini-2"}}))
    await path.carry(caller("/one/v1beta/models/gemini-1:generateContent?x=1", body=(b'{"contents": []}',)))
    assert path.used[0].request.startswith(b"POST /v1beta/models/gemini-2:generateContent?x=1 HTTP/1.1\r\n")


@pytest.mark.parametrize("first_asks", [True, False])
@virtually
async def test_usage_is_asked_for_where_the_upstream_answers_that(first_asks: bool) -> None:
    """What one was asked has nothing to do with the next; what was added is taken out for the caller."""
    settings = settings_of(**{"b" if first_asks else "a": NO_USAGE})
    path = Pooled(at={"a": [failure(500)], "b": [stream()]}, settings=settings)
    record = await path.carry(client := listener())
    asked = [b'"include_usage"' in answer.request for answer in path.used]
    assert asked == [first_asks, not first_asks]
    assert (record.usage_added, path.used[1].filtered, USAGE in client.body) == (not first_asks, not first_asks, first_asks)
    assert (record.usage_source, record.seen.usage is not None) == (UsageSource.REPORTED, True)


@virtually
async def test_the_record_tells_the_whole_story() -> None:
    """Times, states, causes and decisions of each attempt, in order."""
    path = Pooled(at={"a": [0.25, failure(500, at_head=1.0)], "b": [whole(at_head=2.0)]})
    record = await path.carry(client := caller())
    first, second = record.attempts
    assert (first.started, first.connected, first.sent, first.head, first.ended) == (1000.0, 1000.25, 1000.25, 1001.25, 1001.25)
    assert (second.started, second.head, second.ended, second.waited_s) == (1001.275, 1003.275, 1003.275, 0.025)
    assert (first.breaker, first.status, first.hedge, second.status) == ("closed", 500, False, 200)
    assert first.decision is not None
    assert second.decision is not None
    assert [candidate.reason for candidate in second.decision.candidates] == [reasons.TRIED, None]
    assert (record.pool, record.upstream, record.server_address, record.degraded) == ("two", "b", "b.test", None)
    assert b"x-sidecar-attempts: 2" in client.head
    assert record.overhead_request_s == 0.0
    assert [(upstream, time_s) for (upstream, _), (_, _, time_s) in zip(path.verdicts(), path.settled, strict=True)] == [
        ("a", None), ("b", 2.0),
    ]  # fmt: skip
    path = Pooled(whole())
    record = await path.carry(caller("/one/" + CHAT))
    assert record.attempts[0].decision is None


@virtually
async def test_a_slow_first_token_is_said_of_its_upstream() -> None:
    """Counted from when the request was sent; a slow whole answer by its head."""
    settings = replace(SETTINGS, breaker=Breaker(slow=5.0))
    for answer, verdict, took_s in (
        (stream(ROLE, 6.0, FIRST, LAST, DONE), Verdict.SLOW, 6.0), (stream(ROLE, 4.0, FIRST, 60.0, LAST, DONE), Verdict.SUCCESS, 4.0),
        (whole(at_head=6.0), Verdict.SLOW, 6.0),
    ):  # fmt: skip
        path = Pooled(answer, settings=settings)
        await path.carry(listener())
        assert [(each, time_s) for _, each, time_s in path.settled] == [(verdict, took_s)]


# -- pauses that were asked for --------------------------------------------------------------


async def prefer_a(path: Pooled, *headers: tuple[bytes, bytes], body: bytes = ASKED) -> str:
    """Make a call that would rather go to a; return who answered."""
    await path.pipeline.carry(caller("/two/" + CHAT, (b"x-sidecar-prefer", b"a"), *headers, body=(body,)))
    path.check_rest()
    return path.records[0][-1].upstream


def limited(retry_after: bytes, status: int = 429, **more: Any) -> PlayedAnswer:
    """Return an upstream that wants to be left alone."""
    return failure(status, "", (b"Retry-After", retry_after), **more)


@virtually
async def test_who_asks_for_a_pause_is_left_alone_by_those_it_told() -> None:
    """Not by other callers, nor for other models; and not for longer."""
    path = Pooled(at={"a": [limited(b"30"), *(whole() for _ in range(4))], "b": [whole() for _ in range(4)]})
    assert await prefer_a(path, KEY) == "b"
    assert names(path) == ["a", "b"]
    assert await prefer_a(path, KEY) == "b"
    assert names(path) == ["a", "b", "b"], "a was not even asked"
    assert await prefer_a(path, (b"Authorization", b"Bearer another's")) == "a"
    assert await prefer_a(path, KEY, body=ASKED.replace(b"gpt-4o-mini", b"gpt-4o")) == "a"
    await path._rest(29.0)
    assert await prefer_a(path, KEY) == "b"
    await path._rest(1.0)
    assert await prefer_a(path, KEY) == "a"
    assert not any("mine" in repr(record) for record in path.records[0])


@virtually
async def test_an_upstreams_own_key_is_everybodys() -> None:
    """Its limit holds for all callers."""
    path = Pooled(
        at={"a": [limited(b"30"), whole()], "b": [whole(), whole()]}, settings=settings_of(a={"api_key_file": "/a"}), keys={"a": "theirs"}
    )
    assert await prefer_a(path, KEY) == "b"
    assert await prefer_a(path, (b"Authorization", b"Bearer another's")) == "b"


@pytest.mark.parametrize(
    ("answer", "held_s", "problem"),
    [
        (lambda: limited(b"31536000"), 300.0, "capped"),
        (lambda: limited(b"soon"), 0.0, "unreadable"),
        (lambda: limited(b"30", 503), 30.0, None),
        (lambda: limited(b"30", 500), 0.0, None),
        (lambda: failure(429), 0.0, None),
    ],
    ids=["a year", "nonsense", "overloaded", "another failure", "not told"],
)
@virtually
async def test_only_pauses_that_can_be_kept_to_are(answer: Callable[[], PlayedAnswer], held_s: float, problem: str | None) -> None:
    """A year is capped, nonsense passed over, and both are counted."""
    path = Pooled(at={"a": [answer(), whole(), whole()], "b": [whole(), whole()]})
    assert await prefer_a(path, KEY) == "b"
    if held_s:
        await path._rest(held_s - 1.0)
        assert await prefer_a(path, KEY) == "b"
        await path._rest(1.0)
    assert await prefer_a(path, KEY) == "a"
    for name in ("capped", "unreadable"):
        assert counted(path, "retry_after_ignored", name) == (name == problem)


@virtually
async def test_a_pause_that_is_too_long_to_wait_for_is_passed_on() -> None:
    """Nobody else is there; the caller gets what it came with."""
    path = Pooled(limited(b"11"), settings=REPEATING)
    await path.carry(client := caller("/one/" + CHAT))
    assert (names(path), client.status, path.rests) == (["a"], 429, [])
    assert b"Retry-After: 11" in client.head


# -- what was taken is given back ------------------------------------------------------------

FRAGILE = narrow_settings(base=REPEATING, breaker=Breaker(consecutive=1, open=1.0, probes=1, successes=1))

PHASES: dict[str, Callable[[], Any]] = {
    "dialling": never,
    "waiting for the head": lambda: whole(at_head=never()),
    "previewing": lambda: stream(ROLE, never()),
    "reading a failure": lambda: PlayedAnswer(429, JSON, body=[b"{", never()], framing=b"chunked"),
    "backing off": lambda: limited(b"5"),
    "mid-stream": lambda: stream(FIRST, never()),
}


async def play_half_open(answer: Any, *more: Any) -> Pooled:
    """Return a path to an upstream with one slot, and one permit of a half-open breaker."""
    path = Pooled(failure(500), answer, *more, settings=FRAGILE)
    await path.pipeline.carry(caller("/one/" + CHAT))
    await path._rest(1.2)
    return path


async def expect_way_free(path: Pooled) -> None:
    """The next call finds slot and permit."""
    path.check_rest()
    path.answers.append(whole())
    await path.pipeline.carry(client := caller("/one/" + CHAT))
    assert client.status == 200
    path.check_rest()


@pytest.mark.parametrize("left", [True, False])
@pytest.mark.parametrize("phase", PHASES)
@virtually
async def test_a_call_that_is_ended_gives_back_what_it_took(phase: str, left: bool) -> None:
    """In each phase, whoever ends it; it says nothing of the upstream."""
    path = await play_half_open(PHASES[phase]())
    task = await begin(path, client := listener("/one/" + CHAT))
    assert not task.done()
    client.gone = left
    task.cancel()
    await turn()
    assert task.cancelled()
    record = path.records[0][-1]
    assert (record.ending, record.error_id) == ((Ending.CLIENT_GONE, None) if left else (Ending.REFUSED, "stopping"))
    assert len(record.attempts) == 1
    assert path.verdicts()[1:] == [("a", Verdict.IGNORED)]
    path.answers.clear()
    await expect_way_free(path)


@pytest.mark.parametrize("left", [True, False])
@virtually
async def test_a_call_that_waits_for_room_takes_nothing_along(left: bool) -> None:
    """Nor does one that is ended in the moment when it gets its slot."""
    for at_once in (False, True):
        path = Pooled(whole(at_head=(gate := never())), settings=FRAGILE)
        first = await begin(path, caller("/one/" + CHAT))
        second = await begin(path, client := caller("/one/" + CHAT))
        if at_once:
            gate.set_result(None)
            while not path.settled:
                await asyncio.sleep(0)  # the second has its slot now, and has not run since
        client.gone = left
        second.cancel()
        await turn()
        if not gate.done():
            gate.set_result(None)
        await first
        assert (path.records[0][at_once].ending, len(path.asked)) == (Ending.CLIENT_GONE if left else Ending.REFUSED, 1)
        await expect_way_free(path)


BROKEN: dict[str, Callable[[], Any]] = {
    "dialling": lambda: ZeroDivisionError("a secret"),
    "waiting for the head": lambda: whole(at_head=ZeroDivisionError("a secret")),
    "previewing": lambda: stream(ROLE, ZeroDivisionError("a secret")),
    "mid-stream": lambda: stream(FIRST, ZeroDivisionError("a secret")),
}


@pytest.mark.parametrize("phase", BROKEN)
@virtually
async def test_a_fault_of_our_own_gives_back_what_was_taken(phase: str) -> None:
    """And says nothing of the upstream."""
    path = await play_half_open(BROKEN[phase](), None)
    await path.pipeline.carry(listener("/one/" + CHAT))
    record = path.records[0][-1]
    assert (record.ending, len(record.attempts), len(path.reports)) == (Ending.SIDECAR_FAULT, 1, 1)
    assert path.verdicts()[1:] == [("a", Verdict.IGNORED)]
    path.answers.clear()
    await expect_way_free(path)


@virtually
async def test_a_caller_that_leaves_within_its_request_gives_back_what_was_taken() -> None:
    """The body was on its way."""
    settings = replace(FRAGILE, limits=replace(FRAGILE.limits, body=8))
    path = Pooled(whole(), settings=settings)
    await path.pipeline.carry(caller("/one/" + CHAT, body=(b"123456789", ClientGone())))
    assert path.verdicts() == [("a", Verdict.IGNORED)]
    await expect_way_free(path)


@pytest.mark.parametrize("cause", list(Cause))
@virtually
async def test_each_failure_gives_back_what_was_taken(cause: Cause) -> None:
    """With one slot in all and one permit: else the next could not begin."""
    settings = narrow_settings(base=FITTING)
    path = Pooled(at={"a": [TROUBLES[cause](), None], "b": [TROUBLES[cause](), None]}, settings=settings)
    await path.carry(listener())
    assert len(path.grants) == len(path.asked)


# -- sessions and batches --------------------------------------------------------------------


def handshaker(target: str = "/two/v1/realtime") -> PlayedClient:
    """Return a caller that asks for a WebSocket."""
    from tests.rig.websocket import KEY as SOCKET_KEY

    fields = (
        (b"Connection", b"Upgrade"), (b"Upgrade", b"websocket"), (b"Sec-WebSocket-Version", b"13"),
        (b"Sec-WebSocket-Key", SOCKET_KEY.encode()),
    )  # fmt: skip
    return caller(target, *fields, body=(), method="GET")


def session(at_end: Any) -> PlayedAnswer:
    """Return an upstream that accepts."""
    from sidecar.exchange import Departure
    from tests.rig.websocket import KEY as SOCKET_KEY
    from tests.rig.websocket import accept_of

    fields = ((b"Upgrade", b"websocket"), (b"Connection", b"Upgrade"), (b"Sec-WebSocket-Accept", accept_of(SOCKET_KEY).encode()))
    answer = PlayedAnswer(101, *fields, framing=b"", at_end=at_end)
    answer.departure = Departure.CLIENT
    return answer


@virtually
async def test_a_session_gives_back_what_it_took_when_it_begins() -> None:
    """It may last for an hour: that the upstream took it is all there is to say."""
    gate = never()
    path = Pooled(at={"a": [UpstreamFault(UNREACHABLE)], "b": [session(gate)]}, settings=narrow_settings())
    task = await begin(path, client := handshaker())
    assert client.got.startswith(b"HTTP/1.1 101 ")
    assert path.verdicts() == [("a", Verdict.FAILURE), ("b", Verdict.SUCCESS)]
    for view in path.switchboard.routing.describe(path.clock.now()):
        assert (view.pending, view.in_use) == (0, 0)
    gate.set_result(None)
    await task
    assert [(attempt.upstream, attempt.outcome) for attempt in path.records[0][0].attempts] == [
        ("a", "connect_failed"), ("b", "client_gone"),
    ]  # fmt: skip
    path.check_rest()


@virtually
async def test_a_handshake_that_is_refused_is_an_answer() -> None:
    """Which another upstream may better."""
    path = Pooled(at={"a": [failure(503)], "b": [session(None)]})
    record = await path.carry(client := handshaker())
    assert (names(path), record.status) == (["a", "b"], 101)
    assert client.got.startswith(b"HTTP/1.1 101 ")


@virtually
async def test_entries_of_a_batch_are_calls_like_any_other() -> None:
    """Each with its own attempts, within the same limits."""
    entries = [{"path": f"/tools/t/{name}", "method": "POST", "body": {}} for name in "xyz"]
    at: dict[str, list[Any]] = {"a": [UpstreamFault(UNREACHABLE), whole(body=b"1")], "b": [whole(body=b"2"), whole(body=b"3")]}
    path = Pooled(at=at, settings=narrow_settings())
    client = caller("/x-sidecar/batch", (b"Content-Type", b"application/json"), body=(json.dumps(entries).encode(),))
    await path.pipeline.carry(client)
    assert [entry["status"] for entry in json.loads(client.body)] == [200, 200, 200]
    assert sorted(names(path)) == ["a", "a", "b", "b"]
    assert len(path.records[0]) == 4
    path.check_rest()
    path = Pooled(whole(at_head=never()), settings=narrow_settings())
    task = await begin(path, client)
    await leave(client, task)
    path.check_rest()


@virtually
async def test_an_answer_that_is_still_held_is_passed_on_where_nobody_is_left_to_ask() -> None:
    """A pause was waited for, and meanwhile the breaker has opened: the provider's own words tell more than ours."""
    settings = replace(SETTINGS, features=replace(SETTINGS.features, retries=True))
    told = whole(429, b'{"error":{"message":"slow down","code":"rate_limit_exceeded"}}', (b"Retry-After", b"1"))
    path, client = Pooled(at={"a": [told]}, settings=settings), caller("/one/" + CHAT)

    async def close_the_way(seconds: float) -> None:
        path.switchboard.force("a", Force.OPEN)

    path.at_rest = close_the_way
    record = await path.carry(client)
    assert (client.status, record.ending, record.status) == (429, Ending.RATE_LIMITED, 429)
    assert b"slow down" in client.body
    assert [attempt.outcome for attempt in record.attempts] == ["rate_limited"]
