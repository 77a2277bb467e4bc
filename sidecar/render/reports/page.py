"""A report as one HTML file: whatever it shows is in it, and it asks for nothing else."""

from collections.abc import Iterator, Sequence
from html import escape
from typing import Final

from sidecar.core.reckon.moments import show_wall
from sidecar.core.reckon.report import Report, sort_models
from sidecar.core.reckon.snapshots import Snapshot
from sidecar.core.reckon.tally import Tally
from sidecar.render.reports.columns import (
    COLUMNS,
    count_unpriced,
    print_count,
    print_grade,
    print_ratio,
    print_reasons,
    print_span,
    print_step,
    print_words,
)  # fmt: skip
from sidecar.render.reports.drawing import draw_by_model, draw_by_time
from sidecar.render.reports.style import STYLE

# Nothing is loaded and nothing runs, whatever a model is called.
_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'"
_ICON: Final = "data:,"
_NOTE: Final = "All times are UTC. Percentiles are within 1 % of the true ones; what was not measured is shown as -."
_TILES: Final = {  # by column
    "calls": "calls", "errors": "errors", "p95": "latency, p95", "first p95": "first token, p95", "tok/s": "tokens a second, median",
    "cost": "cost",
}  # fmt: skip


def render_page(report: Report) -> str:
    """Return the page: ASCII only, so that it is read rightly wherever it is kept."""
    title = f"llm-sidecar report, {print_span(report)}" if report.whole else "llm-sidecar report"
    body = "".join(_tell(report, report.whole) if report.whole else ["<h1>llm-sidecar report</h1><p>No call is known of.</p>"])
    page = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}; img-src data:"><link rel="icon" href="{_ICON}">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head>\n<body><main>{body}{''.join(_list_left_out(report))}"
        f"<footer>Made {show_wall(report.made_ns)[:19].replace('T', ' ')} UTC from the journal. {_NOTE}</footer></main></body></html>\n"
    )
    return page.encode("ascii", "xmlcharrefreplace").decode("ascii")


def _tell(report: Report, whole: Snapshot) -> Iterator[str]:
    total, models = whole.total, sort_models(whole)
    step = "hour" if report.is_hourly else "day"
    yield f'<h1>llm-sidecar report</h1><p class="soft">{print_span(report)}, by {step}</p>'
    yield _draw_tiles(total, report)
    yield f'<h2>By {step}</h2><div class="plots">{"".join(draw_by_time(report, whole))}</div>'
    yield f'<h2>By model</h2><div class="plots">{"".join(draw_by_model(models))}</div>'
    yield "<h2>Numbers by model</h2>"
    yield _draw_table("provider and model", [("all", total), *((print_words(whose), tally) for whose, tally in models)], report, "names")
    yield f"<h2>Numbers by {step}</h2>"
    yield _draw_table(f"{step}, UTC", [(print_step(step), step.total) for step in report.steps], report)


def _draw_tiles(total: Tally, report: Report) -> str:
    letter = print_grade(total, report.thresholds)
    tiles = [f"<div><dt>grade</dt><dd class={letter}>{letter}</dd><dd>{escape(print_reasons(total, report.thresholds))}</dd></div>"]
    notes = {
        "errors": f"{print_count(total.errors)} calls",
        "cost": f"{print_count(count_unpriced(total))} calls without a price" if count_unpriced(total) else "",
        "calls": f"{print_ratio(total.hit_ratio)} of lookups from the cache" if total.lookups else "",
    }
    for column in COLUMNS:
        if column.title in _TILES:
            note = f"<dd>{notes[column.title]}</dd>" if notes.get(column.title) else ""
            tiles.append(f"<div><dt>{_TILES[column.title]}</dt><dd>{escape(column.show(total, report.thresholds))}</dd>{note}</div>")
    tokens = f"{print_count(total.input_tokens)} in, {print_count(total.output_tokens)} out" if total.usages else ""
    known = print_count(total.input_tokens + total.output_tokens) if total.usages else "-"
    tiles.insert(-1, f"<div><dt>tokens</dt><dd>{known}</dd><dd>{tokens}</dd></div>")
    return f'<dl class="tiles">{"".join(tiles)}</dl>'


def _draw_table(title: str, rows: Sequence[tuple[str, Tally]], report: Report, kind: str = "") -> str:
    heads = "".join(f'<th scope="col" title="{escape(column.help)}">{column.title}</th>' for column in COLUMNS)
    lines = []
    for name, tally in rows:
        cells = "".join(f"<td>{escape(column.show(tally, report.thresholds))}</td>" for column in COLUMNS)
        lines.append(f'<tr><th scope="row">{escape(name)}</th>{cells}</tr>')
    table = f'<table class="{kind}"><thead><tr><th scope="col">{title}</th>{heads}</tr></thead><tbody>{"".join(lines)}</tbody></table>'
    return f'<div class="card wide" tabindex="0" role="region" aria-label="Numbers by {title}">{table}</div>'


def _list_left_out(report: Report) -> Iterator[str]:
    if report.left_out:
        rows = "".join(f"<li>{escape(print_words(name))}: {escape(problem)}</li>" for name, problem in report.left_out)
        yield f'<h2>Left out</h2><div class="card"><p>These files could not be read:</p><ul>{rows}</ul></div>'
