"""Where things go, as it is shown."""

import json

from sidecar.core.reckon.anomalies import Anomaly
from sidecar.core.reckon.capacity import CALLS, Ceiling, Hint
from sidecar.core.reckon.moments import Present
from sidecar.core.reckon.outlook import compare, read_flow, read_points, show_anomaly, show_hint, show_trend
from sidecar.core.reckon.signals import SIGNALS, Moment
from sidecar.core.reckon.tally import Tally
from sidecar.core.reckon.trends import Trend
from sidecar.exchange import Ending
from tests.edge.telemetry.records import make_record

LATENCY, SPEED = SIGNALS[0], SIGNALS[4]
NOTHING = (None,) * len(SIGNALS)


def make_tally(duration_s: float, calls: int = 10, errors: int = 0) -> Tally:
    """Return calls that took equally long."""
    tally = Tally()
    for number in range(calls):
        ending = Ending.UPSTREAM_ERROR if number < errors else Ending.COMPLETED
        tally.add(make_record(accepted=100.0, ended=100.0 + duration_s, ending=ending))
    return tally


def test_a_trend_and_an_anomaly_are_shown_with_their_unit() -> None:
    """Numbers are as short as they are worth reading; whether an anomaly is bad depends on its side."""
    assert show_trend(None, LATENCY) is None
    assert show_trend(Trend("declining", 12.345678, 0.43219, 0.99876, 60), LATENCY) == {
        "direction": "declining", "confidence": 0.999, "perHour": 12.346, "change": 0.432, "unit": "ms", "points": 60,
    }  # fmt: skip
    shown = show_anomaly(Anomaly(1_700_000_000.0, 12.0, 40.0, -7.23, by_hour=True), SPEED)
    assert (shown["bad"], shown["comparedWith"], shown["score"]) == (True, "same_hour", -7.2)
    assert shown["at"] == "2023-11-14T22:13:20.000Z"
    shown = show_anomaly(Anomaly(0.0, 12.0, 40.0, -7.2, by_hour=False), LATENCY)
    assert (shown["bad"], shown["comparedWith"]) == (False, "before")


def test_a_limit_is_shown_with_when_it_is_reached() -> None:
    """By the wall clock and in hours; null where it is not."""
    ceiling = Ceiling("limits.rates.all.requests.per_minute", CALLS, 200.0, 60.0)
    shown = show_hint(Hint(ceiling, 150.0, 60.0, 7200.0), Present(0.0, 1_700_000_000 * 10**9))
    assert (shown["limit"], shown["share"], shown["reachedInHours"]) == (ceiling.setting, 0.75, 2.0)
    assert (shown["reachedAt"], shown["unit"]) == ("2023-11-15T00:13:20.000Z", "{call}/h")
    shown = show_hint(Hint(ceiling._replace(most=0.0), 0.0, None, None), Present(0.0, 0))
    assert [shown[name] for name in ("share", "growthPerHour", "reachedInHours", "reachedAt")] == [None] * 4


def test_who_is_best_at_what() -> None:
    """The fastest and the one with the fewest errors; nobody where two are equal, or none is there to compare with."""
    told = compare({"slow": make_tally(4.0), "fast": make_tally(1.0, errors=2), "": make_tally(0.1), "new": make_tally(0.1, calls=2)})
    assert list(told["upstreams"]) == ["fast", "new", "slow"]
    assert (told["best"]["averageLatency"], told["best"]["errorRate"], told["best"]["costPerCallUsd"]) == ("fast", "slow", None)
    assert told["upstreams"]["new"] == {"requestCount": 2, **{signal.name: None for signal in SIGNALS}}
    assert set(compare({"one": make_tally(1.0)})["best"].values()) == {None}
    json.dumps(told, allow_nan=False)


def test_times_without_a_call_are_no_calls_and_no_measurement() -> None:
    """What flows was 0 then; a signal was not measured."""
    moments = [Moment(at, (1.0, *NOTHING[1:]) if at else NOTHING, at, 2 * at, 3 * at) for at in (0.0, 60.0, 240.0)]
    assert read_points(moments, 0) == [(60.0, 1.0), (240.0, 1.0)]
    assert read_flow(moments, CALLS, 60.0) == [(0.0, 0.0), (60.0, 60.0), (120.0, 0.0), (180.0, 0.0), (240.0, 240.0)]
    assert read_flow(moments, "cost", 60.0)[-1] == (240.0, 720.0) and read_flow(moments, "tokens", 60.0)[-1] == (240.0, 480.0)
    assert read_flow([], CALLS, 60.0) == []
