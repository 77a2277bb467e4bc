"""What a journal comes to."""

import json
from typing import Any

from sidecar.core.reckon.report import Report, make_report, show_report, sort_models
from sidecar.core.reckon.snapshots import DAY_S, HOUR_S, Snapshot
from sidecar.thresholds import Thresholds
from tests.core.reckon.journals import DAY, add_failed, make_day, make_hour


def report_on(*snapshots: Snapshot, left_out: tuple[tuple[str, str], ...] = ()) -> Report:
    """Return the report with the built-in thresholds."""
    return make_report(snapshots, left_out, Thresholds(), 1_774_800_000_000_000_000)


def parse(report: Report) -> Any:
    """Return what a program reads."""
    return json.loads(json.dumps(show_report(report)))


def test_hours_are_added_up_by_day() -> None:
    """Each hour belongs to its day of UTC, and all of them to the whole; nothing is lost and nothing counted twice."""
    report = report_on(make_hour(22, calls=2), make_hour(23, "anthropic/claude"), make_hour(24, calls=4))
    assert report.whole is not None
    assert (report.whole.began, report.whole.ended, report.whole.total.requests) == (DAY + 22 * HOUR_S, DAY + 25 * HOUR_S, 7)
    assert [(day.began, day.ended, day.total.requests) for day in report.days] == [(DAY, DAY + DAY_S, 3), (DAY + DAY_S, DAY + 2 * DAY_S, 4)]
    assert [hour.total.requests for hour in report.hours] == [2, 1, 4]
    assert [(whose, tally.requests) for whose, tally in sort_models(report.whole)] == [("openai/gpt-4o", 6), ("anthropic/claude", 1)]


def test_it_is_told_by_the_hour_where_that_is_possible() -> None:
    """For three days at most, and only where no day's hours are gone."""
    assert report_on(make_hour(0), make_hour(71)).is_hourly
    assert not report_on(make_hour(0), make_hour(72)).is_hourly
    mixed = report_on(make_day(-1), make_hour(0))
    assert not mixed.is_hourly and [step.began for step in mixed.steps] == [DAY - DAY_S, DAY]
    assert [step.began for step in report_on(make_hour(3)).steps] == [DAY + 3 * HOUR_S]


def test_days_whose_hours_are_gone_count_too() -> None:
    """A day's file takes the place of its hours."""
    report = report_on(make_day(-1, calls=5), make_hour(2, calls=2))
    assert report.whole is not None and report.whole.total.requests == 7
    assert len(report.days) == 2 and len(report.hours) == 1


def test_snapshots_without_calls_tell_nothing() -> None:
    """An hour in which there was nothing makes no point in a plot, and does not stretch the time."""
    report = report_on(Snapshot(DAY, DAY + HOUR_S), make_hour(5), Snapshot(DAY + 9 * HOUR_S, DAY + 10 * HOUR_S))
    assert report.whole is not None and (report.whole.began, len(report.hours)) == (DAY + 5 * HOUR_S, 1)
    empty = report_on(Snapshot(DAY, DAY + HOUR_S))
    assert empty.whole is None and not empty.is_hourly and list(empty.steps) == []


def test_what_a_program_reads() -> None:
    """The members of a journal's file, with grade, share of errors and what has no price."""
    shown = parse(report_on(add_failed(make_hour(1, calls=3), "openai/gpt-4o"), left_out=(("daily_20260101.json", "damaged"),)))
    assert (shown["began"], shown["ended"]) == ("2026-03-29T01:00:00Z", "2026-03-29T02:00:00Z")
    total = shown["total"]
    assert (total["requests"], total["errors"], total["error_rate"]) == (4, {"total": 1, "by_ending": {"cut": 1}}, 0.25)
    assert total["response_times"]["max"] == 2000.0 and total["time_to_first_token"]["count"] == 3
    assert total["token_usage"] == {"total_tokens": 189, "prompt_tokens": 48, "completion_tokens": 141}
    assert (total["cost_usd"], total["unpriced_requests"], total["grade"]) == (0.75, 0, "D")
    assert shown["by_model"] == {"openai/gpt-4o": total}
    (day,), (hour,) = shown["by_day"], shown["by_hour"]
    assert day["by_model"] == shown["by_model"] and day["began"] == "2026-03-29T00:00:00Z" and day["requests"] == 4
    assert hour == {"began": shown["began"], "ended": shown["ended"], **total}
    assert shown["left_out"] == [{"file": "daily_20260101.json", "problem": "damaged"}]


def test_what_is_not_known_is_null() -> None:
    """No call at all is no total of zero; calls without tokens have no tokens of zero."""
    shown = parse(report_on())
    assert shown["total"] is shown["began"] is shown["ended"] is None and shown["by_day"] == shown["by_hour"] == [] == shown["left_out"]
    total = parse(report_on(add_failed(Snapshot(DAY, DAY + HOUR_S), "openai")))["total"]
    assert total["cost_usd"] is total["token_usage"]["total_tokens"] is total["tokens_per_second"]["p50"] is None


def test_calls_without_a_price_are_told() -> None:
    """Those that used tokens; a call without tokens needs no price."""
    hour = add_failed(make_hour(0, calls=2), "openai/gpt-4o")
    hour.calls["openai/gpt-4o"].costs -= 1
    assert parse(report_on(hour))["total"]["unpriced_requests"] == 1
