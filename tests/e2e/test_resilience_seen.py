"""What resilience does is seen where operators look: a real Prometheus scrapes a real sidecar through an outage and out of it.

Asked are the queries of the board of resilience, the alerts (with short waits in place of minutes), the scrape and the log.
"""

import asyncio
import json
import math
import re
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
import yaml

from tests.rig.pools import Scrape
from tests.rig.process import RunningSidecar, run_sidecar
from tests.rig.prometheus import Prometheus, needs_prometheus, scraping
from tests.rig.storm import DEAD, NAMES, Storm

pytestmark = needs_prometheus

ROOT: Final = Path(__file__).resolve().parents[2]
PANELS: Final[dict[str, Any]] = {
    panel["title"]: panel
    for name in ("resilience", "overview")
    for panel in json.loads((ROOT / "dashboards" / f"{name}.json").read_text(encoding="utf-8"))["panels"]
    if panel["type"] != "row" and (name == "resilience" or panel["title"] == "Open breakers")
}
STORM_S: Final = 9.0
CALM_S: Final = 12.0
SETTLE_S: Final = 2.5  # two more scrapes and evaluations
PATIENCE_S: Final = 20.0
WINDOW_S: Final = 10  # in place of five minutes

Labels = frozenset[tuple[str, str]]


class Phase(NamedTuple):
    """What there was to see at the end of a phase. Times are Unix seconds."""

    began_s: float
    ended_s: float
    scrape: Scrape
    seen: Counter[tuple[str, str]]


class Seen(NamedTuple):
    """A Prometheus that has seen an outage, and the end of it."""

    prometheus: Prometheus
    storm: Phase
    calm: Phase
    log: list[dict[str, Any]]
    rules: Path

    def ask(self, title: str, phase: Phase) -> list[tuple[dict[str, str], list[float]]]:
        """Return the series that a panel shows, all its queries together, with all that is a number in them."""
        found = []
        for target in PANELS[title]["targets"]:
            text = re.sub(r"\$(?:job|instance|upstream)\b", ".+", target["expr"].replace("$__rate_interval", "5s"))
            for series in self.prometheus.query_range(text, phase.began_s, phase.ended_s):
                values = [float(value) for _, value in series["values"] if math.isfinite(float(value))]
                if values:
                    found.append((series["metric"], values))
        return found

    def peak(self, title: str, phase: Phase, **labels: str) -> float:
        """Return the highest value that a panel shows of the series with these labels."""
        return max((max(values) for has, values in self.ask(title, phase) if labels.items() <= has.items()), default=math.nan)

    def last(self, title: str, phase: Phase, **labels: str) -> set[float]:
        """Return the last values that a panel shows of the series with these labels."""
        return {values[-1] for has, values in self.ask(title, phase) if labels.items() <= has.items()}

    def alerts(self, phase: Phase) -> set[tuple[str, str, str]]:
        """Return name, severity, and route or upstream of what fires at the end of a phase."""
        found = self.prometheus.get("query", query='ALERTS{alertstate="firing"}', time=str(phase.ended_s))["result"]
        told = [series["metric"] for series in found]
        return {(each["alertname"], each["severity"], each.get("route") or each.get("upstream") or "") for each in told}


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    """Upstreams, sidecar and Prometheus, after an outage and after its end."""
    folder = tmp_path_factory.mktemp("seen")
    with asyncio.Runner() as runner:
        storm = Storm()
        runner.run(storm.start())
        with (
            run_sidecar(folder, "", **storm.configure()) as side,
            scraping(folder, side.admin_url.removeprefix("http://"), shorten_rules(folder)) as prometheus,
        ):
            await_scrapes(prometheus)
            raging = runner.run(watch(side, storm, STORM_S))
            storm.recover()
            calm = runner.run(watch(side, storm, CALM_S))
            log = [json.loads(line) for line in side.program.output.splitlines()]
            yield Seen(prometheus, raging, calm, log, folder / "rules.yml")
        runner.run(storm.stop())


def await_scrapes(prometheus: Prometheus) -> None:
    """Wait until there are two: what has never been scraped cannot be seen to grow."""
    deadline_s = time.monotonic() + PATIENCE_S
    while not prometheus.query("count_over_time(up[1m]) >= 2"):
        assert time.monotonic() < deadline_s
        time.sleep(0.1)


async def watch(side: RunningSidecar, storm: Storm, seconds: float) -> Phase:
    """Let callers call, until Prometheus has seen what came of it."""
    began_s = time.time()
    await storm.rage(side.url, seconds + SETTLE_S)
    ended_s = time.time()
    await asyncio.sleep(1.5)  # one more scrape
    return Phase(began_s, ended_s, Scrape(await asyncio.to_thread(side.scrape)), Counter(storm.seen))


