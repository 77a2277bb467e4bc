"""Whether upstreams can be reached, as calls, probes and circuit breakers have found: nobody is asked for it."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sidecar.config import BUILT_IN_ROUTES, Force, Settings
from sidecar.core.choose import reasons
from sidecar.core.choose.places import Place
from sidecar.core.choose.views import BreakerView, ProbeView, UpstreamView
from sidecar.core.reckon.decisions import round_or_none
from sidecar.core.reckon.health import Check, Status
from sidecar.core.reckon.moments import Present, show_moment
from sidecar.core.reckon.upstreams import show_address
from sidecar.thresholds import Terms

_CLOSED: Final = "closed"
_OPEN: Final = "open"
_ALL_FAILED_MIN: Final = 3  # calls: fewer that all failed may be chance
_RELEASE: Final = 'Release it: POST /api/upstreams/NAME/breaker with {"force": "auto"}.'

Probed = Mapping[str, ProbeView | None]


def check_upstreams(
    views: Sequence[UpstreamView], probes: Probed, places: Mapping[str, Place], settings: Settings, present: Present, terms: Terms
) -> Check:
    """Check them all: unhealthy where none of any route that is in use can be asked."""
    parts = {view.name: _check_upstream(view, probes.get(view.name), places[view.name], present, terms) for view in views}
    bad = [name for name, part in parts.items() if part.status is not Status.HEALTHY]
    used = _list_used(views, probes, settings)
    closed = [prefix for prefix, members in used.items() if not any(map(_can_be_asked, members))]
    facts = {"closedRoutes": closed}
    if closed and len(closed) == len(used):
        remedy = "Each upstream below says why; add one of another provider to a pool, so that calls have somewhere to go."
        return Check(Status.UNHEALTHY, "No upstream of any route in use can be asked.", remedy, facts, parts)
    if bad:
        return Check(Status.DEGRADED, f"{len(bad)} of {len(parts)} upstreams: {', '.join(bad)}.", "See what each below says.", facts, parts)
    return Check(Status.HEALTHY, "Nothing speaks against any upstream.", None, facts, parts)


def check_breakers(views: Sequence[UpstreamView], *, is_on: bool) -> Check:
    """Check circuit breakers: those that are not closed, or that an operator holds."""
    if not is_on:
        return Check(Status.HEALTHY, "Off (features.breakers).", None, {"notClosed": [], "held": []})
    found = [(view.name, breaker) for view in views for breaker in view.breakers]
    moved = [_show_breaker(name, breaker) for name, breaker in found if breaker.state != _CLOSED]
    held = [_show_breaker(name, breaker) for name, breaker in found if breaker.force != Force.AUTO]
    facts = {"notClosed": moved, "held": held}
    if not moved:
        return Check(Status.HEALTHY, f"All {len(found)} are closed.", None, facts)
    remedy = "They close by themselves when the upstream answers again; /debug/exchanges tells how calls there failed."
    if any(each["force"] == Force.OPEN for each in moved):
        remedy = _RELEASE
    return Check(Status.DEGRADED, f"{len(moved)} of {len(found)} are not closed.", remedy, facts)


def _check_upstream(view: UpstreamView, probe: ProbeView | None, place: Place, present: Present, terms: Terms) -> Check:
    status, reason, remedy = _judge(view, probe, show_address(place), present, terms)
    facts = {
        "address": show_address(place), "breaker": view.state, "calls": view.calls, "failures": view.failures,
        "lastProbe": None if probe is None else {
            "at": show_moment(probe.at, present), "seconds": round_or_none(probe.took_s), "problem": probe.problem,
        },
    }  # fmt: skip
    return Check(status, reason, remedy, facts)


def _judge(
    view: UpstreamView, probe: ProbeView | None, address: str, present: Present, terms: Terms
) -> tuple[Status, str, str | None]:  # fmt: skip
    """Return how one upstream stands, why, and what to do."""
    if not _can_be_asked(view):
        return _judge_open(view)
    if view.reason == reasons.DOWN:
        problem = "" if probe is None or probe.problem is None else f" ({probe.problem})"
        return Status.UNHEALTHY, f"Its probe fails{problem}.", f"See that {address} is right, up, and can be reached from here."
    if view.reason == reasons.CIRCUIT_OPEN:
        return Status.DEGRADED, "The circuit breaker of some of its models is open.", "See in /debug/exchanges how calls there failed."
    if view.reason is not None:
        return Status.DEGRADED, "It is set aside: it fails more often than the others.", "See in /debug/exchanges how calls there failed."
    if view.held_until is not None:
        until = show_moment(view.held_until, present)
        return Status.DEGRADED, f"It asked for a pause until {until}.", "Ask it less (limits.rates), or add another to its pool."
    if view.state != _CLOSED:
        return Status.DEGRADED, "Its circuit breaker is half-open: a few calls find out whether it is back.", None
    limit = terms.thresholds.error_ratio.warning
    share = view.failures / view.calls if view.calls else 0.0
    is_failing = limit is not None and share > limit and view.calls >= terms.traffic.calls
    if is_failing or (view.calls >= _ALL_FAILED_MIN and view.failures == view.calls):
        told = f"{view.failures} of its last {view.calls} calls failed."
        return Status.DEGRADED, told, f"See in /debug/exchanges how; see that {address} is right and can be reached from here."
    if not _is_known(view, probe):
        return Status.HEALTHY, "It was not asked lately.", None
    return Status.HEALTHY, "It answers.", None


def _judge_open(view: UpstreamView) -> tuple[Status, str, str]:
    if any(breaker.force == Force.OPEN for breaker in view.breakers):
        return Status.UNHEALTHY, "An operator holds its circuit breaker open.", _RELEASE.replace("NAME", view.name)
    again_s = min(breaker.retry_after_s for breaker in view.breakers)
    reason = f"Its circuit breaker is open: calls there failed. It is tried again in {again_s:.0f} s."
    return Status.UNHEALTHY, reason, "See in /debug/exchanges how calls there failed, and what the provider says of itself."


def _can_be_asked(view: UpstreamView) -> bool:
    """Tell whether a call may still go there: one that a probe found dead, or that is set aside, is asked where no other is left."""
    return any(breaker.state != _OPEN for breaker in view.breakers)


def _is_known(view: UpstreamView, probe: ProbeView | None) -> bool:
    """Tell whether something was heard of it lately."""
    return view.calls > 0 or probe is not None or not view.healthy or view.state != _CLOSED


def _list_used(views: Sequence[UpstreamView], probes: Probed, settings: Settings) -> dict[str, tuple[UpstreamView, ...]]:
    """Return the upstreams of each route in use: the configured ones, and of the built-in ones those of which something was heard."""
    by_name = {view.name: view for view in views}
    used = {}
    for route in settings.routes:
        names = (route.upstream or "",) if route.pool is None else settings.pools[route.pool].upstreams
        members = tuple(by_name[name] for name in names if name in by_name)
        if route not in BUILT_IN_ROUTES or any(_is_known(view, probes.get(view.name)) for view in members):
            used[route.prefix] = members
    return used


def _show_breaker(upstream: str, breaker: BreakerView) -> dict[str, Any]:
    return {
        "upstream": upstream, "group": breaker.group, "state": breaker.state,
        "retryAfterSeconds": round_or_none(breaker.retry_after_s), "force": breaker.force,
    }  # fmt: skip
