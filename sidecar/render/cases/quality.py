"""Cases of the alert on answers that are rated low."""

from collections.abc import Mapping
from typing import Final

from sidecar.render.alerting import Severity
from sidecar.render.cases.case import Case, Reading
from sidecar.render.cases.judged import Judged, judge
from sidecar.render.cases.series import Series, grow, name_series
from sidecar.render.figures import print_number
from sidecar.render.rules.quality import MEAN
from sidecar.thresholds import Terms

_SCORE: Final = "llm_sidecar_quality_score"


def list_cases(terms: Terms) -> tuple[Case, ...]:
    """Return the cases."""
    low = Judged(
        "LLMLowQuality", "Answers that are rated low", terms.thresholds.quality, terms.traffic.events, print_number,
        {Severity.WARNING: 10}, 15, "model", _draw, {"provider": "openai"}, 15,
    )  # fmt: skip
    return *judge(low), _check_rare()


def _check_rare() -> Case:
    """A single rating is a mean, and none is no number."""
    series = [
        each
        for model, per_minute in (("rare", 0.05), ("idle", 0.0))
        for each in _draw({"provider": "openai", "model": model}, 0.5, per_minute)
    ]
    samples = ((name_series(MEAN, provider="openai", model="rare").replace(',instance="a:9464"', ""), 0.5),)
    return Case("What nobody rated has no mean.", tuple(series), (), readings=(Reading("45m", MEAN, samples),))


def _draw(labels: Mapping[str, str], value: float, per_minute: float, until: int | None = None) -> tuple[Series, ...]:
    return (
        grow(name_series(f"{_SCORE}_count", **labels), per_minute, until),
        grow(name_series(f"{_SCORE}_sum", **labels), per_minute * value, until),
    )
