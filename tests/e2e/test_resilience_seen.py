"""What resilience does is seen where operators look: a real Prometheus scrapes a real sidecar through an outage and out of it.

Asked are panels about what happened, the alerts (with short waits in place of minutes), the scrape and the log.
"""

import re
from collections import Counter
from pathlib import Path
from typing import Any, Final

import pytest

from tests.rig.boards import find_peak, show_metrics
from tests.rig.everything import Everything, Phase
from tests.rig.prometheus import needs_prometheus
from tests.rig.redis import needs_redis
from tests.rig.storm import DEAD, NAMES

pytestmark = [needs_prometheus, needs_redis]

ROOT: Final = Path(__file__).resolve().parents[2]
STATE: Final = "circuit_breaker_state"
GROUP_STATE: Final = "circuit_breaker_group_state"
HEALTHY: Final = "upstream_healthy"
SHARE_LEFT: Final = "upstream_ratelimit_remaining upstream_ratelimit_limit"


def alerts(seen: Everything, phase: Phase) -> set[tuple[str, str, str]]:
    """Return name, severity, and route or upstream of what fires at the end of a phase."""
    told = [series["metric"] for series in seen.query_end('ALERTS{alertstate="firing",job="storm"}', phase)]
    return {(each["alertname"], each["severity"], each.get("route") or each.get("upstream") or "") for each in told}


# What panels must say of the outage: above 0, for these series of these metrics.
SHOWN: Final[list[tuple[str, dict[str, str]]]] = [
    *(("circuit_breaker_transitions_total", {"upstream": name, "from": "closed", "to": "open"}) for name in DEAD),
    ("circuit_breaker_transitions_total", {"upstream": "gone", "from": "open", "to": "half_open"}),
    *(("circuit_breaker_openings_total", {"upstream": name, "reason": "consecutive_failures"}) for name in DEAD),
    ("circuit_breaker_openings_total", {"upstream": "gone", "reason": "probe_failed"}),
    ("circuit_breaker_rejected_total", {"upstream": "gone"}),
    ("attempts_total", {"outcome": "reset"}),
    ("attempts_total", {"outcome": "hedge_lost"}),
    ("attempts_total", {"upstream": "steady"}),
    ("failovers_total", {"from": "member", "to": "steady"}),
    ("retries_total", {"reason": "server_error"}),
    ("retry_after_ignored_total", {"reason": "unreadable"}),
    ("retry_after_ignored_total", {"reason": "capped"}),
    ("hedges_total", {"outcome": "won"}),
    ("probes_total", {"upstream": "gone", "outcome": "failed"}),
    ("probes_total", {"upstream": "steady", "outcome": "succeeded"}),
    ("upstream_pending", {"upstream": "narrow"}),
    ("upstream_concurrency_limit", {"upstream": "narrow"}),
    (SHARE_LEFT, {"upstream": "steady", "kind": "requests"}),
    ("queued_requests", {}),
    ("queue_wait_seconds", {}),
    ("shed_requests_total", {"reason": "queue_full"}),
    ("degraded_requests_total", {"step": "emergency"}),
    ("degraded_requests_total", {"step": "simple"}),
    ("wishes_refused_total", {"wish": "min_quality"}),
    ("requests_total", {}),
]


@pytest.mark.parametrize(("metrics", "labels"), SHOWN, ids=lambda told: told if isinstance(told, str) else "-".join(told.values()))
def test_panels_say_what_happened(everything: Everything, metrics: str, labels: dict[str, str]) -> None:
    """What has happened is above 0, with the labels by which it is told apart."""
    assert find_peak(everything, metrics, everything.storm, **labels) > 0


def test_states_are_told(everything: Everything) -> None:
    """Who is dead is open and unhealthy, who lives is not, and the counts at first sight are those of the dead."""
    storm = everything.storm
    for name in DEAD:
        assert find_peak(everything, STATE, storm, upstream=name) == 2
        assert find_peak(everything, GROUP_STATE, storm, upstream=name, group="default") == 2
        assert not find_peak(everything, GROUP_STATE, storm, upstream=name, group="large") > 0
        assert 0 in {value for values in show_metrics(everything, HEALTHY, storm, upstream=name) for value in values}
    for name in set(NAMES) - {*DEAD, "moody"}:
        assert find_peak(everything, STATE, storm, upstream=name) == 0
        assert {values[-1] for values in show_metrics(everything, HEALTHY, storm, upstream=name)} == {1}
    assert find_peak(everything, STATE, storm) >= 3, "so many are open"
    assert find_peak(everything, HEALTHY, storm) >= 3, "so many are unhealthy"
    share = {value for values in show_metrics(everything, SHARE_LEFT, storm, upstream="steady") for value in values}
    assert share == {0.6}


