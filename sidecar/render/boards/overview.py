"""What people look at first: how the service does, and where to look next."""

from typing import Final

from sidecar.render.board import Board, Row, link_board, link_cell, link_traces
from sidecar.render.boards.optional import list_batches_and_sessions, list_ratings, list_tools
from sidecar.render.figures import print_share
from sidecar.render.panels import Panel, Step, Target, band_colors, grade_colors, lines, stat
from sidecar.render.queries import STEP, Scope
from sidecar.render.signals import CALLS, CLASSES, FAILED, GRADES, LATENCY, NAMED, OPERATION, count_down, error_ratio, grade, rename
from sidecar.render.tables import Column, Key, ranking
from sidecar.thresholds import Terms, Thresholds

_SCOPE: Final = Scope(("provider", "model"))
_WHOLE: Final = _SCOPE._replace(whole=True)
_FIRST_TOKEN: Final = "llm_sidecar_time_to_first_token_seconds"
_SPEED: Final = "llm_sidecar_output_tokens_per_second"
_NOT_ESTIMATED: Final = 'source!="estimated"'
_ALERTING: Final = (Step("green"), Step("red", 1))
_TO_LATENCY: Final = link_board("llm-sidecar-latency", "Latency and streaming")
_TO_COST: Final = link_board("llm-sidecar-cost", "Cost and tokens")
_TO_RESILIENCE: Final = link_board("llm-sidecar-resilience", "Resilience and routing")
_TO_SIDECAR: Final = link_board("llm-sidecar-sidecar", "Sidecar health")


def make_board(terms: Terms) -> Board:
    """Return the board: how the service does at one look, the golden signals, the models, and what only some have switched on."""
    thresholds = terms.thresholds
    rows = (
        Row("", (*_list_outcomes(thresholds), *_list_amounts(thresholds))),
        Row("Traffic", _list_traffic()),
        Row("Latency and streams", _list_latency(thresholds)),
        Row("Errors", _list_errors(thresholds)),
        Row("Saturation", _list_saturation(thresholds)),
        Row("Models", (_rank_models(thresholds),)),
        Row("Tools", list_tools(_SCOPE, thresholds), collapsed=True),
        Row("Batches and WebSockets", list_batches_and_sessions(_SCOPE), collapsed=True),
        Row("Quality and events", list_ratings(_SCOPE, thresholds), collapsed=True),
    )
    about = "How calls to models do: grade, traffic, latency, errors and saturation; links lead to the boards that tell more"
    return Board("llm-sidecar-overview", "Overview", about, _SCOPE.variables, rows)


def _list_outcomes(thresholds: Thresholds) -> tuple[Panel, ...]:
    latency, errors, first = thresholds.mean_latency, thresholds.error_ratio, thresholds.time_to_first_token_p95
    breakers = _SCOPE.over("max", "llm_sidecar_circuit_breaker_state", by="upstream")
    limits = (
        " / ".join(f"{limit:g}s" for limit in latency.grades or ()),
        " / ".join(print_share(limit) for limit in errors.grades or ()),
    )
    return (
        stat(
            "Grade",
            f"The worse of what mean latency (A / B / C below {limits[0]}) and error ratio (A / B / C below {limits[1]}) come to, else D; "
            "F when most calls fail. Latency is of all calls, whatever model is chosen",
            "none", [Target(grade(_SCOPE, thresholds), "Grade")], words=GRADES, links=[_TO_LATENCY, _TO_RESILIENCE], width=4, height=4,
        ),
        stat(
            "Error ratio",
            "Share of calls that failed by fault of the provider, the way to it or the sidecar. A caller's own mistake, a caller that hung "
            "up, a 429 and a refusal are not counted. Beyond the colours LLMHighErrorRatio fires",
            "percentunit", [Target(error_ratio(_SCOPE), "Error ratio")], colors=grade_colors(errors), decimals=2, links=[_TO_RESILIENCE],
            width=4, height=4,
        ),
        stat(
            "Latency, p95",
            "95% of calls were faster, from accept to last byte; all calls for an upstream, whatever their form or model. Beyond the "
            "colours LLMHighLatencyP95 fires",
            "s", [Target(_SCOPE.quantile(0.95, LATENCY), "p95")], colors=grade_colors(thresholds.latency_p95), links=[_TO_LATENCY],
            width=4, height=4,
        ),
        stat(
            "First token, p95", f"95% of streams had their first token of content sooner; LLMSlowFirstToken fires above {first.warning:g}s",
            "s", [Target(_SCOPE.quantile(0.95, _FIRST_TOKEN), "p95")], colors=band_colors(first), empty="No streams",
            links=[_TO_LATENCY], width=4, height=4,
        ),
        stat(
            "Open breakers",
            "Upstreams with a circuit breaker that is open now (LLMCircuitBreakerOpen): calls go elsewhere or fail at once",
            "short", [Target(f"sum({breakers} == bool 2)", "open")], colors=_ALERTING,
            decimals=0, empty="No upstreams", links=[_TO_RESILIENCE], width=4, height=4,
        ),
        stat(
            "Firing alerts",
            "Alerts of alerts/ that fire now; red marks on each board tell when they did, and alerts/runbook.md what to do",
            "short", [Target(_count_alerts(), "firing")], colors=_ALERTING, decimals=0, empty="No alerts", width=4, height=4,
        ),
    )  # fmt: skip


