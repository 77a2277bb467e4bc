"""The checks of a sidecar itself and of what it works with, but for upstreams: those are in `connectivity`."""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple, Protocol

from sidecar.config import Features
from sidecar.core.admit.spending_sums import ALL, Balance
from sidecar.core.reckon.decisions import round_or_none
from sidecar.core.reckon.health import Check, Status
from sidecar.core.reckon.moments import Present, show_moment
from sidecar.core.settings.kinds import members
from sidecar.errors import ConfigProblem
from sidecar.thresholds import Terms

_OFF: Final = "Off"
_SAMPLES: Final = 100  # of sums that are remembered
_LAGS_MIN: Final = 20
_LAG_SHARE: Final = 0.9  # of the event loop's lags: what one pause does is no state


class ExportView(NamedTuple):
    """How the export of spans goes. Moments are on the monotonic clock."""

    exported: int  # spans, since the start
    dropped: int
    waiting: int  # records
    delivered_at: float | None  # when the collector last took some
    problem: str | None  # why the last batch was lost; None where it was not


class LedgerView(NamedTuple):
    """How the ledger of budgets stands."""

    problem: str | None  # why what is spent is not on disk; None where it is


class JournalView(Protocol):
    """How the journal stands."""

    @property
    def problem(self) -> str | None:
        """Why not everything is on disk; None where it is."""
        ...

    @property
    def saved(self) -> float | None:
        """When everything was on disk for the last time, on the monotonic clock."""
        ...

    @property
    def damaged(self) -> int:
        """How many files were set aside since the start."""
        ...

    @property
    def lost(self) -> int:
        """How many calls were given up since the start."""
        ...


class ConfigurationView(NamedTuple):
    """How the configuration stands."""

    source: str
    loaded_at: float  # on the monotonic clock
    problems: Sequence[ConfigProblem] = ()  # of what is on disk and could not be loaded
    held: Sequence[str] = ()  # settings that wait for a restart
    is_stale: bool = False  # files have other content than was loaded
    is_watched: bool = True  # changes are taken by themselves


class SharedView(NamedTuple):
    """How the place that several sidecars share stands."""

    is_up: bool | None  # None: nobody asked it yet
    problem: str | None  # of the last command that failed


def check_serving(*, is_ready: bool, is_draining: bool, data_url: str, in_flight: int) -> Check:
    """Check the data port."""
    facts = {"dataUrl": data_url or None, "inFlight": in_flight, "draining": is_draining}
    if is_ready:
        return Check(Status.HEALTHY, "Calls are taken.", None, facts)
    if is_draining:
        remedy = "Call another instance; this one ends by itself, at the latest after `timeouts.shutdown`."
        return Check(Status.UNHEALTHY, "It was told to stop: calls in progress come to their end.", remedy, facts)
    return Check(Status.UNHEALTHY, "No calls are taken: it is starting.", "Wait.", facts)


def check_configuration(view: ConfigurationView, present: Present) -> Check:
    """Check what is in force against what is on disk."""
    told = [f"{problem.path}: {problem.found}" for problem in view.problems]
    facts = {
        "source": view.source, "loadedAt": show_moment(view.loaded_at, present), "changedSince": view.is_stale, "problems": told,
        "restart": list(view.held),
    }  # fmt: skip
    taken = "it is loaded as soon as it is right" if view.is_watched else "then send SIGHUP, or POST /-/reload"
    if view.problems:
        wanted = "; ".join(f"{problem.path} needs {problem.allowed}" for problem in view.problems)
        reason = "What is on disk cannot be used: what was loaded before it is in force, and a restart would fail."
        return Check(Status.DEGRADED, reason, f"Put it right ({wanted}); {taken}.", facts)
    if view.is_stale:
        remedy = "Wait: they are loaded when they have not changed for a while." if view.is_watched else "Send SIGHUP, or POST /-/reload."
        return Check(Status.DEGRADED, "Files were changed since they were loaded.", remedy, facts)
    if view.held:
        remedy = f"Start the sidecar again for {', '.join(view.held)}; everything else is in force."
        return Check(Status.DEGRADED, "Settings that were changed wait for a restart.", remedy, facts)
    return Check(Status.HEALTHY, "In force as it is on disk.", None, facts)


