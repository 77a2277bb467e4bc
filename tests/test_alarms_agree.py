"""What the sidecar judges by itself, and what Prometheus makes of its metrics by the rules for it: the same calls, the same alerts."""

import asyncio
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from sidecar.config import Features, Settings
from sidecar.core.reckon.alarm_rules import RULES, Situation, judge
from sidecar.core.reckon.alarms import Alarms, Severity
from sidecar.core.reckon.lately import Lately
from sidecar.core.reckon.moments import Present
from sidecar.core.reckon.window import Window
from sidecar.edge.telemetry.exposition import Exposition
from sidecar.edge.telemetry.meter import Meter
from sidecar.exchange import Asked, Ending, Record, Usage
from sidecar.render.alerting import Alert, list_alerts, render_rules
from sidecar.render.rules import RULES as FILE
from sidecar.render.rules import list_files
from sidecar.render.yaml_text import dump_yaml
from sidecar.thresholds import Terms
from tests.edge.outbound.doubles import FakeClock
from tests.edge.telemetry.records import make_record, make_seen
from tests.rig.prometheus import PROMTOOL, needs_promtool

SETTINGS: Final = Settings(features=Features(cache=True))
MINUTES: Final = 55
INTERVAL_S: Final = 15
READ: Final = re.compile(r"(http_server_request_duration_seconds|llm_sidecar_(requests|time_to|output_tokens|cache|build_info))")
SAMPLE: Final = re.compile(r"(\w+)(?:\{(.*)\})? (\S+)")
# The label that tells what an alert is about: of ours, and of the rules for Prometheus with what stands in it.
SUBJECTS: Final = {
    "LLMHighAverageLatency": ("http_route", "/{}/v1/chat/completions"),
    "LLMHighLatencyP95": ("http_route", "/{}/v1/chat/completions"),
    "LLMHighErrorRatio": ("route", "{}"),
    "LLMUpstreamRateLimited": ("route", "{}"),
    "LLMAnswersCut": ("route", "{}"),
    "LLMNoUpstreamAvailable": ("route", "{}"),
    "LLMSlowFirstToken": ("model", "{}"),
    "LLMSlowGeneration": ("model", "{}"),
    "LLMLowCacheHitRatio": ("", ""),
}


class Kind(NamedTuple):
    """One of several kinds of calls that come in turn."""

    calls: int  # of a round
    ending: Ending = Ending.COMPLETED
    duration_s: float = 1.0
    first_token_s: float | None = None
    cache: str | None = None


class Subject(NamedTuple):
    """Calls of one upstream, one route and one model, and what is told of them at which minute."""

    per_minute: int
    kinds: tuple[Kind, ...]
    told: dict[int, dict[str, str]]  # minute → alert → severity
    until: int = MINUTES


GOOD: Final = Kind(19)
W, C = "warning", "critical"
LATE: Final = {"LLMHighAverageLatency": W, "LLMHighLatencyP95": W}
CASES: Final = {
    "well": Subject(10, (GOOD,), {8: {}, 20: {}, 50: {}}),
    "idle": Subject(0, (GOOD,), {20: {}}),
    "failing": Subject(20, (Kind(18), Kind(2, Ending.UPSTREAM_ERROR)), {3: {}, 10: {"LLMHighErrorRatio": W}}),
    "broken": Subject(20, (Kind(14), Kind(6, Ending.RESET)), {8: {"LLMHighErrorRatio": C}}),
    "just under": Subject(25, (Kind(24), Kind(1, Ending.UPSTREAM_ERROR)), {20: {}}),
    "rare": Subject(3, (Kind(1, Ending.RESET),), {20: {}, 50: {}}),
    "mended": Subject(
        20, (Kind(14), Kind(6, Ending.RESET)), {19: {"LLMHighErrorRatio": C}, 23: {"LLMHighErrorRatio": C}, 36: {}}, until=20
    ),
    "gone": Subject(20, (Kind(1, Ending.UNAVAILABLE, 0.01),), {8: {"LLMNoUpstreamAvailable": C}, 20: {"LLMNoUpstreamAvailable": C}}),
    "slow": Subject(10, (Kind(1, duration_s=4.0),), {3: {}, 9: {"LLMHighAverageLatency": W}, 20: LATE}),
    "very slow": Subject(10, (Kind(1, duration_s=15.0),), {20: {"LLMHighAverageLatency": C, "LLMHighLatencyP95": C}}),
    "slow at times": Subject(20, (Kind(18, duration_s=0.5), Kind(2, duration_s=6.0)), {20: {"LLMHighLatencyP95": W}}),
    "slow and rare": Subject(1, (Kind(1, duration_s=15.0),), {20: {}, 50: {}}),
    "limited": Subject(20, (Kind(16), Kind(4, Ending.RATE_LIMITED)), {5: {}, 20: {"LLMUpstreamRateLimited": W}}),
    "cut": Subject(40, (Kind(39), Kind(1, Ending.CUT)), {20: {"LLMAnswersCut": W}}),
    "late": Subject(10, (Kind(1, duration_s=4.5, first_token_s=3.5),), {5: {}, 20: {**LATE, "LLMSlowFirstToken": W}}),
    "writes slowly": Subject(
        10, (Kind(1, duration_s=9.0, first_token_s=1.0),),
        {5: {}, 20: {"LLMHighAverageLatency": C, "LLMHighLatencyP95": W, "LLMSlowGeneration": W}},
    ),
    "kept": Subject(20, (Kind(18, cache="miss"), Kind(2, cache="hit")), {20: {}, 50: {"LLMLowCacheHitRatio": "info"}}),
}  # fmt: skip


