"""Cases of upstreams that are gone: circuit breakers, health, and that one dead upstream is one page."""

from collections.abc import Mapping
from typing import Final

from sidecar.exchange import Ending
from sidecar.render.alerting import Severity
from sidecar.render.cases.calls import draw_calls
from sidecar.render.cases.case import Case, Check, Firing
from sidecar.render.cases.series import Series, Subject, just_enough, list_near, list_passed, name_series, too_few, watch
from sidecar.render.figures import print_number, print_percentage
from sidecar.thresholds import Terms

_WARNING, _CRITICAL = Severity.WARNING, Severity.CRITICAL
_BREAKER, _ERRORS, _NOBODY, _UNHEALTHY = "LLMCircuitBreakerOpen", "LLMHighErrorRatio", "LLMNoUpstreamAvailable", "LLMUpstreamUnhealthy"
_REQUESTS: Final = "llm_sidecar_requests_total"
_STILL: Final = "0x60"
# States of circuit breakers, from minute 6 to minute 25: each time it is half-open, it opens again.
_BY_TURNS: Final = f"0x5 {'2 1 ' * 10}0x33"
_OFTEN: Final = "0x5 0+1x54"


def list_cases(terms: Terms) -> tuple[Case, ...]:
    """Return the cases of circuit breakers, of health, and of both together with the calls that fail for them."""
    return (
        _check_breaker(),
        _check_breaker_at_rest(),
        _check_unavailable(terms),
        _check_unavailable_over(terms),
        _check_mostly_unavailable(terms),
        _check_one_page(terms),
        _check_pool_gone(terms),
        _check_health(),
        _check_health_and_breaker(),
    )


def _draw_breaker(upstream: str, state: str, openings: Mapping[str, str], rejected: str = _STILL, **target: str) -> tuple[Series, ...]:
    metric, labels = "llm_sidecar_circuit_breaker", {**target, "upstream": upstream}
    return (
        (name_series(f"{metric}_state", **labels), state),
        *((name_series(f"{metric}_openings_total", **labels, reason=reason), values) for reason, values in openings.items()),
        (name_series(f"{metric}_rejected_total", **labels), rejected),
    )


def _draw_health(upstream: str, values: str, **target: str) -> Series:
    return name_series("llm_sidecar_upstream_healthy", **target, upstream=upstream), values


def _tell(upstream: str, *severities: Severity, **more: str) -> Subject:
    return Subject({"job": "app", "upstream": upstream, **more}, severities, start=6)


def _check_breaker() -> Case:
    gone = {"consecutive_failures": "0x5 1x54", "probe_failed": _OFTEN}
    series = (
        *_draw_breaker("gone", _BY_TURNS, gone, namespace="prod"),
        *_draw_breaker("gone", _STILL, {"probe_failed": _STILL}, instance="b:9464", namespace="prod"),
        # Half-open, and seldom asked.
        *_draw_breaker("seldom", "0x5 1x54", {"probe_failed": _STILL}, "0x5 0.15+0.15x54"),
    )
    told = (_tell("gone", _WARNING, namespace="prod")._replace(end=25), _tell("seldom", _WARNING))
    name = "A circuit breaker that does not close again is told, whichever sidecar it is at and however it swings, until it has closed."
    return Case(name, series, watch(_BREAKER, told, {_WARNING: 2}, 5))


def _check_breaker_at_rest() -> Case:
    series = (
        # Opened once, and closed again at the first try.
        *_draw_breaker("once", "0x5 2 0x53", {"error_share": "0x5 1x54"}, "0x5 9x54"),
        # Opened by the last call there was: since then half-open, and nobody asks.
        *_draw_breaker("idle", "2 1x59", {"error_share": "1x60"}),
        # Forced open by an operator, and nobody asks.
        *_draw_breaker("forced", "0x5 2x54", {"forced": "0x5 1x54", "error_share": _STILL}),
        # Forced open by an operator, and calls are refused for it.
        *_draw_breaker("asked", "0x5 2x54", {"forced": "0x5 1x54", "error_share": _STILL}, _OFTEN),
    )
    asked = _tell("asked", _WARNING)._replace(start=7)
    name = "A circuit breaker that nobody waits for, or that closed at once, is not told; forced open, only where calls are refused for it."
    return Case(name, series, watch(_BREAKER, [asked], {_WARNING: 2}, 5))


