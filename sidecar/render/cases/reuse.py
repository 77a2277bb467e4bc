"""Cases of the alert on a cache that finds little."""

from collections.abc import Mapping
from typing import Final

from sidecar.render.alerting import Severity
from sidecar.render.cases.case import Case
from sidecar.render.cases.judged import Judged, judge
from sidecar.render.cases.series import Series, grow, name_series
from sidecar.render.figures import print_percentage
from sidecar.thresholds import Terms

_LOOKUPS: Final = "llm_sidecar_cache_lookups_total"
_HITS: Final = "llm_sidecar_cache_hits_total"
_MINUTES: Final = 90
_END: Final = 70  # a window and a hold of 30 minutes come first


def list_cases(terms: Terms) -> tuple[Case, ...]:
    """Return the cases."""
    hits = Judged(
        "LLMLowCacheHitRatio", "Caches that find little", terms.thresholds.cache_hit_ratio, terms.traffic.cache_lookups,
        print_percentage, {Severity.INFO: 30}, 10, "job", _draw, {}, minutes=30, end=_END,
    )  # fmt: skip
    return judge(hits)


def _draw(labels: Mapping[str, str], value: float, per_minute: float, until: int | None = None) -> tuple[Series, ...]:
    hits = value * per_minute
    return (
        grow(name_series(_LOOKUPS, **labels), per_minute, until, _MINUTES),
        grow(name_series(_HITS, **labels, level="hot"), 0.75 * hits, until, _MINUTES),
        grow(name_series(_HITS, **labels, level="shared"), 0.25 * hits, until, _MINUTES),
    )
