"""Which plots there are."""

from sidecar.core.reckon.report import Report, make_report, sort_models
from sidecar.core.reckon.snapshots import Snapshot
from sidecar.exchange import SERVICE_ERRORS
from sidecar.render.reports.drawing import draw_by_model, draw_by_time
from sidecar.thresholds import Thresholds
from tests.core.reckon.journals import add_failed, make_hour
from tests.render.reports.figures import find, read_figure


def draw(*snapshots: Snapshot) -> dict[str, str]:
    """Return the figures by title."""
    report: Report = make_report(snapshots, (), Thresholds(), 0)
    assert report.whole is not None
    drawn = [*draw_by_time(report, report.whole), *(f"by model: {figure}" for figure in draw_by_model(sort_models(report.whole)))]
    texts = {}
    for figure in drawn:
        prefix, _, rest = figure.rpartition("by model: ") if figure.startswith("by model") else ("", "", figure)
        caption = read_figure(rest).findtext("figcaption")
        texts[f"{'by model: ' if prefix or figure != rest else ''}{caption}"] = rest
    return texts


def list_legend(figure: str) -> list[str]:
    """Return the names of the series."""
    tree = read_figure(figure)
    return ["".join(item.itertext()) for legend in find(tree, "ul", "legend") for item in legend]


def test_latency_errors_tokens_and_cost_by_time_and_by_model() -> None:
    """All that was asked for, each once."""
    figures = draw(make_hour(0), make_hour(1, "anthropic/claude"))
    assert list(figures) == [
        "Latency", "Time to first token", "Calls", "Errors by how calls ended", "Tokens", "Cost by model",
        "by model: Latency", "by model: Errors", "by model: Tokens", "by model: Cost",
    ]  # fmt: skip
    assert list_legend(figures["Latency"]) == ["p50", "p95", "p99"] and list_legend(figures["Tokens"]) == ["in", "out"]
    assert list_legend(figures["Cost by model"]) == ["anthropic/claude", "openai/gpt-4o"]


def test_no_errors_are_drawn_as_none() -> None:
    """That there were none is known, and is not the same as nothing measured."""
    assert "<svg" in draw(make_hour(0))["Errors by how calls ended"]


def test_no_more_series_than_colours() -> None:
    """The rest is added up: nothing of it is lost."""
    hour = Snapshot(make_hour(0).began, make_hour(0).ended)
    for number in range(12):
        hour.merge(make_hour(0, f"openai/m{number:02}"))
    for number, ending in enumerate(sorted(SERVICE_ERRORS)):
        for _ in range(20 - number):
            add_failed(hour, "openai/m00", ending)
    figures = draw(hour)
    costs, errors = figures["Cost by model"], figures["Errors by how calls ended"]
    assert len(list_legend(costs)) == len(list_legend(errors)) == 8
    assert list_legend(costs)[-1] == list_legend(errors)[-1] == "others"
    (said,) = [title.text or "" for title in find(read_figure(errors), "title")]
    counts = [int(line.rpartition(": ")[2]) for line in said.splitlines()[1:]]
    assert sum(counts) == hour.total.errors and counts[:3] == [20, 19, 18]
    (said,) = [title.text or "" for title in find(read_figure(costs), "title")]
    assert said.splitlines()[-1] == "others: $1.25"


def test_more_models_than_can_be_drawn() -> None:
    """Those with most calls are, and it is said."""
    hours = [make_hour(0, f"openai/m{number:02}", calls=number + 1) for number in range(25)]
    whole = hours[0]
    for hour in hours[1:]:
        whole.merge(hour)
    figures = draw(whole)
    (name,) = [name for name in figures if name.startswith("by model: Cost")]
    rows = find(read_figure(figures[name]), "ol")[0]
    assert len(rows) == 20 and "20 models with most calls" in name
    assert next(rows[0].iter("span")).text == "openai/m24"


def test_a_model_without_a_price_costs_nothing_known() -> None:
    """Not zero dollars."""
    hour = make_hour(0, "ollama/qwen3")
    for tally in hour.calls.values():
        tally.costs, tally.cost_usd = 0, 0.0
    figures = draw(hour)
    assert "Nothing was measured" in figures["Cost by model"] and "Nothing was measured" in figures["by model: Cost"]


def test_percentiles_by_model_are_drawn_by_how_much_each_adds() -> None:
    """The end of the last part is p99."""
    hour = make_hour(0, calls=50)
    tree = read_figure(draw(hour)["by model: Latency"])
    (row,) = find(tree, "ol")[0]
    assert row.find("span").text == "openai/gpt-4o"  # type: ignore[union-attr]
    assert [bar.get("style") for bar in row.iter("i")] == ["width:100.00%"]  # all calls took as long
    assert row.findall("span")[1].text == "2.00 s / 2.00 s / 2.00 s"
