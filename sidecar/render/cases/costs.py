"""The case of an alert on cost that rises: a day of spending, and the day after."""

from collections.abc import Iterable
from typing import Final

from sidecar.render.alerting import Severity
from sidecar.render.cases.case import Case, Check, Firing
from sidecar.render.cases.series import Phase, Series, climb, list_near, name_series
from sidecar.render.figures import print_number
from sidecar.render.rules.forms import list_limits
from sidecar.thresholds import Terms

_COST: Final = "llm_sidecar_cost_usd_total"
_ALERT: Final = "LLMCostSpike"
# Minutes after the start. The day before begins with an hour that is not whole.
_RISE: Final = 25 * 60
_LATER: Final = _RISE + 20
_FALL: Final = _RISE + 120
_END: Final = _FALL + 20
_DAY: Final = 24 * 60


def list_cases(terms: Terms) -> tuple[Case, ...]:
    """Return the case."""
    threshold, floor_usd = terms.thresholds.cost_spike, terms.traffic.cost_usd_per_hour
    limit, near = list_limits(threshold)[Severity.WARNING], dict(list_near(threshold))
    beyond, usual, many = near["beyond-warning"], 2 * floor_usd, 5 * limit
    series = [
        *_draw_spike("app", usual / 4, beyond, "provider", "table"),
        *_draw_spike("app", usual / 4, beyond, "provider", "table", instance="b:9464"),
        *_draw_spike("short", usual, near["short-of-warning"], "table"),
        *_draw_spike("estimated", usual, many, "estimated"),
        *_draw("cheap", (floor_usd * 0.95 / many, _LATER), (floor_usd * 0.95, _END - _LATER)),
        *_draw("hardly dear", (floor_usd * 0.7 / many, _LATER), (floor_usd * 0.7, _END - _LATER)),
        *_draw("hardly dear", (floor_usd * 0.35 / many, _LATER), (floor_usd * 0.35, _END - _LATER), instance="b:9464"),
        *_draw("unpaid before", (0, _RISE), (100 * usual, _END - _RISE)),
        *_draw("over", (100 * usual, _RISE), (0, _END - _RISE)),
        (name_series(_COST, "new", provider="openai", model="m", source="table"), f"_x{_RISE} 0+{usual!r}x{_END - _RISE}"),
    ]
    told = Firing(Severity.WARNING, {"job": "app"}, print_number(beyond))
    dear = Firing(Severity.WARNING, {"job": "hardly dear"}, print_number(many))
    # It fires 10 minutes after so much of the hour is dear; a minute or two more or less, where the beginning of the window counts.
    passed = _RISE + int(60 * (limit - 1) / (beyond - 1)) + 1
    checks = (
        Check(f"{passed + 8}m", _ALERT),
        Check(f"{max(passed + 12, _RISE + 61)}m", _ALERT, (told,)),
        Check(f"{_FALL}m", _ALERT, (told, dear)),
        Check(f"{_FALL + 10}m", _ALERT, (told, dear)),
        Check(f"{_FALL + 11}m", _ALERT, (dear,)),
    )
    return (
        Case(
            "A cost far above that of the day before is told where it is worth telling, and where there was a day before.",
            tuple(series),
            checks,
        ),
    )


def _draw(job: str, *hours: Phase, source: str = "table", instance: str = "a:9464") -> Iterable[Series]:
    """Draw what is spent per hour, for so many minutes each."""
    labels = {"provider": "openai", "model": "m", "source": source, "instance": instance}
    yield climb(name_series(_COST, job, **labels), *((usd / 60, minutes) for usd, minutes in hours))


def _draw_spike(job: str, usual: float, times: float, *sources: str, instance: str = "a:9464") -> Iterable[Series]:
    """Draw spending that rises to `times` what is usual. The same had happened the day before, from `_FALL` on, and worse."""
    fallen = _FALL + 1 - _DAY
    hours = ((usual, fallen - 1), (60 * 10 * times * usual, 1), (usual, _RISE - fallen), (times * usual, _END - _RISE))
    for source in sources:
        yield from _draw(job, *hours, source=source, instance=instance)
