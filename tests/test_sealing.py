"""What is sent on for an exchange, and the record it is sealed into."""

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from sidecar.core.attempt.heads import read_answer
from sidecar.core.choose.places import read_place
from sidecar.core.identify.router import Router
from sidecar.core.observe.contents.transcript import Transcript
from sidecar.core.observe.dialects import OPAQUE, OPENAI_CHAT
from sidecar.core.observe.observer import BlindObserver
from sidecar.core.observe.overhearing import Listening
from sidecar.core.observe.sessions import SessionObserver
from sidecar.errors import FIRST_BYTE_TIMEOUT
from sidecar.exchange import Asked, Ending, Seen, TraceContext, Usage, UsageSource
from sidecar.progress import Exchange, Trial
from sidecar.sealing import compose_request, seal, seal_malformed
from tests.core.attempt.calls import make_call
from tests.path import PRICES, SETTINGS, PlayedAnswer, PlayedClient, TickingClock

TRACE = TraceContext(1, None, 2, 3, 4, False)


def begin(*headers: tuple[bytes, bytes], trace: TraceContext | None = None, **more: Any) -> Exchange:
    """Return an exchange that knows where it goes."""
    call = make_call(*headers, target="/openai/v1/chat/completions?a=b", has_body=True, **more)
    exchange = Exchange(PlayedClient(call), call, trace)
    exchange.path, exchange.query = "/openai/v1/chat/completions", "a=b"
    exchange.match = Router(SETTINGS.routes).match("POST", exchange.path)
    exchange.dialect = OPENAI_CHAT
    exchange.body = b"12345"
    exchange.trial = Trial(read_place("openai", SETTINGS.upstreams["openai"], None), 100.5)
    exchange.attempts_made = 1
    return exchange


def compose(exchange: Exchange, *, propagates: bool = True) -> tuple[bytes, bool]:
    """Return the head of its request, and whether the body goes out in chunks."""
    trial = exchange.trial
    trial.path, trial.body = exchange.match.path if exchange.match else exchange.path, exchange.body
    return compose_request(exchange, trial, propagates=propagates)


def answer_of(clock: TickingClock, *, sent_bytes: int = 0) -> PlayedAnswer:
    """Return an answer that has come."""
    answer = PlayedAnswer()
    answer.clock = clock
    answer.connected_at, answer.sent_at, answer.head_at = 101.0, 101.5, 103.0
    answer.sent_bytes = sent_bytes
    return answer


def test_a_request_is_composed_of_what_was_decided() -> None:
    """The prefix is gone, the query stays, the length is that of the body as we hold it."""
    head, is_chunked = compose(begin())
    assert head == b"POST /v1/chat/completions?a=b HTTP/1.1\r\nHost: api.openai.com\r\nContent-Length: 5\r\n\r\n"
    assert not is_chunked


@pytest.mark.parametrize(
    ("path", "tool", "shown"),
    [
        ("/openai/v1/files/sk-ant-api03-canary7f3a91", None, "/openai/v1/files/[REDACTED:api_key]"),
        ("/openai/search/what was asked", "search", "/openai/search/*"),
    ],
)
def test_a_record_holds_no_more_of_a_path_than_names(path: str, tool: str | None, shown: str) -> None:
    """No key, and of a tool's path no argument; what is sent on is the path as it came."""
    exchange = begin()
    exchange.path, exchange.tool = path, tool
    exchange.match = Router(SETTINGS.routes).match("POST", path)
    assert seal(exchange, 101.0, PRICES, slow_s=10.0, has_room=lambda important: True).path == shown
    assert compose(exchange, propagates=False)[0].startswith(b"POST %b?a=b " % path.removeprefix("/openai").encode())


@pytest.mark.parametrize(("length", "is_chunked"), [(b"99", False), (None, True)])
def test_a_body_that_is_not_whole_keeps_its_length_or_goes_in_chunks(length: bytes | None, is_chunked: bool) -> None:
    """What was told of it is told on."""
    exchange = begin(*([(b"Content-Length", length)] if length else []))
    exchange.whole = False
    head, chunked = compose(exchange)
    assert chunked is is_chunked
    assert (b"Transfer-Encoding: chunked" in head, b"Content-Length: 99" in head) == (is_chunked, not is_chunked)


