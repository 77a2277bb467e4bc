"""How the sidecar itself does: what it uses, what it loses, what it runs."""

from typing import Final

from sidecar.render.board import Board, Row, link_board
from sidecar.render.figures import print_share
from sidecar.render.panels import Panel, Step, Target, grade_colors, heatmap, lines, map_words, stat, states
from sidecar.render.queries import STEP, Scope
from sidecar.render.signals import count_down
from sidecar.render.tables import Column, Key, ranking
from sidecar.thresholds import Terms, Thresholds

_SCOPE: Final = Scope(())
_EMPTY: Final = "No sidecar"
_LAG: Final = "llm_sidecar_event_loop_lag_seconds"
_BAD: Final = (Step("green"), Step("red", 1))
_BUILD: Final = "llm_sidecar_build_info"
_TO_LATENCY: Final = link_board("llm-sidecar-latency", "Latency and streaming")


def make_board(terms: Terms) -> Board:
    """Return the board: state at one look, what the process uses, what is not measured or lost, configuration and versions."""
    thresholds = terms.thresholds
    rows = (
        Row("", _list_states(thresholds)),
        Row("What the process uses", _list_resources(thresholds)),
        Row("What the sidecar does", _list_additions(thresholds)),
        Row("What is not measured or lost", _list_losses(thresholds)),
        Row("Configuration and versions", _list_configuration()),
    )
    about = "How the sidecars themselves do: event loop, memory, CPU, what of the telemetry is lost, reloads, restarts, versions, features"
    return Board("llm-sidecar-sidecar", "Sidecar health", about, _SCOPE.variables, rows)


def _list_states(thresholds: Thresholds) -> tuple[Panel, ...]:
    memory, lost = thresholds.memory_used, thresholds.spans_dropped_ratio
    starts = f"changes({_SCOPE.select('process_start_time_seconds')}[$__range])"
    dropped, exported = (_SCOPE.rate(f"llm_sidecar_spans_{name}_total") for name in ("dropped", "exported"))
    return (
        stat(
            "Sidecars", "Sidecars that answer Prometheus now, of those that are chosen", "short",
            [Target(_SCOPE.over("count", _BUILD), "sidecars")], decimals=0, empty=_EMPTY,
        ),
        stat(
            "Targets down", "Sidecars that do not answer Prometheus now and did within a day (LLMSidecarDown)", "short",
            [Target(count_down(_SCOPE), "down")], colors=_BAD, decimals=0, empty=_EMPTY,
        ),
        stat(
            "Restarts",
            "Times that sidecars began anew in the chosen time under the same address (LLMSidecarRestarting); a new address is a new "
            "sidecar",
            "short",
            [Target(f"sum({_SCOPE.confine(starts)})", "restarts", instant=True)], colors=(Step("green"), Step("orange", 1)), decimals=0,
            empty=_EMPTY,
        ),
        stat(
            "Last reload",
            "Whether the last load of the configuration succeeded everywhere; where not (LLMConfigReloadFailed), the one before it holds, "
            "and the log says what is wrong", "none",
            [Target(_SCOPE.over("min", "llm_sidecar_config_last_reload_successful"), "reload")], empty=_EMPTY,
            words=(("failed", "red"), ("succeeded", "green")),
        ),
        stat(
            "Memory of limit",
            f"The fullest sidecar's share of what it may take; above {print_share(memory.warning)} LLMSidecarMemoryHigh fires, at 100% the "
            "system ends it",
            "percentunit", [Target(f"max({_tell_memory_share()})", "memory")], colors=grade_colors(memory), empty="No limit known",
        ),
        stat(
            "CPU share", "The busiest sidecar's share of the one core that it can use: at 100% every call waits", "percentunit",
            [Target(f"max({_tell_cpu()})", "CPU")], empty=_EMPTY,
        ),
        stat(
            "Loop lag, p99", "1% of timers were woken later: what a call may have to wait for others", "s",
            [Target(_SCOPE.quantile(0.99, _LAG), "p99")], empty=_EMPTY,
        ),
        stat(
            "Spans lost",
            f"Share of the spans of kept traces that never reached the collector; LLMSpansDropped fires above {print_share(lost.warning)}",
            "percentunit", [Target(f"{dropped} / ({dropped} + {exported} > 0)", "lost")], colors=grade_colors(lost), empty="No spans",
            decimals=2,
        ),
    )  # fmt: skip


