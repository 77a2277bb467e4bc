"""How long calls take, where the time goes, and how streams flow."""

from typing import Final

from sidecar.render.board import Board, Row, link_cell, link_traces
from sidecar.render.panels import Panel, Step, Target, band_colors, grade_colors, heatmap, lines
from sidecar.render.queries import Scope
from sidecar.render.signals import CALLS, LATENCY, NAMED, OPERATION, rename
from sidecar.render.tables import Column, Key, ranking
from sidecar.thresholds import Band, Side, Terms, Threshold, Thresholds

_SCOPE: Final = Scope(("provider", "model"))
_WHOLE: Final = _SCOPE._replace(whole=True)
_FIRST_TOKEN: Final = "llm_sidecar_time_to_first_token_seconds"
_FIRST_CHUNK: Final = "gen_ai_client_operation_time_to_first_chunk_seconds"
_GAPS: Final = "gen_ai_client_operation_time_per_output_chunk_seconds"
_SPEED: Final = "llm_sidecar_output_tokens_per_second"
_TOKENS: Final = "gen_ai_client_token_usage"
_OVERHEAD: Final = "llm_sidecar_overhead_seconds"
_WAIT: Final = "llm_sidecar_queue_wait_seconds"
_NO_STREAMS: Final = "No streams"
_BAND_COLORS: Final = ("green", "yellow", "orange", "red")


def make_board(terms: Terms) -> Board:
    """Return the board: whole calls, first tokens, the flow after them, where the time goes, how large calls are, model by model."""
    thresholds = terms.thresholds
    rows = (
        Row("Whole calls", _list_calls(thresholds)),
        Row("First token", _list_first_tokens(thresholds)),
        Row("Flow of tokens", _list_flow(thresholds)),
        Row("Where the time goes", _list_shares_of_time(thresholds)),
        Row("Size of calls", _list_sizes()),
        Row("Model by model", (_rank_models(thresholds),)),
    )
    about = "How long calls take, how soon streams begin and how fast they flow, and how much of it is the sidecar's; dots lead to traces"
    return Board("llm-sidecar-latency", "Latency and streaming", about, _SCOPE.variables, rows)


def _list_calls(thresholds: Thresholds) -> tuple[Panel, ...]:
    colors = grade_colors(thresholds.latency_p95)
    return (
        lines(
            "Latency",
            "From accept to last byte, all calls for an upstream, whatever their form or model; dots are exemplars that lead to traces; "
            "lines at the limits of LLMHighLatencyP95",
            "s", _spread(LATENCY, mean=True), colors=colors,
        ),
        heatmap(
            "Latency, distribution",
            "How many calls per second took how long: two stripes are two kinds of calls, and their mean is of neither", "reqps",
            _SCOPE.rate(f"{LATENCY}_bucket", by="le"), axis="s",
        ),
        lines(
            "Latency by model", "95% of calls in a form that is understood were faster, by requested model", "s",
            [Target(_SCOPE.quantile(0.95, OPERATION, by=NAMED), "{{gen_ai_provider_name}} {{gen_ai_request_model}}")], colors=colors,
            width=8,
        ),
        lines(
            "Mean latency by provider",
            "Mean time of calls in a form that is understood, by provider, with the limits of LLMHighAverageLatency, which looks at routes",
            "s", [Target(_SCOPE.mean(OPERATION, by="gen_ai_provider_name"), "{{gen_ai_provider_name}}")],
            colors=grade_colors(thresholds.mean_latency), width=8,
        ),
        _stack_bands(
            "Calls by response time", "Shares of calls in a form that is understood", OPERATION, thresholds.response_time, "s", "No traffic"
        ),
    )  # fmt: skip


