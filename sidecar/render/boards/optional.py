"""Rows of the overview for what only some use: tools, batches, WebSockets, ratings, events."""

from typing import Final

from sidecar.render.panels import Panel, Step, Target, grade_colors, lines
from sidecar.render.queries import Scope
from sidecar.thresholds import Thresholds

_TOOLS: Final = "gen_ai_execute_tool_duration_seconds"
_SESSIONS: Final = "llm_sidecar_websocket_session_duration_seconds"
_SCORES: Final = "llm_sidecar_quality_score"
_NO_TOOLS: Final = "No tools called"


def list_tools(scope: Scope, thresholds: Thresholds) -> tuple[Panel, ...]:
    """Return the panels of executions of tools."""
    by, count, legend = "gen_ai_tool_name", f"{_TOOLS}_count", "{{gen_ai_tool_name}}"
    every, failed = scope.rate(count, by=by), scope.rate(count, 'error_type!~"|4.."', by=by)
    colors = (Step("green"), Step("orange", thresholds.tool_error_ratio.warning))
    return (
        lines(
            "Calls by tool", "Executions of tools, by name; what an MCP client asks besides is none", "reqps", [Target(every, legend)],
            empty=_NO_TOOLS, width=12,
        ),
        lines(
            "Error ratio by tool",
            "Share of executions that failed, with the limit of LLMToolFailing; a 4xx of an HTTP tool and a caller that hung up are not "
            "counted",
            "percentunit", [Target(scope.share(failed, every, by), legend)], colors=colors, empty=_NO_TOOLS, width=12,
        ),
        lines(
            "Tool latency, p95", "95% of executions of a tool were faster, from accept to last byte", "s",
            [Target(scope.quantile(0.95, _TOOLS, by=by), legend)], empty=_NO_TOOLS, width=12,
        ),
        lines(
            "Tool errors by type",
            "Executions that failed, by tool and error: a JSON-RPC code, tool_error for a result that says so, a status, or an error id of "
            "the sidecar",
            "cps", [Target(scope.rate(count, 'error_type!=""', by=f"{by}, error_type"), f"{legend} {{{{error_type}}}}")],
            empty="Every tool succeeded", width=12,
        ),
    )  # fmt: skip


def list_ratings(scope: Scope, thresholds: Thresholds) -> tuple[Panel, ...]:
    """Return the panels of what applications tell: how good answers were, and what else happened."""
    by, legend = "provider, model", "{{provider}} {{model}}"
    limit = thresholds.quality
    return (
        lines(
            "Quality by model",
            f"Mean of what applications said of answers (POST /api/feedback), from 0 to 1; above {limit.target:g} is good, below "
            f"{limit.warning:g} is not",
            "percentunit", [Target(scope.mean(_SCORES, by=by), legend)], colors=grade_colors(limit), empty="Nothing rated",
        ),
        lines(
            "Answers rated", "Answers that applications have rated, by model: how much the mean is worth", "cps",
            [Target(scope.rate(f"{_SCORES}_count", by=by) + " > 0", legend)], rare=True, empty="Nothing rated",
        ),
        lines(
            "Events of applications", "What applications told of besides (POST /api/events), by name", "cps",
            [Target(scope.rate("llm_sidecar_events_total", by="name") + " > 0", "{{name}}")], rare=True, empty="No events",
        ),
    )  # fmt: skip


def list_batches_and_sessions(scope: Scope) -> tuple[Panel, ...]:
    """Return the panels of batch calls and of WebSockets."""
    length = [Target(scope.quantile(q, _SESSIONS, by="route"), f"{{{{route}}}} p{q * 100:g}") for q in (0.5, 0.95)]
    return (
        lines(
            "Calls in batches", "Calls that came as entries of a batch (POST /x-sidecar/batch); each is counted as a call of its own, too",
            "reqps", [Target(scope.rate("llm_sidecar_batched_requests_total"), "entries")], empty="No sidecar", width=12,
        ),
        lines(
            "Open WebSocket sessions", "Sessions that are open now, those in their handshake included", "short",
            [Target(scope.over("sum", "llm_sidecar_websocket_sessions", by="instance"), "{{instance}}")], empty="No sidecar", width=12,
        ),
        lines(
            "WebSocket session length", "From handshake to close, of sessions that ended; providers end them after an hour or sooner", "s",
            length, empty="No sessions ended", width=12,
        ),
        lines(
            "WebSocket messages", "Messages of both directions by route, counted when their session ends", "cps",
            [Target(scope.rate("llm_sidecar_websocket_messages_total", by="route, direction") + " > 0", "{{route}} {{direction}}")],
            rare=True, empty="No messages", width=12,
        ),
    )  # fmt: skip
