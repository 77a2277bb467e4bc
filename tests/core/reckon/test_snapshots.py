"""An hour or a day in a file."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from sidecar.core.reckon.sketch import BUCKETS
from sidecar.core.reckon.snapshots import (
    DAY_S,
    HOUR_S,
    NOBODY,
    OTHER,
    WHOSE_MAX,
    Snapshot,
    add_up,
    name_file,
    name_whose,
    read_name,
    read_snapshot,
    write_snapshot,
)
from sidecar.core.reckon.tally import Tally
from sidecar.exchange import Ending, Usage
from tests.edge.telemetry.records import make_record, make_streamed

BEGAN = int(datetime(2026, 3, 29, 1, tzinfo=UTC).timestamp())  # the hour that daylight saving takes away in Europe
SAVED_NS = BEGAN * 10**9 + 1_500_000_000


def make_hour(began: int = BEGAN) -> Snapshot:
    """Return an hour with calls of every kind."""
    hour = Snapshot(began, began + HOUR_S)
    hour.find("openai/gpt-4o").add(make_streamed(usage=Usage(12, 3, 1, 47, 0), cache="miss"))
    hour.find("openai/gpt-4o").add(make_record(ending=Ending.CUT, usage=None, cost=None))
    hour.find("anthropic/claude").add(make_record(accepted=100.0, ended=109.5))
    hour.find("anthropic/claude").add(make_record(cache="hit"))
    hour.find(NOBODY).add(make_record(ending=Ending.CLIENT_FAULT, upstream=""))
    return hour


def tell(tally: Tally) -> dict[str, object]:
    """Return all that a tally knows."""
    told = {name: getattr(tally, name) for name in Tally.__slots__}
    for name in ("durations", "first_tokens", "speeds"):
        told[name] = {part: getattr(told[name], part) for part in type(told[name]).__slots__}
    return told


def parse(snapshot: Snapshot) -> Any:
    """Return the members of a file."""
    return json.loads(write_snapshot(snapshot, SAVED_NS, 7265.9))


def test_a_file_tells_what_the_interface_says() -> None:
    """Every member of the contract, milliseconds, and the time it is of."""
    shown = parse(make_hour())
    assert shown["version"] == "1.0" and shown["saved_at"] == "2026-03-29T01:00:01.500Z"
    assert (shown["began"], shown["ended"]) == ("2026-03-29T01:00:00Z", "2026-03-29T02:00:00Z")
    assert (shown["uptime_seconds"], shown["uptime_formatted"]) == (7265, "2:01:05")
    assert shown["requests"] == 5
    times = shown["response_times"]
    assert times.keys() == {"avg", "min", "max", "p50", "p95", "p99", "count"}
    assert (times["min"], times["max"], times["count"]) == (2000.0, 9500.0, 4) and times["p50"] == pytest.approx(2000, rel=0.01)
    assert shown["time_to_first_token"]["avg"] == 500.0 and shown["tokens_per_second"]["count"] == 1
    assert shown["errors"] == {"total": 1, "by_ending": {"cut": 1}}
    assert shown["cache"] == {"hits": 1, "misses": 1, "hit_rate": 0.5}
    assert shown["token_usage"] == {
        "total_tokens": 63 * 3, "prompt_tokens": 16 * 3, "completion_tokens": 47 * 3,
        "by_model": {"anthropic/claude": 63, NOBODY: 63, "openai/gpt-4o": 63},
    }  # fmt: skip
    assert shown["cost_usd"] == 0.75


def test_what_was_not_measured_is_null() -> None:
    """An hour without calls has no latency of zero and costs no zero dollars."""
    shown = parse(Snapshot(BEGAN, BEGAN + HOUR_S))
    assert shown["response_times"] == {**dict.fromkeys(("avg", "min", "max", "p50", "p95", "p99")), "count": 0}
    assert shown["cost_usd"] is shown["token_usage"]["total_tokens"] is shown["cache"]["hit_rate"] is None
    assert shown["requests"] == 0


def test_what_is_written_is_read_exactly() -> None:
    """Every count, sum and bucket."""
    hour = make_hour()
    read = read_snapshot(write_snapshot(hour, SAVED_NS, 1.0))
    assert (read.began, read.ended) == (hour.began, hour.ended)
    assert {whose: tell(tally) for whose, tally in read.calls.items()} == {whose: tell(tally) for whose, tally in hour.calls.items()}


def test_hours_add_up_to_their_day() -> None:
    """As if all calls had been counted in one; what is added up stays as it was."""
    hours = [make_hour(BEGAN + HOUR_S * number) for number in range(3)]
    day = add_up(BEGAN - HOUR_S, BEGAN - HOUR_S + DAY_S, [read_snapshot(write_snapshot(hour, SAVED_NS, 1.0)) for hour in hours])
    total = day.total
    assert (total.requests, total.errors, total.durations.count, total.input_tokens) == (15, 3, 12, 16 * 9)
    assert total.durations.counts == {bucket: 3 * count for bucket, count in hours[0].total.durations.counts.items()}
    assert hours[0].total.requests == 5 and read_snapshot(write_snapshot(day, SAVED_NS, 1.0)).ended - day.began == DAY_S


def test_names_of_files() -> None:
    """By the hour and the day of UTC; nothing else is a file of the journal."""
    assert name_file(BEGAN, BEGAN + HOUR_S) == "hourly_20260329_01.json"
    day = BEGAN - HOUR_S
    assert name_file(day, day + DAY_S) == "daily_20260329.json"
    assert read_name("hourly_20260329_01.json") == (BEGAN, BEGAN + HOUR_S)
    assert read_name("daily_20260329.json") == (day, day + DAY_S)
    for name in ("daily_20261301.json", "hourly_20260329_24.json", "hourly_20260329_1.json", "daily_20260329.json.new", "x", ""):
        assert read_name(name) is None


def test_whose_calls_are() -> None:
    """Provider and model, as far as they are known."""
    assert name_whose("openai", "gpt-4o") == "openai/gpt-4o"
    assert (name_whose("openai", ""), name_whose("", "gpt-4o"), name_whose("", "")) == ("openai", "gpt-4o", NOBODY)


def test_the_number_of_models_is_bounded() -> None:
    """Beyond the bound calls are added up together, and none is lost."""
    hour = Snapshot(BEGAN, BEGAN + HOUR_S)
    for number in range(WHOSE_MAX + 10):
        hour.find(f"openai/{number}").add(make_record())
    assert len(hour.calls) == WHOSE_MAX + 1 and hour.calls[OTHER].requests == 10
    assert hour.total.requests == WHOSE_MAX + 10


def damage(**changes: Any) -> bytes:
    """Return a file with other members at its top."""
    return json.dumps({**parse(make_hour()), **changes}).encode()


def damage_calls(**changes: Any) -> bytes:
    """Return a file with other members in its calls."""
    shown = parse(make_hour())
    shown["calls"]["anthropic/claude"] |= changes
    return json.dumps(shown).encode()


BUCKET = {"total": 1.0, "minimum": 1.0, "maximum": 1.0, "counts": {"1": 1}}


@pytest.mark.parametrize(
    "data",
    [
        b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"version": "1.0"}', b"[" * 100_000,
        damage(version="2.0"), damage(sketch_error=0.02), damage(began="2026-03-29T01:00:00"), damage(ended="2026-03-29T01:30:00Z"),
        damage(began="2026-03-29T00:30:00Z", ended="2026-03-29T01:30:00Z"), damage(calls=None), damage(calls={"": {}}),
        damage_calls(endings={"completed": -1}), damage_calls(endings={"unheard_of": 1}), damage_calls(lookups=0, hits=1),
        damage_calls(usages=3), damage_calls(cost_usd=-1.0), damage_calls(durations={**BUCKET, "counts": {"1": 3}}),
        damage_calls(durations={**BUCKET, "counts": {str(BUCKETS): 1}}), damage_calls(durations={**BUCKET, "counts": {"-1": 1}}),
        damage_calls(durations={**BUCKET, "counts": {"1": 0}}), damage_calls(durations={**BUCKET, "minimum": 2.0}),
        damage_calls(durations={**BUCKET, "minimum": None}), damage_calls(input_tokens=10**400), damage_calls(cost_usd=1e300),
        damage_calls(durations={**BUCKET, "total": 1e300}),
    ],
)  # fmt: skip
def test_what_is_no_snapshot_is_told_apart(data: bytes) -> None:
    """Whatever stands in the file: a ValueError that quotes nothing of it."""
    with pytest.raises(ValueError) as raised:
        read_snapshot(data)
    assert "claude" not in str(raised.value)


def test_a_file_cut_anywhere_is_no_snapshot() -> None:
    """No beginning of a file is taken for a whole one."""
    data = write_snapshot(make_hour(), SAVED_NS, 1.0)
    for length in range(len(data.rstrip())):
        with pytest.raises(ValueError):
            read_snapshot(data[:length])
    assert read_snapshot(data).total.requests == 5