@pytest.mark.parametrize(
    ("trace", "propagates", "sent"),
    [(None, True, b"theirs"), (None, False, b"theirs"), (TRACE, True, b"00-%032x-%016x-00" % (1, 4)), (TRACE, False, None)],
)
def test_trace_context_is_ours_theirs_or_none(trace: TraceContext | None, propagates: bool, sent: bytes | None) -> None:
    """Ours where there is a trace and it may go out; the caller's where there is none."""
    head, _ = compose(begin((b"traceparent", b"theirs"), trace=trace), propagates=propagates)
    assert (b"traceparent: %b\r\n" % sent in head) if sent else (b"traceparent" not in head)


def test_each_attempt_has_a_span_of_its_own() -> None:
    """The second one's traceparent names another."""
    exchange = begin(trace=TRACE)
    exchange.trial.index = 1
    assert b"-%016x-00" % 5 in compose(exchange)[0]


def sealed(seen: Seen, has_room: Callable[[bool], bool] = lambda important: True, listening: Listening | None = None, **more: Any) -> Any:
    """Return the record of an answered exchange."""
    exchange = begin()
    trial = exchange.trial
    trial.answer = answer_of(TickingClock(), sent_bytes=77)
    trial.head = read_answer("POST", 200, b"HTTP/1.1 200 OK")
    trial.observer = BlindObserver(seen)
    exchange.status, exchange.ending, exchange.committed_at, exchange.waited_s = 200, Ending.COMPLETED, 103.25, 0.25
    for name, value in more.items():
        setattr(trial if hasattr(trial, name) and name != "body" else exchange, name, value)
    exchange.attempts.append(trial.close(105.0, exchange.ending))
    return seal(exchange, 105.0, PRICES, slow_s=10.0, has_room=has_room, listening=listening)


def seen_of(model: str | None, usage: Usage | None, cost_usd: float | None = None) -> Seen:
    """Return what an observer saw."""
    seen = Seen()
    seen.model, seen.usage, seen.cost_usd = model, usage, cost_usd
    return seen


def test_an_hour_in_the_cache_is_paid_for() -> None:
    """What an observer saw of it reaches the price table."""
    seen = seen_of("sim-large", Usage(0, 0, 1000, 0))
    short = sealed(seen).cost
    seen.cache_write_1h = 400
    long = sealed(seen).cost
    assert (short.usd, long.usd) == pytest.approx((1000 * 3.125 / 1e6, (600 * 3.125 + 400 * 5.00) / 1e6))


def test_a_record_holds_what_happened() -> None:
    """Times, sizes and the one attempt; nothing of the query."""
    record = sealed(seen_of(None, None))
    assert (record.accepted, record.ended, record.duration_s, record.response_bytes) == (100.0, 105.0, 5.0, 77)
    assert record.overhead_request_s == pytest.approx(101.5 - 100.0 - 0.25 - 0.5)
    assert record.overhead_response_s == pytest.approx(0.25)
    assert (record.attempts[0].outcome, record.attempts[0].status) == ("completed", 200)
    assert (record.server_address, record.server_port) == ("api.openai.com", 443)
    assert (record.path, record.template, record.kept) == ("/openai/v1/chat/completions", "/openai/v1/chat/completions", False)
    assert "a=b" not in repr(record)