def test_the_live_scrape_says_so_too(everything: Everything) -> None:
    """The numbers behind the panels are there, and they are what callers saw: each refused call is counted once."""
    scrape, saw = everything.storm.scrape, everything.storm.seen
    endings = scrape.count_by("requests_total", "ending", route="gone")
    assert endings == {"unavailable": saw["gone", "circuit_open"], "reset": saw["gone", "upstream_reset"]}
    # A call whose first attempt opened the breaker keeps its own error; its repetition was not let through.
    rejected = scrape.sum("circuit_breaker_rejected_total", upstream="gone")
    assert 20 < saw["gone", "circuit_open"] <= rejected <= saw["gone", "circuit_open"] + saw["gone", "upstream_reset"]
    # Where many calls fail at once, one is not taken over: the budget for further attempts is used up.
    told = {"completed": "200", "refused": "wish_unmet", "reset": "upstream_reset"}
    endings = Counter(scrape.count_by("requests_total", "ending", route="both"))
    assert endings == Counter({ending: saw["both", word] for ending, word in told.items()}) and endings["reset"] < 5
    assert scrape.sum("wishes_refused_total", wish="min_quality") == saw["both", "wish_unmet"] > 5
    assert scrape.sum("shed_requests_total") == saw["narrow", "overloaded"] > 5
    assert scrape.sum("requests_total", route="narrow", ending="overloaded") == saw["narrow", "overloaded"]
    assert scrape.sum("failovers_total", **{"from": "member", "to": "steady"}) >= 5
    assert (scrape.sum("feature_enabled", feature="hedging"), scrape.sum("feature_enabled", feature="cache")) == (1, 0)
    assert scrape.sum("circuit_breaker_openings_total", upstream="gone", reason="consecutive_failures") == 1


def test_one_dead_upstream_is_one_page(everything: Everything) -> None:
    """The cause warns, the effect pages, and nothing else is said of it; a dead member of a pool that lives on pages nobody."""
    firing = alerts(everything, everything.storm)
    assert {alert for alert in firing if alert[2] == "gone"} == {
        ("LLMNoUpstreamAvailable", "critical", "gone"), ("LLMCircuitBreakerOpen", "warning", "gone"),
    }  # fmt: skip
    assert {alert for alert in firing if alert[2] in ("both", "member", "steady")} == {("LLMCircuitBreakerOpen", "warning", "member")}
    assert ("LLMCallsShed", "warning", "") in firing
    assert {alert for alert in firing if alert[0] == "LLMUpstreamUnhealthy"} == set()
    for record, label, about in (
        ("job_route:llm_sidecar_request_errors_mostly_unavailable:rate5m", "route", {"gone", "nobody"}),
        ("job_upstream:llm_sidecar_circuit_breaker_state_in_use:max5m", "upstream", set(DEAD)),
    ):
        found = {series["metric"][label] for series in everything.query_end(f'{record}{{job="storm"}}', everything.storm)}
        assert found - {"moody"} == about, "moody may be left alone for a while"


def test_alerts_lead_to_the_runbook(everything: Everything) -> None:
    """What fires says which upstream it is about, and where to read on."""
    rules = [rule for group in everything.prometheus.get("rules", type="alert")["groups"] for rule in group["rules"]]
    headings = re.findall(r"^## (.+)$", (ROOT / "alerts" / "runbook.md").read_text(encoding="utf-8"), re.MULTILINE)
    for name in {name for name, _, _ in alerts(everything, everything.storm)}:
        (notes, *_) = [rule["annotations"] for rule in rules if rule["name"] == name]
        page, _, heading = notes["runbook_url"].partition("#")
        assert (ROOT / page).is_file() and heading in {each.lower() for each in headings}


def test_recovery_is_told(everything: Everything) -> None:
    """All breakers are closed, all upstreams healthy, nothing fires that is about them, and the panels' last word is that."""
    calm = everything.calm
    for metric, good in ((STATE, 0), (GROUP_STATE, 0), (HEALTHY, 1)):
        for name in NAMES:
            found = {values[-1] for values in show_metrics(everything, metric, calm, upstream=name)}
            assert found == {good} or (metric == GROUP_STATE and not found), (metric, name)
    for query in (
        'sum(rate(llm_sidecar_requests_total{job="storm",ending="unavailable"}[10s]))', 'sum(llm_sidecar_queued_requests{job="storm"})',
        'sum(rate(llm_sidecar_shed_requests_total{job="storm"}[10s]))', 'job_route:llm_sidecar_request_errors:rate5m{job="storm"}',
    ):  # fmt: skip
        assert {series["value"][1] for series in everything.query_end(query, calm)} == {"0"}, query
    for name in DEAD:
        moved: dict[str, Any] = {"upstream": name, "from": "half_open", "to": "closed"}
        assert find_peak(everything, "circuit_breaker_transitions_total", calm, **moved) > 0
    ended = {name for name, _, about in alerts(everything, calm) if about in {*NAMES, "both", "nobody", "race"}}
    assert ended == set()


def test_the_log_tells_of_each_change(everything: Everything) -> None:
    """Lines of JSON say what each breaker did, and why; lines of the same kind within seconds stand for each other."""
    log = everything.read_log("storm")
    lines = [line for line in log if line["event"].startswith("circuit_breaker_") and line["upstream"] == "gone"]
    assert [(line["event"], line["level"], line["from"], line["to"], line["reason"], line["group"]) for line in lines[:2]] == [
        ("circuit_breaker_opened", "warning", "closed", "open", "consecutive_failures", "default"),
        ("circuit_breaker_half_opened", "info", "open", "half_open", "open_time_over", "default"),
    ]
    assert (lines[-1]["event"], lines[-1]["reason"]) == ("circuit_breaker_closed", "enough_successes")
    health = [line["event"] for line in log if line["event"].startswith("upstream_") and line["upstream"] == "gone"]
    assert health == ["upstream_unhealthy", "upstream_healthy"]
    assert all(line.keys() >= {"ts", "level", "event"} for line in log)
