"""Sealed records for the tests of what reads them."""

from typing import Any

from msgspec.structs import replace

from sidecar.exchange import Asked, Attempt, Cost, Ending, Record, Seen, TraceContext, Usage, UsageSource

ACCEPTED, ACCEPTED_NS = 100.0, 1_700_000_000_000_000_000
TRACE = TraceContext(0x0AF7651916CD43DD8448EB211C80319C, 0xB7AD6B7169203331, 0x11, 0x22, 0x33, True, "congo=t61")


def make_attempt(**changes: Any) -> Attempt:
    """Return a successful attempt of two seconds."""
    return replace(Attempt("openai", 100.01, 100.02, 100.03, 100.5, 102.0, False, 200, "completed"), **changes)


def make_seen(**changes: Any) -> Seen:
    """Return what an observer saw of a whole answer."""
    seen = Seen()
    seen.model, seen.response_id, seen.finish_reasons, seen.terminated = "gpt-4o-2024-08-06", "chatcmpl-1", ["stop"], True
    for name, value in changes.items():
        setattr(seen, name, value)
    return seen


def make_record(**changes: Any) -> Record:
    """Return a completed unary chat of two seconds with usage, cost and a kept trace."""
    record = Record(
        id="req-1", route="openai", upstream="openai", server_address="api.openai.com", server_port=443, provider="openai",
        operation="chat", dialect="openai_chat", method="POST", status=200, ending=Ending.COMPLETED, error_id=None, error_type=None,
        streamed=False, asked=Asked(model="gpt-4o"), seen=make_seen(), usage=Usage(12, 3, 1, 40, 7), usage_source=UsageSource.REPORTED,
        cost=Cost(0.25, "table"), unpriced=None, accepted=ACCEPTED, accepted_ns=ACCEPTED_NS, ended=102.0, first_byte=100.5,
        request_bytes=300, response_bytes=900, overhead_request_s=0.00004, overhead_response_s=0.00003, attempts=(make_attempt(),),
        observer_failed=False, usage_added=False, trace=TRACE, kept=True, path="/openai/v1/chat/completions",
        template="/openai/v1/chat/completions",
    )  # fmt: skip
    return replace(record, **changes)


def make_streamed(**changes: Any) -> Record:
    """Return a completed streamed chat: first token after 0.5 s, 47 tokens in all, last chunk after 1.5 s."""
    seen = make_seen(first_chunk=100.25, first_token=100.5, last_chunk=101.5, chunks=4, gaps=[1, 2] + [0] * 16, gap_sum=0.035)
    return replace(make_record(streamed=True, asked=Asked(model="gpt-4o", stream=True), seen=seen), **changes)
