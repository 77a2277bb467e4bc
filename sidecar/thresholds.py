"""Where good ends and bad begins: every threshold once, as data.

Dashboards, alert rules, grades, bands, bucket edges and documents are made from this table or
checked against it. Seconds, ratios of 0 to 1, tokens per second, requests per minute.
"""

from enum import StrEnum
from typing import Final, NamedTuple


class Side(StrEnum):
    """Which side of a limit is the bad one."""

    ABOVE = "above"
    BELOW = "below"


class Band(NamedTuple):
    """One named range of a signal. Bands are listed best first; the last has no limit."""

    name: str
    limit: float | None  # the band's far end, seen from the best value


class Threshold(NamedTuple):
    """What one signal's values mean. `None`: the signal has no such limit."""

    signal: str
    statistic: str  # which figure of the signal is compared: mean, p95, median, ratio, rate, value
    unit: str  # "s", "1", "{token}/s", "{request}/min"
    bad: Side
    info: float | None = None
    warning: float | None = None
    critical: float | None = None
    grades: tuple[float, float, float] | None = None  # limits of A, B and C; beyond them D
    bands: tuple[Band, ...] = ()
    target: float | None = None
    opt_in: bool = False

    @property
    def limits(self) -> tuple[float, ...]:
        """Every value at which something changes, ascending."""
        found = {limit for limit in (self.info, self.warning, self.critical) if limit is not None}
        found.update(self.grades or ())
        found.update(band.limit for band in self.bands if band.limit is not None)
        return tuple(sorted(found))


MEAN_LATENCY: Final = Threshold("latency", "mean", "s", Side.ABOVE, warning=3.0, critical=5.0, grades=(2.0, 3.0, 5.0))
LATENCY_P95: Final = Threshold("latency", "p95", "s", Side.ABOVE, warning=3.0, critical=10.0)
ERROR_RATIO: Final = Threshold("errors", "ratio", "1", Side.ABOVE, warning=0.05, critical=0.15, grades=(0.01, 0.05, 0.15))
CACHE_HIT_RATIO: Final = Threshold("cache_hits", "ratio", "1", Side.BELOW, info=0.20)
TIME_TO_FIRST_TOKEN_P95: Final = Threshold(
    "time_to_first_token", "p95", "s", Side.ABOVE, warning=3.0, bands=(Band("excellent", 1.0), Band("good", 3.0), Band("slow", None))
)
OUTPUT_TOKENS_PER_SECOND: Final = Threshold(
    "output_tokens_per_second", "median", "{token}/s", Side.BELOW, warning=10.0,
    bands=(Band("excellent", 50.0), Band("good", 20.0), Band("acceptable", 10.0), Band("slow", None)),
)  # fmt: skip
RESPONSE_TIME: Final = Threshold(
    "response_time", "value", "s", Side.ABOVE,
    bands=(Band("excellent", 2.0), Band("good", 5.0), Band("slow", 10.0), Band("very slow", None)),
)  # fmt: skip
# What a provider says is left of its own limit: a few minutes' notice before it answers with 429.
RATELIMIT_REMAINING: Final = Threshold("ratelimit_remaining", "mean", "1", Side.BELOW, info=0.20, warning=0.05)
# Of what a tenant may spend in a day or month: the warning is what budgets.soft is where nothing else is said.
BUDGET_SPENT: Final = Threshold("budget_spent", "value", "1", Side.ABOVE, warning=0.80, critical=1.0, opt_in=True)
REQUESTS_PER_MINUTE: Final = Threshold("requests", "rate", "{request}/min", Side.BELOW, warning=10.0, target=100.0, opt_in=True)
QUALITY: Final = Threshold("quality", "mean", "1", Side.BELOW, warning=0.7, target=0.9, opt_in=True)

THRESHOLDS: Final[tuple[Threshold, ...]] = (
    MEAN_LATENCY, LATENCY_P95, ERROR_RATIO, CACHE_HIT_RATIO, TIME_TO_FIRST_TOKEN_P95,
    OUTPUT_TOKENS_PER_SECOND, RESPONSE_TIME, RATELIMIT_REMAINING, BUDGET_SPENT, REQUESTS_PER_MINUTE, QUALITY,
)  # fmt: skip

# "F when most calls fail": beyond this share of errors the grade is F whatever the latency.
FAILING_ERROR_RATIO: Final = 0.5
