"""Alerts on upstreams: what is left of their limits, whether they can be asked, whether there is room."""

from typing import Final

from sidecar.render.alerting import TARGET, Alert, Article, Severity, Tier
from sidecar.render.figures import print_percentage
from sidecar.render.rules import recordings
from sidecar.render.rules.forms import Step, make_tiers, print_limits, sum_over_target
from sidecar.thresholds import Terms

_BOARD: Final = "llm-sidecar-resilience"
_UPSTREAM: Final = (("upstream", "upstream"),)


def list_rules(terms: Terms) -> tuple[Alert, ...]:
    """Return the alerts on rate limits, circuit breakers, health, queues and the budget for retries."""
    return (
        _alert_limit_left(terms),
        _alert_breaker(),
        _alert_unavailable(terms),
        _alert_unhealthy(),
        _alert_shed(terms),
        _alert_retry_budget(terms),
    )


def _alert_limit_left(terms: Terms) -> Alert:
    threshold, least = terms.thresholds.ratelimit_remaining, terms.traffic.calls
    return Alert(
        name="LLMRateLimitNearlyUsed",
        tiers=make_tiers(
            threshold, recordings.RATELIMIT_LEFT, f"and ignoring (kind) {recordings.ATTEMPTS} * 300 >= {least}", print_percentage,
            {
                Severity.INFO: Step("10m", "A rate limit of the provider is largely used up."),
                Severity.WARNING: Step("5m", "A rate limit of the provider is nearly used up."),
            },
        ),
        description="{{ $value | humanizePercentage }} of the {{ $labels.kind }} that {{ $labels.upstream }} allows {{ $labels.job }} "
        "were left on average in the last 5 minutes, below the limit of {limit}.",
        board=_BOARD,
        choose=_UPSTREAM,
        keep="10m",
        article=Article(
            meaning=f"""\
By what the provider itself says in its answers, less than {print_limits(threshold, print_percentage)} of one of its limits was left
on average over 5 minutes, in at least {least} attempts. Providers that name no limits cannot raise it.""",
            impact="None yet. A little more traffic will be answered with 429.",
            diagnosis="""\
"Share left of rate limits" and "Left of rate limits" show which limit (`kind`): requests or tokens, and the window where the provider
names one. Where several keys or models share an upstream, the value is the last answer's, and of several sidecars the lowest.""",
            mitigation="As for LLMUpstreamRateLimited, before calls are refused.",
            queries=(
                "min by (job, upstream, kind) (\n"
                "  avg_over_time(llm_sidecar_upstream_ratelimit_remaining[5m])\n"
                "  / (avg_over_time(llm_sidecar_upstream_ratelimit_limit[5m]) > 0)\n"
                ")",
                "sum by (job, upstream) (rate(llm_sidecar_attempts_total[5m]))",
            ),
        ),
    )  # fmt: skip


def _alert_breaker() -> Alert:
    summary = "An upstream fails and is left alone."
    return Alert(
        name="LLMCircuitBreakerOpen",
        tiers=(Tier(Severity.WARNING, recordings.BREAKER_IN_USE, "2m", summary),),
        description="The circuit breaker of {{ $labels.upstream }} for {{ $labels.job }} has not closed again for 2 minutes.",
        board=_BOARD,
        choose=_UPSTREAM,
        keep="5m",
        article=Article(
            meaning="""\
A circuit breaker of an upstream opened and has not closed again for 2 minutes, at one sidecar or more: each time a few calls were let
through to find out, they failed. It is silent where nobody has asked for the upstream within 5 minutes, and where an operator has
forced the breaker open and no call was refused for it.""",
            impact="""\
In a pool, the other upstreams carry the calls. A route to this one upstream answers with 503 and `Retry-After` in the meantime (error
id `circuit_open`), and LLMNoUpstreamAvailable pages for it: this alert names the cause, and never pages.""",
            diagnosis="""\
"Openings by reason" tells what opened it: `consecutive_failures` is an upstream that is gone, `error_share` one that fails at times,
`slow_share` one that answers too slowly (`breaker.slow`), `probe_failed` one that is still failing. "Attempts by outcome", filtered by
the upstream, and the log lines `circuit_breaker_opened` tell more. `breaker.groups` tells models apart ("Circuit breaker state by
group of models").""",
            mitigation="""\
Check the provider's status and the way to it. Give the route a pool with a second upstream. If the breaker is wrong, raise
`breaker.consecutive`, `breaker.error_share` or `breaker.slow`, or set the upstream's `breaker: closed`.""",
            queries=(
                "max by (job, upstream, instance) (llm_sidecar_circuit_breaker_state) > 0",
                "sum by (job, upstream, reason) (increase(llm_sidecar_circuit_breaker_openings_total[15m])) > 0",
                'sum by (job, upstream, outcome) (rate(llm_sidecar_attempts_total{outcome!="completed"}[5m])) > 0',
            ),
        ),
    )


