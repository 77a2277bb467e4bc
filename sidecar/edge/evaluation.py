"""Alerts are judged every 15 seconds, a few tallies at a time, and told to whoever listens."""

import asyncio
import socket
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import msgspec

from sidecar import catalogue
from sidecar.core.admit.spending_sums import Balance
from sidecar.core.choose.views import UpstreamView
from sidecar.core.reckon.alarm_messages import RECEIVER, list_messages
from sidecar.core.reckon.alarm_rules import Situation, judge
from sidecar.core.reckon.alarms import Alarm, Alarms
from sidecar.core.reckon.lately import Lately
from sidecar.core.reckon.moments import Present
from sidecar.core.reckon.window import Window
from sidecar.edge.memory import Memory
from sidecar.edge.tasks import spawn
from sidecar.edge.telemetry.logs import EventLog
from sidecar.edge.telemetry.webhook import Webhook
from sidecar.ports import Clock
from sidecar.thresholds import Terms

INTERVAL_S: Final = 15.0
_ADDED_TOGETHER: Final = 8  # tallies added up in a row before calls get their turn on the event loop: less than 0.5 ms


class Surroundings:
    """How things stand beside the calls. `describe_spending`: all budgets, and whose spending is stopped."""

    def __init__(
        self, describe_upstreams: Callable[[float], Sequence[UpstreamView]],
        describe_spending: Callable[[], tuple[Sequence[Balance], frozenset[str]]], has_cache: bool,
    ) -> None:  # fmt: skip
        self._describe_upstreams = describe_upstreams
        self._describe_spending = describe_spending
        self._has_cache = has_cache
        self._memory = Memory()

    def adopt(self, has_cache: bool) -> None:
        """Judge from now on as it is with answers kept, or without."""
        self._has_cache = has_cache

    def situate(self, lately: Lately, now: float) -> Situation:
        """Return the last minutes with how things stand now."""
        balances, stopped = self._describe_spending()
        used, limit = self._memory.read_rss(), self._memory.read_limit()
        memory_used = None if used is None or not limit else used / limit
        return Situation(lately, self._describe_upstreams(now), balances, stopped, self._has_cache, memory_used)


class Evaluation:
    """Keeps the alarms of one sidecar.

    `flush`: has the window told of every call that has ended. `situate`: adds to the last minutes how things stand at a moment.
    """

    def __init__(
        self, window: Window, flush: Callable[[], None], situate: Callable[[Lately, float], Situation], clock: Clock, log: EventLog,
        terms: Terms, webhook: Webhook | None,
    ) -> None:  # fmt: skip
        self._window = window
        self._flush = flush
        self._situate = situate
        self._clock = clock
        self._log = log
        self._terms = terms
        self.webhook = webhook
        self._target = {"job": RECEIVER, "instance": socket.gethostname()}
        self._task: asyncio.Task[None] | None = None
        self.alarms = Alarms()

    def start(self) -> None:
        """Judge from now on."""
        if self.webhook is not None:
            self.webhook.start()
        self._task = spawn(self._repeat(), name="alerts")

    def adopt(self, webhook: Webhook | None) -> None:
        """Tell this one from now on, or nobody."""
        former, self.webhook = self.webhook, webhook
        if webhook is former:
            return
        if webhook is not None:
            if former is not None:
                webhook.take_over(former)
            if self._task is not None:
                webhook.start()
        if former is not None:
            spawn(former.stop(), name="former alert webhook")

    async def stop(self, timeout_s: float = 0.0) -> None:
        """Judge no more. What waits to be sent is given at most `timeout_s` seconds."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        if self.webhook is not None:
            await self.webhook.stop(timeout_s)

    async def evaluate(self) -> None:
        """Judge how things are now."""
        self._flush()
        lately, much = Lately(self._clock.now()), 0
        for step in list(self._window.steps()):
            for who, tally in list(step.tallies.items()):
                much += lately.add(step.number, who, tally)
                if much >= _ADDED_TOGETHER:
                    much = 0
                    await asyncio.sleep(0)
        present = Present(self._clock.now(), self._clock.wall_ns())
        findings = judge(self._situate(lately, present.now), self._terms)
        fired, ended = self.alarms.update(findings, present)
        for alarm in fired:
            self._write(alarm)
        for alarm in ended:
            self._write(alarm)
        if self.webhook is not None:
            self._send(self.webhook, [*fired, *ended])

    async def _repeat(self) -> None:
        while True:
            await asyncio.sleep(INTERVAL_S)
            try:
                await self.evaluate()
            except Exception as error:  # one that is ours: calls, and alerts that come later, are none the worse for it
                self._log.write(catalogue.ALERTS_UNJUDGED, reason=type(error).__name__)

    def _write(self, alarm: Alarm) -> None:
        finding = alarm.finding
        event = catalogue.ALERT_FIRED if alarm.ended is None else catalogue.ALERT_RESOLVED
        about = ", ".join(f"{name}={value}" for name, value in finding.labels)
        self._log.write(event, alert=finding.rule.name, severity=finding.severity.value, about=about or None, reason=finding.reason)

    def _send(self, webhook: Webhook, alarms: Iterable[Alarm]) -> None:
        for message in list_messages(alarms, self._target, self._terms.links):
            webhook.put(msgspec.json.encode(message))
