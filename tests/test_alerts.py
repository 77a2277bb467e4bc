"""The alerts as they are rendered: rules that load, fire when they should and not otherwise, carry their terms, and say what to do."""

import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
import yaml

from sidecar.config import Budgets
from sidecar.exchange import SERVICE_ERRORS
from sidecar.render.alerting import Alert, Recording, Severity, Tier, list_alerts, render_rules
from sidecar.render.cases import list_cases
from sidecar.render.cases.case import Case, render_cases
from sidecar.render.rules import BURN_RATE, LOW_QUALITY, LOW_TRAFFIC, RULES, WATCHDOG, list_files, list_heads
from sidecar.render.rules.forms import list_limits
from sidecar.render.rules.recordings import OFFERED
from sidecar.render.runbook import render_runbook
from sidecar.thresholds import BUDGET_SPENT, Side, Terms
from tests.promql import find_unknown, list_series, read_names
from tests.render.terms import BOTH
from tests.rig.prometheus import PROMTOOL, needs_promtool

ALERTS: Final = Path(__file__).resolve().parent.parent / "alerts"
FILES: Final = (RULES, BURN_RATE, WATCHDOG, LOW_TRAFFIC, LOW_QUALITY)
# The threshold of each alert that has one: a field of Thresholds.
JUDGED: Final = {
    "LLMHighAverageLatency": "mean_latency",
    "LLMHighLatencyP95": "latency_p95",
    "LLMHighErrorRatio": "error_ratio",
    "LLMUpstreamRateLimited": "rate_limited_ratio",
    "LLMRateLimitNearlyUsed": "ratelimit_remaining",
    "LLMToolFailing": "tool_error_ratio",
    "LLMAnswersCut": "cut_ratio",
    "LLMSlowFirstToken": "time_to_first_token_p95",
    "LLMSlowGeneration": "output_tokens_per_second",
    "LLMLowCacheHitRatio": "cache_hit_ratio",
    "LLMTenantLimited": "tenant_limited_ratio",
    "LLMCostSpike": "cost_spike",
    "LLMSidecarMemoryHigh": "memory_used",
    "LLMSidecarOverheadHigh": "overhead_p99",
    "LLMSpansDropped": "spans_dropped_ratio",
    "LLMLowTraffic": "requests_per_minute",
    "LLMLowQuality": "quality",
}
# What else the table limits: the budget's warning is the sidecar's own setting.
JUDGED_OTHERWISE: Final = {"budget_spent"}
# A value that is judged where least traffic would be another name for it, or has nothing to do with traffic.
UNGUARDED: Final = {"LLMSidecarMemoryHigh", "LLMLowTraffic"}
# The boards that alerts lead to, and the variables that each has.
BOARDS: Final = {
    "llm-sidecar-overview": {"provider", "model"},
    "llm-sidecar-latency": {"provider", "model"},
    "llm-sidecar-cost": {"provider", "model", "tenant"},
    "llm-sidecar-resilience": {"upstream"},
    "llm-sidecar-cache": {"provider", "model"},
    "llm-sidecar-sidecar": set[str](),
}
every_file = pytest.mark.parametrize("file", FILES)