def _list_amounts(thresholds: Thresholds) -> tuple[Panel, ...]:
    tokens, cost = (_SCOPE.rate(f"llm_sidecar_{name}_total", _NOT_ESTIMATED) for name in ("tokens", "cost_usd"))
    in_flight, speed = _SCOPE.over("sum", "llm_sidecar_in_flight_requests"), thresholds.output_tokens_per_second
    return (
        stat(
            "Calls per second", "Calls that ended, whatever the ending", "reqps", [Target(_SCOPE.rate(CALLS), "calls")],
            width=4, height=4,
        ),
        stat(
            "Generation speed",
            "Median of the output tokens per second of one stream, from its first token to its last chunk, of answers without reasoning; "
            f"LLMSlowGeneration fires below {speed.warning:g} tok/s",
            "suffix:tok/s", [Target(_SCOPE.quantile(0.5, _SPEED), "median")], colors=band_colors(speed), decimals=0,
            empty="No streams", links=[_TO_LATENCY], width=4, height=4,
        ),
        stat(
            "Tokens per minute", "Billable tokens of all types at the present rate, as providers reported them; estimates are not in it",
            "short", [Target(f"{tokens} * 60", "tokens")], empty="No token counts", links=[_TO_COST], width=4, height=4,
        ),
        stat(
            "Cost per hour",
            "US dollars per hour at the present rate, as the provider reported them or by the price table; models without a price "
            "(LLMUnpricedTraffic) are not in it, nor is what was estimated",
            "currencyUSD", [Target(f"{cost} * 3600", "cost")], empty="No priced calls", links=[_TO_COST], width=4, height=4,
        ),
        stat(
            "In flight", "Calls in progress now, of all models", "short", [Target(in_flight, "calls")], decimals=0,
            empty="No sidecar", links=[_TO_SIDECAR], width=4, height=4,
        ),
        stat(
            "Targets down", "Sidecars of which Prometheus knows and that do not answer it now (LLMSidecarDown)", "short",
            [Target(count_down(_SCOPE), "down")], colors=_ALERTING, decimals=0, empty="No sidecar", links=[_TO_SIDECAR], width=4, height=4,
        ),
    )  # fmt: skip


def _count_alerts() -> str:
    # Alerts are about a job, not about one of its instances. While none fires there is no series, so nothing is zero here.
    return 'count(ALERTS{namespace=~"$namespace",job=~"$job",alertname=~"LLM.+",alertstate="firing",severity!="none"}) or vector(0)'


