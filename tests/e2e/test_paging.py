"""Who is woken, who is told, and who is left alone: a real Prometheus and a real Alertmanager with what is shipped, in compressed time.

A minute is a second (tests/rig/alertmanager.py). Each kind of trouble has a sidecar, and so a job, of its own.
"""

import asyncio
import contextlib
import itertools
import json
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
import yaml

from tests.rig.alertmanager import (
    ALERTS,
    Alertmanager,
    Message,
    Stub,
    alerting,
    needs_alertmanager,
    read_s,
    run_stub,
    shorten,
    shorten_rules,
)
from tests.rig.caller import compose, fetch
from tests.rig.process import RunningSidecar, find_port, run_sidecar, run_simulator
from tests.rig.prometheus import Prometheus, needs_prometheus, scraping_jobs

pytestmark = [needs_prometheus, needs_alertmanager]

PAGER, CHAT, NOTES, DEAD_MAN = (f"llm-sidecar-{name}" for name in ("pager", "chat", "notes", "dead-man"))
HOUR_S: Final = 60.0
INTERVAL_S: Final = 1.0  # between evaluations
PATIENCE_S: Final = 60.0
LONGER_S: Final = 9.0  # what goes on after the page: a warning has been firing for long by then, too
SLOW_S: Final = 6.0
STAGGER_S: Final = 0.26  # between callers' first calls: slow answers end one after the other, not all at once
CRITICAL, WARNING, INFO = "critical", "warning", "info"
CONFIG: Final[dict[str, dict[str, Any]]] = {
    "slow": {},
    "failing": {},
    "cold": {"features": {"breakers": False, "probes": False, "cache": True}},
    "broken": {"features": {"probes": False}, "breaker": {"open": "1s", "open_max": "2s"}},
    "healthy": {},
}
# Everybody who is told of anything, and of what.
TOLD: Final = {
    ("slow", PAGER, "LLMHighAverageLatency", CRITICAL),
    ("failing", PAGER, "LLMHighErrorRatio", CRITICAL),
    ("cold", NOTES, "LLMLowCacheHitRatio", INFO),
    ("broken", PAGER, "LLMNoUpstreamAvailable", CRITICAL),
    ("broken", CHAT, "LLMCircuitBreakerOpen", WARNING),
}
RECOVERED: Final = {told for told in TOLD if told[0] != "cold"}
# What fires where the machine of the tests has too much to do, and says nothing of the traffic.
OF_THE_MACHINE: Final = {"LLMSidecarOverheadHigh"}
WATCHDOG: Final = {"labels": {"alertname": "Watchdog", "severity": "none"}, "annotations": {"summary": "Alerting works."}}


class Height(NamedTuple):
    """When a trouble was about to be over, and which alerts had been kept from everybody until then. Time is Unix seconds."""

    at_s: float
    suppressed: list[dict[str, Any]]

    @property
    def unsaid(self) -> set[tuple[str, str]]:
        """Names and severities of those alerts."""
        return {(alert["labels"]["alertname"], alert["labels"]["severity"]) for alert in self.suppressed}


class Seen(NamedTuple):
    """What there was to see when all was over. Times are Unix seconds."""

    stub: Stub
    prometheus: Prometheus
    began_s: float
    ended_s: float
    healthy_calls: int
    heights: dict[str, Height]  # by job

    def told(self, status: str = "firing", *, is_over: bool = False) -> set[tuple[str, str, str, str]]:
        """Return job, receiver, alert and severity of everything that was told before trouble was over, or only after it."""
        found = [(at_s, who, alert["labels"]) for who, at_s, alert in self.stub.notices(status)]
        return {
            (labels.get("job", ""), who, labels["alertname"], labels["severity"])
            for at_s, who, labels in found
            if labels["alertname"] not in OF_THE_MACHINE
            and is_over is (labels.get("job") in self.heights and at_s > self.heights[labels["job"]].at_s)
        }

    def first(self, job: str, receiver: str, status: str = "firing") -> tuple[float, dict[str, Any]]:
        """Return when a receiver was first told something of a job, and what."""
        notices = [(at_s, alert) for who, at_s, alert in self.stub.notices(status) if who == receiver]
        found = [(at_s, alert) for at_s, alert in notices if alert["labels"].get("job") == job]
        return next((at_s, alert) for at_s, alert in found if alert["labels"]["alertname"] not in OF_THE_MACHINE)

    def chat(self, receiver: str, alert: str, job: str, status: str) -> dict[str, Any]:
        """Return the first message that Slack was sent of an alert: the attachment."""
        title = f"{alert} "
        found: list[dict[str, Any]] = [message.body["attachments"][0] for message in self.stub.sent(f"/slack/{receiver}")]
        return next(each for each in found if title in each["title"] and job in each["title"] and f"[{status}" in each["title"])