class Rendered(NamedTuple):
    """Rule files and their tests in a folder, and what they were made with."""

    terms: Terms
    folder: Path

    def run(self, *command: str) -> None:
        """Run promtool over the folder. What it does not pass fails."""
        done = subprocess.run([PROMTOOL, *command], cwd=self.folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    def read(self, file: str) -> dict[str, Any]:
        """Return a rule file, as whoever loads it sees it."""
        tree: dict[str, Any] = yaml.safe_load((self.folder / file).read_text(encoding="utf-8"))
        return tree


@pytest.fixture(scope="module", params=BOTH.values(), ids=BOTH.keys())
def rendered(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Rendered:
    """Every rule file with its tests, made with the terms by default, and with others."""
    terms: Terms = request.param
    folder = tmp_path_factory.mktemp("alerts")
    for file, groups in list_files(terms).items():
        (folder / file).write_text(render_rules(groups, terms.links, list_heads(terms)[file]), encoding="utf-8")
        (folder / name_tests(file)).write_text(render_cases(list_cases(terms)[file], groups, terms.links, file), encoding="utf-8")
    return Rendered(terms, folder)


def name_tests(file: str) -> str:
    """Return the name of a rule file's tests."""
    return file.replace(".yml", ".tests.yml")


@cache
def alerts(terms: Terms) -> list[Alert]:
    """Return the alerts of all files."""
    return [alert for groups in list_files(terms).values() for alert in list_alerts(groups)]


@cache
def cases(terms: Terms) -> list[Case]:
    """Return the cases of all files."""
    return [case for found in list_cases(terms).values() for case in found]


def rules(terms: Terms, file: str) -> Iterator[tuple[str, list[str]]]:
    """Yield the name and the expressions of each rule of a file, in order; a recording's name has colons."""
    for group in list_files(terms)[file]:
        for rule in group.rules:
            yield (rule.record, [rule.expr]) if isinstance(rule, Recording) else (rule.name, [tier.expr for tier in rule.tiers])


def find_alert(terms: Terms, name: str) -> Alert:
    """Return an alert by its name."""
    return next(alert for alert in alerts(terms) if alert.name == name)


def compared(tier: Tier) -> tuple[str, float]:
    """Return the first comparison of an alert with something: its operator and the number."""
    found = next(found for found in re.finditer(r"([<>]=?)\s*([0-9.]+)", tier.expr) if found[2] != "0")
    return found[1], float(found[2])


@needs_promtool
@every_file
def test_rules_load(rendered: Rendered, file: str) -> None:
    """Prometheus takes the rules, its lints included."""
    rendered.run("check", "rules", "--lint-fatal", file)


@needs_promtool
@every_file
def test_rules_fire_when_they_should_and_not_otherwise(rendered: Rendered, file: str) -> None:
    """Each case comes out as written."""
    rendered.run("test", "rules", name_tests(file))


@needs_promtool
def test_queries_of_articles_parse(rendered: Rendered) -> None:
    """Prometheus takes each query of the runbook as it stands."""
    queries = [query for alert in alerts(rendered.terms) for query in alert.article.queries]
    recorded = [{"record": f"query:{place}", "expr": query} for place, query in enumerate(queries)]
    (rendered.folder / "queries.yml").write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": recorded}]}), encoding="utf-8")
    rendered.run("check", "rules", "queries.yml")


@pytest.mark.parametrize("terms", BOTH.values(), ids=BOTH.keys())
def test_each_alert_has_cases_that_fire_and_that_do_not(terms: Terms) -> None:
    """Each alert fires at each of its severities, is silent at some time, and is silent about something that it might have fired about."""
    firing, silent = set[tuple[str, Severity]](), set[str]()
    for case in cases(terms):
        for check in case.checks:
            firing |= {(check.alert, fired.severity) for fired in check.firing}
            if not check.firing:
                silent.add(check.alert)
    always = {"LLMWatchdog"}
    assert firing == {(alert.name, tier.severity) for alert in alerts(terms) for tier in alert.tiers}
    assert silent >= {alert.name for alert in alerts(terms)} - always


def test_names_of_cases_are_sentences() -> None:
    """A case says what it shows, and no other says the same."""
    names = [case.name for case in cases(Terms())]
    assert [name for name in names if not re.fullmatch(r"[A-Z].*\.", name) or " " not in name] == []
    assert len(set(names)) == len(names)


@every_file
def test_every_name_is_known(file: str) -> None:
    """Rules use only metrics and labels of the catalogue, or what was recorded before; queries only those of the catalogue."""
    made: dict[str, set[str]] = {}
    for name, expressions in rules(Terms(), file):
        for expression in expressions:
            assert find_unknown(expression, made) == [], name
            if ":" in name:
                known = list_series() | made
                made[name] = set[str]().union(*(known.get(read, set()) for read in read_names(expression).selected))
    for alert in alerts(Terms()):
        assert [unknown for query in alert.article.queries for unknown in find_unknown(query)] == [], alert.name


@every_file
def test_every_recorded_series_is_used(file: str) -> None:
    """Nothing is recorded that no other rule reads, but for what is offered to others."""
    found = list(rules(Terms(), file))
    read = {name for _, expressions in found for expression in expressions for name in read_names(expression).selected}
    assert {name for name, _ in found if ":" in name} - read - OFFERED == set()


@pytest.mark.parametrize("terms", BOTH.values(), ids=BOTH.keys())
@pytest.mark.parametrize(("name", "field"), JUDGED.items())
def test_alerts_have_the_thresholds_of_the_table(terms: Terms, name: str, field: str) -> None:
    """An alert exists for exactly the severities of its threshold, with its numbers, on its bad side."""
    threshold = getattr(terms.thresholds, field)
    sign = ">" if threshold.bad is Side.ABOVE else "<"
    found = {tier.severity: compared(tier) for tier in find_alert(terms, name).tiers}
    assert found == {severity: (sign, limit) for severity, limit in list_limits(threshold).items()}


@pytest.mark.parametrize("terms", BOTH.values(), ids=BOTH.keys())
def test_every_threshold_has_an_alert(terms: Terms) -> None:
    """What the table calls a warning is one."""
    limited = {field for field, threshold in terms.thresholds._asdict().items() if list_limits(threshold)}
    assert limited == {*JUDGED.values()} | JUDGED_OTHERWISE


@pytest.mark.parametrize("terms", BOTH.values(), ids=BOTH.keys())
def test_a_limit_that_is_told_is_the_one_that_is_compared(terms: Terms) -> None:
    """Descriptions name the limit of their severity wherever they name one."""
    for alert in alerts(terms):
        assert ("{limit}" in alert.description) == any(tier.limit for tier in alert.tiers), alert.name
        for tier in alert.tiers:
            assert "{limit}" not in alert.description or tier.limit, alert.name


@pytest.mark.parametrize("terms", BOTH.values(), ids=BOTH.keys())
def test_what_is_told_of_a_budget_is_what_the_table_says(terms: Terms) -> None:
    """It is spent where it is critical; it is warned of where the sidecar's setting says so, by default where the table does."""
    (tier,) = find_alert(terms, "LLMBudgetSpent").tiers
    assert re.findall(r"\) >= (\S+)\nor", tier.expr) == [f"{terms.thresholds.budget_spent.critical:g}"]
    assert Budgets().soft == BUDGET_SPENT.warning


def test_errors_are_the_errors_of_the_service() -> None:
    """Wherever errors are counted, they are the endings that the code counts."""
    found = [
        set(match.split("|"))
        for file in FILES
        for _, expressions in rules(Terms(), file)
        for expression in expressions
        for match in re.findall(r'ending=~"([^"]*)"', expression)
    ]
    assert len(found) == 2
    assert all(endings == set(map(str, SERVICE_ERRORS)) for endings in found)


@pytest.mark.parametrize("terms", BOTH.values(), ids=BOTH.keys())
def test_alerts_on_traffic_ask_for_a_least_number_of_calls(terms: Terms) -> None:
    """One failed call out of one is no alert: ratios, means and quantiles have a guard, and it is one of the terms."""
    judged = [alert for alert in alerts(terms) if alert.name in JUDGED and alert.name not in UNGUARDED]
    assert len(judged) == 15
    least = {f"{number:g}" for number in terms.traffic}
    for alert in judged:
        for tier in alert.tiers:
            (_, _, guard) = tier.expr.rpartition("\nand ")
            found = re.search(r">= (\S+)$", guard)
            assert found is not None and found[1] in least, alert.name


@every_file
def test_rules_say_what_to_do(rendered: Rendered, file: str) -> None:
    """Each has a summary of one sentence, a description that names the job, a heading in the runbook and a board with its variables."""
    links = rendered.terms.links
    for rule in (rule for group in rendered.read(file)["groups"] for rule in group["rules"] if "alert" in rule):
        notes, name = rule["annotations"], rule["alert"]
        assert re.fullmatch(r"[A-Z][^{}]+\.", notes["summary"]), name
        assert "{limit}" not in notes["description"] and re.search(r"[.)]$", notes["description"]), name
        assert notes["runbook_url"] == f"{links.runbook}#{name.lower()}"
        board, _, query = notes["dashboard_url"].removeprefix(f"{links.dashboards}/d/").partition("?")
        assert {*re.findall(r"var-(\w+)=", query)} <= BOARDS[board] | {"job", "instance"}, name
        assert rule["labels"]["severity"] in {*map(str, Severity)}
        assert rule["labels"].keys() <= {"severity", "long", "short"}, name


def test_alerts_name_whose_they_are() -> None:
    """A description names the job, where the alert knows one."""
    nameless = {"LLMWatchdog"}
    assert {alert.name for alert in alerts(Terms()) if "{{ $labels.job }}" not in alert.description} == nameless


@pytest.mark.parametrize("terms", BOTH.values(), ids=BOTH.keys())
def test_articles_are_written_out(terms: Terms) -> None:
    """Each alert has a heading of its own in the runbook, all four parts under it, and queries to begin with."""
    files = list_files(terms)
    runbook = render_runbook(files[RULES], {file: files[file] for file in FILES[1:]}, terms)
    headings = re.findall(r"^## (LLM.+)$", runbook, re.MULTILINE)
    assert sorted(headings) == sorted({alert.name for alert in alerts(terms)})
    for alert in alerts(terms):
        article = alert.article
        assert all((article.meaning, article.impact, article.diagnosis, article.mitigation)), alert.name
        assert article.queries or alert.name == "LLMWatchdog", alert.name