def check_memory(rss_bytes: int | None, limit_bytes: int | None, terms: Terms) -> Check:
    """Check how much of what the process may take it takes."""
    share = rss_bytes / limit_bytes if rss_bytes is not None and limit_bytes else None
    facts = {"rssBytes": rss_bytes, "limitBytes": limit_bytes, "share": None if share is None else round(share, 4)}
    limit = terms.thresholds.memory_used.warning
    if share is None or limit is None:
        return Check(Status.HEALTHY, "How much memory there may be is not known.", None, facts)
    reason = f"{share:.1%} of what it may take."
    if share <= limit:
        return Check(Status.HEALTHY, reason, None, facts)
    remedy = "Raise the memory limit, or lower cache.warm.bytes, limits.body or limits.concurrency: beyond the limit the system ends it."
    return Check(Status.DEGRADED, reason, remedy, facts)


def check_cache(levels: Mapping[str, tuple[int, int]], memory: Check, memory_share: float, *, is_on: bool) -> Check:
    """Check what is kept. `levels`: entries and bytes of each in this process; `memory_share`: above it the compressed one is dropped."""
    facts = {"levels": {level: {"entries": entries, "bytes": size} for level, (entries, size) in levels.items()}}
    if not is_on:
        return Check(Status.HEALTHY, f"{_OFF} (features.cache).", None, facts)
    share = memory.facts.get("share")
    if share is not None and share >= memory_share:
        remedy = "Raise the memory limit, or lower cache.warm.bytes."
        return Check(Status.DEGRADED, f"Memory is short ({share:.1%} is taken): compressed answers are dropped.", remedy, facts)
    kept = sum(entries for entries, _ in levels.values())
    return Check(Status.HEALTHY, f"{kept} answers are kept.", None, facts)


def check_shared(view: SharedView | None) -> Check:
    """Check the place that several sidecars share; None: there is none."""
    if view is None:
        return Check(Status.HEALTHY, f"{_OFF} (redis.url).")
    facts = {"problem": None if view.is_up else view.problem}
    if view.is_up is None:
        return Check(Status.HEALTHY, "Not asked yet.", None, facts)
    if view.is_up:
        return Check(Status.HEALTHY, "It answered when it was last asked.", None, facts)
    problem = f" ({view.problem})" if view.problem else ""
    remedy = (
        "See that the server of redis.url is up and can be reached, and its credentials are right; it is asked again with the next calls."
    )
    return Check(Status.DEGRADED, f"It does not answer{problem}: limits, budgets and cache are each sidecar's own.", remedy, facts)


def check_export(view: ExportView | None, recent_losses: float | None, present: Present, terms: Terms) -> Check:
    """Check the export of traces; None: there is none. `recent_losses`: which share of spans was lost lately, None without any."""
    if view is None:
        return Check(Status.HEALTHY, f"{_OFF} (tracing.endpoint, OTEL_EXPORTER_OTLP_ENDPOINT).")
    facts = {
        "exported": view.exported, "dropped": view.dropped, "waiting": view.waiting,
        "lastSuccess": show_moment(view.delivered_at, present), "problem": view.problem,
    }  # fmt: skip
    if view.problem is not None:
        remedy = "See that the collector is up, at the address that is configured, and takes OTLP there."
        return Check(Status.DEGRADED, f"The collector did not take the last batch ({view.problem}).", remedy, facts)
    limit = terms.thresholds.spans_dropped_ratio.warning
    if recent_losses is not None and limit is not None and recent_losses > limit:
        remedy = "Lower tracing.ratio, or raise tracing.cpu_share or tracing.queue."
        return Check(Status.DEGRADED, f"{recent_losses:.1%} of the spans of the last minutes were lost.", remedy, facts)
    return Check(Status.HEALTHY, "Nothing was sent yet." if view.delivered_at is None else "The collector takes what it gets.", None, facts)


