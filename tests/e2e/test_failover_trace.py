"""The trace of a call that was failed over, as a collector gets it: each attempt a span that says how it went, and why another followed."""

import asyncio
import json
import time
from typing import Any, Final

from opentelemetry.proto.trace.v1.trace_pb2 import Span as Decoded

from sidecar import catalogue
from sidecar.config import Breaker, Tracing
from tests.edge.telemetry.receiver import Receiver, receive
from tests.rig.caller import Answer, compose, fetch
from tests.rig.faults import script_error, script_good
from tests.rig.pools import pair, running_settings, single, upstreams_of
from tests.rig.talks import BY_NAME
from tests.rig.upstream import End, Script, Visit

TALK: Final = BY_NAME["openai_stream"]
CALLERS_TRACE: Final = 0x4BF92F3577B34DA6A3CE929D0E0E4736
CALLERS_SPAN: Final = 0x00F067AA0BA902B7
FIELDS: Final = [("traceparent", f"00-{CALLERS_TRACE:032x}-{CALLERS_SPAN:016x}-01"), ("tracestate", "shop=t61")]
KEEP_ALL: Final = Tracing(ratio=1.0)
SLACK_NS: Final = 1_000_000  # between two readings of the clock
SERVER: Final = Decoded.SPAN_KIND_SERVER
CLIENT: Final = Decoded.SPAN_KIND_CLIENT


def read_attributes(span: Decoded) -> dict[str, Any]:
    """Return a span's attributes as plain values."""
    values = {}
    for attribute in span.attributes:
        kind = attribute.value.WhichOneof("value")
        value = getattr(attribute.value, kind)
        values[attribute.key] = [each.string_value for each in value.values] if kind == "array_value" else value
    return values


def read_parent(visit: Visit) -> tuple[int, int]:
    """Return the trace and the span that a request's traceparent names (W3C Trace Context)."""
    fields = dict(visit.headers)
    _, trace_id, span_id, _ = fields[b"traceparent"].split(b"-")
    assert fields[b"tracestate"] == b"shop=t61"
    return int(trace_id, 16), int(span_id, 16)


async def collect(receiver: Receiver, count: int) -> list[Decoded]:
    """Wait for so many spans; return them in the order in which they began."""
    deadline_s = time.monotonic() + 15
    while len(receiver.spans) < count:
        assert time.monotonic() < deadline_s, [span.name for span in receiver.spans]
        await asyncio.sleep(0.02)
    return sorted(receiver.spans, key=lambda span: (span.start_time_unix_nano, span.kind != SERVER))


async def ask(url: str, prefix: str = "/pool") -> Answer:
    """Make one call as part of the caller's own trace."""
    return await fetch(url, compose(prefix + TALK.path, TALK.request, fields=FIELDS))


