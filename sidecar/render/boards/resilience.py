"""What becomes of calls when upstreams fail or are full: circuit breakers, attempts, health, limits of the providers, the queue."""

from functools import partial
from typing import Final

from sidecar.catalogue import BREAKER_STATES, HEDGE_LOST
from sidecar.exchange import SERVICE_ERRORS, Ending
from sidecar.render.board import Board, Row, link_cell, link_traces
from sidecar.render.figures import print_share
from sidecar.render.panels import Panel, Step, Target, grade_colors, lines, map_words, stat, states
from sidecar.render.queries import Scope
from sidecar.render.signals import CALLS, error_ratio
from sidecar.render.tables import Column, Key, ranking
from sidecar.thresholds import Terms

_ATTEMPTS: Final = "llm_sidecar_attempts_total"
_STATE: Final = "llm_sidecar_circuit_breaker_state"
_HEALTHY: Final = "llm_sidecar_upstream_healthy"
_PENDING: Final = "llm_sidecar_upstream_pending"
_ROOM: Final = "llm_sidecar_upstream_concurrency_limit"
_LEFT: Final = "llm_sidecar_upstream_ratelimit_remaining"
_ALLOWED: Final = "llm_sidecar_upstream_ratelimit_limit"
_FAILOVERS: Final = "llm_sidecar_failovers_total"
_RETRIES: Final = "llm_sidecar_retries_total"
_HEDGES: Final = "llm_sidecar_hedges_total"
_UNBUDGETED: Final = "llm_sidecar_retry_budget_exhausted_total"
_SHED: Final = "llm_sidecar_shed_requests_total"
_DEGRADED: Final = "llm_sidecar_degraded_requests_total"
_QUEUED: Final = "llm_sidecar_queued_requests"
_REJECTED: Final = "llm_sidecar_circuit_breaker_rejected_total"
_FAILED: Final = f'outcome=~"{"|".join(sorted(SERVICE_ERRORS))}"'  # of attempts
_BREAKER_WORDS: Final = tuple(zip((state.replace("_", "-") for state in BREAKER_STATES), ("green", "yellow", "red"), strict=True))
_HEALTH_WORDS: Final = (("unhealthy", "red"), ("healthy", "green"))
_NO_UPSTREAMS: Final = "No upstreams"
_NO_LIMITS: Final = "No limits told"
_ANY: Final = 1e-6  # of a rate
_SOME_BAD: Final = (Step("green"), Step("red", 1))
_ANY_DOUBTFUL: Final = (Step("green"), Step("orange", _ANY))
_stat: Final = partial(stat, width=4)


def make_board(terms: Terms) -> Board:
    """Return the board."""
    scope = Scope(("upstream",))
    return Board(
        "llm-sidecar-resilience",
        "Resilience and routing",
        "How upstreams do, and what the sidecar does about it: circuit breakers, retries, failover, hedges, rate limits, queue.",
        scope.variables,
        (
            Row("", (*_sum_up(scope, terms), *_sum_up_room(scope, terms), _tabulate_upstreams(scope, terms))),
            Row("Circuit breakers", _list_breakers(scope)),
            Row("Attempts", _list_attempts(scope)),
            Row("Further attempts", _list_further(scope)),
            Row("Upstreams", _list_upstreams(scope, terms)),
            Row("Queue and degradation", _list_queue(scope)),
        ),
    )


def _sum_up(scope: Scope, terms: Terms) -> tuple[Panel, ...]:
    calls, errors = scope.rate(CALLS), terms.thresholds.error_ratio
    again = f"({scope.rate(_RETRIES)} + ({scope.rate(_FAILOVERS)} or vector(0))) / ({calls} > 0)"
    open_now = f"sum({scope.over('max', _STATE, by='upstream')} == bool {BREAKER_STATES.index('open')})"
    unhealthy = f"sum({scope.over('min', _HEALTHY, by='upstream')} == bool 0)"
    unavailable = f"{scope.rate(CALLS, _ending(Ending.UNAVAILABLE))} or 0 * {calls}"
    return (
        _stat("Open circuit breakers", "Upstreams that fail and are left alone now (LLMCircuitBreakerOpen)", "short", [Target(open_now)],
              colors=_SOME_BAD, empty=_NO_UPSTREAMS),
        _stat("Unhealthy upstreams", "Upstreams that probes or traffic found unhealthy (LLMUpstreamUnhealthy)", "short",
              [Target(unhealthy)], colors=_SOME_BAD, empty=_NO_UPSTREAMS),
        _stat("Without an upstream", "Calls a second that were refused because every upstream that could take them was left alone for "
              "failing (LLMNoUpstreamAvailable)", "reqps", [Target(unavailable)], colors=(Step("green"), Step("red", _ANY))),
        _stat("Error ratio", "Calls that ended with an error of the service, after all that was tried for them, of all upstreams. Beyond "
              f"the colours ({print_share(errors.warning)}, {print_share(errors.critical)}) LLMHighErrorRatio fires", "percentunit",
              [Target(error_ratio(scope))], colors=grade_colors(errors)),
        _stat("Failed attempts", "Share of the attempts that failed by fault of the upstream or the way to it, whether or not another one "
              "followed. Above the error ratio, further attempts help", "percentunit",
              [Target(scope.share(scope.rate(_ATTEMPTS, _FAILED), scope.rate(_ATTEMPTS)))], colors=grade_colors(errors)),
        _stat("Tried again", "Further attempts for each call: retries at the same upstream and failovers to another, of all upstreams. "
              "retries.budget_share bounds them (LLMRetryBudgetExhausted)", "percentunit", [Target(again)]),
    )  # fmt: skip


