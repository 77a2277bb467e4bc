"""A report as text, for a terminal."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from sidecar.core.reckon.report import Report, sort_models
from sidecar.core.reckon.tally import Tally
from sidecar.exchange import SERVICE_ERRORS
from sidecar.render.reports.columns import COLUMNS, count_unpriced, print_count, print_reasons, print_span, print_step, print_words

_COLUMNS: Final = [column for column in COLUMNS if column.in_text]
_NAME_MAX: Final = 40
_Row = tuple[str, Tally]


def render_text(report: Report) -> str:
    """Return the report: what is left out comes last."""
    return "\n".join([*_tell(report), *_list_left_out(report)]) + "\n"


def _tell(report: Report) -> Iterator[str]:
    whole = report.whole
    if whole is None:
        yield "No call is known of."
        return
    total = whole.total
    yield f"{print_count(total.requests)} calls, {print_span(report)}"
    yield f"Grade {_COLUMNS[-1].show(total, report.thresholds)}: {print_reasons(total, report.thresholds)}"
    sections: list[tuple[str, list[_Row]]] = [
        ("all", [("", total)]),
        ("by hour, UTC" if report.is_hourly else "by day, UTC", [(print_step(step), step.total) for step in report.steps]),
        ("by model", [(_shorten(print_words(whose)), tally) for whose, tally in sort_models(whole)]),
    ]
    yield from _draw(sections, report)
    failed = sorted((-count, ending) for ending, count in total.endings.items() if ending in SERVICE_ERRORS)
    if failed:
        yield "\nErrors: " + ", ".join(f"{ending} {print_count(-count)}" for count, ending in failed)
    if unpriced := count_unpriced(total):
        yield f"\nWithout a price: {print_count(unpriced)} calls; the cost is that of the others."


def _draw(sections: Iterable[tuple[str, Sequence[_Row]]], report: Report) -> Iterator[str]:
    """Yield the tables, their columns under one another."""
    heads = [column.title for column in _COLUMNS]
    tables = [
        [[title, *heads], *([name, *(column.show(tally, report.thresholds) for column in _COLUMNS)] for name, tally in rows)]
        for title, rows in sections
    ]
    lines = [line for table in tables for line in table]
    widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
    for table in tables:
        yield ""
        for name, *cells in table:
            yield "  ".join([name.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=True))]).rstrip()


def _list_left_out(report: Report) -> Iterator[str]:
    if report.left_out:
        yield "\nLeft out, for they could not be read:"
        yield from (f"  {print_words(name)}: {problem}" for name, problem in report.left_out)


def _shorten(name: str) -> str:
    """Return a long name without its middle: both ends tell models apart."""
    return name if len(name) <= _NAME_MAX else f"{name[: _NAME_MAX // 2 - 2]}...{name[1 - _NAME_MAX // 2 :]}"
