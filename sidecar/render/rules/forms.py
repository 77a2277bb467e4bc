"""Forms that many rules share: sums over the sidecars of a job, and the severities of a threshold."""

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from sidecar.render.alerting import TARGET, Severity, Tier
from sidecar.render.figures import write_number
from sidecar.thresholds import Side, Terms, Threshold

_SIGNS: Final = {Side.ABOVE: ">", Side.BELOW: "<"}


class Step(NamedTuple):
    """What one severity of a threshold has of its own: how long it must have been so ("" for at once), and what it says."""

    hold: str
    summary: str


def sum_over_target(inner: str, *labels: str) -> str:
    """Return the sum of `inner` over the sidecars of a job and over `labels`; what else the target is labelled with stays."""
    return f"sum without ({', '.join((TARGET, *labels))}) (\n  {inner}\n)"


def of_sidecars(vector: str) -> str:
    """Return what a vector has of targets that are sidecars: other applications have metrics of the conventions' names, too."""
    return f"{vector}\n  and on (job, instance) llm_sidecar_build_info"


def list_limits(threshold: Threshold) -> dict[Severity, float]:
    """Return the limits that a threshold has, the lightest severity first."""
    limits = {Severity.INFO: threshold.info, Severity.WARNING: threshold.warning, Severity.CRITICAL: threshold.critical}
    return {severity: limit for severity, limit in limits.items() if limit is not None}


def list_bands(terms: Terms) -> tuple[tuple[float, float], ...]:
    """Return where the grades A, B and C end: a mean latency in seconds, and a share of errors."""
    latency, errors = terms.thresholds.mean_latency.grades, terms.thresholds.error_ratio.grades
    return () if latency is None or errors is None else tuple(zip(latency, errors, strict=True))


def print_limits(threshold: Threshold, show: Callable[[float], str]) -> str:
    """Return the limits for a sentence, such as `3s (warning) or 5s (critical)`; the limit alone where there is one."""
    limits = list_limits(threshold)
    if len(limits) == 1:
        return show(*limits.values())
    return " or ".join(f"{show(limit)} ({severity})" for severity, limit in limits.items())


def make_tiers(
    threshold: Threshold, judged: str, guard: str, show: Callable[[float], str], steps: Mapping[Severity, Step]
) -> tuple[Tier, ...]:
    """Return a tier for each severity of a threshold: `judged` on the bad side of its limit, and `guard` (`and ...`)."""
    sign = _SIGNS[threshold.bad]
    return tuple(
        Tier(severity, f"{judged} {sign} {write_number(limit)}\n{guard}", steps[severity].hold, steps[severity].summary, show(limit))
        for severity, limit in list_limits(threshold).items()
    )
