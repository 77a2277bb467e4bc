"""What is out of the ordinary."""

import pytest

from sidecar.core.reckon.anomalies import RECENT_MIN, SCORE_MIN, find_anomalies, score_value
from sidecar.core.reckon.trends import Point
from tests.core.reckon.histories import HOUR_S, MIDNIGHT, NOISES, SEASONS, make_histories

LENGTHS = {"minutes of an hour": (60, 60.0, 15), "hours of a week": (168, HOUR_S, 24)}
CASES = [(length, kind) for length in LENGTHS for kind in ("normal", "uniform", "skewed", "many ties")]
CASES += [("hours of a week", kind) for kind in SEASONS]


@pytest.mark.parametrize(("length", "kind"), CASES)
def test_what_is_wild_is_found_and_the_rest_is_let_be(length: str, kind: str) -> None:
    """A last point that is three times the usual is found in 95 % of histories; of the ordinary ones at most 1 % are."""
    assert kind in {**NOISES, **SEASONS}
    points, step_s, latest = LENGTHS[length]
    hits = false = 0
    for history in make_histories(kind, 20, points, step_s, 1.0, 1.0):
        since = history[-latest][0]
        false += sum(1 for _ in find_anomalies(history, since))
        at, value = history[-1]
        found = [anomaly for anomaly in find_anomalies([*history[:-1], (at, value + 2.0)], since) if anomaly.at == at]
        hits += bool(found) and found[0].score > 0
    print(f"\n{length}, {kind}: found {hits / 20:.3f}, false {false / (20 * latest):.4f}")
    assert hits >= 19
    assert false <= 0.01 * 20 * latest


def test_the_hour_of_the_day_is_what_a_value_is_judged_by() -> None:
    """What is usual at noon is out of the ordinary at night; where days are not known, the points before say what is usual."""
    week: list[Point] = [(MIDNIGHT + place * HOUR_S, 100.0 + place % 3 if 8 <= place % 24 < 18 else 10.0) for place in range(168)]
    assert not list(find_anomalies(week, MIDNIGHT + 5 * 24 * HOUR_S))
    at_night = [*week[:-1], (week[-1][0], 100.0)]
    (anomaly,) = find_anomalies(at_night, MIDNIGHT + 6 * 24 * HOUR_S)
    assert (anomaly.at, anomaly.usual, anomaly.by_hour) == (week[-1][0], 10.0, True) and anomaly.score > SCORE_MIN
    flat = [(MIDNIGHT + place * 60.0, 5.0) for place in range(RECENT_MIN)]
    (anomaly,) = find_anomalies([*flat, (MIDNIGHT + 900.0, 1.0)], 0.0)
    assert not anomaly.by_hour and anomaly.score < -SCORE_MIN
    assert not list(find_anomalies([*flat[1:], (MIDNIGHT + 900.0, 1.0)], 0.0))


def test_the_first_error_is_no_anomaly_and_many_are() -> None:
    """Where there was never any, the smallest deviation that matters decides."""
    never = [(MIDNIGHT + place * 60.0, 0.0) for place in range(30)]
    assert not list(find_anomalies([*never, (MIDNIGHT + 1800.0, 0.02)], 0.0, least=0.01))
    assert list(find_anomalies([*never, (MIDNIGHT + 1800.0, 0.2)], 0.0, least=0.01))
    assert score_value(1.0, 0.0, 0.0) == 0.0
    assert not list(find_anomalies([], 0.0))