class Trouble(NamedTuple):
    """One job's callers: how they call while there is trouble, and after it."""

    job: str
    callers: int
    every_s: float  # pause of each
    compose: Callable[[int, bool], bytes]  # from the number of the call and whether there is trouble


def chat(number: int, **script: Any) -> bytes:
    """Return a call that gets a quick answer, unless the script says otherwise."""
    body = {"model": "sim-small", "temperature": 0, "messages": [{"role": "user", "content": f"order {number}"}]}
    told = {"ttft_ms": 20, "gap_ms": 1, "tokens": 4, **script}
    return compose("/openai/v1/chat/completions", body, fields=[("x-sim-script", json.dumps(told))])


FAILS: Final = {"fault": "server_error"}
SLOW: Final = Trouble("slow", 24, 0.2, lambda number, bad: chat(number, ttft_ms=SLOW_S * 1000 if bad else 20))
FAILING: Final = Trouble("failing", 2, 0.1, lambda number, bad: chat(number, **(FAILS if bad and number % 5 == 0 else {})))
COLD: Final = Trouble("cold", 1, 0.2, lambda number, bad: chat(number))
BROKEN: Final = Trouble("broken", 2, 0.15, lambda number, bad: chat(number))
# One answer in fifty fails, as anywhere, and one caller in twenty asks for what is not there.
HEALTHY: Final = Trouble(
    "healthy", 2, 0.2,
    lambda number, bad: compose("/openai/v1/nothing") if number % 20 == 7 else chat(number, **(FAILS if number % 50 == 11 else {})),
)  # fmt: skip


class Callers:
    """They call until they are told to stop."""

    def __init__(self, trouble: Trouble, url: str) -> None:
        self.trouble, self.url = trouble, url
        self.calls = 0
        self.has_trouble = True
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> "Callers":
        self._tasks = [asyncio.create_task(self._call_on(number * STAGGER_S)) for number in range(self.trouble.callers)]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        outcomes = await asyncio.gather(*self._tasks, return_exceptions=True)
        assert all(isinstance(outcome, asyncio.CancelledError) for outcome in outcomes), outcomes

    async def _call_on(self, pause_s: float) -> None:
        await asyncio.sleep(pause_s)
        while True:
            self.calls += 1
            await fetch(self.url, self.trouble.compose(self.calls, self.has_trouble))
            await asyncio.sleep(self.trouble.every_s)


async def until(is_so: Callable[[], bool], what: str) -> None:
    """Wait for something that the stub is told."""
    deadline_s = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < deadline_s, what
        await asyncio.sleep(0.1)


