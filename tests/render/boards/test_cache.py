"""The board of the cache: shares of what is looked for and of what it saves; and what the boards say of settings is so."""

import json
import re
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest

from sidecar.config import Settings
from sidecar.render.board import build_board
from sidecar.render.boards import list_boards
from sidecar.render.boards.cache import make_board
from sidecar.thresholds import Terms, Thresholds
from tests.linter import list_panels
from tests.promql_values import check_value, find_query, needs_promtool

BOARD = build_board(make_board(Terms()))
LOOKUPS = {'llm_sidecar_cache_lookups_total{job="a"}': "0+100x20"}


@needs_promtool
def test_hit_ratios(tmp_path: Path) -> None:
    """Of a hundred lookups ten were found hot and thirty warm: the levels add up to the ratio, whoever looks."""
    found = {"hot": 10, "warm": 30, "shared": 0}
    series = LOOKUPS | {f'llm_sidecar_cache_hits_total{{job="a",level="{level}"}}': f"0+{count}x20" for level, count in found.items()}
    check_value(tmp_path, find_query(BOARD, "Hit ratio"), series, "10m", {"{}": 0.4})
    check_value(tmp_path, find_query(BOARD, "Hit ratio over time"), series, "10m", {"{}": 0.4})
    levels = {f'{{level="{level}"}}': count / 100 for level, count in found.items()}
    check_value(tmp_path, find_query(BOARD, "Hit ratio by level"), series, "10m", levels)


@needs_promtool
def test_no_lookups_are_no_ratio(tmp_path: Path) -> None:
    """Where nothing is looked for, or no sidecar is, there is no share of it: neither 0 nor what is not a number."""
    idle = dict.fromkeys((*LOOKUPS, *(f'llm_sidecar_cache_hits_total{{job="a",level="{level}"}}' for level in ("hot", "warm"))), "0x20")
    idle['llm_sidecar_cache_bypass_total{job="a",reason="body"}'] = "0x20"
    idle['llm_sidecar_cache_saved_usd_total{job="a",provider="p",model="m"}'] = "0x20"
    for series in (idle, {}):
        for title in ("Hit ratio", "Hit ratio by level", "Not looked for", "Hit ratio of tools", "Share of cost saved"):
            check_value(tmp_path, find_query(BOARD, title), series, "10m", {})


@needs_promtool
@pytest.mark.parametrize(
    ("saved", "spent", "share"), [("0+1x20", "0+3x20", 0.25), ("0+1x20", None, 1.0), ("0+1x20", "0x20", 1.0), ("0x20", "0+3x20", 0.0)]
)
def test_share_of_cost_saved(tmp_path: Path, saved: str, spent: str | None, share: float) -> None:
    """Of what all calls would have cost; all of it where nothing was ever spent. Estimates have no part in it."""
    series = {'llm_sidecar_cache_saved_usd_total{job="a",provider="p",model="m"}': saved}
    series['llm_sidecar_cost_usd_total{job="a",provider="p",model="m",source="estimated"}'] = "0+50x20"
    if spent is not None:
        series['llm_sidecar_cost_usd_total{job="a",provider="p",model="m",source="table"}'] = spent
    check_value(tmp_path, find_query(BOARD, "Share of cost saved"), series, "10m", {"{}": share})


@needs_promtool
def test_a_shared_store_that_nobody_has_is_not_away(tmp_path: Path) -> None:
    """Sidecars without one have no part in it."""
    query = find_query(BOARD, "Shared store away")
    up = 'llm_sidecar_shared_up{job="a",instance="%s"}'
    check_value(tmp_path, query, {up % "i": "1x20", up % "j": "0x20"}, "10m", {"{}": 1})
    check_value(tmp_path, query, {up % "i": "1x20"}, "10m", {"{}": 0})
    check_value(tmp_path, query, {}, "10m", {})


def test_colours_and_texts_follow_the_terms() -> None:
    """The hit ratio turns at the limit of the terms, and the text says which that is."""
    table = Thresholds()
    changed = Terms(table._replace(cache_hit_ratio=table.cache_hit_ratio._replace(info=0.45)))
    panels = {panel["title"]: panel for panel in list_panels(build_board(make_board(changed)))}
    for title in ("Hit ratio", "Hit ratio over time"):
        steps = panels[title]["fieldConfig"]["defaults"]["thresholds"]["steps"]
        assert [(step["color"], step["value"]) for step in steps] == [("blue", None), ("green", 0.45)]
    assert "below 45%" in panels["Hit ratio"]["description"]


def test_settings_that_are_named_exist() -> None:
    """Where a text of a board names a setting, there is one of that name."""

    def exists(path: list[str], settings: Any) -> bool:
        if not path:
            return True
        return is_dataclass(settings) and path[0] in {field.name for field in fields(settings)} and exists(
            path[1:], getattr(settings, path[0])
        )  # fmt: skip

    sections = "|".join(field.name for field in fields(Settings))
    texts = [json.dumps(build_board(board)) for board in list_boards(Terms()).values()]
    named = {name for text in texts for name in re.findall(rf"\b((?:{sections})(?:\.[a-z_]+)+)\b(?!\.json)", text)}
    assert {"features.cache", "cache.warm.bytes", "retries.budget_share", "budgets.soft"} <= named
    assert {name for name in named if not exists(name.split("."), Settings())} == set()
