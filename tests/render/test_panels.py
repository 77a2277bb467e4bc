"""What each kind of panel says to Grafana."""

import pytest

from sidecar.render.panels import (
    NO_TRAFFIC,
    Json,
    Panel,
    Step,
    Target,
    band_colors,
    bar_gauge,
    grade_colors,
    heatmap,
    lines,
    stat,
    states,
    table,
)
from sidecar.thresholds import (
    CACHE_HIT_RATIO,
    ERROR_RATIO,
    OUTPUT_TOKENS_PER_SECOND,
    RATELIMIT_REMAINING,
    RESPONSE_TIME,
    TIME_TO_FIRST_TOKEN_P95,
    Threshold,
)

COUNT = Target('sum(rate(llm_sidecar_requests_total{job="a"}[$__rate_interval]))', "calls")
QUANTILE = Target("histogram_quantile(0.5, sum by (le) (rate(llm_sidecar_overhead_seconds_bucket[5m])))", "p50", exemplar=True)


def defaults(panel: Panel) -> Json:
    """Return how a panel's values are shown."""
    found: Json = panel.body["fieldConfig"]["defaults"]
    return found


@pytest.mark.parametrize(
    ("threshold", "expected"),
    [
        (ERROR_RATIO, [("green", None), ("orange", 0.05), ("red", 0.15)]),
        (CACHE_HIT_RATIO, [("blue", None), ("green", 0.2)]),
        (RATELIMIT_REMAINING, [("orange", None), ("blue", 0.05), ("green", 0.2)]),
    ],
    ids=lambda told: getattr(told, "signal", ""),
)
def test_grades_have_colours(threshold: Threshold, expected: list[Step]) -> None:
    """Steps ascend, and the first has no beginning; where little is bad, the worst colour is the first."""
    assert list(grade_colors(threshold)) == expected


@pytest.mark.parametrize(
    ("threshold", "expected"),
    [
        (TIME_TO_FIRST_TOKEN_P95, [("green", None), ("orange", 1.0), ("red", 3.0)]),
        (RESPONSE_TIME, [("green", None), ("yellow", 2.0), ("orange", 5.0), ("red", 10.0)]),
        (OUTPUT_TOKENS_PER_SECOND, [("red", None), ("orange", 10.0), ("yellow", 20.0), ("green", 50.0)]),
    ],
    ids=lambda told: getattr(told, "signal", ""),
)
def test_bands_have_colours(threshold: Threshold, expected: list[Step]) -> None:
    """The best is green and the worst red, from either side."""
    assert list(band_colors(threshold)) == expected


PANELS = [
    stat("One", "What it is", "s", [COUNT]),
    lines("One", "What it is", "s", [COUNT]),
    heatmap("One", "What it is", "s", COUNT.expr, axis="s"),
    table("One", "What it is", [COUNT], unit="s"),
    bar_gauge("One", "What it is", "s", [COUNT]),
    states("One", "What it is", [COUNT], (("off", "text"), ("on", "green")), empty=NO_TRAFFIC),
]


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel.body["type"])
def test_every_panel_can_be_read(panel: Panel) -> None:
    """Title, description with the metric behind it, unit, and words for when there is nothing."""
    assert panel.body["title"] == "One"
    assert panel.body["description"] == "What it is (llm_sidecar_requests_total)."
    assert defaults(panel)["noValue"] == NO_TRAFFIC
    assert defaults(panel)["unit"] in ("s", "none")
    assert panel.body["datasource"]["uid"] == "${datasource}"


def test_descriptions_name_families_once() -> None:
    """Not the series of a histogram, nor by what sidecars are told from others; what is alone is named."""
    build = "llm_sidecar_build_info"
    confined = Target(f"{QUANTILE.expr} and on (job, instance) {build}")
    panel = lines("One", "What it is.", "s", [QUANTILE, confined, COUNT])
    assert panel.body["description"] == "What it is (llm_sidecar_overhead_seconds, llm_sidecar_requests_total)."
    assert stat("One", "What it is", "s", [Target(f"count({build})")]).body["description"] == f"What it is ({build})."