def _sum_up_room(scope: Scope, terms: Terms) -> tuple[Panel, ...]:
    limited, left = terms.thresholds.rate_limited_ratio, terms.thresholds.ratelimit_remaining
    calls = scope.rate(CALLS)
    room = f"max({scope.over('sum', _PENDING, by='upstream')} / ({scope.over('sum', _ROOM, by='upstream')} > 0))"
    return (
        _stat("Answered with 429", "Share of the calls that the provider refused with status 429, after all that was tried for them; "
              f"LLMUpstreamRateLimited fires above {print_share(limited.warning)}", "percentunit",
              [Target(scope.share(scope.rate(CALLS, _ending(Ending.RATE_LIMITED)), calls))], colors=grade_colors(limited)),
        _stat("Least left of a limit", "The least that is left of any rate limit, by what upstreams last said. Below the colours "
              f"({print_share(left.info)}, {print_share(left.warning)}) LLMRateLimitNearlyUsed "
              "fires", "percentunit", [Target(f"min({_measure_left(scope)})")],
              colors=grade_colors(left), empty=_NO_LIMITS),
        _stat("Room used", "Of the upstream that is nearest to what it is given at once: attempts without a first byte, of the limit. At "
              "100% calls begin to queue", "percentunit", [Target(room)], colors=(Step("green"), Step("orange", 1)), empty=_NO_UPSTREAMS),
        _stat("Queued", "Calls that wait for room at an upstream now", "short", [Target(scope.over("sum", _QUEUED))], empty="No sidecar"),
        _stat("Shed", "Calls a second that were refused for lack of room (LLMCallsShed)", "reqps", [Target(scope.rate(_SHED))],
              colors=_ANY_DOUBTFUL, empty="No sidecar"),
        _stat("Degraded", "Share of calls that were served below the full policy: by turns among the healthy, or by whoever is left",
              "percentunit", [Target(scope.share(scope.rate(_DEGRADED), calls))], colors=_ANY_DOUBTFUL),
    )  # fmt: skip


def _ending(ending: Ending) -> str:
    return f'ending="{ending}"'


def _measure_left(scope: Scope) -> str:
    return f"min by (upstream, kind) ({scope.select(_LEFT)} / ({scope.select(_ALLOWED)} > 0))"


def _tabulate_upstreams(scope: Scope, terms: Terms) -> Panel:
    attempts = scope.rate(_ATTEMPTS, by="upstream")
    failed = scope.rate(_ATTEMPTS, _FAILED, by="upstream")
    thresholds = terms.thresholds
    columns = [
        Column("Attempts", attempts, "reqps"),
        Column("Breaker", scope.over("max", _STATE, by="upstream"), "none", words=map_words(_BREAKER_WORDS)),
        Column("Health", scope.over("min", _HEALTHY, by="upstream"), "none", words=map_words(_HEALTH_WORDS)),
        Column("Failed", scope.share(failed, attempts, by="upstream"), "percentunit", colors=grade_colors(thresholds.error_ratio)),
        Column("Pending", scope.over("sum", _PENDING, by="upstream"), "short"),
        Column("At once", scope.over("sum", _ROOM, by="upstream"), "short"),
        Column("Least left of a limit", f"min by (upstream) ({_measure_left(scope)})", "percentunit",
               colors=grade_colors(thresholds.ratelimit_remaining)),
        Column("Connections", scope.over("sum", "llm_sidecar_upstream_connections", by="upstream"), "short"),
    ]  # fmt: skip
    links = (
        link_cell("llm-sidecar-resilience", "This upstream alone", "upstream", "Upstream"),
        link_traces("Traces of this upstream", "span.llm_sidecar.upstream", "Upstream"),
    )
    return ranking(
        "Upstreams now", "Where calls go and how that goes, the busiest on top; of several sidecars the worst state and the sum of the "
        "numbers. Click on an upstream for its part of this board and its traces", (Key("upstream", "Upstream", links),), columns,
        empty=_NO_UPSTREAMS,
    )  # fmt: skip


