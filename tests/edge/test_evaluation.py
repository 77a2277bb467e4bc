"""Alerts are judged now and then, and told to whoever listens."""

import asyncio
import json
import logging
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from sidecar.core.reckon.alarm_rules import Situation
from sidecar.core.reckon.lately import Lately
from sidecar.core.reckon.window import Window
from sidecar.edge.evaluation import INTERVAL_S, Evaluation
from sidecar.edge.telemetry.logs import EventLog
from sidecar.edge.telemetry.webhook import Webhook
from sidecar.exchange import Asked, Ending
from sidecar.thresholds import Terms
from tests.edge.telemetry.records import make_record
from tests.edge.virtual import VirtualLoop, virtually


class Heard(Webhook):
    """A webhook that keeps what it is given."""

    def __init__(self) -> None:
        super().__init__("http://127.0.0.1:1/", None, EventLog("error"), random.random)
        self.messages: list[Any] = []
        self.state = ""

    def start(self) -> None:
        """Send nothing."""
        self.state = "started"

    async def stop(self, timeout_s: float = 0.0) -> None:
        """Nothing was sent."""
        self.state = "stopped"

    def put(self, message: bytes) -> None:
        """Keep it."""
        self.messages.append(json.loads(message))


@pytest.fixture
def lines() -> Iterator[list[logging.LogRecord]]:
    """The lines that are written meanwhile."""
    found: list[logging.LogRecord] = []
    handler, logger = logging.Handler(), logging.getLogger("sidecar")
    handler.emit = found.append  # type: ignore[method-assign]
    logger.addHandler(handler)
    yield found
    logger.removeHandler(handler)


def begin(
    flush: Callable[[], None] = lambda: None, situate: Callable[[Lately, float], Situation] = lambda lately, now: Situation(lately)
) -> tuple[VirtualLoop, Window, Evaluation, Heard]:  # fmt: skip
    """Alerts that are judged from now on."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    window, heard = Window(loop.now), Heard()
    evaluation = Evaluation(window, flush, situate, loop, EventLog("info"), Terms(), heard)
    evaluation.start()
    return loop, window, evaluation, heard


async def fail(window: Window, loop: VirtualLoop, seconds: int, ending: Ending = Ending.RESET) -> None:
    """Have a call end every second."""
    for _ in range(seconds):
        await asyncio.sleep(1)
        window.observe(make_record(ended=loop.now(), accepted=loop.now() - 1, ending=ending))


@virtually
async def test_an_alert_is_told_when_it_begins_and_when_it_ends(lines: list[logging.LogRecord]) -> None:
    """To the log, to the webhook, and to whoever asks."""
    loop, window, evaluation, heard = begin()
    await fail(window, loop, 200)
    assert [alarm.finding.rule.name for alarm in evaluation.alarms.active()] == ["LLMHighErrorRatio"]
    (message,) = heard.messages
    assert (message["status"], message["alerts"][0]["labels"]["upstream"]) == ("firing", "openai")
    assert message["alerts"][0]["labels"].keys() == {"job", "instance", "upstream", "alertname", "severity"}
    await asyncio.sleep(3600)
    assert evaluation.alarms.active() == [] and [message["status"] for message in heard.messages] == ["firing", "resolved"]
    told = [(record.getMessage(), record.__dict__["sidecar_fields"]) for record in lines]
    assert [(event, fields["alert"], fields["severity"], fields["about"]) for event, fields in told] == [
        ("alert_fired", "LLMHighErrorRatio", "critical", "upstream=openai"),
        ("alert_resolved", "LLMHighErrorRatio", "critical", "upstream=openai"),
    ]
    await evaluation.stop()
    assert heard.state == "stopped"


@virtually
async def test_what_is_kept_back_is_counted_first() -> None:
    """Records on their way are told to the window before it is judged, every 15 seconds."""
    flushed = list[float]()
    loop = asyncio.get_running_loop()
    _, _, evaluation, heard = begin(lambda: flushed.append(loop.time()))
    first = loop.time()
    await asyncio.sleep(3 * INTERVAL_S + 1)
    assert [at - first for at in flushed] == pytest.approx([15.0, 30.0, 45.0]) and heard.state == "started"
    await evaluation.stop()
    await asyncio.sleep(60)
    assert len(flushed) == 3


@virtually
async def test_a_fault_of_ours_is_said_and_judging_goes_on(lines: list[logging.LogRecord]) -> None:
    """One exception costs one judgement."""
    asked = list[float]()

    def situate(lately: Lately, now: float) -> Situation:
        asked.append(now)
        if len(asked) == 1:
            raise RuntimeError("hunter2")
        return Situation(lately, memory_used=0.99)

    _, _, evaluation, _ = begin(situate=situate)
    await asyncio.sleep(200)
    assert len(asked) == 13 and [alarm.finding.rule.name for alarm in evaluation.alarms.active()] == ["LLMSidecarMemoryHigh"]
    assert lines[0].getMessage() == "alerts_not_judged" and "hunter2" not in str(lines[0].__dict__)
    await evaluation.stop()


@virtually
async def test_calls_go_on_while_it_is_judged() -> None:
    """Adding up many gives the event loop back in between, and is not upset by calls that end meanwhile."""
    loop, window, evaluation, _ = begin()
    for number in range(200):
        window.observe(make_record(ended=loop.now(), asked=Asked(model=f"m{number}")))
    turns = 0

    async def go_on() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1
            window.observe(make_record(ended=loop.now(), asked=Asked(model=f"new{turns}")))

    task = asyncio.create_task(go_on())
    await evaluation.evaluate()
    task.cancel()
    assert turns >= 20
    await evaluation.stop()


@virtually
async def test_nobody_is_told_where_there_is_no_webhook() -> None:
    """The log and the admin port are enough for many."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    window = Window(loop.now)
    evaluation = Evaluation(window, lambda: None, lambda lately, now: Situation(lately), loop, EventLog("error"), Terms(), None)
    evaluation.start()
    await fail(window, loop, 200)
    assert len(evaluation.alarms.active()) == 1
    await evaluation.stop()


@virtually
async def test_whoever_is_told_may_change(lines: list[logging.LogRecord]) -> None:
    """The next one has what the one before still had; nobody is told where there is none."""
    _, _, evaluation, _ = begin()
    told: list[str] = []

    class Told(Webhook):
        def start(self) -> None:
            told.append("start")

        async def stop(self, timeout_s: float = 0.0) -> None:
            told.append("stop")

        def take_over(self, former: Webhook) -> None:
            told.append("take over")

    one = Told("http://127.0.0.1:1/", None, EventLog("info"), lambda: 0.5)
    for webhook in (None, one, one, Told("http://127.0.0.1:2/", None, EventLog("info"), lambda: 0.5), None):
        evaluation.adopt(webhook)
        await asyncio.sleep(0)
        assert evaluation.webhook is webhook
    assert told == ["start", "take over", "start", "stop", "stop"]
    await evaluation.stop()
