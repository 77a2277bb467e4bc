"""The last hour in one object, as /api/performance and /debug/metrics show it: milliseconds; null for what was not measured."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from sidecar.core.reckon.advice import Situation, advise
from sidecar.core.reckon.grades import Grade, grade
from sidecar.core.reckon.moments import Present, show_wall
from sidecar.core.reckon.tally import Tally
from sidecar.core.reckon.window import Who
from sidecar.thresholds import Terms

_STATUSES: dict[str, str] = {"A": "healthy", "B": "healthy", "C": "degraded", "D": "degraded", "F": "unhealthy"}
_SHARES = (0.5, 0.9, 0.95, 0.99)


class Sums(NamedTuple):
    """Tallies of the same calls, added up in every way they are told apart."""

    total: Tally
    upstreams: dict[str, Tally]
    models: dict[str, Tally]
    tenants: dict[str, Tally]

    @classmethod
    def start(cls) -> "Sums":
        """Return sums of nothing."""
        return cls(Tally(), {}, {}, {})

    def add(self, who: Who, tally: Tally) -> None:
        """Add the calls of one combination."""
        self.total.merge(tally)
        for sums, name in ((self.upstreams, who.upstream), (self.models, who.model), (self.tenants, who.tenant)):
            sums.setdefault(name, Tally()).merge(tally)


def show_performance(sums: Sums, span_s: float, present: Present, kept_answers: int, terms: Terms) -> dict[str, Any]:
    """Return the object. `span_s`: how much time it tells of; `kept_answers`: entries of the cache in this process."""
    total = sums.total
    graded = grade(total, terms.thresholds)
    situation = Situation(total, sums.upstreams, sums.models)
    return {
        "metrics": _show_metrics(total, span_s),
        "cache": {"size": kept_answers, "hitRate": total.hit_ratio, "hits": total.hits, "misses": total.lookups - total.hits},
        "insights": {
            "status": "healthy" if graded is None else _STATUSES[graded.letter],
            "performanceGrade": None if graded is None else graded.letter,
            "reasons": [] if graded is None else _show_reasons(graded),
            "recommendations": advise(situation, terms),
        },
        "upstreams": _show_each(sums.upstreams, terms),
        "models": _show_each(sums.models, terms),
        "tenants": _show_each(sums.tenants, terms),
        "windowSeconds": round(span_s, 1),
        "timestamp": show_wall(present.wall_ns),
    }


def _show_metrics(tally: Tally, span_s: float) -> dict[str, Any]:
    durations, first_tokens = tally.durations, tally.first_tokens
    (speed,) = tally.speeds.quantiles(0.5)
    bounds = (durations.minimum, durations.maximum) if durations.count else (None, None)
    quantiles = zip(("p50", "p90", "p95", "p99"), durations.quantiles(*_SHARES), strict=True)
    latency = {**dict(quantiles), "min": bounds[0], "max": bounds[1]}
    first = dict(zip(("p50", "p95"), first_tokens.quantiles(0.5, 0.95), strict=True))
    return {
        "requestCount": tally.requests,
        "averageLatency": _in_ms(durations.mean),
        "errorRate": tally.error_ratio,
        "cacheHitRate": tally.hit_ratio,
        "requestsPerMinute": round(tally.requests / span_s * 60, 3) if span_s > 0 else None,
        "latency": {name: _in_ms(value) for name, value in latency.items()},
        "timeToFirstToken": {name: _in_ms(value) for name, value in first.items()},
        "tokens": {
            "input": tally.input_tokens if tally.usages else None,
            "output": tally.output_tokens if tally.usages else None,
            "perSecond": None if speed is None else round(speed, 2),
        },
        "costUsd": round(tally.cost_usd, 9) if tally.costs else None,
    }  # fmt: skip


def _show_each(tallies: Mapping[str, Tally], terms: Terms) -> dict[str, Any]:
    return {name: _show_one(tally, terms) for name, tally in sorted(tallies.items()) if name}


def _show_one(tally: Tally, terms: Terms) -> dict[str, Any]:
    graded = grade(tally, terms.thresholds)
    (late,) = tally.durations.quantiles(0.95)
    return {
        "requestCount": tally.requests, "errorRate": tally.error_ratio, "averageLatency": _in_ms(tally.durations.mean),
        "p95Latency": _in_ms(late), "p95TimeToFirstToken": _in_ms(tally.first_tokens.quantiles(0.95)[0]),
        "tokensPerSecond": _round(tally.speeds.quantiles(0.5)[0]), "costUsd": round(tally.cost_usd, 9) if tally.costs else None,
        "grade": None if graded is None else graded.letter,
    }  # fmt: skip


def _show_reasons(graded: Grade) -> list[dict[str, Any]]:
    return [{"signal": reason.signal, "value": round(reason.value, 4), "grade": reason.letter} for reason in graded.reasons]


def _in_ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 3)


def _round(number: float | None) -> float | None:
    return None if number is None else round(number, 2)