class Rig(NamedTuple):
    """Everything that runs."""

    sides: dict[str, RunningSidecar]
    stub: Stub
    alertmanager: Alertmanager
    folder: Path
    dead_port: int  # where the upstream of `broken` will be
    heights: dict[str, Height]

    def has_told(self, job: str, status: str = "firing") -> bool:
        """Whether everything that is to be told of a job has been."""
        due = {(who, alert) for told_job, who, alert, _ in TOLD if told_job == job}
        notices = self.stub.notices(status)
        return due <= {(who, alert["labels"]["alertname"]) for who, _, alert in notices if alert["labels"].get("job") == job}

    async def suffer(self, trouble: Trouble, recover: Callable[[], Awaitable[None]]) -> None:
        """Bring trouble about until it is told, and some time longer; then let it be over until that is told."""
        async with Callers(trouble, self.sides[trouble.job].url) as callers:
            await until(lambda: self.has_told(trouble.job), f"{trouble.job} is told")
            await asyncio.sleep(LONGER_S)
            known = await asyncio.to_thread(self.alertmanager.list_alerts)
            suppressed = [each for each in known if each["labels"].get("job") == trouble.job and each["status"]["state"] == "suppressed"]
            self.heights[trouble.job] = Height(time.time(), suppressed)
            callers.has_trouble = False
            await recover()
            await until(lambda: self.has_told(trouble.job, "resolved"), f"the end of {trouble.job} is told")

    async def miss(self) -> None:
        """Ask for what is not kept, until somebody is told."""
        async with Callers(COLD, self.sides["cold"].url):
            await until(lambda: self.has_told("cold"), "misses are told")

    async def carry_on(self) -> int:
        """Have an hour of ordinary traffic, and return how many calls that was."""
        async with Callers(HEALTHY, self.sides["healthy"].url) as callers:
            await asyncio.sleep(HOUR_S)
        return callers.calls

    async def remind(self) -> None:
        """Say that alerting works, as a rule would that always fires."""
        while True:
            await asyncio.to_thread(self.alertmanager.tell, [WATCHDOG])
            await asyncio.sleep(2)

    async def play(self) -> int:
        """Let all of it happen at once."""
        with contextlib.ExitStack() as stack:

            async def heal() -> None:
                await asyncio.to_thread(stack.enter_context, run_simulator(self.folder, {"speed": 0}, self.dead_port))

            async def do_nothing() -> None:
                pass

            reminder = asyncio.create_task(self.remind())
            *_, calls = await asyncio.gather(
                self.suffer(SLOW, do_nothing), self.suffer(FAILING, do_nothing), self.suffer(BROKEN, heal), self.miss(), self.carry_on()
            )
            reminder.cancel()
            return calls


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    """Provider, sidecars, Prometheus, Alertmanager and those whom it tells, after five troubles, or none."""
    folder = tmp_path_factory.mktemp("paging")
    (folder / "late").mkdir()
    with contextlib.ExitStack() as stack:
        provider = stack.enter_context(run_simulator(folder, {"speed": 0}))
        dead_port = find_port()
        upstreams = {job: f"http://127.0.0.1:{dead_port}" if job == "broken" else provider for job in CONFIG}
        sides = {job: stack.enter_context(run_sidecar(folder, upstreams[job], **more)) for job, more in CONFIG.items()}
        stub = stack.enter_context(run_stub())
        alertmanager = stack.enter_context(alerting(folder, stub))
        jobs = {job: [side.admin_url.removeprefix("http://")] for job, side in sides.items()}
        rules = shorten_rules(folder, "rules.yml")
        prometheus = stack.enter_context(scraping_jobs(folder, jobs, rules, alertmanager=alertmanager.address))
        rig = Rig(sides, stub, alertmanager, folder / "late", dead_port, {})
        while len(prometheus.query("count_over_time(up[1m]) >= 2")) < len(jobs):  # what was never scraped cannot be seen to grow
            time.sleep(0.1)
        began_s = time.time()
        calls = asyncio.run(rig.play())
        yield Seen(stub, prometheus, began_s, time.time(), calls, rig.heights)


def find_rule(name: str, severity: str) -> dict[str, Any]:
    """Return a shipped rule."""
    groups = yaml.safe_load((ALERTS / "rules.yml").read_text(encoding="utf-8"))["groups"]
    rules: list[dict[str, Any]] = [rule for group in groups for rule in group["rules"] if rule.get("alert") == name]
    return next(rule for rule in rules if rule["labels"]["severity"] == severity)


def find_route(receiver: str) -> dict[str, Any]:
    """Return the shipped settings of the first route to a receiver, with what it inherits."""
    root = yaml.safe_load((ALERTS / "alertmanager.yml").read_text(encoding="utf-8"))["route"]
    waiting = [root]
    while waiting:
        route = waiting.pop(0)
        if route is not root and route.get("receiver") == receiver:
            return {"group_wait": root["group_wait"], "group_interval": root["group_interval"], **route}
        waiting += route.get("routes", [])
    raise KeyError(receiver)