def _tell_cpu() -> str:
    return _SCOPE.confine(f"rate({_SCOPE.select('process_cpu_seconds_total')}[{STEP}])")


def _tell_memory_share() -> str:
    # The limit is a metric of our own: only sidecars have both.
    return f"{_SCOPE.select('process_resident_memory_bytes')} / {_SCOPE.select('llm_sidecar_memory_limit_bytes')}"


def _list_resources(thresholds: Thresholds) -> tuple[Panel, ...]:
    lag = [Target(_SCOPE.quantile(q, _LAG, by="instance"), f"{{{{instance}}}} p{q * 100:g}") for q in (0.5, 0.99)]
    resident, virtual = (_SCOPE.confine(_SCOPE.select(f"process_{name}_memory_bytes")) for name in ("resident", "virtual"))
    files = _SCOPE.select("process_open_fds")
    connections = _SCOPE.over("sum", "llm_sidecar_upstream_connections", by="upstream, state")
    return (
        lines(
            "Event-loop lag", "How late the event loop woke a timer: what every call may have to wait", "s", lag, empty=_EMPTY, width=8,
        ),
        heatmap(
            "Event-loop lag, distribution", "How many timers per second were woken how late", "cps", _SCOPE.rate(f"{_LAG}_bucket", by="le"),
            axis="s", empty=_EMPTY, width=8,
        ),
        lines("CPU", "Share of one core, which is all that a sidecar can use", "percentunit", [Target(_tell_cpu(), "{{instance}}")],
              empty=_EMPTY, width=8),
        lines(
            "Memory", "Resident memory; the cache gives way before the limit is reached", "bytes", [Target(resident, "{{instance}}")],
            empty=_EMPTY, width=8,
        ),
        lines(
            "Memory of limit by sidecar",
            "Share of what each sidecar may take (LLMSidecarMemoryHigh); beyond the whole of it the system ends the process",
            "percentunit", [Target(_tell_memory_share(), "{{instance}}")], colors=grade_colors(thresholds.memory_used),
            empty="No limit known", width=8,
        ),
        lines(
            "Virtual memory", "Address space: it may be far larger than what is resident, and only matters where it is limited", "bytes",
            [Target(virtual, "{{instance}}")], empty=_EMPTY, width=8,
        ),
        lines(
            "Open files", "Open file descriptors; every connection is one", "short", [Target(_SCOPE.confine(files), "{{instance}}")],
            empty=_EMPTY, width=8,
        ),
        lines(
            "Open files of limit", "Share of the file descriptors that each sidecar may have; at 100% it takes no more connections",
            "percentunit", [Target(_SCOPE.confine(f"{files} / {_SCOPE.select('process_max_fds')}"), "{{instance}}")], empty=_EMPTY, width=8,
        ),
        lines(
            "Connections to upstreams", "Open connections, in use and idle", "short",
            [Target(f"{connections} > 0", "{{upstream}} {{state}}")],
            rare=True, empty="No connections", width=8,
        ),
    )  # fmt: skip


def _list_additions(thresholds: Thresholds) -> tuple[Panel, ...]:
    histogram, limit = "llm_sidecar_overhead_seconds", thresholds.overhead_p99.warning
    sides = [
        Target(_SCOPE.quantile(0.99, histogram, f'side="{side}"', by="instance"), f"{{{{instance}}}} {side}")
        for side in ("request", "response")
    ]
    return (
        lines(
            "Calls in flight", "Calls in progress, by sidecar: whether they share the work", "short",
            [Target(_SCOPE.over("sum", "llm_sidecar_in_flight_requests", by="instance"), "{{instance}}")], empty=_EMPTY, width=8,
        ),
        lines(
            "Overhead, p99, by sidecar",
            "1% of calls had more time added by the sidecar itself, before the request was sent on and to the answer; the line is the "
            "limit of LLMSidecarOverheadHigh, for the side of the request",
            "s", sides, colors=(Step("green"), Step("orange", limit)), width=8, links=[_TO_LATENCY],
        ),
        heatmap(
            "Overhead on responses, distribution", "How many calls per second had how much added to their answer", "reqps",
            _SCOPE.rate(f"{histogram}_bucket", 'side="response"', by="le"), axis="s", width=8,
        ),
    )  # fmt: skip