def _list_traffic() -> tuple[Panel, ...]:
    return (
        lines(
            "Calls by ending", "How calls ended: one of a closed list, each call exactly once", "reqps",
            [Target(_SCOPE.rate(CALLS, by="ending"), "{{ending}}")], stacked=True, width=8,
        ),
        lines(
            "Calls by model", "Calls by provider and requested model; calls of a form that is not understood have no model", "reqps",
            [Target(_SCOPE.rate(CALLS, by="provider, model"), "{{provider}} {{model}}")], stacked=True, width=8,
        ),
        lines(
            "Calls by route", "Calls by the route they came in by: which application, or which use of it", "reqps",
            [Target(_SCOPE.rate(CALLS, by="route"), "{{route}}")], stacked=True, width=8,
        ),
    )  # fmt: skip


def _list_latency(thresholds: Thresholds) -> tuple[Panel, ...]:
    p95, first = thresholds.latency_p95, thresholds.time_to_first_token_p95
    streamed, understood = _SCOPE.rate("gen_ai_client_operation_time_to_first_chunk_seconds_count"), _SCOPE.rate(f"{OPERATION}_count")
    return (
        lines(
            "Latency",
            "From accept to last byte, all calls for an upstream; dots are exemplars that lead to traces; lines at the limits of "
            "LLMHighLatencyP95. LLMHighAverageLatency looks at the mean",
            "s",
            [
                Target(_SCOPE.quantile(0.5, LATENCY), "p50"), Target(_SCOPE.quantile(0.95, LATENCY), "p95", exemplar=True),
                Target(_SCOPE.quantile(0.99, LATENCY), "p99"), Target(_SCOPE.mean(LATENCY), "mean"),
            ],
            colors=grade_colors(p95), width=8, links=[_TO_LATENCY],
        ),
        lines(
            "First token by model",
            "95% of streams of a model had their first token sooner; lines at the ends of the bands; LLMSlowFirstToken fires above "
            f"{first.warning:g}s",
            "s", [Target(_SCOPE.quantile(0.95, _FIRST_TOKEN, by="provider, model"), "{{provider}} {{model}}")], colors=band_colors(first),
            empty="No streams", width=8, links=[_TO_LATENCY],
        ),
        lines(
            "Streamed and whole answers",
            "Calls in a form that is understood: those whose answer streamed, and those whose answer came at once or not at all", "reqps",
            [Target(streamed, "streamed"), Target(f"{understood} - {streamed} or {understood}", "whole")], stacked=True, width=8,
        ),
    )  # fmt: skip


def _list_errors(thresholds: Thresholds) -> tuple[Panel, ...]:
    colors, every = grade_colors(thresholds.error_ratio), _SCOPE.rate(CALLS, by="route")
    kinds = {name: "|".join(endings) for name, endings in CLASSES.items()}
    rates = {name: _SCOPE.rate(CALLS, f'ending=~"{endings}"') for name, endings in kinds.items()}
    # What has never happened has no series: it is 0 as soon as there are calls.
    failed = [Target(f"{rate} or 0 * {_SCOPE.rate(CALLS)}", name) for name, rate in rates.items()]
    status = _SCOPE.rate(f"{LATENCY}_count", by="http_response_status_code")
    return (
        lines(
            "Error ratio by route", "Share of calls that failed, by route, with the limits of LLMHighErrorRatio", "percentunit",
            [Target(_SCOPE.share(_SCOPE.rate(CALLS, FAILED, by="route"), every, "route"), "{{route}}")], colors=colors, width=8,
            links=[_TO_RESILIENCE],
        ),
        lines(
            "Error ratio by model", "Share of calls that failed, by provider and model: whether one of them fails, or all", "percentunit",
            [Target(error_ratio(_SCOPE, "provider, model"), "{{provider}} {{model}}")], colors=colors, width=8, links=[_TO_RESILIENCE],
        ),
        lines(
            "Calls by kind of failure",
            "Calls that did not complete, by what there is to be done (LLMAnswersCut tells of cut ones). The last four kinds are no "
            "errors of the service: LLMUpstreamRateLimited and LLMTenantLimited tell of the first two of them",
            "reqps", failed, bars=True, empty="Every call completed", width=8,
        ),
        lines(
            "Calls that did not complete", "All endings but completed: failures, refusals, 4xx of the provider, callers that hung up",
            "reqps", [Target(_SCOPE.rate(CALLS, 'ending!="completed"', by="ending"), "{{ending}}")], empty="Every call completed",
        ),
        lines(
            "Status codes", "Calls for an upstream by the status the caller saw; none where the call ended before there was one", "reqps",
            [Target(f'label_replace({status}, "http_response_status_code", "none", "http_response_status_code", "")',
                    "{{http_response_status_code}}")],
            stacked=True,
        ),
    )  # fmt: skip