def scaled_s(duration: str) -> float:
    """Return a shipped duration as it is here, in seconds."""
    return read_s(shorten(duration))


def test_everybody_is_told_what_is_theirs_and_nothing_else(seen: Seen) -> None:
    """One message for one cause: the whole list, and the heartbeat."""
    assert seen.told() == TOLD | {("", DEAD_MAN, "Watchdog", "none")}


def test_nothing_new_is_told_when_trouble_ends(seen: Seen) -> None:
    """The graver alert may end before the lighter one that it kept silent; then the lighter one is still true, and may be told."""
    for job, receiver, name, severity in seen.told(is_over=True) - TOLD:
        assert receiver == CHAT and (name, severity) in seen.heights[job].unsaid


@pytest.mark.parametrize(("job", "receiver", "name", "severity"), sorted(TOLD))
def test_they_are_told_in_time(seen: Seen, job: str, receiver: str, name: str, severity: str) -> None:
    """Counted from the evaluation at which the expression became true to the message, less the group's wait: `for` and one interval."""
    at_s, alert = seen.first(job, receiver)
    assert alert["labels"]["alertname"] == name
    states = f'ALERTS_FOR_STATE{{job="{job}",alertname="{name}",severity="{severity}"}}[5m]'
    (state,) = seen.prometheus.get("query", query=states, time=str(seen.ended_s))["result"]
    took_s = at_s - state["values"][0][0] - scaled_s(find_route(receiver)["group_wait"])
    hold_s = scaled_s(find_rule(name, severity)["for"])
    print(f"{name} of {job}: {took_s:.2f} s for {hold_s:g} s and {INTERVAL_S:g} s; {at_s - seen.began_s:.1f} s after the first call")
    assert took_s <= hold_s + INTERVAL_S


def test_a_fifth_of_errors_is_critical_only(seen: Seen) -> None:
    """The warning fires, too, and reaches nobody: the critical one inhibits it."""
    firing = 'ALERTS{job="failing",alertname="LLMHighErrorRatio",severity="warning",alertstate="firing"}'
    assert seen.prometheus.get("query", query=f"count_over_time({firing}[5m])", time=str(seen.ended_s))["result"]
    assert seen.heights["failing"].unsaid == {("LLMHighErrorRatio", WARNING)}
    assert all(alert["status"]["inhibitedBy"] for alert in seen.heights["failing"].suppressed)
    ratio = float(seen.first("failing", PAGER)[1]["annotations"]["description"].split("%")[0])
    assert 15 < ratio < 30


def test_a_slow_provider_is_one_page(seen: Seen) -> None:
    """Mean and 95th percentile are too high, in two severities; one of the alerts is told."""
    assert seen.heights["slow"].unsaid == {("LLMHighAverageLatency", WARNING), ("LLMHighLatencyP95", WARNING)}
    assert {told[2] for told in seen.told() if told[0] == "slow"} == {"LLMHighAverageLatency"}


def test_misses_wake_nobody(seen: Seen) -> None:
    """A cache that finds little is for those who look, not for the pager and not for the chat."""
    assert {told[1] for told in seen.told() if told[0] == "cold"} == {NOTES}
    assert not [page for page in seen.stub.sent("/pagerduty") if "LLMLowCacheHitRatio" in json.dumps(page.body)]


def test_an_open_breaker_names_the_upstream(seen: Seen) -> None:
    """The chat reads which upstream is left alone; the pager is told what that means."""
    _, alert = seen.first("broken", CHAT)
    assert alert["labels"]["upstream"] == "openai"
    text = seen.chat(CHAT, "LLMCircuitBreakerOpen", "broken", "FIRING")["text"]
    assert "openai" in alert["annotations"]["description"] and "openai" in text
    assert seen.first("broken", PAGER)[1]["labels"]["route"] == "openai"


