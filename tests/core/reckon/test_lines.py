"""The fields of a call's line."""

import pytest

from sidecar import catalogue
from sidecar.core.reckon.lines import describe_call
from sidecar.exchange import Asked, Cost, Ending, Record, Saved, Session, Usage, UsageSource
from tests.edge.telemetry.records import make_attempt, make_record, make_seen, make_streamed

TYPES = {"string": str, "int": int, "double": float, "boolean": bool}
LATE = make_attempt(outcome="first_byte_timeout", head=None, sent=100.0, ended=101.5, upstream="first")
EVERYTHING = make_streamed(
    pool="chat", tenant="acme", origin="refresh", error_id="first_byte_timeout", error_type="first_byte_timeout", queued_s=0.5,
    limited="requests", degraded="simple", ending=Ending.FIRST_BYTE_TIMEOUT, attempts=(LATE, LATE), cache="miss",
    asked=Asked(model="gpt-4o", stream=True, tool="book"),
)  # fmt: skip
HIT = make_record(cache="hit", cache_level="memory", saved=Saved(Usage(1), Cost(0.5, "table")))
SESSION = make_record(session=Session(100.5, 1000, 1, 2))


@pytest.mark.parametrize("record", [EVERYTHING, HIT, SESSION, make_record(), make_streamed()])
def test_every_field_is_of_the_catalogue(record: Record) -> None:
    """By its name, and with its type."""
    declared = {field.name: TYPES[field.type] for field in catalogue.CALL_FIELDS}
    fields = describe_call(record, 3)
    assert fields.keys() <= declared.keys()
    assert [name for name, value in fields.items() if type(value) is not declared[name]] == []


def test_every_field_of_the_catalogue_is_told() -> None:
    """Of some call each of them."""
    told = {name for record in (EVERYTHING, HIT, SESSION, make_streamed(usage=Usage(1, output=40))) for name in describe_call(record, 3)}
    assert told == {field.name for field in catalogue.CALL_FIELDS}
    assert len(catalogue.CALL_FIELDS) == len(told)


def test_a_stream_is_told_as_metrics_count_it() -> None:
    """First token after accept, tokens per second from there to the last chunk, all kinds of tokens of a side together."""
    fields = describe_call(make_streamed(usage=Usage(12, 3, 1, 40)))
    assert (fields["ttft_s"], fields["tokens_per_s"], fields["duration_s"]) == (0.5, 40.0, 2.0)
    assert (fields["input_tokens"], fields["output_tokens"], fields["tokens_source"]) == (16, 40, "reported")
    assert (fields["cost_usd"], fields["cost_source"], fields["attempts"]) == (0.25, "table", 1)
    assert (fields["trace_id"], fields["span_id"]) == ("0af7651916cd43dd8448eb211c80319c", "0000000000000011")


def test_what_was_not_measured_is_not_there() -> None:
    """No zero stands for it; nor has another call's answer tokens or cost of its own."""
    nothing = describe_call(make_record(usage=None, usage_source=UsageSource.ABSENT, cost=None, trace=None, status=None))
    assert not {"ttft_s", "tokens_per_s", "input_tokens", "output_tokens", "cost_usd", "trace_id", "status", "repeated"} & nothing.keys()
    hit = describe_call(HIT)
    assert not {"input_tokens", "cost_usd", "ttft_s"} & hit.keys()
    assert hit["saved_usd"] == 0.5
    assert not {"ttft_s", "tokens_per_s"} & describe_call(make_streamed(seen=make_seen(replayed=True, first_token=100.5))).keys()
    absent = describe_call(make_record(usage=Usage(1), usage_source=UsageSource.ABSENT))
    assert "input_tokens" not in absent


def test_a_timeout_is_told_with_its_phase_and_time() -> None:
    """Of the call, and of each attempt that was made before the one that answered."""
    assert {"phase": "first_byte", "phase_s": 1.5}.items() <= describe_call(EVERYTHING).items()
    after = describe_call(make_record(attempts=(LATE, make_attempt(upstream="second"))))
    assert after["tried"] == "first first_byte_timeout (first_byte 1.50 s), second completed"
    assert "phase" not in after
    assert str(describe_call(make_record(attempts=(LATE,) * 50))["tried"]).count("first_byte 1.50") == 8
