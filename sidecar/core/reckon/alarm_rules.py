"""The alerts that a sidecar judges by itself: those rules for Prometheus whose numbers one process has, by the same thresholds.

What Prometheus tells by route is told by upstream here, and by model what it tells by provider and model. A sidecar knows itself
alone: nothing is summed over the sidecars of a job.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

from sidecar.config import Force
from sidecar.core.admit.spending_sums import Balance
from sidecar.core.choose.views import UpstreamView
from sidecar.core.reckon.alarms import Finding, Labels, Rule, Severity, Tier
from sidecar.core.reckon.lately import Calls, Lately, Streams
from sidecar.thresholds import Side, Terms, Threshold

_INFO, _WARNING, _CRITICAL = Severity.INFO, Severity.WARNING, Severity.CRITICAL
_ALL: Final = "*"  # all tenants together, as metrics name them

MEAN_LATENCY: Final = Rule(
    "LLMHighAverageLatency",
    {_WARNING: Tier(300.0, "Calls take long on average."), _CRITICAL: Tier(300.0, "Calls take very long on average.")}, 600.0,
)  # fmt: skip
LATENCY_P95: Final = Rule(
    "LLMHighLatencyP95",
    {
        _WARNING: Tier(600.0, "The slowest twentieth of calls takes long."),
        _CRITICAL: Tier(300.0, "The slowest twentieth of calls takes very long."),
    },
    600.0,
)
ERROR_RATIO: Final = Rule(
    "LLMHighErrorRatio", {_WARNING: Tier(300.0, "Calls fail."), _CRITICAL: Tier(120.0, "Many calls fail.")}, 300.0
)  # fmt: skip
RATE_LIMITED: Final = Rule("LLMUpstreamRateLimited", {_WARNING: Tier(600.0, "The provider refuses calls with status 429.")}, 300.0)
CUT: Final = Rule("LLMAnswersCut", {_WARNING: Tier(300.0, "Answers break off before their end.")}, 600.0)
FIRST_TOKEN: Final = Rule("LLMSlowFirstToken", {_WARNING: Tier(600.0, "Streams begin late.")}, 600.0)
SPEED: Final = Rule("LLMSlowGeneration", {_WARNING: Tier(600.0, "Streams write slowly.")}, 600.0, Side.BELOW)
HIT_RATIO: Final = Rule(
    "LLMLowCacheHitRatio", {_INFO: Tier(1800.0, "The cache finds little of what is looked for.")}, 600.0, Side.BELOW
)  # fmt: skip
BREAKER: Final = Rule("LLMCircuitBreakerOpen", {_WARNING: Tier(120.0, "An upstream fails and is left alone.")}, 300.0)
UNHEALTHY: Final = Rule("LLMUpstreamUnhealthy", {_WARNING: Tier(120.0, "An upstream is out of order.")}, 300.0)
UNAVAILABLE: Final = Rule("LLMNoUpstreamAvailable", {_CRITICAL: Tier(60.0, "Every upstream of a route fails.")}, 300.0)
NEARLY_SPENT: Final = Rule("LLMBudgetNearlySpent", {_WARNING: Tier(0.0, "A budget is nearly spent.")})
SPENT: Final = Rule("LLMBudgetSpent", {_CRITICAL: Tier(60.0, "A budget is spent, and calls are refused.")}, 600.0)
STOPPED: Final = Rule("LLMSpendingStopped", {_WARNING: Tier(300.0, "Spending is stopped.")})
MEMORY: Final = Rule(
    "LLMSidecarMemoryHigh",
    {_WARNING: Tier(600.0, "A sidecar uses much memory."), _CRITICAL: Tier(120.0, "A sidecar runs out of memory.")}, 600.0,
)  # fmt: skip
RULES: Final = (
    MEAN_LATENCY, LATENCY_P95, ERROR_RATIO, RATE_LIMITED, CUT, FIRST_TOKEN, SPEED, HIT_RATIO, BREAKER, UNHEALTHY, UNAVAILABLE,
    NEARLY_SPENT, SPENT, STOPPED, MEMORY,
)  # fmt: skip


class Situation(NamedTuple):
    """All that is judged: the last minutes of calls, and how things stand now."""

    lately: Lately
    upstreams: Sequence[UpstreamView] = ()
    balances: Sequence[Balance] = ()
    stopped: frozenset[str] = frozenset()  # whose spending an operator has stopped
    has_cache: bool = False  # else calls that only share one answer look for none that is kept
    memory_used: float | None = None  # of what the process may take, 0 to 1; None: not known


def judge(situation: Situation, terms: Terms) -> Iterator[Finding]:
    """Yield what is beyond its threshold now. Where too little happened nothing is said."""
    lately = situation.lately
    for upstream, calls in lately.upstreams.items():
        yield from _judge_calls(upstream, calls, terms)
    for model, streams in lately.models.items():
        yield from _judge_streams(model, streams, terms)
    if situation.has_cache and lately.lookups >= terms.traffic.cache_lookups:
        ratio = lately.hits / lately.lookups
        text = f"{_share(ratio)} of {lately.lookups} answers that were looked for in the last 30 minutes were kept"
        yield from _compare(HIT_RATIO, terms.thresholds.cache_hit_ratio, ratio, (), text, _share)
    yield from _judge_outages(situation, terms)
    yield from _judge_budgets(situation, terms)
    if situation.memory_used is not None:
        text = f"The sidecar uses {_share(situation.memory_used)} of the memory that it may take"
        yield from _compare(MEMORY, terms.thresholds.memory_used, situation.memory_used, (), text, _share)


def _judge_calls(upstream: str, calls: Calls, terms: Terms) -> Iterator[Finding]:
    labels = _label("upstream", upstream)
    subject = f"of the calls to {upstream}" if upstream else "of the calls that reached no upstream"
    thresholds, traffic, durations = terms.thresholds, terms.traffic, calls.durations
    if durations.count >= traffic.timed_calls and durations.mean is not None:
        whose = f"Calls to {upstream}" if upstream else "Calls that reached no upstream"
        text = f"{whose} took {_time(durations.mean)} on average in the last 5 minutes"
        yield from _compare(MEAN_LATENCY, thresholds.mean_latency, durations.mean, labels, text, _time)
        (late_s,) = durations.quantiles(0.95)
        text = f"5 % {subject} took longer than {_time(late_s or 0.0)} in the last 5 minutes"
        yield from _compare(LATENCY_P95, thresholds.latency_p95, late_s, labels, text, _time)
    if calls.requests >= traffic.calls:
        # Most of them found nobody to ask: that is an alert of its own.
        if calls.unavailable < traffic.events or calls.unavailable <= 0.5 * calls.errors:
            ratio = calls.errors / calls.requests
            text = f"{_share(ratio)} {subject} failed in the last 5 minutes, {calls.errors} of {calls.requests}"
            yield from _compare(ERROR_RATIO, thresholds.error_ratio, ratio, labels, text, _share)
        ratio = calls.limited / calls.requests
        text = f"{_share(ratio)} {subject} were answered with 429 in the last 5 minutes"
        yield from _compare(RATE_LIMITED, thresholds.rate_limited_ratio, ratio, labels, text, _share)
    if calls.cut >= traffic.cut_answers:
        ratio = calls.cut / calls.requests_long
        text = f"{_share(ratio)} {subject} broke off in the last 15 minutes, {calls.cut} of {calls.requests_long}"
        yield from _compare(CUT, thresholds.cut_ratio, ratio, labels, text, _share)


def _judge_streams(model: str, streams: Streams, terms: Terms) -> Iterator[Finding]:
    labels, whose = _label("model", model), f"the streams of {model}" if model else "the streams of models that were not named"
    thresholds, least = terms.thresholds, terms.traffic.timed_calls
    if streams.first_tokens.count >= least:
        (late_s,) = streams.first_tokens.quantiles(0.95)
        text = f"5 % of {whose} took longer than {_time(late_s or 0.0)} to their first token in the last 5 minutes"
        yield from _compare(FIRST_TOKEN, thresholds.time_to_first_token_p95, late_s, labels, text, _time)
    if streams.speeds.count >= least:
        (median,) = streams.speeds.quantiles(0.5)
        text = f"Half of {whose} wrote at most {median or 0.0:.3g} tokens per second in the last 5 minutes"
        yield from _compare(SPEED, thresholds.output_tokens_per_second, median, labels, text, lambda limit: f"{limit:g}")


def _judge_outages(situation: Situation, terms: Terms) -> Iterator[Finding]:
    calls, least = situation.lately.upstreams.values(), terms.traffic.events
    refused = sum(each.unavailable for each in calls)
    if refused >= least:
        reason = f"{refused} calls found no upstream that could be asked in the last 5 minutes; fewer than {least} are not told."
        yield Finding(UNAVAILABLE, _CRITICAL, (), refused, least, reason)
    is_idle = not any(each.requests for each in calls)
    for view in situation.upstreams:
        labels = _label("upstream", view.name)
        breakers = [breaker for breaker in view.breakers if breaker.force != Force.OPEN]
        if any(breaker.state != "closed" for breaker in breakers):
            if not is_idle:  # nobody misses it: an open breaker moves only when somebody asks
                reason = f"The circuit breaker of {view.name} is open: it failed too often, and has not closed again."
                yield Finding(BREAKER, _WARNING, labels, None, None, reason)
        elif not view.healthy and len(breakers) == len(view.breakers):
            reason = f"{view.name} is not healthy: {view.reason or 'the reason is not known'}."
            yield Finding(UNHEALTHY, _WARNING, labels, None, None, reason)


def _judge_budgets(situation: Situation, terms: Terms) -> Iterator[Finding]:
    """By tenant and window; `*` in place of a tenant is the budget of all together."""
    limit = terms.thresholds.budget_spent.critical
    for account, window, period, spent_usd, _, limit_usd, soft_reached in situation.balances:
        tenant = account or _ALL
        share = None if not limit_usd else spent_usd / limit_usd
        labels, told = (("tenant", tenant), ("window", window)), "" if share is None else f", {_share(share)} of it"
        if share is not None and limit is not None and share >= limit:
            reason = f"The budget of {tenant} for {period} is spent{told}: calls that would cost are refused."
            yield Finding(SPENT, _CRITICAL, labels, share, limit, reason)
        if soft_reached:
            reason = f"So much of the budget of {tenant} for {period} is spent or reserved that it is warned of{told} is spent."
            yield Finding(NEARLY_SPENT, _WARNING, labels, share, None, reason)
    for tenant in sorted(account or _ALL for account in situation.stopped):
        yield Finding(STOPPED, _WARNING, (("tenant", tenant),), None, None, f"An operator stopped the spending of {tenant}.")


def _compare(
    rule: Rule, threshold: Threshold, value: float | None, labels: Labels, text: str, show: Callable[[float], str]
) -> Iterator[Finding]:  # fmt: skip
    """Yield a finding for each severity whose limit `value` is beyond. `text`: the sentence without its limit."""
    if value is None:
        return
    for severity, limit in ((_INFO, threshold.info), (_WARNING, threshold.warning), (_CRITICAL, threshold.critical)):
        if limit is not None and (value > limit if threshold.bad is Side.ABOVE else value < limit):
            yield Finding(rule, severity, labels, value, limit, f"{text}, {threshold.bad} the limit of {show(limit)}.")


def _label(name: str, value: str) -> Labels:
    return ((name, value),) if value else ()


def _share(ratio: float) -> str:
    return f"{ratio * 100:.3g} %"


def _time(seconds: float) -> str:
    return f"{seconds:.3g} s"
