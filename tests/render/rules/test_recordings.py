"""What is recorded is named as it is made, keeps what tells tenants of a cluster apart, and follows the terms."""

import re

import pytest

from sidecar.render.alerting import TARGET, Recording
from sidecar.render.rules import list_files
from sidecar.render.rules.recordings import GRADE, MOSTLY_UNAVAILABLE, list_recordings
from sidecar.thresholds import Terms
from tests.promql import read_names
from tests.render.terms import BOTH, OTHER


def list_all(terms: Terms) -> list[Recording]:
    """Return the recordings of every file."""
    return [rule for groups in list_files(terms).values() for group in groups for rule in group.rules if isinstance(rule, Recording)]


def test_names_are_level_metric_and_operations() -> None:
    """Two colons; the level begins with the job, counters have lost their suffix, and no name is made twice."""
    names = [rule.record for rule in list_all(Terms())]
    assert [name for name in names if not re.fullmatch(r"job(_[a-z_]+)?:[a-z0-9_]+:[a-z0-9_]+", name)] == []
    assert [name for name in names if "_total:" in name] == []
    assert len(set(names)) == len(names)


def test_only_sidecars_are_summed_over() -> None:
    """What the target is labelled with besides, such as a namespace, stays: nothing is grouped by labels that are to be kept."""
    for rule in list_all(Terms()):
        dropped = {label.strip() for found in re.findall(r"without \(([^)]*)\)", rule.expr) for label in found.split(",")}
        assert dropped.isdisjoint({"namespace", "job", "cluster"}), rule.record
        assert " by (" not in rule.expr, rule.record
        for found in re.findall(r"without \(([^)]*)\) \(\s*(?:rate|increase|avg_over_time)\(", rule.expr):
            assert found.startswith(TARGET), rule.record


@pytest.mark.parametrize("terms", BOTH.values(), ids=BOTH.keys())
def test_each_comes_after_what_it_reads(terms: Terms) -> None:
    """A group runs in order: nothing is read that is recorded only later, or a minute old."""
    names = [rule.record for rule in list_recordings(terms)]
    for place, rule in enumerate(list_recordings(terms)):
        assert {name for name in read_names(rule.expr).selected if ":" in name} <= {*names[:place]}, rule.record


def test_grades_and_guards_follow_the_terms() -> None:
    """With other bands and another least traffic, the numbers are theirs."""
    exprs = {rule.record: rule.expr for rule in list_recordings(OTHER)}
    thresholds = OTHER.thresholds
    assert [float(number) for number in re.findall(r"< bool (\S+?)\)", exprs[GRADE])] == [
        limit
        for pair in reversed([*zip(thresholds.mean_latency.grades or (), thresholds.error_ratio.grades or (), strict=True)])
        for limit in pair
    ]
    assert f">= {OTHER.traffic.events}\n" in exprs[MOSTLY_UNAVAILABLE]