def test_every_target_is_asked() -> None:
    """Each under a letter of its own; none is left out for want of one."""
    panel = lines("One", "What it is", "s", [COUNT] * 20)
    assert len({target["refId"] for target in panel.body["targets"]}) == 20


def test_tables_ask_for_now_and_lines_for_a_range() -> None:
    """A table's rows are of one moment; exemplars are asked for where a target wants them."""
    (asked,) = table("One", "What it is", [QUANTILE]).body["targets"]
    assert (asked["instant"], asked["range"], asked["format"]) == (True, False, "table")
    first, second = lines("One", "What it is", "s", [QUANTILE, COUNT]).body["targets"]
    assert (first["range"], first["exemplar"], "exemplar" in second) == (True, True, False)


def test_what_is_not_a_number_has_words() -> None:
    """A quantile of nothing is nothing: it has the words of no data, in a legend, too, and no step's colour."""
    for panel in (stat("One", "", "s", [QUANTILE], empty="No streams"), lines("One", "", "s", [QUANTILE], empty="No streams")):
        (mapping,) = defaults(panel)["mappings"]
        assert mapping["options"] == {"match": "null+nan", "result": {"text": "No streams", "color": "text", "index": 0}}


def test_what_others_are_compared_with_is_dashed() -> None:
    """By the end of the legend, such as a limit: dashed, and not filled; beside colours of other series."""
    panel = lines("One", "", "s", [QUANTILE], dashed=": limit", paint={"now": "red"})
    painted, dashed = panel.body["fieldConfig"]["overrides"]
    assert painted["matcher"] == {"id": "byName", "options": "now"}
    assert dashed["matcher"] == {"id": "byRegexp", "options": "/: limit$/"}
    changed = {each["id"]: each["value"] for each in dashed["properties"]}
    assert changed["custom.lineStyle"]["fill"] == "dash" and changed["custom.fillOpacity"] == 0


def test_words_stand_for_numbers() -> None:
    """0, 1, 2 … become texts with colours, in a number and in a timeline, which has the same colours as steps."""
    words = (("failed", "red"), ("good", "green"))
    for panel in (stat("One", "", "none", [COUNT], words=words), states("One", "", [COUNT], words, empty="None")):
        shown = defaults(panel)["mappings"][0]["options"]
        assert {number: (word["text"], word["color"]) for number, word in shown.items()} == {"0": words[0], "1": words[1]}
    assert [step["color"] for step in defaults(panel)["thresholds"]["steps"]] == ["red", "green"]


def test_limits_are_dashed_lines() -> None:
    """Lines at limits only where there are some; painted series by their names, and what others are compared with dashed."""
    plain, limited = lines("One", "", "s", [COUNT]), lines("One", "", "s", [COUNT], colors=grade_colors(ERROR_RATIO))
    assert [defaults(panel)["custom"]["thresholdsStyle"]["mode"] for panel in (plain, limited)] == ["off", "dashed"]
    painted = lines("One", "", "s", [COUNT], paint={"limit": "red"}, dashed="limit").body["fieldConfig"]["overrides"]
    assert [each["matcher"] for each in painted] == [{"id": "byName", "options": "limit"}, {"id": "byRegexp", "options": "/limit$/"}]
    assert painted[0]["properties"][0]["value"] == {"mode": "fixed", "fixedColor": "red"}


def test_moments_can_be_seen() -> None:
    """Bars and points show what lasts for one step; stacked lines are filled."""
    bars, rare, stacked = (
        defaults(lines("One", "", "s", [COUNT], **style))["custom"] for style in ({"bars": True}, {"rare": True}, {"stacked": True})
    )
    assert (bars["drawStyle"], rare["showPoints"], stacked["drawStyle"], stacked["showPoints"]) == ("bars", "auto", "line", "never")
    assert bars["stacking"]["mode"] == stacked["stacking"]["mode"] == "normal" != rare["stacking"]["mode"]
    assert defaults(lines("One", "", "s", [COUNT], maximum=1))["max"] == 1