def _list_first_tokens(thresholds: Thresholds) -> tuple[Panel, ...]:
    first = thresholds.time_to_first_token_p95
    colors = band_colors(first)
    chunks = [Target(_SCOPE.quantile(q, _FIRST_CHUNK), f"p{q * 100:g}") for q in (0.5, 0.95)]
    return (
        lines(
            "Time to first token",
            "From accept to the first token of content of a stream; role-only chunks do not count. Dots are exemplars that lead to traces; "
            f"lines at the ends of the bands; LLMSlowFirstToken fires above {first.warning:g}s",
            "s", _spread(_FIRST_TOKEN, mean=True), colors=colors, empty=_NO_STREAMS,
        ),
        heatmap(
            "First token, distribution", "How many streams per second began how late", "reqps",
            _SCOPE.rate(f"{_FIRST_TOKEN}_bucket", by="le"), axis="s", empty=_NO_STREAMS,
        ),
        lines(
            "First token by model", "95% of streams of a model had their first token sooner", "s",
            [Target(_SCOPE.quantile(0.95, _FIRST_TOKEN, by="provider, model"), "{{provider}} {{model}}")],
            colors=colors, empty=_NO_STREAMS, width=8,
        ),
        lines(
            "Time to first chunk",
            "From accept to the first chunk of a stream, of whatever is in it: where it comes long before the first token, the "
            "model thinks",
            "s", chunks, empty=_NO_STREAMS, width=8,
        ),
        _stack_bands("Streams by first token", "Shares of streams", _FIRST_TOKEN, first, "s", _NO_STREAMS),
    )  # fmt: skip


def _list_flow(thresholds: Thresholds) -> tuple[Panel, ...]:
    speed = thresholds.output_tokens_per_second
    medians = [Target(_SCOPE.quantile(0.5, _SPEED, by="provider, model"), "{{provider}} {{model}}")]
    return (
        lines(
            "Gaps between chunks", "Time between one chunk of a stream and the next: wide gaps are a slow model, or a busy one", "s",
            _spread(_GAPS, mean=False, exemplar=False), empty=_NO_STREAMS,
        ),
        heatmap(
            "Gaps, distribution", "How many chunks per second came how long after the one before", "cps",
            _SCOPE.rate(f"{_GAPS}_bucket", by="le"), axis="s", empty=_NO_STREAMS,
        ),
        lines(
            "Generation speed by model",
            "Median of the output tokens per second of one stream, of answers without reasoning; lines at the ends of the bands; "
            f"LLMSlowGeneration fires below {speed.warning:g} tok/s",
            "suffix:tok/s", medians, colors=band_colors(speed), empty=_NO_STREAMS, width=8,
        ),
        heatmap(
            "Generation speed, distribution", "How many streams per second flowed how fast", "reqps",
            _SCOPE.rate(f"{_SPEED}_bucket", by="le"), axis="suffix:tok/s", empty=_NO_STREAMS, width=8,
        ),
        _stack_bands(
            "Streams by generation speed", "Shares of streams whose speed can be told", _SPEED, speed, " tok/s", _NO_STREAMS
        ),
    )  # fmt: skip


def _list_shares_of_time(thresholds: Thresholds) -> tuple[Panel, ...]:
    added = {side: _SCOPE.rate(f"{_OVERHEAD}_sum", f'side="{side}"') for side in ("request", "response")}
    calls, whole, waited = _SCOPE.rate(f"{LATENCY}_count"), _SCOPE.rate(f"{LATENCY}_sum"), _SCOPE.rate(f"{_WAIT}_sum")
    parts = {
        "upstream": f"clamp_min({whole} - {added['request']} - {added['response']} - {waited}, 0)", "queue": waited,
        "sidecar, request": added["request"], "sidecar, response": added["response"],
    }  # fmt: skip
    sides = [Target(_SCOPE.quantile(q, _OVERHEAD, by="side"), f"{{{{side}}}} p{q * 100:g}", exemplar=False) for q in (0.5, 0.95, 0.99)]
    limit = (Step("green"), Step("orange", thresholds.overhead_p99.warning))
    return (
        lines(
            "Time of a call by where it passed",
            "Mean seconds of a call at the upstream and on the way there, in our queue, and in the sidecar itself on either side",
            "s", [Target(f"{part} / ({calls} > 0)", name) for name, part in parts.items()], stacked=True, width=8,
        ),
        lines(
            "Added by the sidecar",
            "Time the sidecar itself added to a call, before the request was sent on and to the answer; the line is the limit of "
            "LLMSidecarOverheadHigh, for the side of the request. Beyond it, look at the event loop and the CPU of the sidecar",
            "s", sides, colors=limit, width=8,
        ),
        lines(
            "Share added by the sidecar", "Of all the time that calls took, the share that the sidecar itself added", "percentunit",
            [Target(f"({added['request']} + {added['response']}) / ({whole} > 0)", "share")], width=8,
        ),
        heatmap(
            "Added to requests, distribution", "How many calls per second had how much added before they were sent on", "reqps",
            _SCOPE.rate(f"{_OVERHEAD}_bucket", 'side="request"', by="le"), axis="s",
        ),
        lines(
            "Queue wait", "How long calls waited for room at an upstream, of those that had to; LLMCallsShed tells if in vain", "s",
            _spread(_WAIT, mean=False, exemplar=False), empty="No call had to wait",
        ),
    )  # fmt: skip


