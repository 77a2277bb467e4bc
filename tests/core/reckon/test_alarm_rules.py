"""What is beyond its threshold: near each limit, with too little traffic, and told in words.

That severities and times are those of the rules for Prometheus, and that both tell the same of the same calls: tests/test_alarms_agree.py.
"""

from collections.abc import Mapping
from typing import Any

import pytest

from sidecar.config import Force
from sidecar.core.admit.spending_sums import ALL, Balance
from sidecar.core.choose.views import BreakerView, UpstreamView
from sidecar.core.reckon.alarm_rules import RULES, Situation, judge
from sidecar.core.reckon.alarms import Finding
from sidecar.core.reckon.lately import Calls, Lately, Streams
from sidecar.thresholds import Terms, Thresholds

TERMS = Terms()


def make_calls(durations: Mapping[float, int] | None = None, **counts: int) -> Calls:
    """Return calls: so many of each duration in seconds, and counts by their names."""
    calls = Calls()
    for value, times in (durations or {}).items():
        for _ in range(times):
            calls.durations.add(value)
    for name, count in counts.items():
        setattr(calls, name, count)
    return calls


def make_lately(calls: Mapping[str, Calls] | None = None, streams: Mapping[str, Streams] | None = None, **counts: int) -> Lately:
    """Return what the last minutes came to."""
    lately = Lately(0.0)
    lately.upstreams.update(calls or {})
    lately.models.update(streams or {})
    for name, count in counts.items():
        setattr(lately, name, count)
    return lately


def make_streams(first_token_s: float, speed: float, times: int) -> Streams:
    """Return so many streams that are all alike."""
    streams = Streams()
    for _ in range(times):
        streams.first_tokens.add(first_token_s)
        streams.speeds.add(speed)
    return streams


def find(lately: Lately | None = None, terms: Terms = TERMS, **more: Any) -> list[tuple[str, str, dict[str, str]]]:
    """Return alert, severity and labels of what is found."""
    return [show(each) for each in judge(Situation(lately or make_lately(), **more), terms)]


def show(finding: Finding) -> tuple[str, str, dict[str, str]]:
    """Return alert, severity and labels."""
    return finding.rule.name, str(finding.severity), dict(finding.labels)


def make_view(healthy: bool = True, reason: str | None = None, *breakers: BreakerView) -> UpstreamView:
    """Return upstream `a`."""
    shown = breakers or (BreakerView("default", "closed"),)
    return UpstreamView("a", healthy, reason, shown[0].state, shown, 0, 0, 0, 1.0, 1.0, None, None, None, 0, 0, None, None)


@pytest.mark.parametrize(
    ("errors", "requests", "severities"),
    [
        (5, 100, []), (6, 100, ["warning"]), (15, 100, ["warning"]), (16, 100, ["warning", "critical"]), (19, 19, []),
        (20, 20, ["warning", "critical"]),
    ],
)  # fmt: skip
def test_a_share_of_errors(errors: int, requests: int, severities: list[str]) -> None:
    """Beyond each limit, not at it; and only of enough calls."""
    found = find(make_lately({"a": make_calls(errors=errors, requests=requests)}))
    assert found == [("LLMHighErrorRatio", severity, {"upstream": "a"}) for severity in severities]


@pytest.mark.parametrize(("unavailable", "errors", "is_told"), [(9, 9, True), (10, 10, False), (10, 20, True), (11, 20, False)])
def test_calls_that_find_nobody_are_told_by_an_alert_of_their_own(unavailable: int, errors: int, is_told: bool) -> None:
    """Most errors of that kind raise no alert on errors as well; and it names no upstream, because there was none."""
    found = find(make_lately({"": make_calls(unavailable=unavailable, errors=errors, requests=40)}))
    own = ("LLMNoUpstreamAvailable", "critical", dict[str, str]())
    assert (own in found) is (unavailable >= 10)
    assert [name for name, _, _ in found if name == "LLMHighErrorRatio"] == ["LLMHighErrorRatio"] * 2 * is_told


def test_latency() -> None:
    """The mean and the slowest twentieth, each by its own limits, of enough calls."""
    fast, slow, tail = make_calls({1.0: 50}), make_calls({4.0: 10}), make_calls({0.5: 18, 12.0: 2})
    names = [(name, severity) for name, severity, _ in find(make_lately({"a": slow}))]
    assert names == [("LLMHighAverageLatency", "warning"), ("LLMHighLatencyP95", "warning")]
    assert [(name, severity) for name, severity, _ in find(make_lately({"a": tail}))] == [
        ("LLMHighLatencyP95", "warning"), ("LLMHighLatencyP95", "critical"),
    ]  # fmt: skip
    assert find(make_lately({"a": fast})) == find(make_lately({"a": make_calls({60.0: 9})})) == []


def test_refusals_and_cut_answers() -> None:
    """A provider's 429 of 5 minutes, answers that broke off of 15."""
    assert find(make_lately({"a": make_calls(requests=20, limited=2)})) == [("LLMUpstreamRateLimited", "warning", {"upstream": "a"})]
    assert find(make_lately({"a": make_calls(requests_long=299, cut=3)})) == [("LLMAnswersCut", "warning", {"upstream": "a"})]
    assert find(make_lately({"a": make_calls(requests=20, limited=1)})) == []
    assert (
        find(make_lately({"a": make_calls(requests_long=300, cut=3)})) == find(make_lately({"a": make_calls(requests_long=2, cut=2)})) == []
    )


