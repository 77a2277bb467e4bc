"""Alerts on the pace at which an error budget is used up: burn-rate.yml, by choice.

Google, The Site Reliability Workbook, chapter 5: several windows, several burn rates. An objective of 99 % over 30 days leaves a
budget of 1 %; a burn rate of 1 uses it up in exactly that time. The short window, a twelfth of the long one, ends the alert
soon after the failures end.
"""

from typing import Final, NamedTuple

from sidecar.exchange import SERVICE_ERRORS
from sidecar.render.alerting import TARGET, Alert, Article, Recording, Severity, Tier
from sidecar.render.figures import print_number, print_percentage, write_number
from sidecar.thresholds import Terms


class Pace(NamedTuple):
    """One burn rate: `factor` times the pace that the budget lasts for, over both windows, for as long as `hold`; all in minutes."""

    severity: Severity
    long_min: int
    short_min: int
    factor: float
    hold_min: int

    @property
    def long(self) -> str:
        """The longer window, as PromQL writes it."""
        return print_window(self.long_min)

    @property
    def short(self) -> str:
        """The shorter window."""
        return print_window(self.short_min)

    @property
    def hold(self) -> str:
        """How long it must have been so."""
        return print_window(self.hold_min)


# 2, 5, 10 and 10 % of the budget of 30 days, gone within the long window; holds as in kubernetes-mixin.
PACES: Final = (
    Pace(Severity.CRITICAL, 60, 5, 14.4, 2),
    Pace(Severity.CRITICAL, 6 * 60, 30, 6.0, 15),
    Pace(Severity.WARNING, 24 * 60, 2 * 60, 3.0, 60),
    Pace(Severity.WARNING, 3 * 24 * 60, 6 * 60, 1.0, 3 * 60),
)
_SUMMARIES: Final = {
    Severity.CRITICAL: "Failing calls use up the error budget within days.",
    Severity.WARNING: "Failing calls use up the error budget before its time is over.",
}
RATIO: Final = "job:llm_sidecar_service_errors_per_requests:ratio_rate"
_REQUESTS: Final = "job:llm_sidecar_service_requests:rate5m"
_ERRORS: Final = "job:llm_sidecar_service_errors:rate5m"
_ENDINGS: Final = "|".join(sorted(map(str, SERVICE_ERRORS)))
_ALL: Final = f"{TARGET}, route, provider, model, ending"


def print_window(minutes: int) -> str:
    """Return a time as PromQL and rules write it: 90 is 90m, 120 is 2h."""
    unit, symbol = next((unit, symbol) for unit, symbol in ((1440, "d"), (60, "h"), (1, "m")) if minutes % unit == 0)
    return f"{minutes // unit}{symbol}"


def allow_errors(terms: Terms, pace: Pace) -> float:
    """Return the share of failing calls at which the budget is used up at that pace; at 1 or more it never is."""
    return pace.factor * (1 - terms.objective.success_ratio)


def list_paces(terms: Terms) -> tuple[Pace, ...]:
    """Return the paces that an objective can be missed at: when all calls fail, that is the fastest there is."""
    return tuple(pace for pace in PACES if allow_errors(terms, pace) < 1)


def write_head(terms: Terms) -> str:
    """Return the comment at the head of burn-rate.yml."""
    objective = print_percentage(terms.objective.success_ratio)
    left_out = [pace for pace in PACES if pace not in list_paces(terms)]
    lines = [
        f"Burn rates of the error budget: {objective} of the calls of a job succeed, over 30 days.",
        "",
        "By choice, beside rules.yml or without it. Page from one of the two only: where these page, take the severity critical out of",
        "LLMHighErrorRatio, or route it to nobody. Of both, one outage makes two pages.",
        "Longer windows are made of the recorded 5 minutes: until the file has been loaded that long, they are as long as that.",
    ]
    if left_out:
        factors = ", ".join(print_number(pace.factor) for pace in left_out)
        lines += ["", f"Left out: burn rates of {factors}. An objective of {objective} allows more failures than there can be calls."]
    return "\n".join(lines)