def _list_sizes() -> tuple[Panel, ...]:
    def show(kind: str, what: str) -> Panel:
        buckets = _SCOPE.rate(f"{_TOKENS}_bucket", f'gen_ai_token_type="{kind}"', by="le")
        about = f"How many calls per second used how many tokens of {kind}, {what} among them: longer ones take longer"
        return heatmap(f"{kind.capitalize()} tokens per call", about, "reqps", buckets, axis="short", empty="No token counts")

    return show("input", "cached ones"), show("output", "those of reasoning")


def _rank_models(thresholds: Thresholds) -> Panel:
    def measure(q: float) -> str:
        return rename(_WHOLE.quantile(q, OPERATION, by=NAMED))

    by, latency, first = "provider, model", grade_colors(thresholds.latency_p95), band_colors(thresholds.time_to_first_token_p95)
    links = (
        link_cell("llm-sidecar-latency", "This model alone", "model", "Model"),
        link_traces("Traces of this model", "span.gen_ai.request.model", "Model"),
    )
    speed = band_colors(thresholds.output_tokens_per_second)
    return ranking(
        "Latency of models",
        "The models with most calls in the chosen time; a click on a model chooses it, or leads to its traces",
        (Key("provider", "Provider"), Key("model", "Model", links)),
        (
            Column("Calls", _WHOLE.rate(CALLS, by=by) + " > 0", "short"),
            Column("Mean", rename(_WHOLE.mean(OPERATION, by=NAMED)), "s", 2, grade_colors(thresholds.mean_latency)),
            Column("p50", measure(0.5), "s", 2), Column("p95", measure(0.95), "s", 2, latency), Column("p99", measure(0.99), "s", 2),
            Column("First token, p95", _WHOLE.quantile(0.95, _FIRST_TOKEN, by=by), "s", 2, first),
            Column("Gap, p95", rename(_WHOLE.quantile(0.95, _GAPS, by=NAMED)), "s", 3),
            Column("Speed", _WHOLE.quantile(0.5, _SPEED, by=by), "suffix:tok/s", 0, speed),
        ),
        height=10,
    )  # fmt: skip


def _spread(histogram: str, *, mean: bool, exemplar: bool = True) -> list[Target]:
    quantiles = [Target(_SCOPE.quantile(q, histogram), f"p{q * 100:g}", exemplar=exemplar and q == 0.95) for q in (0.5, 0.95, 0.99)]
    return [*quantiles, *([Target(_SCOPE.mean(histogram), "mean")] if mean else ())]


def _stack_bands(title: str, what: str, histogram: str, threshold: Threshold, unit: str, empty: str) -> Panel:
    names = [_tell_ends(threshold, place, unit) for place in range(len(threshold.bands))]
    shares = [Target(expr, name) for name, (_, expr) in zip(names, _SCOPE.bands(histogram, threshold), strict=True)]
    # Of four bands one colour each, of three not the yellow one.
    colors = _BAND_COLORS if len(names) > 3 else (_BAND_COLORS[0], *_BAND_COLORS[2:])
    paint = dict(zip(names, colors, strict=True))
    about = f"{what}, by the bands that colours stand for: {', '.join(names)}"
    return lines(title, about, "percentunit", shares, stacked=True, maximum=1, empty=empty, paint=paint, width=8)


def _tell_ends(threshold: Threshold, place: int, unit: str) -> str:
    nearer, further = ("below", "above") if threshold.bad is Side.ABOVE else ("above", "below")
    band: Band = threshold.bands[place]
    if band.limit is not None:
        return f"{band.name} ({nearer} {band.limit:g}{unit})"
    return f"{band.name} ({further} {threshold.bands[place - 1].limit:g}{unit})"
