"""Rows of tenants and budgets: what is refused by whom, and which budgets are spent."""

from pathlib import Path
from typing import Any

from sidecar.catalogue import BUDGET_WINDOWS, HALTED, LIMITS
from sidecar.render.board import build_board
from sidecar.render.boards.cost import make_board
from sidecar.thresholds import Terms, Thresholds
from tests.linter import list_panels
from tests.promql_values import check_value, find_query, needs_promtool

TABLE = Thresholds()
CHANGED = Terms(
    TABLE._replace(
        budget_spent=TABLE.budget_spent._replace(warning=0.6, critical=0.9),
        tenant_limited_ratio=TABLE.tenant_limited_ratio._replace(warning=0.2),
    )
)
BOARD = build_board(make_board(Terms()))


def budgets(**spent: tuple[float, float]) -> dict[str, str]:
    """Return series of budgets by day: of each tenant what is spent, and of how much."""
    return {
        f'llm_sidecar_budget_{name}_usd{{job="a",instance="i",tenant="{tenant}",window="day"}}': f"{value}x20"
        for tenant, (used, limit) in spent.items()
        for name, value in (("spent", used), ("limit", limit))
    }


@needs_promtool
def test_budgets_are_spent_at_the_limit(tmp_path: Path) -> None:
    """At the limit, not below it; of several sidecars that tell of one budget it is one, and one without a limit is none."""
    series = budgets(all_=(100.0, 100.0), near=(99.9, 100.0), free=(5.0, 0.0))
    series |= {name.replace('"i"', '"j"'): values for name, values in series.items()}
    for terms, count in ((Terms(), 1), (CHANGED, 2)):
        check_value(tmp_path, find_query(build_board(make_board(terms)), "Budgets spent"), series, "10m", {"{}": count})
    check_value(tmp_path, find_query(BOARD, "Budgets spent"), {}, "10m", {})
    bars = {'{tenant="all_",window="day"}': 1.0, '{tenant="near",window="day"}': 0.999}
    check_value(tmp_path, find_query(BOARD, "Budget spent of limit"), series, "10m", bars)


@needs_promtool
def test_limits_are_not_budgets(tmp_path: Path) -> None:
    """What a budget or an operator refuses is no limit's doing: the share is that of LLMTenantLimited."""
    refused = {limit: f'llm_sidecar_rate_limited_requests_total{{job="a",tenant="t",limit="{limit}"}}' for limit in LIMITS}
    calls = {'llm_sidecar_tenant_requests_total{job="a",tenant="t"}': "0+100x20"}
    for limit, name in refused.items():
        is_limit = limit != HALTED and not any(f"budget_{window}" in limit for window in BUDGET_WINDOWS)
        share = 0.1 if is_limit else 0.0
        series = {**calls, name: "0+10x20"}
        if limit in ("requests_minute", "all_tokens_day", "budget_day", "all_budget_month", HALTED):
            check_value(tmp_path, find_query(BOARD, "Refused by limits"), series, "10m", {"{}": share})
            check_value(tmp_path, find_query(BOARD, "Share refused by tenant"), series, "10m", {'{tenant="t"}': share})


def test_colours_follow_the_terms() -> None:
    """Bars, numbers and columns change colour where the terms say."""
    panels = {panel["title"]: panel["fieldConfig"] for panel in list_panels(build_board(make_board(CHANGED)))}

    def steps(field: dict[str, Any]) -> list[float]:
        return [step["value"] for step in field["thresholds"]["steps"] if step["value"] is not None]

    assert steps(panels["Budget spent of limit"]["defaults"]) == [0.6, 0.9]
    assert steps(panels["Refused by limits"]["defaults"]) == steps(panels["Share refused by tenant"]["defaults"]) == [0.2]
    overrides = {each["matcher"]["options"]: each["properties"] for each in panels["Budgets of this day and month"]["overrides"]}
    column = {each["id"]: each["value"] for each in overrides["Spent of limit"]}
    assert steps(column) == [0.6, 0.9]


def test_budgets_are_bars() -> None:
    """How much of a budget is spent is seen at one look: bars from nothing to the limit."""
    (panel,) = [panel for panel in list_panels(BOARD) if panel["title"] == "Budget spent of limit"]
    defaults = panel["fieldConfig"]["defaults"]
    assert (panel["type"], defaults["unit"], defaults["min"], defaults["max"]) == ("bargauge", "percentunit", 0, 1)