def test_recovery_is_told_to_whom_trouble_was(seen: Seen) -> None:
    """Each message has its end, and that says how long it was so."""
    assert seen.told("resolved", is_over=True) >= RECOVERED and not seen.told("resolved")
    for job, receiver, name, _ in RECOVERED:
        attachment = seen.chat(receiver, name, job, "RESOLVED")
        assert attachment["color"] == "good"
        assert f"job={job}" in attachment["text"] and "Over: " in attachment["text"] and "; was so for " in attachment["text"]


def test_an_hour_of_ordinary_traffic_fires_nothing(seen: Seen) -> None:
    """Neither in Prometheus nor for anybody, and nothing was about to at its end."""
    assert seen.healthy_calls > 200 and seen.ended_s - seen.began_s >= HOUR_S
    fired = 'count_over_time(ALERTS{job="healthy",alertstate="firing"}[10m])'
    found = seen.prometheus.get("query", query=fired, time=str(seen.ended_s))["result"]
    assert {series["metric"]["alertname"] for series in found} <= OF_THE_MACHINE
    counted = seen.prometheus.get("query", query='sum(llm_sidecar_requests_total{job="healthy"})', time=str(seen.ended_s))["result"]
    assert float(counted[0]["value"][1]) > 200


@pytest.mark.parametrize(("job", "receiver", "name", "severity"), sorted(TOLD))
def test_messages_hold_cause_numbers_and_links(seen: Seen, job: str, receiver: str, name: str, severity: str) -> None:
    """What is wrong, how much of it, of what, and where to go: all in the text that a person reads."""
    _, alert = seen.first(job, receiver)
    attachment = seen.chat(receiver, name, job, "FIRING:1")
    text, notes = attachment["text"], alert["annotations"]
    assert attachment["color"] == {CRITICAL: "danger", WARNING: "warning", INFO: "#439fe0"}[severity]
    assert notes["summary"] in text and f"job={job}" in text and " UTC" in text
    assert notes["description"].replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").split(" of ")[-1] in text
    assert "{{" not in attachment["title"] + text and "<no value>" not in text
    assert f"#{name.lower()}|Runbook>" in text and "|Query>" in text
    assert ("|Dashboard>" in text) is ("dashboard_url" in notes)
    assert f"/#/silences/new?filter=%7Balertname%3D%22{name}%22%2C" in text and "|Silence>" in text


def test_a_page_is_one_incident_with_links(seen: Seen) -> None:
    """It is triggered and resolved under one key, and says what a person who was asleep has to know."""
    pages = [page.body for page in seen.stub.sent("/pagerduty") if "LLMHighErrorRatio" in page.body["payload"]["summary"]]
    assert {page["event_action"] for page in pages} == {"trigger", "resolve"}
    assert {page["routing_key"] for page in pages} == {"a-routing-key"} and len({page["dedup_key"] for page in pages}) == 1
    first = pages[0]
    assert first["payload"]["severity"] == CRITICAL and first["payload"]["component"] == "failing"
    assert first["payload"]["summary"] == "[FIRING:1] LLMHighErrorRatio (critical) failing: Many calls fail."
    details = first["payload"]["custom_details"]
    assert "%" in details["firing"] and "route=openai" in details["firing"] and "/#/silences/new" in details["firing"]
    assert {"Runbook", "Alertmanager"} <= {link["text"] for link in first["links"]}
    assert all(link["href"].startswith("http") for link in first["links"])


def test_the_heartbeat_goes_on_and_nobody_else_hears_it(seen: Seen) -> None:
    """It comes again and again, with the credential of its file, whatever else happens."""
    beats: list[Message] = seen.stub.sent(f"/own/{DEAD_MAN}")
    assert len(beats) > 20 and {beat.authorization for beat in beats} == {"Bearer a-dead-mans-token"}
    gaps = [later.at_s - earlier.at_s for earlier, later in itertools.pairwise(beats)]
    assert max(gaps) < 5 * scaled_s(find_route(DEAD_MAN)["group_interval"])
    assert {who for who, _, alert in seen.stub.notices() if alert["labels"]["alertname"] == "Watchdog"} == {DEAD_MAN}
