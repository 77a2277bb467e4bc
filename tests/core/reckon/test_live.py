"""What the status page asks for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.choose.views import BreakerView, UpstreamView
from sidecar.core.reckon.live import (
    COLUMNS,
    SECTIONS,
    Cursor,
    pick_failures,
    read_cursor,
    show_brief,
    show_failure,
    show_point,
    show_summary,
    write_cursor,
)
from sidecar.core.reckon.tally import Tally
from sidecar.exchange import Cost, Ending, Usage
from tests.edge.telemetry.records import make_attempt, make_record, make_seen, make_streamed

VIEW = UpstreamView(
    "up", False, "circuit_open", "open", (BreakerView("default", "open", 12.4, "open"), BreakerView("large", "closed")),
    3, 4, 100, 2.0, 0.5, 1.25, 0.9, None, 40, 4, None, None,
)  # fmt: skip
POOLS = {"chat": ("up", "other"), "code": ("other",)}
MARKS = st.tuples(*[st.integers(0, 2**32 - 1)] * len(SECTIONS))


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**40), MARKS)
def test_a_cursor_comes_back_as_it_went(run: int, step: int, marks: tuple[int, ...]) -> None:
    """What is handed out is understood again."""
    cursor = Cursor(run, step, marks)
    assert read_cursor(write_cursor(cursor)) == cursor


@pytest.mark.parametrize(
    "text", ["", "1", "1.2.3.4.5", "1.2.3.4.5.6.7", "1.2.x.4.5.6", "1.2.3.4.5." + "f" * 300, ".....", "1.2.3.4.5.1ffffffff"]
)
def test_what_is_no_cursor_is_none(text: str) -> None:
    """Anything may stand in a query: whoever asks with it is told everything."""
    assert read_cursor(text) is None


@given(st.text(max_size=60))
def test_no_text_is_too_odd(text: str) -> None:
    """Nothing that comes back raises."""
    read_cursor(text)


def test_a_point_tells_what_was_measured_and_null_for_the_rest() -> None:
    """Seconds, tokens a second and dollars, four digits each; a call without tokens has neither a first one nor a price."""
    tally = Tally()
    seen = make_seen(first_token=100.5, last_chunk=102.5)
    tally.add(make_streamed(accepted=100.0, ended=103.0, seen=seen, usage=Usage(1, 0, 0, 40, 0), cost=Cost(0.0123456, "table")))
    tally.add(make_streamed(accepted=100.0, ended=103.0, seen=seen, usage=None, cost=None, ending=Ending.CUT))
    point = dict(zip(COLUMNS, show_point(7, tally), strict=True))
    assert (point["step"], point["requests"], point["errors"], point["cost_usd"]) == (7, 2, 1, 0.01235)
    assert point["p50_s"] == point["p99_s"] == pytest.approx(3.0, rel=0.01)
    assert point["first_token_p50_s"] == pytest.approx(0.5, rel=0.01) and point["tokens_per_s"] == pytest.approx(20.0, rel=0.01)
    assert show_point(8, Tally()) == [8, 0, 0, None, None, None, None, None, None, None]


def test_an_upstream_in_brief() -> None:
    """What is not closed, what an operator holds, how long it is left alone: the longest of all waits."""
    shown = show_brief(VIEW, POOLS, 1000.0)
    assert (shown["name"], shown["pools"], shown["healthy"], shown["reason"]) == ("up", ["chat"], False, "circuit_open")
    assert (shown["breaker"], shown["groups"], shown["forced"], shown["retry_after_s"]) == ("open", {"default": "open"}, ["open"], 12)
    assert (shown["in_use"], shown["concurrency"], shown["calls"], shown["failures"]) == (4, 100, 40, 4)
    assert show_brief(VIEW._replace(ejected_until=1040.0), {}, 1000.0)["retry_after_s"] == 40
    well = VIEW._replace(breakers=(BreakerView("default", "closed"),), state="closed", held_until=999.0)
    assert (show_brief(well, {}, 1000.0)["retry_after_s"], show_brief(well, {}, 1000.0)["forced"]) == (None, [])


def test_what_was_declined_does_not_crowd_out_what_failed() -> None:
    """A tenant beyond its limit fails many times a second; the one call that broke off stays in sight."""
    declined = [make_record(id=f"d{number}", ending=Ending.REFUSED) for number in range(50)]
    broken = [make_record(id=f"b{number}", ending=Ending.CUT) for number in range(20)]
    assert [record.id for record in pick_failures([*declined, *broken])] == [f"d{n}" for n in range(4)] + [f"b{n}" for n in range(8)]
    assert pick_failures([]) == []


def test_a_failure_has_its_timeline_and_no_candidates() -> None:
    """What is left out are decisions, of the call and of its attempts."""
    shown = show_failure(make_record(ending=Ending.UPSTREAM_ERROR, attempts=(make_attempt(outcome="upstream_error"),)))
    assert "decision" not in shown and all("decision" not in attempt for attempt in shown["attempts"])
    assert (shown["ending"], shown["attempts"][0]["outcome"], shown["ended_s"]) == ("upstream_error", "upstream_error", 2.0)


def test_of_models_the_busiest_are_told() -> None:
    """As many as a page has room for, and nothing of tenants."""
    models = {f"m{number}": {"requestCount": number} for number in range(30)}
    told = show_summary({"metrics": 1, "insights": 2, "upstreams": {"up": 3}, "models": models, "tenants": {"acme": 4}})
    assert told == {
        "metrics": 1,
        "insights": 2,
        "upstreams": {"up": 3},
        "models": {f"m{n}": {"requestCount": n} for n in range(29, 19, -1)},
    }