def _list_breakers(scope: Scope) -> tuple[Panel, ...]:
    # There is one for each upstream and group: only those are shown of which there is something to tell.
    group = scope.select("llm_sidecar_circuit_breaker_group_state")
    troubled = f"max by (upstream, group) ({group} and max_over_time({group}[$__range] @ end()) > 0)"
    changes = scope.rate("llm_sidecar_circuit_breaker_transitions_total", by="upstream, from, to")
    openings = scope.rate("llm_sidecar_circuit_breaker_openings_total", by="upstream, reason")
    return (
        states("Circuit breaker state", "The worst state of an upstream's circuit breakers, of several sidecars the worst. What stays "
               "open is LLMCircuitBreakerOpen; half-open lets a few calls "
               "try", [Target(scope.over("max", _STATE, by="upstream"), "{{upstream}}")],
               _BREAKER_WORDS, empty=_NO_UPSTREAMS, height=10),
        states("Circuit breaker state by group of models", "Where breaker.groups tells models apart: those that were not closed all the "
               "time. One that fails does not stop the others", [Target(troubled, "{{upstream}} {{group}}")], _BREAKER_WORDS,
               empty="All closed, or breaker.groups is empty", height=10),
        lines("Circuit breaker transitions", "Changes of state a minute. One that goes to and fro is near a limit of breaker", "cpm",
              [Target(f"{changes} * 60 > 0", "{{upstream}}: {{from}} to {{to}}")], rare=True, empty="No changes", width=8),
        lines("Openings by reason", "Why circuit breakers opened, and how often a minute", "cpm",
              [Target(f"{openings} * 60 > 0", "{{upstream}} {{reason}}")], rare=True, empty="No openings", width=8),
        lines("Calls that breakers did not let through", "Refused without asking the upstream; where there is a pool, they went to "
              "another",
              "reqps", [Target(scope.rate(_REJECTED, by="upstream"), "{{upstream}}")], empty=_NO_UPSTREAMS, width=8),
    )  # fmt: skip


def _list_attempts(scope: Scope) -> tuple[Panel, ...]:
    outcomes = scope.rate(_ATTEMPTS, f'outcome!~"{Ending.COMPLETED}|{HEDGE_LOST}"', by="upstream, outcome")
    return (
        lines("Attempts by outcome", f"How attempts ended; {HEDGE_LOST} are those that were given up for another one", "reqps",
              [Target(f"{scope.rate(_ATTEMPTS, by='outcome')} > 0", "{{outcome}}")], rare=True, width=8),
        lines("Attempts by upstream", "Where attempts went: how the strategy of a pool shares them out", "reqps",
              [Target(f"{scope.rate(_ATTEMPTS, by='upstream')} > 0", "{{upstream}}")], rare=True, width=8),
        lines("Attempts that did not complete", "By upstream and outcome; a 4xx of the provider and a caller that hung up are in it, "
              "attempts that lost against another one are "
              "not", "reqps", [Target(f"{outcomes} > 0", "{{upstream}} {{outcome}}")], rare=True,
              empty="Every attempt completed", width=8),
    )  # fmt: skip


def _list_further(scope: Scope) -> tuple[Panel, ...]:
    ignored = scope.rate("llm_sidecar_retry_after_ignored_total", by="reason")
    return (
        lines("Retries by cause", "Attempts that repeated one at the same upstream, by what was wrong with that. Answered failures are "
              "only repeated with features.retries", "cps", [Target(f"{scope.rate(_RETRIES, by='reason')} > 0", "{{reason}}")],
              rare=True, empty="No retries", width=8),
        lines("Failovers", "Attempts at another upstream of the pool, from whom to whom", "cps",
              [Target(scope.rate(_FAILOVERS, by="from, to"), "{{from}} to {{to}}")], empty="No pools configured", width=8),
        lines("Further attempts that were not made", "Because the budget for them was used up (LLMRetryBudgetExhausted); and pauses asked "
              "for that were not given, because they were too long or could not be read", "cps",
              [Target(scope.rate(_UNBUDGETED), "budget used up"), Target(ignored, "Retry-After {{reason}}")], empty="No sidecar", width=8),
        lines("Hedges by outcome", "Attempts made beside another one whose first token was late. Refused: there were enough of them",
              "cps", [Target(scope.rate(_HEDGES, by="outcome"), "{{outcome}}")], empty="No sidecar"),
        lines("Cost of hedges per hour", "US dollars of attempts that lost, where it is known; no panel of cost holds them", "currencyUSD",
              [Target(f"{scope.rate('llm_sidecar_hedge_cost_usd_total', by='source')} * 3600", "{{source}}")], empty="No sidecar"),
    )  # fmt: skip