def _alert_unavailable(terms: Terms) -> Alert:
    least = terms.traffic.events
    expr, summary = f"{recordings.UNAVAILABLE} * 300 >= {least}", "Every upstream of a route fails."
    return Alert(
        name="LLMNoUpstreamAvailable",
        tiers=(Tier(Severity.CRITICAL, expr, "1m", summary, str(least)),),
        description="{{ $value | humanize }} calls on route {{ $labels.route }} of {{ $labels.job }} found no upstream that could be "
        "asked in the last 5 minutes; fewer than {limit} are not told.",
        board=_BOARD,
        keep="5m",
        article=Article(
            meaning=f"""\
At least {least} calls on a route within 5 minutes were refused because the circuit breaker of every upstream that could have taken
them was open.""",
            impact="""\
Callers get 503 with `Retry-After` at once, and nothing is asked of the upstreams. It is the one page for an upstream that is gone and
has no other beside it: LLMHighErrorRatio is silent meanwhile. A pool whose breakers are all open still tries one call a second; where
there are no more calls than that, none is refused, and LLMHighErrorRatio pages for those that fail.""",
            diagnosis="""\
As for LLMCircuitBreakerOpen, for each upstream of the route. If all opened at the same moment, look at what they share: DNS, egress, a
credential, one provider behind two names. The attribute `llm_sidecar.decision.alternatives` on the spans of these calls names each
upstream and why it was not asked.""",
            mitigation="""\
Add an upstream of another provider to the pool. Breakers close by themselves as soon as calls or probes succeed.""",
            queries=(
                'sum by (job, route) (rate(llm_sidecar_requests_total{ending="unavailable"}[5m])) > 0',
                "max by (job, upstream) (llm_sidecar_circuit_breaker_state)",
            ),
        ),
    )


def _alert_unhealthy() -> Alert:
    expr = (
        f"min without ({TARGET}) (llm_sidecar_upstream_healthy) == 0\nunless {recordings.BREAKER} == 2\nunless {recordings.BREAKER_IN_USE}"
    )
    return Alert(
        name="LLMUpstreamUnhealthy",
        tiers=(Tier(Severity.WARNING, expr, "2m", "An upstream is out of order."),),
        description="{{ $labels.upstream }} has not been healthy for 2 minutes, as a sidecar of {{ $labels.job }} sees it.",
        board=_BOARD,
        choose=_UPSTREAM,
        keep="5m",
        article=Article(
            meaning="""\
An upstream has not been healthy for 2 minutes, as at least one sidecar sees it: its probes fail, or it is set aside for failing more
than the others of its pool. Where its circuit breaker is what leaves it alone, LLMCircuitBreakerOpen says so instead, and where an
operator has forced that open, nothing does.""",
            impact="""\
It gets no calls while another upstream of the pool is there. Where every upstream of a pool is named, calls are still tried, and
LLMHighErrorRatio or LLMNoUpstreamAvailable pages if they fail.""",
            diagnosis="""\
"Upstream health" and "Probes"; the log line `upstream_unhealthy`. If only one sidecar sees it so, look at that host's network. A probe
that cannot succeed (a path that always fails) is a matter of `upstreams.NAME.probe_path`.""",
            mitigation="""\
Check the upstream. Take it out of the pool if it is gone for good, or set `probe: off` where its probes say nothing.""",
            queries=(
                "min by (job, upstream, instance) (llm_sidecar_upstream_healthy) == 0",
                'sum by (job, upstream) (increase(llm_sidecar_probes_total{outcome="failed"}[15m])) > 0',
            ),
        ),
    )