def check_budgets(overview: tuple[Sequence[Balance], frozenset[str]] | None, ledger: LedgerView | None) -> Check:
    """Check what is spent, and whether it is written down. `overview`: all budgets, and whose spending is stopped; None: there are none.

    `ledger`: None where nothing has to be known after a restart.
    """
    if overview is None:
        return Check(Status.HEALTHY, f"{_OFF} (features.budgets).")
    balances, stopped = overview
    spent = [each for each in balances if each.limit_usd is not None and each.spent_usd + each.reserved_usd >= each.limit_usd]
    near = [each for each in balances if each.soft_reached and each not in spent]
    facts = {
        "spent": len(spent), "nearlySpent": len(near), "stopped": len(stopped),
        "ledger": None if ledger is None else {"problem": ledger.problem},
    }  # fmt: skip
    if ledger is not None and ledger.problem is not None:
        remedy = (
            "Make room, or make budgets.file writable: what is spent meanwhile is remembered until then, and no longer than the process."
        )
        return Check(Status.DEGRADED, f"The ledger cannot be written ({ledger.problem}).", remedy, facts)
    if ALL in stopped or any(each.tenant == ALL for each in spent):
        remedy = "Raise the budget in budgets.all, or let spending go on with a POST to /api/budgets."
        return Check(Status.DEGRADED, "Everybody's calls are refused: spending is stopped, or the common budget is spent.", remedy, facts)
    told = f"{len(spent)} of {len(balances)} are spent, {len(near)} nearly; spending of {len(stopped)} tenants is stopped."
    return Check(Status.HEALTHY, told, None, facts)  # that a tenant's calls are refused is what budgets are for


def check_journal(view: JournalView | None, present: Present) -> Check:
    """Check the journal; None: there is none."""
    if view is None:
        return Check(Status.HEALTHY, f"{_OFF} (journal.directory).")
    facts = {
        "lastSaved": show_moment(view.saved, present), "problem": view.problem, "damagedFiles": view.damaged, "lostCalls": view.lost,
    }  # fmt: skip
    if view.problem is None:
        return Check(Status.HEALTHY, "It is written.", None, facts)
    remedy = "Make room, or make journal.directory writable: what was counted is written as soon as it can be."
    return Check(Status.DEGRADED, f"It cannot be written ({view.problem}).", remedy, facts)


def check_event_loop(lags: Sequence[float], terms: Terms) -> Check:
    """Check how late the event loop was lately. `lags`: seconds, of timers that were due, about a minute's."""
    ranked = sorted(lags)
    usual = ranked[int(len(ranked) * _LAG_SHARE)] if ranked else None
    facts = {"lagSeconds": round_or_none(usual), "worstSeconds": round_or_none(ranked[-1] if ranked else None)}
    limit = terms.thresholds.overhead_p99.warning
    if usual is None or limit is None or len(ranked) < _LAGS_MIN:
        return Check(Status.HEALTHY, "Not measured for long enough yet.", None, facts)
    if usual <= limit:
        return Check(Status.HEALTHY, "Calls get their turn in time.", None, facts)
    remedy = "Give it more CPU, run more of them, or have it do less: content.cpu_share, tracing.cpu_share."
    return Check(Status.DEGRADED, f"Every tenth turn of the last minute came {usual:.3f} s late, or later.", remedy, facts)


def check_features(features: Features) -> Check:
    """Tell what is switched on: none of it is wrong."""
    switched = {name: bool(getattr(features, name)) for name in members(Features)}
    return Check(Status.HEALTHY, f"{sum(switched.values())} of {len(switched)} are on.", None, {"features": switched})


class Losses:
    """Which share of spans was lost lately: told now and then of the sums since the start."""

    def __init__(self, span_s: float = 300.0) -> None:
        self._span_s = span_s
        self._sums: list[tuple[float, int, int]] = []  # when, exported, dropped

    def note(self, exported: int, dropped: int, now: float) -> float | None:
        """Take note of the sums at `now`; return the share that was lost since `span_s` before, None where there were no spans."""
        if not self._sums or now >= self._sums[-1][0] + self._span_s / _SAMPLES:  # so often as anybody asks would be too much
            self._sums.append((now, exported, dropped))
        while len(self._sums) > 2 and self._sums[1][0] <= now - self._span_s:
            del self._sums[0]
        _, before, lost_before = self._sums[0]
        lost, all_spans = dropped - lost_before, exported + dropped - before - lost_before
        return lost / all_spans if all_spans else None