def _list_losses(thresholds: Thresholds) -> tuple[Panel, ...]:
    def rate(name: str, by: str = "") -> str:
        return _SCOPE.rate(f"llm_sidecar_{name}_total", by=by)

    return (
        lines(
            "Spans",
            "Spans that the collector took, and those that were lost, by reason: queue_full and export_failed are a collector that is slow "
            f"or away. LLMSpansDropped fires where {print_share(thresholds.spans_dropped_ratio.warning)} are lost",
            "cps", [Target(rate("spans_exported"), "exported"), Target(rate("spans_dropped", "reason"), "lost: {{reason}}")], empty=_EMPTY,
            width=8,
        ),
        lines(
            "What could not be measured",
            "Answers that could not be read, by reason, or whose reading failed; records that could not be taken; requests whose JSON "
            "could not be read. All were relayed. LLMObservationFailing tells of what should never be",
            "cps",
            [
                Target(rate("observer_failures"), "observers failed"), Target(rate("sink_failures", "sink"), "records lost: {{sink}}"),
                Target(rate("unreadable_requests"), "requests unread"),
                Target(rate("unread_answers", "reason"), "answers unread: {{reason}}"),
            ],
            empty=_EMPTY, width=8,
        ),
        lines(
            "Labels beyond their bound",
            "Calls counted under other because a bound on labels or series was reached (LLMLabelOverflow): raise limits.labels, or find "
            "who sends ever new names",
            "cps", [Target(rate("label_overflow", "label"), "{{label}}")], empty=_EMPTY, width=8,
        ),
        lines(
            "Captured content that was lost",
            "Calls whose content was not wholly kept, by reason (LLMContentDropped), and texts withheld because a pattern of your own ran "
            "out of time",
            "cps",
            [Target(rate("content_dropped", "reason"), "lost: {{reason}}"),
             Target(rate("content_withheld", "pattern"), "withheld: {{pattern}}")],
            empty=_EMPTY, width=8,
        ),
        lines(
            "Writes to the ledger that failed", "What went wrong with the ledger of budgets (LLMLedgerFailing): spending may be forgotten",
            "cps", [Target(f"{rate('ledger_failures', 'reason')} > 0", "{{reason}}")], rare=True, empty="None failed", width=8,
        ),
        lines(
            "Shared store, by outcome",
            "Commands to the shared store: late and failed ones are a store that is slow or refuses, those of away were not sent "
            "(LLMSharedStoreDown)",
            "cps", [Target(rate("shared_commands", "outcome"), "{{outcome}}")], empty="No shared store", width=8,
        ),
    )  # fmt: skip


def _list_configuration() -> tuple[Panel, ...]:
    reload = "llm_sidecar_config_last_reload_success"
    lowest, highest = (_SCOPE.over(name, "llm_sidecar_feature_enabled", by="feature") for name in ("min", "max"))
    words, state = (("failed", "red"), ("good", "green")), f"{reload}ful"
    return (
        ranking(
            "Versions", "What runs where, since when, and when its configuration was last loaded; during a roll-out there are two versions",
            (Key("instance", "Instance"), Key("version", "Version"), Key("python", "Python")),
            (
                Column("Up for", f"time() - {_tell_by_build('process_start_time_seconds')}", "dtdurations", 0),
                Column("Loaded", f"{_tell_by_build(f'{reload}_timestamp_seconds')} * 1000", "dateTimeFromNow"),
                Column("Last reload", _tell_by_build(state), "none", 0, words=map_words(words)),
            ),
            empty=_EMPTY, width=16,
        ),
        states(
            "Reloads", "Whether each sidecar's last load of its configuration succeeded; where not, it goes on with the one before",
            [Target(_SCOPE.over("min", state, by="instance"), "{{instance}}")], words, empty=_EMPTY, width=8,
        ),
        states(
            "Features", "What is switched on (features:), on all of the sidecars or on some of them",
            [Target(f"{lowest} + {highest}", "{{feature}}")], (("off", "text"), ("on some", "yellow"), ("on", "green")),
            empty=_EMPTY, width=16, height=12,
        ),
        lines(
            "Series", "Series that each sidecar exposes; limits.series bounds those that calls make", "short",
            [Target(_SCOPE.confine(_SCOPE.select("scrape_samples_scraped")), "{{instance}}")], empty=_EMPTY, width=8, height=12,
        ),
    )  # fmt: skip


def _tell_by_build(series: str) -> str:
    # What build_info says becomes labels of the value: its own value is 1.
    return f"max by (instance, version, python) ({_SCOPE.select(_BUILD)} * on (job, instance) group_left () {_SCOPE.select(series)})"