def test_streams() -> None:
    """Late first tokens and slow writing, by model."""
    assert find(make_lately(None, {"m": make_streams(3.5, 50.0, 10)})) == [("LLMSlowFirstToken", "warning", {"model": "m"})]
    assert find(make_lately(None, {"m": make_streams(1.0, 9.0, 10)})) == [("LLMSlowGeneration", "warning", {"model": "m"})]
    assert find(make_lately(None, {"m": make_streams(3.5, 9.0, 9), "n": make_streams(1.0, 50.0, 10)})) == []


@pytest.mark.parametrize(
    ("hits", "lookups", "has_cache", "is_told"), [(9, 50, True, True), (10, 50, True, False), (0, 49, True, False), (9, 50, False, False)]
)
def test_a_cache_that_finds_little(hits: int, lookups: int, has_cache: bool, is_told: bool) -> None:
    """Where there is one: calls that share an answer look for none that is kept."""
    found = find(make_lately(lookups=lookups, hits=hits), has_cache=has_cache)
    assert found == ([("LLMLowCacheHitRatio", "info", {})] if is_told else [])


def test_breakers_and_health() -> None:
    """One that is open and asked for; not one that an operator holds open, nor where nobody calls; else an upstream that is not well."""
    busy, labels = make_lately({"a": make_calls(requests=1)}), {"upstream": "a"}
    is_open, held = BreakerView("default", "open"), BreakerView("default", "open", force=Force.OPEN.value)
    for state in ("open", "half_open"):
        view = make_view(False, "circuit open", BreakerView("g", "closed"), BreakerView("default", state))
        assert find(busy, upstreams=[view]) == [("LLMCircuitBreakerOpen", "warning", labels)]
        assert find(upstreams=[view]) == []
    assert find(busy, upstreams=[make_view(False, "circuit open", held)]) == find(busy, upstreams=[make_view()]) == []
    assert find(busy, upstreams=[make_view(False, "circuit open", held, is_open)]) == [("LLMCircuitBreakerOpen", "warning", labels)]
    assert find(upstreams=[make_view(False, "its probes fail")]) == [("LLMUpstreamUnhealthy", "warning", labels)]


def test_budgets() -> None:
    """Spent, nearly spent as the sidecar's own setting says, and stopped; all together are `*`; without a limit nothing is said."""
    balances = [
        Balance("acme", "day", "2026-01-02", 9.0, 0.0, 10.0, True), Balance(ALL, "month", "2026-01", 10.0, 0.0, 10.0, True),
        Balance("free", "day", "2026-01-02", 99.0, 0.0, None, False), Balance("new", "day", "2026-01-02", 1.0, 0.0, 10.0, False),
    ]  # fmt: skip
    whole = {"tenant": "*", "window": "month"}
    assert find(balances=balances, stopped=frozenset({ALL, "acme"})) == [
        ("LLMBudgetNearlySpent", "warning", {"tenant": "acme", "window": "day"}), ("LLMBudgetSpent", "critical", whole),
        ("LLMBudgetNearlySpent", "warning", whole), ("LLMSpendingStopped", "warning", {"tenant": "*"}),
        ("LLMSpendingStopped", "warning", {"tenant": "acme"}),
    ]  # fmt: skip


@pytest.mark.parametrize(("used", "severities"), [(None, []), (0.8, []), (0.81, ["warning"]), (0.96, ["warning", "critical"])])
def test_memory(used: float | None, severities: list[str]) -> None:
    """Of what the process may take; nothing where that is not known."""
    assert find(memory_used=used) == [("LLMSidecarMemoryHigh", severity, {}) for severity in severities]


def test_other_thresholds_are_heeded() -> None:
    """What stands in the table is what counts."""
    terms = TERMS._replace(thresholds=Thresholds(error_ratio=TERMS.thresholds.error_ratio._replace(warning=0.5, critical=None)))
    lately = make_lately({"a": make_calls(requests=20, errors=10), "b": make_calls(requests=20, errors=11)})
    assert find(lately, terms) == [("LLMHighErrorRatio", "warning", {"upstream": "b"})]


def test_reasons_have_the_numbers_in_them() -> None:
    """A sentence that can be read without a board: what, how much, in which time, and the limit."""
    calls = make_calls({4.0: 40}, requests=40, errors=6, limited=4, requests_long=40, cut=4)
    lately = make_lately({"a": calls, "": make_calls({4.0: 40})}, {"m": make_streams(3.5, 9.0, 10)}, lookups=50, hits=5)
    reasons = [finding.reason for finding in judge(Situation(lately, has_cache=True, memory_used=0.9), TERMS)]
    assert "15 % of the calls to a failed in the last 5 minutes, 6 of 40, above the limit of 5 %." in reasons
    assert "Calls to a took 4 s on average in the last 5 minutes, above the limit of 3 s." in reasons
    assert "Calls that reached no upstream took 4 s on average in the last 5 minutes, above the limit of 3 s." in reasons
    assert "10 % of 50 answers that were looked for in the last 30 minutes were kept, below the limit of 20 %." in reasons
    assert any(re.startswith("Half of the streams of m wrote at most 9") and re.endswith("below the limit of 10.") for re in reasons)
    assert len(reasons) == len(set(reasons)) and all(reason.endswith(".") for reason in reasons)
    assert len({rule.name for rule in RULES}) == len(RULES)
