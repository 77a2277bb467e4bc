"""What fires, since when, and what has ended."""

from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.reckon.alarms import ALARMS_MAX, LEVELS, PAST_MAX, Alarms, Finding, Severity
from tests.core.reckon.findings import LOW, make_finding, make_present

WARNING, CRITICAL = Severity.WARNING, Severity.CRITICAL


def step(alarms: Alarms, now: float, *findings: Finding) -> tuple[list[str], list[str]]:
    """Judge at `now`; return the severities that began and those that ended."""
    fired, ended = alarms.update(findings, make_present(now))
    return [str(alarm.finding.severity) for alarm in fired], [str(alarm.finding.severity) for alarm in ended]


def show(alarms: Alarms) -> list[str]:
    """Return the severities that fire."""
    return [str(alarm.finding.severity) for alarm in alarms.active()]


def test_a_condition_must_have_held() -> None:
    """It fires once that has lasted, not before; and begins anew where it was gone meanwhile."""
    alarms = Alarms()
    assert step(alarms, 0.0, make_finding()) == step(alarms, 59.0, make_finding()) == ([], [])
    assert step(alarms, 60.0) == ([], []) and not alarms.past
    assert step(alarms, 75.0, make_finding()) == step(alarms, 134.0, make_finding()) == ([], [])
    assert step(alarms, 135.0, make_finding()) == (["warning"], [])
    assert step(alarms, 150.0, make_finding()) == ([], []) and show(alarms) == ["warning"]


def test_it_ends_once_it_has_been_gone_for_a_while() -> None:
    """A value that swings around its limit is one alert; its worst value is kept, and where it began and ended."""
    alarms = Alarms()
    for now, value in ((0.0, 1.0), (60.0, 3.0), (75.0, 2.0)):
        step(alarms, now, make_finding(value=value))
    assert step(alarms, 90.0) == step(alarms, 209.0) == ([], [])
    assert step(alarms, 210.0 - 0.5, make_finding(value=1.5)) == ([], []) and show(alarms) == ["warning"]
    assert step(alarms, 220.0) == step(alarms, 339.0) == ([], [])
    assert step(alarms, 340.0) == ([], ["warning"]) and show(alarms) == []
    (alarm,) = alarms.past
    assert (alarm.finding.value, alarm.peak, alarm.since.now) == (1.5, 3.0, 0.0)
    assert alarm.fired is not None and alarm.ended is not None and (alarm.fired.now, alarm.ended.now) == (60.0, 340.0)
    assert step(alarms, 355.0) == ([], [])


def test_the_worst_of_what_should_be_high_is_the_lowest() -> None:
    """A hit ratio's worst value is its least; and a rule that holds at once fires at once, and ends at once."""
    alarms = Alarms()
    assert step(alarms, 0.0, make_finding(Severity.INFO, 0.2, rule=LOW)) == (["info"], [])
    step(alarms, 15.0, make_finding(Severity.INFO, 0.1, rule=LOW))
    step(alarms, 30.0, make_finding(Severity.INFO, 0.15, rule=LOW))
    assert step(alarms, 45.0) == ([], ["info"])
    assert alarms.past[0].peak == 0.1


def test_a_graver_severity_stands_for_the_lighter() -> None:
    """The lighter one is not told while the graver fires, and is told afterwards if it still does."""
    alarms, both = Alarms(), (make_finding(CRITICAL), make_finding(WARNING))
    assert step(alarms, 0.0, *both) == ([], [])
    assert step(alarms, 30.0, *both) == (["critical"], [])
    assert step(alarms, 60.0, *both) == ([], []) and show(alarms) == ["critical"]
    assert step(alarms, 75.0, make_finding()) == ([], [])
    assert step(alarms, 195.0, make_finding()) == (["warning"], ["critical"]) and show(alarms) == ["warning"]
    assert [str(alarm.finding.severity) for alarm in alarms.past] == ["critical"]


def test_what_was_told_is_told_to_have_ended() -> None:
    """A lighter one that was told before the graver came ends aloud; one that never was ends in silence."""
    alarms, other = Alarms(), (("upstream", "b"),)
    step(alarms, 0.0, make_finding())
    assert step(alarms, 60.0, make_finding()) == (["warning"], [])
    step(alarms, 75.0, make_finding(), make_finding(CRITICAL))
    assert step(alarms, 105.0, make_finding(), make_finding(CRITICAL)) == (["critical"], [])
    step(alarms, 120.0)
    assert sorted(step(alarms, 240.0)[1]) == ["critical", "warning"]
    for now in (300.0, 330.0, 360.0):
        step(alarms, now, make_finding(CRITICAL, labels=other), make_finding(labels=other))
    step(alarms, 375.0)
    assert step(alarms, 500.0) == ([], ["critical"])


def test_the_gravest_comes_first_and_then_the_oldest() -> None:
    """As whoever has little time reads it."""
    alarms, names = Alarms(), ("x", "y", "z")
    labels = {name: (("upstream", name),) for name in names}
    step(alarms, 0.0, make_finding(labels=labels["x"]))
    findings = [make_finding(labels=labels["y"]), make_finding(labels=labels["x"]), make_finding(CRITICAL, labels=labels["z"])]
    step(alarms, 10.0, *findings)
    step(alarms, 100.0, *findings)
    assert [dict(alarm.finding.labels)["upstream"] for alarm in alarms.active()] == ["z", "x", "y"]
    assert list(LEVELS) == [Severity.INFO, WARNING, CRITICAL]


def test_memory_is_bounded() -> None:
    """So many at once, so many of the past; those that there are go on."""
    alarms = Alarms()

    def list_findings(many: int) -> Iterable[Finding]:
        return [make_finding(labels=(("model", str(number)),)) for number in range(many)]

    step(alarms, 0.0, *list_findings(ALARMS_MAX + 500))
    fired, _ = step(alarms, 60.0, *list_findings(ALARMS_MAX + 500))
    assert len(fired) == len(alarms.active()) == ALARMS_MAX
    step(alarms, 75.0)
    assert len(step(alarms, 195.0)[1]) == ALARMS_MAX and len(alarms.past) == PAST_MAX


@given(st.lists(st.tuples(st.booleans(), st.booleans()), max_size=120))
def test_each_one_that_is_told_ends_once(held: list[tuple[bool, bool]]) -> None:
    """Whatever comes and goes: what began and has not ended is what fires, or is hidden by what is graver."""
    alarms, began = Alarms(), list[str]()
    for number, (warns, is_critical) in enumerate(held):
        findings = [make_finding(severity) for severity, holds in ((WARNING, warns), (CRITICAL, is_critical)) if holds]
        fired, ended = step(alarms, number * 15.0, *findings)
        for severity in ended:
            began.remove(severity)
        assert not set(fired) & set(began)
        began += fired
        assert set(show(alarms)) <= set(began) and len(show(alarms)) <= 1
    last = [step(alarms, now) for now in (1e6, 2e6)]
    assert [fired for fired, _ in last] == [[], []] and sorted(last[0][1] + last[1][1]) == sorted(began)
    assert alarms.active() == []