@pytest.mark.parametrize(
    ("seen", "asked", "source", "unpriced"),
    [
        (seen_of("gpt-4o-mini-2024-07-18", Usage(1000, 0, 0, 1000)), None, "table", None),
        (seen_of("my-deployment", Usage(1000, 0, 0, 1000)), "gpt-4o-mini", "table", None),
        (seen_of(None, Usage(1000, 0, 0, 1000)), "gpt-4o-mini", "table", None),
        (seen_of("gpt-4o-mini", Usage(1000, 0, 0, 1000), 0.5), None, "provider", None),
        (seen_of("gpt-4o-mini", None, 0.0), None, "provider", None),
        (seen_of("nobody-knows", Usage(1000, 0, 0, 1000)), "me-neither", None, "unknown_model"),
        (seen_of("gpt-4o-mini", None), "gpt-4o-mini", None, None),
    ],
)
def test_a_cost_is_the_providers_the_tables_or_none(seen: Seen, asked: str | None, source: str | None, unpriced: str | None) -> None:
    """What cannot be priced is said so, and never free; without usage there is nothing to price."""
    record = sealed(seen, asked=Asked(model=asked))
    assert (record.cost and record.cost.source, record.unpriced) == (source, unpriced)
    assert record.usage_source is (UsageSource.ABSENT if seen.usage is None else UsageSource.REPORTED)
    if source == "provider":
        assert record.cost.usd == seen.cost_usd
    elif source == "table":
        assert record.cost.usd > 0


def test_a_tier_without_a_price_is_not_priced_as_another() -> None:
    """The model is known and what it costs in that tier is not; a tier of the standard price is priced."""
    usage = Usage(1000, 0, 0, 1000)
    for tier, unpriced in (("priority", "unknown_service_tier"), ("default", None), (None, None)):
        seen = seen_of("sim-small", usage)
        seen.service_tier = tier
        record = sealed(seen, asked=Asked(model="nobody-knows"))
        assert (record.unpriced, record.cost is None) == (unpriced, unpriced is not None)


def test_tokens_of_several_models_are_not_priced_as_one() -> None:
    """What the provider says that it cost holds all the same."""
    for told, unpriced in ((None, "several_models"), (0.5, None)):
        seen = seen_of("sim-small", Usage(1000, 0, 0, 1000), told)
        seen.unpriced = "several_models"
        record = sealed(seen)
        assert (record.unpriced, record.cost and record.cost.usd) == (unpriced, told)


def test_a_replayed_answer_costs_nothing() -> None:
    """Also where the model has no price; without usage there is nothing to price."""
    seen = seen_of("nobody-knows", Usage())
    seen.replayed = True
    record = sealed(seen)
    assert (record.cost and (record.cost.usd, record.cost.source), record.unpriced) == ((0.0, "provider"), None)


def test_a_failure_is_named_by_its_kind() -> None:
    """Id and type of the error are ours; a trace of it is kept though it was not sampled."""
    record = sealed(Seen(), ending=Ending.FIRST_BYTE_TIMEOUT, kind=FIRST_BYTE_TIMEOUT, status=504, trace=TRACE)
    assert (record.error_id, record.error_type, record.kept) == ("first_byte_timeout", "first_byte_timeout", True)
    assert not sealed(Seen(), trace=TRACE).kept


def test_an_exchange_without_an_ending_is_our_fault() -> None:
    """It never passes for a success, and what was never measured is None."""
    exchange = begin()
    record = seal(exchange, 101.0, PRICES, slow_s=10.0, has_room=lambda important: True)
    assert (record.ending, record.attempts, record.status) == (Ending.SIDECAR_FAULT, (), None)
    assert (record.overhead_request_s, record.overhead_response_s, record.first_byte, record.usage) == (None, None, None, None)


def test_a_malformed_request_leaves_a_record_of_its_own() -> None:
    """Of a call that never was."""
    record = seal_malformed(5.0, 7)
    assert (record.ending, record.status, record.error_id) == (Ending.CLIENT_FAULT, 400, "bad_request")
    assert (record.accepted, record.accepted_ns, record.duration_s, record.attempts, record.kept) == (5.0, 7, 0.0, (), False)


def test_a_trace_without_room_is_lost_and_not_kept() -> None:
    """No exemplar may point at it, and its spans are counted; what nobody wanted is not lost."""
    asked: list[bool] = []

    def full(important: bool) -> bool:
        asked.append(important)
        return False

    record = sealed(Seen(), full, trace=replace(TRACE, sampled=True))
    assert (record.kept, record.trace_lost) == (False, True)
    record = sealed(Seen(), full, trace=replace(TRACE, sampled=False), ending=Ending.CUT)
    assert (record.kept, record.trace_lost) == (False, True)
    assert asked == [False, True]
    record = sealed(Seen(), full, trace=replace(TRACE, sampled=False))
    assert (record.kept, record.trace_lost) == (False, False)
    assert asked == [False, True]


