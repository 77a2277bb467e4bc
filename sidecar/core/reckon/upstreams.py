"""Upstreams side by side as they are shown: who is there, how well, and why one is left alone."""

from collections.abc import Mapping
from typing import Any

from sidecar.core.choose.places import Place
from sidecar.core.choose.views import BreakerView, ProbeView, UpstreamView
from sidecar.core.reckon.decisions import round_or_none
from sidecar.core.reckon.moments import Present, show_moment


def show_upstream(
    view: UpstreamView, place: Place, pools: Mapping[str, tuple[str, ...]], probe: ProbeView | None, present: Present
) -> dict[str, Any]:
    """Return an upstream as JSON has it. `pools`: who belongs to each. What has not been measured is null."""
    return {
        "name": view.name,
        "provider": place.provider,
        "address": show_address(place),
        "pools": [name for name, members in pools.items() if view.name in members],
        "healthy": view.healthy,
        "reason": view.reason,
        "breaker": view.state,
        "breakers": [_show_breaker(breaker) for breaker in view.breakers],
        "pending": view.pending,
        "in_use": view.in_use,
        "concurrency": view.concurrency,
        "weight": view.weight,
        "slow_start_share": round_or_none(view.share),
        "response_time_s": round_or_none(view.response_time_s),
        "reliability": round_or_none(view.reliability),
        "quality": round_or_none(view.quality),
        "calls": view.calls,
        "failures": view.failures,
        "ejected_until": _show_until(view.ejected_until, present),
        "held_until": _show_until(view.held_until, present),
        "last_probe": None if probe is None else _show_probe(probe, present),
    }


def show_address(place: Place) -> str:
    """Return where an upstream listens, without what its url may hold of secrets."""
    return f"{place.scheme}://{place.authority.decode('ascii')}{place.base_path.decode('ascii')}"


def _show_breaker(breaker: BreakerView) -> dict[str, Any]:
    return {
        "group": breaker.group,
        "state": breaker.state,
        "retry_after_s": round_or_none(breaker.retry_after_s),
        "force": breaker.force,
    }


def _show_probe(probe: ProbeView, present: Present) -> dict[str, Any]:
    return {
        "at": show_moment(probe.at, present),
        "took_s": round_or_none(probe.took_s),
        "problem": probe.problem,
        "failures_in_a_row": probe.failures,
        "healthy": probe.healthy,
    }


def _show_until(moment: float | None, present: Present) -> str | None:
    return show_moment(moment, present) if moment is not None and moment > present.now else None
