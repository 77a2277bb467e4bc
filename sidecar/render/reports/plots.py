"""Plots as SVG and HTML: they need no script, and are text to whoever does not see them."""

from collections.abc import Callable, Iterator, Sequence
from html import escape
from itertools import accumulate
from typing import Final, NamedTuple

from sidecar.core.reckon.snapshots import Snapshot
from sidecar.render.reports.axes import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Scale, Slot, fit_scale, list_labels, place_steps
from sidecar.render.reports.columns import ABSENT, print_step

_DOTS_MAX: Final = 45  # with more points than this a line alone is clearer
_GAP: Final = 0.18  # between bars, of a step


class Series(NamedTuple):
    """One figure of each step, or of each model; None where it was not measured."""

    name: str
    values: Sequence[float | None]


class Limit(NamedTuple):
    """A value from which on things are bad."""

    name: str
    value: float


class Plot(NamedTuple):
    """What is drawn over time."""

    title: str
    steps: Sequence[Snapshot]
    series: Sequence[Series]
    show: Callable[[float], str]
    limits: Sequence[Limit] = ()
    least_step: float = 0.0  # between two lines of the grid


class Ranking(NamedTuple):
    """What is drawn by model: one bar each, its parts side by side."""

    title: str
    names: Sequence[str]
    parts: Sequence[Series]
    sums: Sequence[str]  # what stands behind each bar


def draw_lines(plot: Plot) -> str:
    """Return a figure with a line for each series; where a step is missing the line is too."""
    values = [value for series in plot.series for value in series.values if value is not None]
    if not values:
        return _frame_nothing(plot.title)
    scale, slots = fit_scale(max(values), plot.least_step), place_steps(plot.steps)
    drawn = [part for number, series in enumerate(plot.series) for part in _draw_line(number, series, plot.steps, slots, scale)]
    limits = [_draw_limit(limit, scale) for limit in plot.limits if limit.value <= scale.top]
    return _frame(plot, [*limits, *drawn], slots, scale)


def draw_bars(plot: Plot) -> str:
    """Return a figure with a bar for each step, its series upon one another."""
    if _is_unmeasured(plot.series):
        return _frame_nothing(plot.title)
    scale, slots = fit_scale(max(_add_up(plot.series)), plot.least_step), place_steps(plot.steps)
    bars = []
    for place, slot in enumerate(slots):
        heights = [series.values[place] or 0.0 for series in plot.series]
        left, width = slot.left + slot.width * _GAP / 2, slot.width * (1 - _GAP)
        for number, (height, top) in enumerate(zip(heights, accumulate(heights), strict=True)):
            if height:
                y = scale.place(top)
                size = f'width="{width:.1f}" height="{scale.place(top - height) - y:.1f}"'
                bars.append(f'<rect class="f{number}" x="{left:.1f}" y="{y:.1f}" {size}/>')
    return _frame(plot, bars, slots, scale)


def draw_ranking(ranking: Ranking) -> str:
    """Return a figure with a bar for each name, as long as it is beside the longest."""
    if _is_unmeasured(ranking.parts):
        return _frame_nothing(ranking.title)
    longest = max(_add_up(ranking.parts)) or 1.0
    rows = []
    for place, (name, sum_) in enumerate(zip(ranking.names, ranking.sums, strict=True)):
        bars = [
            f'<i class="f{number}" style="width:{(part.values[place] or 0.0) / longest:.2%}"></i>'
            for number, part in enumerate(ranking.parts)
            if part.values[place]
        ]
        rows.append(f'<li><span>{escape(name)}</span><b aria-hidden="true">{"".join(bars)}</b><span>{escape(sum_)}</span></li>')
    legend = _draw_legend([part.name for part in ranking.parts])
    return f'<figure><figcaption>{escape(ranking.title)}</figcaption>{legend}<ol class="ranks">{"".join(rows)}</ol></figure>'


def _is_unmeasured(series: Sequence[Series]) -> bool:
    return all(value is None for one in series for value in one.values)


def _add_up(series: Sequence[Series]) -> list[float]:
    return [sum(value or 0.0 for value in values) for values in zip(*(one.values for one in series), strict=True)]


def _draw_line(number: int, series: Series, steps: Sequence[Snapshot], slots: Sequence[Slot], scale: Scale) -> Iterator[str]:
    runs: list[list[tuple[float, float]]] = [[]]
    for place, value in enumerate(series.values):
        if value is None or (place and steps[place - 1].ended != steps[place].began):
            runs.append([])
        if value is not None:
            runs[-1].append((slots[place].middle, scale.place(value)))
    for run in runs:
        if len(run) > 1:
            yield f'<polyline class="l{number}" points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in run)}"/>'
        if len(run) == 1 or len(steps) <= _DOTS_MAX:
            yield from (f'<circle class="f{number}" cx="{x:.1f}" cy="{y:.1f}" r="2.5"/>' for x, y in run)


def _draw_limit(limit: Limit, scale: Scale) -> str:
    y = scale.place(limit.value)
    return (
        f'<line class="limit" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        f'<text class="limit" x="{LEFT + 4}" y="{y - 4:.1f}">{escape(limit.name)}</text>'
    )


def _frame(plot: Plot, drawn: Sequence[str], slots: Sequence[Slot], scale: Scale) -> str:
    """Return the figure: the grid, what is drawn upon it, and what each step says under the pointer."""
    title = escape(plot.title)
    grid = [_draw_tick(0, plot.show, scale), *(_draw_tick(value, plot.show, scale) for value in scale.list_ticks())]
    labels = [f'<text x="{x:.1f}" y="{HEIGHT - 8}" text-anchor="middle">{label}</text>' for x, label in list_labels(plot.steps, slots)]
    hints = [_draw_hint(plot, place, slot) for place, slot in enumerate(slots)]
    legend = _draw_legend([series.name for series in plot.series]) if len(plot.series) > 1 else ""
    content = "".join([*grid, *labels, *drawn, *hints])
    svg = f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{title}; the numbers are in the tables">{content}</svg>'
    return f'<figure><figcaption>{title}</figcaption>{legend}<div class="wide" tabindex="0">{svg}</div></figure>'


def _draw_tick(value: float, print_value: Callable[[float], str], scale: Scale) -> str:
    y = scale.place(value)
    line = f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
    return f'{line}<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{escape(print_value(value) if value else "0")}</text>'


def _draw_hint(plot: Plot, place: int, slot: Slot) -> str:
    said = [(series.name, series.values[place]) for series in plot.series]
    lines = [f"{print_step(plot.steps[place])} UTC", *(f"{name}: {ABSENT if value is None else plot.show(value)}" for name, value in said)]
    area = f'x="{slot.left:.1f}" y="{TOP}" width="{slot.width:.1f}" height="{HEIGHT - TOP - BOTTOM}"'
    return f'<rect class="hint" {area}><title>{escape(chr(10).join(lines))}</title></rect>'


def _draw_legend(names: Sequence[str]) -> str:
    return f'<ul class="legend">{"".join(f"<li><i class=f{number}></i>{escape(name)}</li>" for number, name in enumerate(names))}</ul>'


def _frame_nothing(title: str) -> str:
    return f'<figure><figcaption>{escape(title)}</figcaption><p class="soft">Nothing was measured.</p></figure>'
