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
    statistic: str  # which figure of the signal is compared: mean, p95, median, ratio, rate, value, multiple (of what it was)
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
# Of all calls on a route that the provider answered with 429, of a tenant's that our own limits refused.
RATE_LIMITED_RATIO: Final = Threshold("rate_limited", "ratio", "1", Side.ABOVE, warning=0.05)
TENANT_LIMITED_RATIO: Final = Threshold("tenant_limited", "ratio", "1", Side.ABOVE, warning=0.05)
CUT_RATIO: Final = Threshold("answers_cut", "ratio", "1", Side.ABOVE, warning=0.01)
TOOL_ERROR_RATIO: Final = Threshold("tool_errors", "ratio", "1", Side.ABOVE, warning=0.15)
SPANS_DROPPED_RATIO: Final = Threshold("spans_dropped", "ratio", "1", Side.ABOVE, warning=0.01)
# Of what the process may take: beyond it the system ends it.
MEMORY_USED: Final = Threshold("memory_used", "value", "1", Side.ABOVE, warning=0.80, critical=0.95)
# What the sidecar itself adds to a call, on the side of the request.
OVERHEAD_P99: Final = Threshold("overhead", "p99", "s", Side.ABOVE, warning=0.05)
# Cost per hour as a multiple of what it was at the same time a day ago.
COST_SPIKE: Final = Threshold("cost_spike", "multiple", "1", Side.ABOVE, warning=3.0)
REQUESTS_PER_MINUTE: Final = Threshold("requests", "rate", "{request}/min", Side.BELOW, warning=10.0, target=100.0, opt_in=True)
QUALITY: Final = Threshold("quality", "mean", "1", Side.BELOW, warning=0.7, target=0.9, opt_in=True)

# "F when most calls fail": beyond this share of errors the grade is F whatever the latency.
FAILING_ERROR_RATIO: Final = 0.5


class Thresholds(NamedTuple):
    """The table: one threshold per signal. Field names are the keys of a file of thresholds."""

    mean_latency: Threshold = MEAN_LATENCY
    latency_p95: Threshold = LATENCY_P95
    error_ratio: Threshold = ERROR_RATIO
    cache_hit_ratio: Threshold = CACHE_HIT_RATIO
    time_to_first_token_p95: Threshold = TIME_TO_FIRST_TOKEN_P95
    output_tokens_per_second: Threshold = OUTPUT_TOKENS_PER_SECOND
    response_time: Threshold = RESPONSE_TIME
    ratelimit_remaining: Threshold = RATELIMIT_REMAINING
    budget_spent: Threshold = BUDGET_SPENT
    rate_limited_ratio: Threshold = RATE_LIMITED_RATIO
    tenant_limited_ratio: Threshold = TENANT_LIMITED_RATIO
    cut_ratio: Threshold = CUT_RATIO
    tool_error_ratio: Threshold = TOOL_ERROR_RATIO
    spans_dropped_ratio: Threshold = SPANS_DROPPED_RATIO
    memory_used: Threshold = MEMORY_USED
    overhead_p99: Threshold = OVERHEAD_P99
    cost_spike: Threshold = COST_SPIKE
    requests_per_minute: Threshold = REQUESTS_PER_MINUTE
    quality: Threshold = QUALITY


class Traffic(NamedTuple):
    """The least that must have happened before an alert says anything: idle is no alert, and one failure out of one is none."""

    calls: int = 20  # within 5 minutes, where a share of calls is judged
    timed_calls: int = 10  # within 5 minutes, where a mean or quantile is judged: calls, streams
    cut_answers: int = 3  # within 15 minutes
    events: int = 10  # of what is counted one by one: calls refused, shed or without a price, spans or content lost
    cache_lookups: int = 50  # within 30 minutes
    cost_usd_per_hour: float = 1.0  # below it no rise is a spike


class Objective(NamedTuple):
    """A service level objective: the share of calls that do not fail, over 30 days (Google, The Site Reliability Workbook, chapter 5)."""

    success_ratio: float = 0.99


class Links(NamedTuple):
    """Where alerts lead. What is not absolute stays relative, as it was committed."""

    runbook: str = "alerts/runbook.md"  # an alert's heading follows behind `#`
    dashboards: str = ""  # Grafana's root address; `/d/UID` follows


class Terms(NamedTuple):
    """All that dashboards, rules and runbook depend on beside the catalogue."""

    thresholds: Thresholds = Thresholds()
    traffic: Traffic = Traffic()
    objective: Objective = Objective()
    links: Links = Links()