def shorten_rules(folder: Path) -> Path:
    """Write the rules with seconds in place of minutes."""
    tree = yaml.safe_load((ROOT / "alerts" / "rules.yml").read_text(encoding="utf-8"))
    for rule in (rule for group in tree["groups"] for rule in group["rules"]):
        rule["expr"] = re.sub(r"\[5m\]", f"[{WINDOW_S}s]", rule["expr"])
        rule.update({name: "2s" for name in ("for", "keep_firing_for") if name in rule})
    path = folder / "rules.yml"
    path.write_text(yaml.safe_dump(tree), encoding="utf-8")
    return path


@pytest.mark.parametrize("title", PANELS)
def test_every_query_has_data(seen: Seen, title: str) -> None:
    """No panel is empty in an outage, and none understands less than all of its queries."""
    for target in PANELS[title]["targets"]:
        assert seen.ask(title, seen.storm), target["expr"]
    assert len(seen.ask(title, seen.storm)) >= len(PANELS[title]["targets"])


# What each panel must say of the outage: above 0, for these series.
SHOWN: Final[list[tuple[str, dict[str, str]]]] = [
    *(("Circuit breaker transitions", {"upstream": name, "from": "closed", "to": "open"}) for name in DEAD),
    ("Circuit breaker transitions", {"upstream": "gone", "from": "open", "to": "half_open"}),
    *(("Openings by reason", {"upstream": name, "reason": "consecutive_failures"}) for name in DEAD),
    ("Openings by reason", {"upstream": "gone", "reason": "probe_failed"}),
    ("Calls that breakers did not let through", {"upstream": "gone"}),
    ("Without an upstream", {}),
    ("Error ratio", {}),
    ("Tried again", {}),
    ("Degraded", {}),
    ("Shed", {}),
    ("Queued", {}),
    ("Attempts by outcome", {"outcome": "reset"}),
    ("Attempts by outcome", {"outcome": "hedge_lost"}),
    ("Attempts by upstream", {"upstream": "steady"}),
    ("Failovers", {"from": "member", "to": "steady"}),
    ("Retries by cause", {"reason": "server_error"}),
    ("Further attempts that were not made", {"reason": "unreadable"}),
    ("Further attempts that were not made", {"reason": "capped"}),
    ("Hedges by outcome", {"outcome": "won"}),
    ("Probes", {"upstream": "gone", "outcome": "failed"}),
    ("Probes", {"upstream": "steady", "outcome": "succeeded"}),
    ("Pending calls and concurrency limit", {"upstream": "narrow"}),
    ("Share left of rate limits", {"upstream": "steady", "kind": "requests"}),
    ("Queued calls", {}),
    ("Queue wait", {}),
    ("Shed calls by reason", {"reason": "queue_full"}),
    ("Degraded calls by step", {"step": "emergency"}),
    ("Degraded calls by step", {"step": "simple"}),
    ("Wishes that nobody met", {"wish": "min_quality"}),
    ("Features", {"feature": "hedging"}),
]


@pytest.mark.parametrize(("title", "labels"), SHOWN, ids=lambda told: told if isinstance(told, str) else "-".join(told.values()))
def test_panels_say_what_happened(seen: Seen, title: str, labels: dict[str, str]) -> None:
    """What has happened is above 0, with the labels by which it is told apart."""
    assert seen.peak(title, seen.storm, **labels) > 0


def test_states_are_told(seen: Seen) -> None:
    """Who is dead is open and unhealthy, who lives is not, and the counts at first sight are those of the dead."""
    for name in DEAD:
        assert seen.peak("Circuit breaker state", seen.storm, upstream=name) == 2
        assert seen.peak("Circuit breaker state by group of models", seen.storm, upstream=name, group="default") == 2
        assert seen.peak("Circuit breaker state by group of models", seen.storm, upstream=name, group="large") == 0
        assert 0 in {value for has, values in seen.ask("Upstream health", seen.storm) if has["upstream"] == name for value in values}
    for name in set(NAMES) - {*DEAD, "moody"}:
        assert seen.peak("Circuit breaker state", seen.storm, upstream=name) == 0
        assert seen.last("Upstream health", seen.storm, upstream=name) == {1}
    assert seen.peak("Open circuit breakers", seen.storm) == seen.peak("Open breakers", seen.storm) >= 3
    assert seen.peak("Unhealthy upstreams", seen.storm) >= 3
    assert seen.peak("Share left of rate limits", seen.storm, upstream="steady") == 0.6