def _check_unavailable(terms: Terms) -> Case:
    least = terms.traffic.events
    enough = just_enough(least)
    labels = {"route": "chat", "provider": "", "namespace": "prod"}
    series = (
        *(found for at in ("a", "b") for found in draw_calls({**labels, "instance": at}, {Ending.UNAVAILABLE: enough / 10})),
        *draw_calls({"route": "rare"}, {Ending.UNAVAILABLE: too_few(least) / 5}),
        (name_series(_REQUESTS, route="idle", ending="unavailable"), "100x60"),
        *draw_calls({"route": "full"}, {Ending.OVERLOADED: 10 * least}),
    )
    chat = Subject({"job": "app", "route": "chat", "namespace": "prod"}, (_CRITICAL,), print_number(enough))
    name = "Calls that find no upstream to ask are told where there are enough of them, not where there was no room."
    return Case(name, series, watch(_NOBODY, [chat], {_CRITICAL: 1}, 5))


def _check_unavailable_over(terms: Terms) -> Case:
    enough = just_enough(terms.traffic.events)
    chat = Subject({"job": "app", "route": "chat"}, (_CRITICAL,), print_number(enough), end=20)
    series = draw_calls({"route": "chat"}, {Ending.UNAVAILABLE: enough / 5}, 20)
    name = "Calls that find no upstream to ask are told a while longer once one is back, and then no more."
    return Case(name, series, watch(_NOBODY, [chat], {_CRITICAL: 1}, 5))


def _check_mostly_unavailable(terms: Terms) -> Case:
    """How near: half of the failures, and the least number of calls."""
    threshold, traffic = terms.thresholds.error_ratio, terms.traffic
    few, enough = too_few(traffic.events) / 5, just_enough(traffic.events) / 5
    many = 2.0 * max(traffic.events, traffic.calls)
    share = list_near(threshold)[-2][1]  # just beyond the last limit
    mixes: dict[str, dict[Ending, float]] = {
        "half": {Ending.UNAVAILABLE: 0.48 * many, Ending.RESET: 0.52 * many},
        "few": {Ending.UNAVAILABLE: few, Ending.COMPLETED: few / share - few},
        "most": {Ending.UNAVAILABLE: 0.52 * many, Ending.RESET: 0.48 * many},
        "enough": {Ending.UNAVAILABLE: enough, Ending.COMPLETED: enough / share - enough},
    }
    series = tuple(found for route, mix in mixes.items() for found in draw_calls({"route": route}, mix))
    ratios = {"half": 1.0} | ({"few": share} if 5 * few / share >= traffic.calls else {})
    firing = tuple(
        Firing(severity, {"job": "app", "route": route}, print_percentage(ratio))
        for route, ratio in ratios.items()
        for severity in list_passed(threshold, ratio)
    )
    name = "Failures are told unless most of them are calls that found no upstream to ask, and enough of these."
    return Case(name, series, (Check("30m", _ERRORS, firing),))


def _check_one_page(terms: Terms) -> Case:
    """An upstream that is gone, alone behind its route: five calls find out, then one each minute does, all others are refused.

    Another is a member of a pool whose other member carries the calls, mostly half-open, and its probes fail too.
    """
    many = 2 * max(terms.traffic.events, terms.traffic.calls)
    chat, refused = {"route": "chat", "provider": "openai", "model": "m"}, f"0x10 {many}+{many}x48"
    series = (
        (name_series(_REQUESTS, **chat, ending="completed"), f"0+{many}x10 {10 * many}x48"),
        (name_series(_REQUESTS, **chat, ending="connect_failed"), "0x10 5+1x48"),
        (name_series(_REQUESTS, **chat, ending="unavailable"), refused),
        *_draw_breaker("gone", "0x10 2x48", {"consecutive_failures": "0x10 1x48", "probe_failed": "0x10 0+1x48"}, refused),
        _draw_health("gone", "1x10 0x48"),
        *draw_calls({"route": "pool"}, {Ending.COMPLETED: many}),
        *_draw_breaker("member", f"0x10 {'2 1 1 ' * 16}", {"probe_failed": "0x10 0.3+0.3x48"}),
        _draw_health("member", "1x10 0x48"),
        # A third of the calls that fail are refused, the others fail by themselves: that is news.
        *draw_calls({"route": "mixed"}, {Ending.COMPLETED: many, Ending.UPSTREAM_ERROR: many, Ending.UNAVAILABLE: many / 2}),
    )
    mixed = {"job": "app", "route": "mixed"}
    failing = tuple(Firing(severity, mixed, "60%") for severity in list_passed(terms.thresholds.error_ratio, 0.6))
    nobody = (
        Firing(_CRITICAL, {"job": "app", "route": "chat"}, print_number(5 * many)),
        Firing(_CRITICAL, mixed, print_number(5 * many / 2)),
    )
    breakers = tuple(Firing(_WARNING, {"job": "app", "upstream": upstream}) for upstream in ("gone", "member"))
    checks = (
        Check("13m", _ERRORS, failing),
        Check("40m", _ERRORS, failing),
        Check("40m", _NOBODY, nobody),
        Check("40m", _BREAKER, breakers),
        Check("40m", _UNHEALTHY),
    )
    return Case("One upstream that is gone is one page, and its circuit breaker tells the cause.", series, checks)


