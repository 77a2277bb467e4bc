"""Every number, guard, comparison and duration of every rule matters to a case."""

import shutil
from typing import Final

import pytest

from sidecar.render.cases import list_cases
from sidecar.render.rules import list_files
from sidecar.thresholds import Terms
from tests.mutations import Court, Suite, mutate, mutate_expression

# Changes after which a rule means the same, each with its reason.
_SOME: Final = "counts are never below 0: where their sum is above it, so is the largest"
EQUIVALENT: Final = {
    ("job:llm_sidecar_shared_commands:rate5m", "1:0 sum → max"): _SOME,
    ("job_upstream:llm_sidecar_circuit_breaker_openings_and_rejected:increase5m", "1:0 sum → max"): _SOME,
    ("job_upstream:llm_sidecar_circuit_breaker_openings_and_rejected:increase5m", "4:2 sum → max"): _SOME,
    ("LLMLedgerFailing", "critical: 1:0 sum → max"): _SOME,
    ("LLMLedgerFailing", "critical: 2:3 sum → max"): _SOME,
    ("job:llm_sidecar_request_errors_per_requests:ratio_rate5m", "3:9 sum → max"): "0 times the largest is 0 times the sum",
    ("LLMLowTraffic", "warning: 3:9 max → min"): "0 times the smallest is 0 times the largest",
    ("LLMWatchdog", "none: 1:7 1 → 2"): "whatever is there fires, and tells no value",
    ("LLMWatchdog", "none: 1:7 1 → 0"): "whatever is there fires, and tells no value",
}

needs_promtool = pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")


def list_suites() -> list[Suite]:
    """Return all rule files with their cases."""
    cases = list_cases(Terms())
    return [Suite(file, groups, cases.get(file, ())) for file, groups in list_files(Terms()).items()]


@needs_promtool
def test_each_mutant_of_each_rule_is_caught() -> None:
    """A rule with one thing changed fails a case, but for those that mean the same; rules as they are fail none."""
    suites = list_suites()
    court = Court(suites)
    assert court.list_failed() == []
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
