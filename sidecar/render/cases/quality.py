"""Cases of the alert on answers that are rated low."""

from collections.abc import Mapping
from typing import Final

from sidecar.render.alerting import Severity
from sidecar.render.cases.case import Case
from sidecar.render.cases.judged import Judged, judge
from sidecar.render.cases.series import Series, grow, name_series
from sidecar.render.figures import print_number
from sidecar.thresholds import Terms

_SCORE: Final = "llm_sidecar_quality_score"


def list_cases(terms: Terms) -> tuple[Case, ...]:
    """Return the cases."""
    low = Judged(
        "LLMLowQuality", "Answers that are rated low", terms.thresholds.quality, terms.traffic.events, print_number,
        {Severity.WARNING: 10}, 15, "model", _draw, {"provider": "openai"}, 15,
    )  # fmt: skip
    return judge(low)


def _draw(labels: Mapping[str, str], value: float, per_minute: float, until: int | None = None) -> tuple[Series, ...]:
    return (
        grow(name_series(f"{_SCORE}_count", **labels), per_minute, until),
        grow(name_series(f"{_SCORE}_sum", **labels), per_minute * value, until),
    )