def _list_saturation(thresholds: Thresholds) -> tuple[Panel, ...]:
    pending, limit = (_SCOPE.over("sum", f"llm_sidecar_upstream_{name}", by="upstream") for name in ("pending", "concurrency_limit"))
    cpu = f"rate({_SCOPE.select('process_cpu_seconds_total')}[{STEP}])"
    memory = f"{_SCOPE.select('process_resident_memory_bytes')} / {_SCOPE.select('llm_sidecar_memory_limit_bytes')}"
    return (
        lines(
            "Calls in progress",
            "In flight: accepted and not ended. Pending: no first byte of the answer yet. Queued: waiting for room at an upstream, after "
            "which LLMCallsShed is near",
            "short",
            [
                Target(_SCOPE.over("sum", "llm_sidecar_in_flight_requests"), "in flight"),
                Target(_SCOPE.over("sum", "llm_sidecar_upstream_pending"), "pending"),
                Target(_SCOPE.over("sum", "llm_sidecar_queued_requests"), "queued"),
            ],
            empty="No sidecar", width=8, links=[_TO_SIDECAR],
        ),
        lines(
            "Room used at upstreams",
            "Calls without a first byte as a share of what an upstream is given at once: at 100% calls wait or go elsewhere",
            "percentunit", [Target(f"{pending} / ({limit} > 0)", "{{upstream}}")], colors=(Step("green"), Step("red", 1)),
            empty="No upstreams", width=8, links=[_TO_RESILIENCE],
        ),
        lines(
            "CPU and memory used",
            "The busiest sidecar's share of one core, which is all that one can use, and the fullest one's share of the memory it may "
            "take; lines at the limits of LLMSidecarMemoryHigh",
            "percentunit",
            [
                Target(f"max({_SCOPE.confine(cpu)})", "CPU"), Target(f"max({memory})", "memory"),
            ],
            colors=grade_colors(thresholds.memory_used), empty="No sidecar", width=8, links=[_TO_SIDECAR],
        ),
    )  # fmt: skip


def _rank_models(thresholds: Thresholds) -> Panel:
    by, speed = "provider, model", band_colors(thresholds.output_tokens_per_second)
    links = (
        link_cell("llm-sidecar-latency", "Latency of this model", "model", "Model"),
        link_cell("llm-sidecar-cost", "Cost of this model", "model", "Model"),
        link_traces("Traces of this model", "span.gen_ai.request.model", "Model"),
    )
    tokens, cost = (_WHOLE.rate(f"llm_sidecar_{name}_total", _NOT_ESTIMATED, by=by) for name in ("tokens", "cost_usd"))
    return ranking(
        "Top models",
        "The models with most calls in the chosen time; a click on a model leads to its latency, its cost and its traces",
        (Key("provider", "Provider", (link_cell("llm-sidecar-overview", "This provider alone", "provider", "Provider"),)),
         Key("model", "Model", links)),
        (
            Column("Calls", _WHOLE.rate(CALLS, by=by) + " > 0", "short"),
            Column("Error ratio", error_ratio(_WHOLE, by), "percentunit", 2, grade_colors(thresholds.error_ratio)),
            Column("Latency, p95", rename(_WHOLE.quantile(0.95, OPERATION, by=NAMED)), "s", 2, grade_colors(thresholds.latency_p95)),
            Column("First token, p95", _WHOLE.quantile(0.95, _FIRST_TOKEN, by=by), "s", 2, band_colors(thresholds.time_to_first_token_p95)),
            Column("Speed", _WHOLE.quantile(0.5, _SPEED, by=by), "suffix:tok/s", 0, speed),
            Column("Tokens", tokens, "short"),
            Column("Cost", cost, "currencyUSD", 2),
        ),
        height=10,
    )  # fmt: skip