def _alert_shed(terms: Terms) -> Alert:
    least = terms.traffic.events
    expr = f"{sum_over_target('increase(llm_sidecar_shed_requests_total[5m])', 'reason')} >= {least}"
    return Alert(
        name="LLMCallsShed",
        tiers=(Tier(Severity.WARNING, expr, "2m", "Calls are refused for lack of room.", str(least)),),
        description="{{ $value | humanize }} calls of {{ $labels.job }} were refused in the last 5 minutes because upstreams and queue "
        "were full; fewer than {limit} are not told.",
        board=_BOARD,
        keep="5m",
        article=Article(
            meaning=f"""\
At least {least} calls within 5 minutes were refused because all upstreams they could use were at their concurrency and the queue was
full (`queue_full`), would have kept them too long (`too_long`), or did (`gave_up`).""",
            impact="Callers get 503 with `Retry-After` (error id `overloaded`).",
            diagnosis="""\
"Pending calls and concurrency limit" shows which upstream is full, "Queued calls" and "Queue wait" for how long it has been. A limit
that has become low by itself (`adaptive_concurrency`) is an upstream that has become slow.""",
            mitigation="""\
Send fewer calls at once; raise `upstreams.NAME.concurrency` if the provider takes more; add an upstream. A longer queue (`queue.size`,
`queue.wait`) helps against bursts only.""",
            queries=(
                "sum by (job, reason) (increase(llm_sidecar_shed_requests_total[5m])) > 0",
                "sum by (job, upstream) (llm_sidecar_upstream_pending) / sum by (job, upstream) (llm_sidecar_upstream_concurrency_limit)",
                "sum by (job) (llm_sidecar_queued_requests)",
            ),
        ),
    )


def _alert_retry_budget(terms: Terms) -> Alert:
    least = terms.traffic.events
    expr = f"{sum_over_target('increase(llm_sidecar_retry_budget_exhausted_total[5m])')} >= {least}"
    return Alert(
        name="LLMRetryBudgetExhausted",
        tiers=(Tier(Severity.WARNING, expr, "2m", "So many calls fail that not all are tried again.", str(least)),),
        description="{{ $value | humanize }} further attempts of {{ $labels.job }} were not made in the last 5 minutes because the budget "
        "for them was used up; fewer than {limit} are not told.",
        board=_BOARD,
        keep="5m",
        article=Article(
            meaning=f"""\
At least {least} further attempts within 5 minutes were not made, because the budget for retries, failovers and hedges
(`retries.budget_share` of the calls, and `retries.budget_floor` a second) was used up.""",
            impact="""\
Calls fail that might have succeeded elsewhere. That is meant: without a budget, a provider in trouble would get a multiple of its
load.""",
            diagnosis="""\
"Retries by cause", "Failovers" and "Hedges by outcome" show what used it; "Attempts by outcome" why so much has to be tried again.""",
            mitigation="Mend or take out the upstream that fails. Raise the budget only if the others can carry the load.",
            queries=(
                "sum by (job, reason) (rate(llm_sidecar_retries_total[5m])) > 0",
                "sum by (job, from, to) (rate(llm_sidecar_failovers_total[5m])) > 0",
                "sum by (job) (increase(llm_sidecar_retry_budget_exhausted_total[5m]))",
            ),
        ),
    )
