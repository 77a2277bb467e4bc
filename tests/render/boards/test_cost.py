"""The board of cost and tokens: what it adds up, what it projects, and what it keeps apart."""

import re
from pathlib import Path

import pytest

from sidecar.render.board import build_board
from sidecar.render.boards.cost import make_board
from sidecar.thresholds import Terms, Thresholds
from tests.linter import list_panels
from tests.promql_values import check_value, find_query, needs_promtool

BOARD = build_board(make_board(Terms()))
COST = "llm_sidecar_cost_usd_total"
LOADED = "llm_sidecar_config_last_reload_success_timestamp_seconds"
# What says itself that it shows estimates.
ESTIMATES = ("Estimated tokens by type", "Estimated cost per hour", "Who priced the calls")
DAY_MIN = 1440


def test_estimates_are_apart() -> None:
    """Tokens and cost that are shown as known have no estimate among them; what is shown as estimated has nothing else."""
    for panel in list_panels(BOARD):
        for target in panel["targets"]:
            told = re.findall(r"(?:llm_sidecar_cost_usd_total|llm_sidecar_tokens_total)\{([^}]*)\}", target["expr"])
            if panel["title"] == "Who priced the calls":
                assert "by (source)" in target["expr"]
            else:
                wanted = 'source="estimated"' if panel["title"] in ESTIMATES else 'source!="estimated"'
                assert all(wanted in matchers for matchers in told), panel["title"]


def test_tenants_are_not_mixed_with_models() -> None:
    """A query is of the chosen providers and models, or of the chosen tenants: no metric has both, and half of an answer is a wrong one."""
    by_row: dict[str, set[bool]] = {}
    title = ""
    for panel in BOARD["panels"]:
        title = panel["title"] if panel["type"] == "row" else title
        for target in panel.get("targets", ()):
            of_tenants, of_models = "$tenant" in target["expr"], re.search(r"\$(provider|model)", target["expr"]) is not None
            assert not (of_tenants and of_models), panel["title"]
            by_row.setdefault(title, set()).add(of_tenants)
    # The ledger is of all; the strip has some of both.
    assert by_row["Cost by provider and model, of all tenants"] == by_row["Tokens by model, of all tenants"] == {False}
    assert by_row["Tenants, with all their models"] == {True}


@needs_promtool
@pytest.mark.parametrize(
    ("at", "day", "month"),
    [("10m", 1440.0, 43200.0), ("6h", 1440.0, 43200.0), ("30h", 2880.0, 54000.0), ("48h", 2880.0, 86400.0)],
)
def test_projections(tmp_path: Path, at: str, day: float, month: float) -> None:
    """A dollar a minute for a day and two from then on: by the last hour and the last day, or by all there is where that is less."""
    series = {
        f'{COST}{{job="a",source="table"}}': f"0+1x{DAY_MIN} {DAY_MIN + 2}+2x{DAY_MIN}",
        f'{COST}{{job="a",source="estimated"}}': f"0+9x{3 * DAY_MIN}",
        # Loaded again when the price rose: what was before is not forgotten.
        f'{LOADED}{{job="a"}}': f"0x{DAY_MIN} {DAY_MIN * 60}x{DAY_MIN}",
    }
    check_value(tmp_path, find_query(BOARD, "Projected day"), series, at, {"{}": day})
    check_value(tmp_path, find_query(BOARD, "Projected month"), series, at, {"{}": month})


@needs_promtool
def test_nothing_is_projected_from_nothing(tmp_path: Path) -> None:
    """Where no call has a price, and where no sidecar is, there is no number."""
    for series in ({f'{LOADED}{{job="a"}}': "0x60"}, {'up{job="a"}': "1x60"}):
        for title in ("Projected day", "Projected month", "Cost per hour", "Cost per call", "Tokens per minute", "Saved per hour"):
            check_value(tmp_path, find_query(BOARD, title), series, "30m", {})


@needs_promtool
def test_shares_of_tokens(tmp_path: Path) -> None:
    """Cached ones are a share of all input; reasoning is a share of all output, and nothing where there is no output."""
    tokens = {"input": 60, "cache_read": 30, "cache_write": 10, "output": 75, "reasoning": 25}
    series = {f'llm_sidecar_tokens_total{{job="a",type="{kind}",source="reported"}}': f"0+{rate}x20" for kind, rate in tokens.items()}
    check_value(tmp_path, find_query(BOARD, "Cached share of input"), series, "10m", {"{}": 0.3})
    for number, share in enumerate((0.3, 0.1, 0.25)):
        check_value(tmp_path, find_query(BOARD, "Cached and reasoning share", number), series, "10m", {"{}": share})
    inputs = {name: values for name, values in series.items() if "output" not in name and "reasoning" not in name}
    check_value(tmp_path, find_query(BOARD, "Cached and reasoning share", 2), inputs, "10m", {})


@needs_promtool
def test_the_price_of_a_model(tmp_path: Path) -> None:
    """A model's row: its cost, what a call costs and what a million tokens cost; without a price, counts and no cost."""
    labels = 'job="a",provider="p"'
    series = {
        f'{COST}{{{labels},model="m",source="table"}}': "0+1x60",
        f'llm_sidecar_tokens_total{{{labels},model="m",type="input",source="reported"}}': "0+40000x60",
        f'llm_sidecar_tokens_total{{{labels},model="free",type="output",source="reported"}}': "0+10x60",
        f'llm_sidecar_requests_total{{{labels},model="m",ending="completed"}}': "0+4x60",
        f'llm_sidecar_requests_total{{{labels},model="m",ending="reset"}}': "0+4x60",
    }
    one, free = '{provider="p",model="m"}', '{provider="p",model="free"}'
    for number, expected in enumerate((
        {one: 60.0}, {one: 240.0}, {one: 2_400_000.0, free: 600.0}, {one: 2_400_000.0}, {free: 600.0}, {one: 0.25}, {one: 25.0}, {},
    )):  # fmt: skip
        check_value(tmp_path, find_query(BOARD, "Models by cost", number), series, "1h", expected)


def test_texts_follow_the_terms() -> None:
    """Where a description names a limit, it is that of the terms."""
    table = Thresholds()
    changed = Terms(table._replace(cost_spike=table.cost_spike._replace(warning=5.0)))
    (panel,) = [panel for panel in list_panels(build_board(make_board(changed))) if panel["title"] == "Cost against a day ago"]
    assert "more than 5 times" in panel["description"]
