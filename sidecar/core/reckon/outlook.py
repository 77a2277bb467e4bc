"""Where things go, as /api/trends shows it: trends, anomalies, how near limits are, and who is best at what."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from sidecar.core.reckon.anomalies import Anomaly
from sidecar.core.reckon.capacity import CALLS, COST, IN_FLIGHT, TOKENS, Hint
from sidecar.core.reckon.decisions import round_or_none
from sidecar.core.reckon.moments import Present, show_wall
from sidecar.core.reckon.signals import SIGNALS, Moment, Signal
from sidecar.core.reckon.tally import Tally
from sidecar.core.reckon.trends import Point, Trend
from sidecar.thresholds import Side

_HOUR_S: Final = 3_600
_UNITS: Final = {CALLS: "{call}/h", TOKENS: "{token}/h", COST: "usd/h", IN_FLIGHT: "{call}"}

_READ: Final[Mapping[str, Callable[[Moment], float]]] = {
    CALLS: lambda moment: moment.calls_per_hour,
    TOKENS: lambda moment: moment.tokens_per_hour,
    COST: lambda moment: moment.usd_per_hour,
}


def read_points(moments: Sequence[Moment], place: int) -> list[Point]:
    """Return the points of one of SIGNALS, where enough was measured."""
    return [(moment.at, value) for moment in moments if (value := moment.values[place]) is not None]


def read_flow(moments: Sequence[Moment], measure: str, span_s: float) -> list[Point]:
    """Return how much there was per hour, by measure of a ceiling; 0 where there is no moment between two that are `span_s` apart."""
    if not moments:
        return []
    began = moments[0].at
    known = {round((moment.at - began) / span_s): _READ[measure](moment) for moment in moments}
    return [(began + number * span_s, known.get(number, 0.0)) for number in range(max(known) + 1)]


def show_trend(trend: Trend | None, signal: Signal) -> dict[str, Any] | None:
    """Return the trend of one signal."""
    if trend is None:
        return None
    return {
        "direction": trend.direction,
        "confidence": round(trend.confidence, 3),
        "perHour": _shorten(trend.per_hour),
        "change": round_or_none(trend.change, 3),
        "unit": signal.unit,
        "points": trend.points,
    }


def show_anomaly(anomaly: Anomaly, signal: Signal) -> dict[str, Any]:
    """Return one thing that was out of the ordinary."""
    return {
        "signal": signal.name,
        "at": show_wall(round(anomaly.at * 1e9)),
        "value": _shorten(anomaly.value),
        "usual": _shorten(anomaly.usual),
        "unit": signal.unit,
        "score": round(anomaly.score, 1),
        "bad": (anomaly.score > 0) is (signal.bad is Side.ABOVE),
        "comparedWith": "same_hour" if anomaly.by_hour else "before",
    }


def show_hint(hint: Hint, present: Present) -> dict[str, Any]:
    """Return how one limit is used."""
    ceiling, seconds = hint.ceiling, hint.reached_in_s
    return {
        "limit": ceiling.setting,
        "unit": _UNITS[ceiling.measure],
        "most": _shorten(ceiling.most),
        "used": _shorten(hint.used),
        "share": round(hint.used / ceiling.most, 3) if ceiling.most else None,
        "growthPerHour": None if hint.per_hour is None else _shorten(hint.per_hour),
        "reachedInHours": None if seconds is None else round(seconds / _HOUR_S, 1),
        "reachedAt": None if seconds is None else show_wall(present.wall_ns + round(seconds * 1e9)),
    }


def compare(tallies: Mapping[str, Tally]) -> dict[str, Any]:
    """Return the signals of each upstream side by side, and who is best at each: nobody where fewer than two can be compared."""
    rows = {name: {signal.name: signal.read(tally) for signal in SIGNALS} for name, tally in sorted(tallies.items()) if name}
    best: dict[str, str | None] = {}
    for signal in SIGNALS:
        known = {name: value for name, row in rows.items() if (value := row[signal.name]) is not None}
        values = known.values()
        wanted = min(values, default=None) if signal.bad is Side.ABOVE else max(values, default=None)
        winners = [name for name, value in known.items() if value == wanted]
        best[signal.name] = winners[0] if len(winners) == 1 and len(known) > 1 else None
    shown = {name: {"requestCount": tallies[name].requests, **_shorten_all(row)} for name, row in rows.items()}
    return {"upstreams": shown, "best": best}


def _shorten_all(row: Mapping[str, float | None]) -> dict[str, float | None]:
    return {name: None if value is None else _shorten(value) for name, value in row.items()}


def _shorten(value: float) -> float:
    """Return a number with the five digits that are worth reading: costs are small, tokens many."""
    return float(f"{value:.5g}")