async def test_a_call_that_was_failed_over_is_one_trace_with_two_attempts() -> None:
    """Server, GenAI client and two attempts: their parents, states, causes and decisions; each upstream was told its own span."""
    with receive() as receiver:
        environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url, "OTEL_BSP_SCHEDULE_DELAY": "100"}
        async with upstreams_of(2) as (first, second), running_settings(pair(first, second, tracing=KEEP_ALL), environ) as side:
            first.otherwise = lambda visit: script_error(TALK, 503)
            second.otherwise = lambda visit: script_good(TALK, "second")
            answer = await ask(side.url)
            spans = await collect(receiver, 4)
        ours, genai, failed, good = spans
        told = [read_parent(upstream.visits[0]) for upstream in (first, second)]
    assert (answer.status, answer.field("x-sidecar-attempts")) == (200, "2")
    assert {int.from_bytes(span.trace_id) for span in spans} == {CALLERS_TRACE}
    assert [span.kind for span in spans] == [SERVER, CLIENT, CLIENT, CLIENT]
    assert [int.from_bytes(span.parent_span_id) for span in spans[:2]] == [CALLERS_SPAN, int.from_bytes(ours.span_id)]
    assert failed.parent_span_id == good.parent_span_id == genai.span_id
    assert told == [(CALLERS_TRACE, int.from_bytes(span.span_id)) for span in (failed, good)]
    assert failed.end_time_unix_nano <= good.start_time_unix_nano
    assert ours.end_time_unix_nano >= good.end_time_unix_nano - SLACK_NS
    assert [span.status.code == span.status.STATUS_CODE_ERROR for span in spans] == [False, False, True, False]
    whole, call, before, after = map(read_attributes, spans)
    assert (whole["llm_sidecar.ending"], whole["llm_sidecar.pool"], call["llm_sidecar.pool"]) == ("completed", "both", "both")
    assert call["gen_ai.usage.output_tokens"] == 3
    assert before.items() >= {
        "llm_sidecar.upstream": "first", "llm_sidecar.attempt.outcome": "upstream_error", "http.response.status_code": 503,
        "llm_sidecar.attempt.cause": "overloaded", "error.type": "503", "llm_sidecar.circuit_breaker.state": "closed",
        "llm_sidecar.decision.strategy": "weighted", "llm_sidecar.decision.step": "full", "server.port": first.port,
    }.items()  # fmt: skip
    assert after.items() >= {
        "llm_sidecar.upstream": "second", "llm_sidecar.attempt.outcome": "completed", "http.response.status_code": 200,
        "llm_sidecar.circuit_breaker.state": "closed", "llm_sidecar.decision.reason": "only_one", "server.port": second.port,
        "llm_sidecar.decision.alternatives": ["first: tried"], "http.request.resend_count": 1,
    }.items()  # fmt: skip
    assert before["llm_sidecar.decision.alternatives"] and "http.request.resend_count" not in before
    assert "llm_sidecar.attempt.cause" not in after and "error.type" not in after
    known = {attribute.name for span in catalogue.SPANS for attribute in span.attributes}
    assert {name for attributes in (whole, call, before, after) for name in attributes} - known == set()


async def test_a_call_that_an_open_breaker_refused_is_one_span_and_no_attempt() -> None:
    """Nobody was asked: the span of the call says why, and how it ended; nothing is told as an attempt."""
    with receive() as receiver:
        environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url, "OTEL_BSP_SCHEDULE_DELAY": "100"}
        settings = single("http://127.0.0.1:9", tracing=Tracing(ratio=0.0), breaker=Breaker(consecutive=1))
        async with running_settings(settings, environ) as side:
            broken, refused = await ask(side.url, "/only"), await ask(side.url, "/only")
            spans = await collect(receiver, 5)
    assert (broken.status, refused.status) == (502, 503)
    assert json.loads(refused.body)["error"]["code"] == "circuit_open"
    by_ending = {read_attributes(span).get("llm_sidecar.ending"): span for span in spans if span.kind == SERVER}
    assert by_ending.keys() == {"connect_failed", "unavailable"}
    last = by_ending["unavailable"]
    attributes = read_attributes(last)
    assert attributes.items() >= {"llm_sidecar.error.id": "circuit_open", "http.response.status_code": 503}.items()
    assert last.status.code == last.status.STATUS_CODE_ERROR
    beneath = [read_attributes(span) for span in spans if span.parent_span_id == last.span_id]
    assert [each.get("llm_sidecar.attempt.outcome") for each in beneath] == [None]


async def test_a_call_that_waited_and_a_trial_say_so() -> None:
    """An attempt that found out whether an upstream is back is told by its breaker's state: half-open."""
    with receive() as receiver:
        environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url, "OTEL_BSP_SCHEDULE_DELAY": "100"}
        async with upstreams_of(1) as (upstream,):
            settings = single(upstream, tracing=KEEP_ALL, breaker=Breaker(consecutive=1, open=0.2, open_max=0.2))
            async with running_settings(settings, environ) as side:
                upstream.otherwise = lambda visit: Script([], End.RST)
                await ask(side.url, "/only")
                upstream.otherwise = lambda visit: script_good(TALK, "only")
                await asyncio.sleep(0.3)
                assert (await ask(side.url, "/only")).status == 200
                spans = await collect(receiver, 6)
    states = [attributes.get("llm_sidecar.circuit_breaker.state") for attributes in map(read_attributes, spans)]
    assert [state for state in states if state is not None] == ["closed", "half_open"]