def _list_upstreams(scope: Scope, terms: Terms) -> tuple[Panel, ...]:
    room = [Target(scope.over("sum", _PENDING, by="upstream"), "{{upstream}} pending")]
    room.append(Target(scope.over("sum", _ROOM, by="upstream"), "{{upstream}} limit"))
    connections = scope.over("sum", "llm_sidecar_upstream_connections", by="upstream, state")
    probes = scope.rate("llm_sidecar_probes_total", by="upstream, outcome")
    one_limit = "{{upstream}} {{kind}}"
    return (
        states("Upstream health", "By probes and by traffic, of several sidecars the worst (LLMUpstreamUnhealthy)",
               [Target(scope.over("min", _HEALTHY, by="upstream"), "{{upstream}}")], _HEALTH_WORDS, empty=_NO_UPSTREAMS),
        lines("Probes", "Active probes, which are no calls; of upstreams where calls cost money only with features.metered_probes", "cps",
              [Target(f"{probes} > 0", "{{upstream}} {{outcome}}")], rare=True, empty="No probes"),
        lines("Pending calls and concurrency limit", "Attempts without a first byte of data, and how many calls an upstream is given at "
              "once, dashed. Where both meet, calls queue (LLMCallsShed)", "short", room, dashed=" limit", empty=_NO_UPSTREAMS),
        lines("Connections", "Open connections to an upstream. Many active ones and few idle: each call pays for a new one", "short",
              [Target(connections, "{{upstream}} {{state}}")], stacked=True, empty=_NO_UPSTREAMS),
        lines("Share left of rate limits", "What is left of each limit, by what the upstream last said, with the limits of "
              "LLMRateLimitNearlyUsed. The least of all sidecars: with several keys or models behind an upstream, the last answer counts",
              "percentunit", [Target(_measure_left(scope), one_limit)], colors=grade_colors(terms.thresholds.ratelimit_remaining),
              maximum=1, empty=_NO_LIMITS),
        lines("Left of rate limits", "Requests or tokens that are left, by what the upstream last said; it stays as it is while nothing is "
              "asked of the upstream", "short", [Target(scope.over("min", _LEFT, by="upstream, kind"), one_limit)], empty=_NO_LIMITS),
    )  # fmt: skip


def _list_queue(scope: Scope) -> tuple[Panel, ...]:
    wait = "llm_sidecar_queue_wait_seconds"
    nobody = scope.rate(CALLS, f'ending=~"{Ending.OVERLOADED}|{Ending.UNAVAILABLE}"', by="route, ending")
    wishes = scope.rate("llm_sidecar_wishes_refused_total", by="wish")
    return (
        lines("Queued calls", "Calls that wait for room at an upstream, by sidecar", "short",
              [Target(scope.over("sum", _QUEUED, by="instance"), "{{instance}}")], empty="No sidecar", width=8),
        lines("Queue wait", "How long calls waited for room, of those that had to, got it or not", "s",
              [Target(scope.quantile(q, wait), name) for q, name in ((0.5, "p50"), (0.95, "p95"), (0.99, "p99"))],
              empty="No call had to wait", width=8),
        lines("Shed calls by reason", "The queue was full, the wait would have been too long, or the caller gave up "
              "(LLMCallsShed)", "reqps",
              [Target(scope.rate(_SHED, by="reason"), "{{reason}}")], empty="No sidecar", width=8),
        lines("Degraded calls by step", "simple: by turns among the healthy, whatever the policy; emergency: every circuit breaker of the "
              "pool was open", "reqps", [Target(scope.rate(_DEGRADED, by="step"), "{{step}}")], empty="No sidecar", width=8),
        lines("Wishes that nobody met", "Calls refused for what they asked of an upstream: the caller's headers ask for more than there "
              "is",
              "reqps", [Target(wishes, "{{wish}}")], empty="No sidecar", width=8),
        lines("Calls that nobody took", "By route: overloaded found no room, unavailable found every upstream left alone "
              "(LLMCallsShed, LLMNoUpstreamAvailable)", "reqps", [Target(f"{nobody} > 0", "{{route}}: {{ending}}")], rare=True,
              empty="Every call found an upstream", width=8),
    )  # fmt: skip
