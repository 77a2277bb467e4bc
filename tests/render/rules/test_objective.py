"""Burn rates: what an objective allows, and what it cannot be missed by."""

import itertools
import subprocess
from pathlib import Path

import pytest

from sidecar.render.alerting import Severity, render_rules
from sidecar.render.cases.case import render_cases
from sidecar.render.cases.objective import list_cases
from sidecar.render.rules import BURN_RATE, list_heads, list_optional
from sidecar.render.rules.objective import PACES, allow_errors, list_paces, list_recordings, list_rules, print_window
from sidecar.thresholds import Objective, Terms
from tests.rig.prometheus import PROMTOOL, needs_promtool


def aim(success_ratio: float) -> Terms:
    """Return terms with another objective."""
    return Terms(objective=Objective(success_ratio))


def test_burn_rates_use_up_their_share_of_the_budget_within_the_long_window() -> None:
    """2, 5, 10 and 10 % of 30 days' budget; the short window is a twelfth of the long one."""
    month_min = 30 * 24 * 60
    assert [round(pace.factor * pace.long_min / month_min, 6) for pace in PACES] == [0.02, 0.05, 0.1, 0.1]
    assert [pace.long_min / pace.short_min for pace in PACES] == [12.0] * 4
    assert [pace.severity for pace in PACES] == [Severity.CRITICAL, Severity.CRITICAL, Severity.WARNING, Severity.WARNING]


def test_cases_rely_on_the_order_of_paces() -> None:
    """Each pace has a lower limit, longer windows and a longer hold than the one before."""
    for pace, later in itertools.pairwise(PACES):
        assert pace.factor > later.factor and pace.long_min < later.long_min and pace.short_min < later.short_min
        assert pace.hold_min < later.hold_min


@pytest.mark.parametrize(("success_ratio", "reached"), [(0.99, 4), (0.9306, 4), (0.93, 3), (0.8, 2), (0.5, 1)])
def test_a_pace_that_cannot_be_reached_is_left_out_and_said(success_ratio: float, reached: int) -> None:
    """More calls than all cannot fail: such a rule would never fire, and nobody would know."""
    terms = aim(success_ratio)
    (alert,) = list_rules(terms)
    assert len(alert.tiers) == len(list_paces(terms)) == reached
    assert all(allow_errors(terms, pace) < 1 for pace in list_paces(terms))
    head = list_heads(terms)[BURN_RATE]
    assert ("Left out" in head) is (reached < len(PACES))
    assert all(f"{pace.factor:g}" in head.partition("Left out")[2] for pace in PACES[: len(PACES) - reached])


def test_what_is_left_out_is_not_recorded() -> None:
    """Windows that no rule reads would cost for nothing."""
    found = "\n".join(recording.record for recording in list_recordings(aim(0.8)))
    assert "rate1d" in found and "rate3d" in found and "rate30m" not in found


def test_the_head_says_that_one_file_pages() -> None:
    """Whoever loads both files has to decide which of them pages."""
    assert "Page from one of the two only" in list_heads(Terms())[BURN_RATE]


@needs_promtool
@pytest.mark.parametrize("success_ratio", [0.9, 0.9995])
def test_cases_hold_for_other_objectives(tmp_path: Path, success_ratio: float) -> None:
    """Cases come from the objective as the rules do."""
    terms = aim(success_ratio)
    groups = list_optional(terms)[BURN_RATE]
    (tmp_path / BURN_RATE).write_text(render_rules(groups, terms.links, list_heads(terms)[BURN_RATE]), encoding="utf-8")
    (tmp_path / "tests.yml").write_text(render_cases(list_cases(terms), groups, terms.links, BURN_RATE), encoding="utf-8")
    done = subprocess.run([PROMTOOL, "test", "rules", "tests.yml"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_windows_are_written_as_promql_does() -> None:
    """In the largest unit that they are whole numbers of."""
    assert [print_window(minutes) for minutes in (5, 90, 120, 1440, 4320)] == ["5m", "90m", "2h", "1d", "3d"]
