"""What the journal has not been given yet."""

from sidecar.core.reckon.hours import HOURS_MAX, Hours
from sidecar.core.reckon.snapshots import HOUR_S, NOBODY
from sidecar.exchange import Asked
from tests.edge.telemetry.records import make_record

HOUR = 470_000 * HOUR_S
NS = 10**9


def test_a_call_belongs_to_the_hour_in_which_it_ended() -> None:
    """By the wall clock as it stood when the call came; the edge is the next hour's."""
    hours = Hours()
    for accepted_s, took_s in ((HOUR, 1.0), (HOUR + 3590, 9.0), (HOUR + 3590, 10.0), (HOUR + 3590, 3700.0)):
        hours.observe(make_record(accepted_ns=accepted_s * NS, accepted=100.0, ended=100.0 + took_s))
    assert [(hour.began, hour.ended, hour.total.requests) for hour in hours.take()] == [
        (HOUR, HOUR + 3600, 2), (HOUR + 3600, HOUR + 7200, 1), (HOUR + 7200, HOUR + 10800, 1),
    ]  # fmt: skip


def test_calls_are_told_apart_by_provider_and_model() -> None:
    """With the names that metrics have."""
    hours = Hours(lambda model: model if model == "known" else "other")
    for provider, model in (("openai", "known"), ("openai", "x"), ("ollama", "known"), ("", None)):
        hours.observe(make_record(provider=provider, asked=Asked(model=model), accepted_ns=HOUR * NS))
    (hour,) = hours.take()
    assert hour.calls.keys() == {"openai/known", "openai/other", "ollama/known", "other"}
    named = Hours()
    named.observe(make_record(provider="", asked=Asked(model=None), accepted_ns=HOUR * NS))
    assert named.take()[0].calls.keys() == {NOBODY}


def test_what_is_taken_is_gone() -> None:
    """No call is given twice."""
    hours = Hours()
    hours.observe(make_record(accepted_ns=HOUR * NS))
    assert len(hours.take()) == 1 and hours.take() == []


def test_the_oldest_are_given_up_when_nobody_takes_them() -> None:
    """Memory is bounded; what is lost is told."""
    hours = Hours()
    for number in range(HOURS_MAX + 2):
        hours.observe(make_record(accepted_ns=(HOUR + number * HOUR_S) * NS))
    assert (hours.give_up(), hours.give_up()) == (2, 0)
    kept = hours.take()
    assert len(kept) == HOURS_MAX and kept[0].began == HOUR + 2 * HOUR_S


def test_lookups_count_while_answers_are_kept() -> None:
    """From the moment on at which that changes."""
    hours = Hours(looks_up=False)
    for looks_up in (True, False, True):
        hours.adopt(looks_up=looks_up)
        hours.observe(make_record(accepted_ns=HOUR * NS, cache="miss"))
    (hour,) = hours.take()
    assert (hour.total.requests, hour.total.lookups) == (3, 2)