def _check_pool_gone(terms: Terms) -> Case:
    """A pool tries one call a second whatever its breakers say, so that of fewer calls none is refused."""
    calls = just_enough(terms.traffic.calls) / 5
    series = [
        *draw_calls({"route": "open"}, {Ending.CONNECT_FAILED: calls}),
        *draw_calls({"route": "probed"}, {Ending.RESET: calls}),
        *draw_calls({"route": "wrongly"}, {Ending.COMPLETED: calls}),
    ]
    for member in ("a", "b"):
        series += _draw_breaker(f"open-{member}", "2x60", {"probe_failed": "0+1x60"})
        series.append(_draw_health(f"open-{member}", _STILL))
        for route in ("probed", "wrongly"):
            series += _draw_breaker(f"{route}-{member}", _STILL, {"probe_failed": _STILL})
            series.append(_draw_health(f"{route}-{member}", _STILL))
    failing = tuple(
        Firing(severity, {"job": "app", "route": route}, "100%")
        for route in ("open", "probed")
        for severity in list_passed(terms.thresholds.error_ratio, 1.0)
    )
    breakers = tuple(Firing(_WARNING, {"job": "app", "upstream": f"open-{member}"}) for member in ("a", "b"))
    unhealthy = tuple(
        Firing(_WARNING, {"job": "app", "upstream": f"{route}-{member}"}) for route in ("probed", "wrongly") for member in "ab"
    )
    checks = (Check("30m", _ERRORS, failing), Check("30m", _NOBODY), Check("30m", _BREAKER, breakers), Check("30m", _UNHEALTHY, unhealthy))
    name = "A pool of which all upstreams are gone pages for the calls that fail, whoever has found out, and warns of each."
    return Case(name, tuple(series), checks)


def _check_health() -> Case:
    series = (
        _draw_health("gone", "1x5 0x19 1x33", namespace="prod"),
        _draw_health("gone", "1x60", namespace="prod", instance="b:9464"),
        _draw_health("short", "1x5 0x1 1x52"),
        _draw_health("good", "1x60"),
    )
    gone = _tell("gone", _WARNING, namespace="prod")._replace(end=25)
    name = "An upstream that one sidecar finds out of order is told, until it has been well for a while."
    return Case(name, series, watch(_UNHEALTHY, [gone], {_WARNING: 2}, 5))


def _check_health_and_breaker() -> Case:
    series = (
        # Taken out by an operator.
        _draw_health("forced", _STILL),
        (name_series("llm_sidecar_circuit_breaker_state", upstream="forced"), "2x60"),
        # Its breaker waits for a call to find out, its probes fail, and nobody asks.
        _draw_health("unasked", "1x5 0x54"),
        *_draw_breaker("unasked", "1x60", {"probe_failed": "3x60"}, "3x60"),
        # Its breaker lets calls through to find out, and says so itself.
        _draw_health("asked", "1x5 0x54"),
        *_draw_breaker("asked", "1x60", {"probe_failed": "0+1x60"}),
    )
    name = "An upstream that its circuit breaker leaves alone is not told twice, and is told where nobody asks for it."
    return Case(name, series, watch(_UNHEALTHY, [_tell("unasked", _WARNING)], {_WARNING: 2}, 5))