def make_call(name: str, kind: Kind, ended: float) -> Record:
    """Return a call that ended then."""
    accepted, first = ended - kind.duration_s, kind.first_token_s
    is_found = kind.ending is not Ending.UNAVAILABLE
    call = {
        "route": name, "upstream": name if is_found else "", "template": f"/{name}/v1/chat/completions", "asked": Asked(model=name),
        "provider": "openai" if is_found else "", "ending": kind.ending, "accepted": accepted, "ended": ended, "cache": kind.cache,
        "cache_level": "hot" if kind.cache == "hit" else None, "usage": Usage(10, 0, 0, 50, 0),
    }  # fmt: skip
    if first is None:
        return make_record(**call)
    seen = make_seen(first_chunk=accepted + first, first_token=accepted + first, last_chunk=ended, chunks=50)
    return make_record(**call, streamed=True, seen=seen)


def list_calls(start: float, at: float) -> Iterator[Record]:
    """Yield the calls that ended in the interval before `at`, evenly spread."""
    for name, subject in CASES.items():
        order = [kind for kind in subject.kinds for _ in range(kind.calls)]
        before, now = (int((moment - start) * subject.per_minute / 60) for moment in (at - INTERVAL_S, at))
        if at - start <= subject.until * 60:
            for number in range(before, now):
                yield make_call(name, order[number * 7 % len(order)], at - 0.1)  # 7: kinds come in turn


async def scrape(meter: Meter) -> dict[tuple[str, str], str]:
    """Return what Prometheus would read of it now: series → value."""
    text = (await Exposition(meter).render("text/plain", "identity")).body.decode()
    found = (SAMPLE.fullmatch(line) for line in text.splitlines() if READ.match(line))
    return {(sample[1], sample[2] or ""): sample[3] for sample in found if sample is not None}