def test_a_handshake_is_composed_anew_hop_by_hop() -> None:
    """With Upgrade and Connection of our own, and without extensions."""
    exchange = begin((b"Sec-WebSocket-Extensions", b"permessage-deflate"), (b"Sec-WebSocket-Version", b"13"))
    exchange.session = SessionObserver(None, "", 1000)
    head, _ = compose(exchange)
    assert b"\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" in head
    assert b"\r\nSec-WebSocket-Version: 13\r\n" in head
    assert b"xtensions" not in head


ASKED = b'{"messages": [{"role": "user", "content": "12345678"}]}'
TO_FILE, TO_SPANS, ESTIMATING = Listening(False, True, False, 100), Listening(True, False, False, 100), Listening(False, False, True, 0)


def heard(listening: Listening | None, text: str = "hello", **more: Any) -> Any:
    """Return the record of a chat that was listened to and whose usage was not reported."""
    transcript = Transcript(100)
    transcript.add(text)
    told = {"dialect": OPENAI_CHAT, "body": ASKED, "transcript": transcript, **more}
    return sealed(seen_of("gpt-4o-mini", None), listening=listening, **told)


def test_usage_is_estimated_only_where_it_is_asked_for() -> None:
    """From the request and what has come of the answer; the cost says that it is one, too."""
    record = heard(ESTIMATING)
    assert (record.usage, record.usage_source) == (Usage(input=2, output=2), UsageSource.ESTIMATED)
    assert record.cost is not None
    assert record.cost.source == "estimated"
    for listening in (None, TO_FILE, TO_SPANS):
        assert (heard(listening).usage, heard(listening).usage_source) == (None, UsageSource.ABSENT)
    reported = sealed(seen_of("gpt-4o-mini", Usage(1)), listening=ESTIMATING, dialect=OPENAI_CHAT, body=ASKED, transcript=Transcript(0))
    assert (reported.usage, reported.usage_source) == (Usage(1), UsageSource.REPORTED)


@pytest.mark.parametrize(
    "more",
    [{"status": 429}, {"status": None}, {"held": False}, {"observer": None}, {"transcript": None},
     {"observer": BlindObserver(Seen(), "encoding")},
     {"body": b"{"}],
    ids=str,
)  # fmt: skip
def test_what_nobody_is_likely_to_have_counted_is_not_estimated(more: dict[str, Any]) -> None:
    """A refusal, an answer that never began or could not be read, a request that was not seen whole."""
    record = heard(ESTIMATING, **more)
    assert (record.usage, record.usage_source, record.cost) == (None, UsageSource.ABSENT, None)


def test_an_error_in_place_of_an_answer_is_not_estimated() -> None:
    """After something was said, it is; an answer that the provider repeated is not."""
    repeated = Seen()
    repeated.replayed = True
    assert heard(ESTIMATING, observer=BlindObserver(repeated)).usage is None
    failed = Seen()
    failed.error_type = "overloaded"
    assert heard(ESTIMATING, observer=BlindObserver(failed), transcript=Transcript(0)).usage is None
    assert heard(ESTIMATING, observer=BlindObserver(failed)).usage is not None


def test_what_was_said_is_handed_over_only_to_who_captures_it() -> None:
    """To a file always, to spans only where they are kept, else never."""
    assert heard(None).said is None
    assert heard(ESTIMATING).said is None
    assert heard(TO_SPANS).said is None
    said = heard(TO_FILE).said
    assert (said.request, [part.text for part in said.spoken]) == (ASKED, ["hello"])
    assert heard(TO_SPANS, trace=replace(TRACE, sampled=True)).said == said
    assert "hello" not in repr(heard(TO_FILE))
    assert heard(TO_FILE, held=False).said.request == b""
    assert heard(TO_FILE, dialect=OPAQUE).said is None
    assert heard(TO_FILE, transcript=None).said.spoken == ()