def test_the_live_scrape_says_so_too(seen: Seen) -> None:
    """The numbers behind the panels are there, and they are what callers saw: each refused call is counted once."""
    scrape, saw = seen.storm.scrape, seen.storm.seen
    endings = scrape.count_by("requests_total", "ending", route="gone")
    assert endings == {"unavailable": saw["gone", "circuit_open"], "reset": saw["gone", "upstream_reset"]}
    # A call whose first attempt opened the breaker keeps its own error; its repetition was not let through.
    rejected = scrape.sum("circuit_breaker_rejected_total", upstream="gone")
    assert 20 < saw["gone", "circuit_open"] <= rejected <= saw["gone", "circuit_open"] + saw["gone", "upstream_reset"]
    endings = scrape.count_by("requests_total", "ending", route="both")
    assert endings == {"completed": saw["both", "200"], "refused": saw["both", "wish_unmet"]}
    assert scrape.sum("wishes_refused_total", wish="min_quality") == saw["both", "wish_unmet"] > 5
    assert scrape.sum("shed_requests_total") == saw["narrow", "overloaded"] > 5
    assert scrape.sum("requests_total", route="narrow", ending="overloaded") == saw["narrow", "overloaded"]
    assert scrape.sum("failovers_total", **{"from": "member", "to": "steady"}) >= 5
    assert scrape.sum("circuit_breaker_openings_total", upstream="gone", reason="consecutive_failures") == 1


def test_one_dead_upstream_is_one_page(seen: Seen) -> None:
    """The cause warns, the effect pages, and nothing else is said of it; a dead member of a pool that lives on pages nobody."""
    firing = seen.alerts(seen.storm)
    assert {alert for alert in firing if alert[2] == "gone"} == {
        ("LLMNoUpstreamAvailable", "critical", "gone"), ("LLMCircuitBreakerOpen", "warning", "gone"),
    }  # fmt: skip
    assert {alert for alert in firing if alert[2] in ("both", "member", "steady")} == {("LLMCircuitBreakerOpen", "warning", "member")}
    assert ("LLMCallsShed", "warning", "") in firing
    assert {alert for alert in firing if alert[0] == "LLMUpstreamUnhealthy"} == set()
    ended = {"time": str(seen.storm.ended_s)}
    for record, label, about in (
        ("job_route:llm_sidecar_request_errors_mostly_unavailable:rate5m", "route", {"gone", "nobody"}),
        ("job_upstream:llm_sidecar_circuit_breaker_state_in_use:max5m", "upstream", set(DEAD)),
    ):
        assert {series["metric"][label] for series in seen.prometheus.get("query", query=record, **ended)["result"]} == about


def test_alerts_lead_to_the_runbook(seen: Seen) -> None:
    """What fires says which upstream it is about, and where to read on."""
    rules = [rule for group in seen.prometheus.get("rules", type="alert")["groups"] for rule in group["rules"]]
    assert {(rule["health"], rule.get("lastError", "")) for rule in rules} == {("ok", "")}
    headings = re.findall(r"^## (.+)$", (ROOT / "alerts" / "runbook.md").read_text(encoding="utf-8"), re.MULTILINE)
    for name in {name for name, _, _ in seen.alerts(seen.storm)}:
        (notes, *_) = [rule["annotations"] for rule in rules if rule["name"] == name]
        page, _, heading = notes["runbook_url"].partition("#")
        assert (ROOT / page).is_file() and heading in {each.lower() for each in headings}


def test_recovery_is_told(seen: Seen) -> None:
    """All breakers are closed, all upstreams healthy, nothing fires that is about them, and the panels' last word is that."""
    assert seen.last("Circuit breaker state", seen.calm) == {0}
    assert seen.last("Circuit breaker state by group of models", seen.calm) == {0}
    assert seen.last("Upstream health", seen.calm) == {1}
    for title in ("Open circuit breakers", "Open breakers", "Unhealthy upstreams", "Queued", "Shed", "Without an upstream", "Error ratio"):
        assert seen.last(title, seen.calm) == {0}, title
    for name in DEAD:
        assert seen.peak("Circuit breaker transitions", seen.calm, upstream=name, **{"from": "half_open", "to": "closed"}) > 0
    ended = {name for name, _, about in seen.alerts(seen.calm) if about in {*NAMES, "both", "nobody", "race"}}
    assert ended == set()


def test_the_log_tells_of_each_change(seen: Seen) -> None:
    """Lines of JSON say what each breaker did, and why; lines of the same kind within seconds stand for each other."""
    lines = [line for line in seen.log if line["event"].startswith("circuit_breaker_") and line["upstream"] == "gone"]
    assert [(line["event"], line["level"], line["from"], line["to"], line["reason"], line["group"]) for line in lines[:2]] == [
        ("circuit_breaker_opened", "warning", "closed", "open", "consecutive_failures", "default"),
        ("circuit_breaker_half_opened", "info", "open", "half_open", "open_time_over", "default"),
    ]
    assert (lines[-1]["event"], lines[-1]["reason"]) == ("circuit_breaker_closed", "enough_successes")
    health = [line["event"] for line in seen.log if line["event"].startswith("upstream_") and line["upstream"] == "gone"]
    assert health == ["upstream_unhealthy", "upstream_healthy"]
    assert all(line.keys() >= {"ts", "level", "event"} for line in seen.log)