async def run() -> tuple[dict[int, dict[tuple[str, str], str]], list[dict[tuple[str, str], str]]]:
    """Carry all calls. Return what the sidecar told at each minute, alert and subject → severity, and what was scraped each minute."""
    clock, told = FakeClock(3000.0), dict[int, dict[tuple[str, str], str]]()
    start, alarms, window = clock.now(), Alarms(), Window(clock.now)
    meter = Meter(SETTINGS.limits, SETTINGS.upstreams, version="1", python="3")
    for part in (meter.resilience, meter.reuse, meter.accounts):
        part.prepare(SETTINGS)
    meter.families.create_routes({name: f"/{name}/" for name in CASES})
    scrapes = [await scrape(meter)]
    for number in range(1, MINUTES * 60 // INTERVAL_S + 1):
        clock.time = start + number * INTERVAL_S
        for record in list_calls(start, clock.time):
            meter.observe(record)
            window.observe(record)
        lately = Lately(clock.now())
        for step in window.steps():
            for who, tally in step.tallies.items():
                lately.add(step.number, who, tally)
        alarms.update(judge(Situation(lately, has_cache=True), Terms()), Present(clock.now(), clock.wall_ns()))
        if number * INTERVAL_S % 60 == 0:
            scrapes.append(await scrape(meter))
            told[number * INTERVAL_S // 60] = {
                (alarm.finding.rule.name, dict(alarm.finding.labels).get("upstream") or dict(alarm.finding.labels).get("model") or ""): str(
                    alarm.finding.severity
                )
                for alarm in alarms.active()
            }
    return told, scrapes


def is_about(alert: str, subject: str, name: str) -> bool:
    """Tell whether an alert of ours is about a subject: where nobody was asked, and of the cache, it names none."""
    return (subject or ("kept" if alert == "LLMLowCacheHitRatio" else "gone")) == name


def test_the_sidecar_tells_what_is_written() -> None:
    """Each subject has the alerts of the table at the minutes that stand there, and no other."""
    told, _ = asyncio.run(run())
    for name, subject in CASES.items():
        for minute, expected in subject.told.items():
            found = {alert: severity for (alert, about), severity in told[minute].items() if is_about(alert, about, name)}
            assert found == expected, (name, minute)


@needs_promtool
def test_prometheus_tells_the_same(tmp_path: Path) -> None:
    """Of the sidecar's own metrics, scraped each minute, by the rules at their default terms."""
    _, scrapes = asyncio.run(run())
    series = {key: [scrape.get(key, "_") for scrape in scrapes] for key in dict.fromkeys(key for scrape in scrapes for key in scrape)}
    input_series = [
        {"series": f'{metric}{{job="app",instance="a:9464"{"," if labels else ""}{labels}}}', "values": " ".join(values)}
        for (metric, labels), values in series.items()
    ]
    (tmp_path / FILE).write_text(render_rules(list_files(Terms())[FILE], Terms().links, ""), encoding="utf-8")
    tests = [check for name, subject in CASES.items() for minute, told in subject.told.items() for check in ask(name, minute, told)]
    order = [group.name for group in list_files(Terms())[FILE]]
    case = {"interval": "1m", "input_series": input_series, "promql_expr_test": tests}
    tree = {"rule_files": [FILE], "evaluation_interval": "1m", "group_eval_order": order, "tests": [case]}
    (tmp_path / "tests.yml").write_text(dump_yaml(tree, ""), encoding="utf-8")
    done = subprocess.run([PROMTOOL, "test", "rules", "tests.yml"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr)[:6000]


def ask(name: str, minute: int, told: dict[str, str]) -> Iterator[dict[str, Any]]:
    """Yield a question to Prometheus for each alert of a subject, and the answer: the gravest severity that fires, or nothing."""
    for alert, (label, text) in SUBJECTS.items():
        if not label and name != "kept":
            continue
        about = f',{label}="{text.format(name)}"' if label else ""
        firing = f'ALERTS{{alertname="{alert}",alertstate="firing"{about},severity="%s"}}'
        critical, warning, info = (firing % severity for severity in ("critical", "warning", "info"))
        found = f"max by (severity) ({critical} or ({warning} unless ignoring(severity) {critical}) or {info})"
        samples = [{"labels": f'{{severity="{told[alert]}"}}', "value": 1}] if alert in told else []
        yield {"expr": found, "eval_time": f"{minute}m", "exp_samples": samples}


def find_rule(name: str) -> Alert:
    """Return the rule for Prometheus of a name."""
    return next(alert for groups in list_files(Terms()).values() for alert in list_alerts(groups) if alert.name == name)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_times_and_words_are_those_of_the_rules(rule: Any) -> None:
    """Severities, sentences, how long a condition must have held, and how long it must be gone."""
    alert = find_rule(rule.name)
    seconds = {"": 0.0} | {f"{minutes}m": minutes * 60.0 for minutes in range(1, 61)}
    tiers = {Severity(tier.severity): (seconds[tier.hold], tier.summary) for tier in alert.tiers}
    assert {severity: tuple(tier) for severity, tier in rule.tiers.items()} == tiers
    assert rule.keep_s == seconds[alert.keep]