def list_recordings(terms: Terms) -> tuple[Recording, ...]:
    """Return the share of calls that failed over every window, after the rates of calls and of failures over 5 minutes.

    Longer windows are sums of the recorded rates: a rate over days of every series of every sidecar would read millions of samples.
    """
    windows = dict.fromkeys(window for pace in list_paces(terms) for window in (pace.short, pace.long))
    return (
        Recording(_REQUESTS, f"sum without ({_ALL}) (\n  rate(llm_sidecar_requests_total[5m])\n)"),
        Recording(_ERRORS, f'sum without ({_ALL}) (\n  rate(llm_sidecar_requests_total{{ending=~"{_ENDINGS}"}}[5m])\n)'),
        *(Recording(f"{RATIO}{window}", f"{_sum_up(_ERRORS, window)}\n/ ({_sum_up(_REQUESTS, window)} > 0)") for window in windows),
    )


def _sum_up(recorded: str, window: str) -> str:
    return recorded if window == "5m" else f"sum_over_time({recorded}[{window}])"


def list_rules(terms: Terms) -> tuple[Alert, ...]:
    """Return the one alert, at every pace."""
    return (
        Alert(
            "LLMErrorBudgetBurn",
            tuple(_watch_pace(terms, pace) for pace in list_paces(terms)),
            "{{ $value | humanizePercentage }} of the calls of {{ $labels.job }} failed over the longer of two windows, above the limit of "
            f"{{limit}} over both: more than an objective of {print_percentage(terms.objective.success_ratio)} over 30 days allows.",
            "llm-sidecar-overview",
            _write_article(terms),
        ),
    )


def _watch_pace(terms: Terms, pace: Pace) -> Tier:
    limit = write_number(allow_errors(terms, pace))
    expr = (
        f"{RATIO}{pace.long} > {limit}\n"
        f"and {RATIO}{pace.short} > {limit}\n"
        f"and avg_over_time({_REQUESTS}[{pace.short}]) * {60 * pace.short_min} >= {terms.traffic.calls}"
    )
    windows = (("long", pace.long), ("short", pace.short))
    return Tier(pace.severity, expr, pace.hold, _SUMMARIES[pace.severity], print_percentage(allow_errors(terms, pace)), windows)


def _write_article(terms: Terms) -> Article:
    limits = "; ".join(
        f"{print_percentage(allow_errors(terms, pace))} over {pace.long} and {pace.short} for {pace.hold} "
        f"({pace.severity}, {print_number(pace.factor)} times the pace that the budget lasts for)"
        for pace in list_paces(terms)
    )
    return Article(
        f"The objective is that {print_percentage(terms.objective.success_ratio)} of the calls of a job succeed over 30 days. What may "
        f"fail is its error budget, and it is used up too fast: more calls failed than {limits}; each in at least {terms.traffic.calls} "
        "calls in the shorter window. Failures are those of LLMHighErrorRatio. The labels `long` and `short` name the windows that fire.",
        "Callers get errors. Critical: at this pace the budget is gone within days, by an outage or close to one. Warning: it will be "
        "gone before its 30 days are over.",
        'As for LLMHighErrorRatio: "Calls that did not complete" shows which ending it is, "Error ratio by route" where. A warning is most '
        "often one route, model or upstream that has been failing at times for hours: look at a range of days.",
        "As for LLMHighErrorRatio. Where the budget is spent, put off what is risky. An objective that is always missed, or that nobody "
        "would be woken for, is the wrong one: render the rules with another `objective.success_ratio`.",
        (
            f'sum by (job, route, ending) (increase(llm_sidecar_requests_total{{ending=~"{_ENDINGS}"}}[1d])) > 0',
            "sum by (job) (increase(llm_sidecar_requests_total[1d]))",
        ),
    )
