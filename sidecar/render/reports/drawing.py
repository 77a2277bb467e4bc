"""Which plots a report's page has."""

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from sidecar.core.reckon.report import Report, sort_models
from sidecar.core.reckon.sketch import Sketch
from sidecar.core.reckon.snapshots import Snapshot
from sidecar.core.reckon.tally import Tally
from sidecar.exchange import SERVICE_ERRORS, Ending
from sidecar.render.reports.columns import print_count, print_dollars, print_ratio, print_seconds, print_words
from sidecar.render.reports.plots import Limit, Plot, Ranking, Series, draw_bars, draw_lines, draw_ranking
from sidecar.render.reports.style import SERIES
from sidecar.thresholds import Threshold

_SHARES: Final = (0.5, 0.95, 0.99)
_QUANTILES: Final = ("p50", "p95", "p99")
_OTHERS: Final = "others"
_NAMES_MAX: Final = SERIES - 1
_RANKS_MAX: Final = 20

_Measure = Callable[[Tally], float | None]


def draw_by_time(report: Report, whole: Snapshot) -> Iterator[str]:
    """Yield latency, first token, calls, errors, tokens and cost."""
    steps, totals = report.steps, [step.total for step in report.steps]
    latency, first = report.thresholds.latency_p95, report.thresholds.time_to_first_token_p95
    yield draw_lines(Plot("Latency", steps, _trace([total.durations for total in totals]), print_seconds, _limit("p95", latency)))
    yield draw_lines(Plot("Time to first token", steps, _trace([one.first_tokens for one in totals]), print_seconds, _limit("p95", first)))
    yield draw_bars(Plot("Calls", steps, [Series("calls", [total.requests for total in totals])], print_count, least_step=1))
    yield draw_bars(Plot("Errors by how calls ended", steps, _count_errors(whole.total, totals), print_count, least_step=1))
    tokens = [_measure("in", totals, _count_input), _measure("out", totals, _count_output)]
    yield draw_bars(Plot("Tokens", steps, tokens, print_count, least_step=1))
    yield draw_bars(Plot("Cost by model", steps, _share_cost(whole, steps), print_dollars))


def draw_by_model(models: Sequence[tuple[str, Tally]]) -> Iterator[str]:
    """Yield the same of the models with most calls."""
    shown = models[:_RANKS_MAX]
    names, tallies = [print_words(whose) for whose, _ in shown], [tally for _, tally in shown]
    more = f", of the {_RANKS_MAX} models with most calls" if len(models) > _RANKS_MAX else ""
    reached = [tally.durations.quantiles(*_SHARES) for tally in tallies]
    parts = [Series(name, [_grow(found, place) for found in reached]) for place, name in enumerate(_QUANTILES)]
    yield draw_ranking(Ranking(f"Latency{more}", names, parts, [" / ".join(map(print_seconds, found)) for found in reached]))
    ratios = [tally.error_ratio for tally in tallies]
    sums = [f"{print_ratio(ratio)}, {print_count(tally.errors)} calls" for ratio, tally in zip(ratios, tallies, strict=True)]
    yield draw_ranking(Ranking(f"Errors{more}", names, [Series("share of calls that failed", ratios)], sums))
    tokens = [_measure("in", tallies, _count_input), _measure("out", tallies, _count_output)]
    used = [print_count(tally.input_tokens + tally.output_tokens) if tally.usages else "-" for tally in tallies]
    yield draw_ranking(Ranking(f"Tokens{more}", names, tokens, used))
    spent = [print_dollars(tally.cost_usd) if tally.costs else "-" for tally in tallies]
    yield draw_ranking(Ranking(f"Cost{more}", names, [_measure("US dollars", tallies, _sum_cost)], spent))


def _trace(sketches: Sequence[Sketch]) -> list[Series]:
    found = [sketch.quantiles(*_SHARES) for sketch in sketches]
    return [Series(name, values) for name, *values in zip(_QUANTILES, *found, strict=True)]


def _grow(found: Sequence[float | None], place: int) -> float | None:
    """Return by how much a percentile is more than the one before it."""
    value = found[place]
    return value if value is None or not place else value - (found[place - 1] or 0.0)


def _limit(statistic: str, threshold: Threshold) -> list[Limit]:
    found = (("warning", threshold.warning), ("critical", threshold.critical))
    return [Limit(f"{statistic}: {severity} above {print_seconds(value)}", value) for severity, value in found if value is not None]


def _count_errors(total: Tally, totals: Sequence[Tally]) -> list[Series]:
    """Return how often calls failed in which way: the most frequent ones by name."""
    failed = sorted((ending for ending in total.endings if ending in SERVICE_ERRORS), key=lambda ending: (-total.endings[ending], ending))
    named = failed if len(failed) <= SERIES else failed[:_NAMES_MAX]
    series = [Series(ending, [one.endings.get(ending, 0) for one in totals]) for ending in named]
    if len(named) < len(failed):
        rest = failed[_NAMES_MAX:]
        series.append(Series(_OTHERS, [_count_endings(one, rest) for one in totals]))
    return series or [Series("errors", [0 for _ in totals])]


def _count_endings(tally: Tally, endings: Sequence[Ending]) -> int:
    return sum(tally.endings.get(ending, 0) for ending in endings)


def _share_cost(whole: Snapshot, steps: Sequence[Snapshot]) -> list[Series]:
    """Return the cost of each step by model: those that cost most by name."""
    priced = sorted((one for one in sort_models(whole) if one[1].costs), key=lambda one: -one[1].cost_usd)
    named = [whose for whose, _ in (priced if len(priced) <= SERIES else priced[:_NAMES_MAX])]
    series = [Series(print_words(whose), [_cost_of(step, [whose]) for step in steps]) for whose in named]
    if len(named) < len(priced):
        rest = [whose for whose, _ in priced[_NAMES_MAX:]]
        series.append(Series(_OTHERS, [_cost_of(step, rest) for step in steps]))
    return series or [Series("cost", [None for _ in steps])]


def _cost_of(step: Snapshot, names: Sequence[str]) -> float | None:
    found = [step.calls[whose] for whose in names if whose in step.calls and step.calls[whose].costs]
    return sum(tally.cost_usd for tally in found) if found else None


def _measure(name: str, tallies: Sequence[Tally], measure: _Measure) -> Series:
    return Series(name, [measure(tally) for tally in tallies])


def _count_input(tally: Tally) -> float | None:
    return tally.input_tokens if tally.usages else None


def _count_output(tally: Tally) -> float | None:
    return tally.output_tokens if tally.usages else None


def _sum_cost(tally: Tally) -> float | None:
    return tally.cost_usd if tally.costs else None
