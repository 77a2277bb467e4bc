"""Every number, guard, comparison and duration of every rule matters to a case."""

import shutil
from typing import Final

import pytest

from sidecar.render.alerting import Group
from sidecar.render.cases import list_cases
from sidecar.render.cases.case import render_cases
from sidecar.render.rules import list_files
from sidecar.thresholds import Links, Terms
from tests.mutations import Court, Suite, is_failed, mutate, mutate_expression

# Changes after which a rule means the same, each with its reason.
EQUIVALENT: Final[dict[tuple[str, str], str]] = {}

needs_promtool = pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")


def list_suites() -> list[Suite]:
    """Return all rule files with their cases."""
    cases = list_cases(Terms())
    return [Suite(file, groups, cases.get(file, ())) for file, groups in list_files(Terms()).items()]


@needs_promtool
def test_rules_as_they_are_pass() -> None:
    """What fails is what was changed: all rules pass all cases in the form in which mutants are run."""
    for suite in list_suites():
        text = render_cases(suite.cases, [Group("one", tuple(suite.list_rules()))], Links(), "rules.yml")
        assert not is_failed(suite.list_rules(), text)


@needs_promtool
def test_each_mutant_of_each_rule_is_caught() -> None:
    """A rule with one thing changed fails a case, but for those that mean the same."""
    suites = list_suites()
    court = Court(suites)
    mutants = [mutant for suite in suites for mutant in mutate(suite)]
    escaped = court.list_escaped(mutants)
    print(f"{len(mutants)} mutants made, {len(mutants) - len(escaped)} caught, {len(EQUIVALENT)} equivalent")
    print(*(f"{mutant.name}: {mutant.change}" for mutant in escaped), sep="\n")
    assert {(mutant.name, mutant.change) for mutant in escaped} == EQUIVALENT.keys()


def test_what_is_changed() -> None:
    """Numbers, comparisons, guards, aggregations and selectors; not what names, ranges and strings hold."""
    found = dict(mutate_expression('sum by (a5) (rate(b_2{c="3 > 4"}[5m])) > 0.2\nand d:rate5m * 300 >= 20'))
    assert {said.partition(" ")[2] for said in found} == {
        "0.2 → 0.23", "0.2 → 0.17", "300 → 345", "300 → 255", "20 → 21", "20 → 19", "> → <", ">= → <=",
        "and d:rate5m * 300 >= 20 → nothing", "sum → max", '{c="3 > 4"} → nothing',
    }  # fmt: skip


def test_what_is_joined_is_taken_apart() -> None:
    """An operand ends where its brackets do, or where the next one is joined; of two alternatives each is left out."""
    found = [expr for _, expr in mutate_expression("(a or b and c) unless d and e")]
    assert [" ".join(expr.split()) for expr in found] == [
        "(a ) unless d and e", "( b and c) unless d and e", "(a or b ) unless d and e", "(a or b and c) and e", "(a or b and c) unless d",
    ]  # fmt: skip


def test_quantiles_stay_quantiles() -> None:
    """The first argument of a quantile is moved within 0 and 1; `> 0` is moved and left out."""
    found = [expr for _, expr in mutate_expression("histogram_quantile(0.95, a > 0)")]
    assert found == [
        "histogram_quantile(0.975, a > 0)", "histogram_quantile(0.8075, a > 0)", "histogram_quantile(0.95, a > 1)",
        "histogram_quantile(0.95, a > -1)", "histogram_quantile(0.95, a < 0)", "histogram_quantile(0.95, a)",
    ]  # fmt: skip
