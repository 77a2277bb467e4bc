"""Feedback and events on the admin port."""

import json
import logging
from typing import Any

import pytest

from sidecar.config import Limits
from sidecar.core.reckon.feedback import Answers
from sidecar.edge.inbound import web
from sidecar.edge.inbound.feedback import EVENTS_PATH, FEEDBACK_PATH, make_events, make_feedback
from sidecar.edge.telemetry.logs import EventLog
from sidecar.edge.telemetry.meter import Meter
from tests.edge.outbound.doubles import FakeClock
from tests.edge.telemetry.records import make_record


class Bench:
    """Where feedback goes."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.meter = Meter(Limits(), (), version="1", python="3")
        self.answers = Answers()
        self.unseen = [make_record(id="late", ended=self.clock.now())]
        self.said: list[tuple[str, float, float]] = []
        self.change = make_feedback(self.answers, self.flush, self.clock, self.meter, lambda *said: self.said.append(said))[FEEDBACK_PATH]

    def flush(self) -> None:
        """Tell of the calls that have ended."""
        for record in self.unseen:
            self.answers.observe(record)
        self.unseen.clear()

    def say(self, **said: object) -> tuple[int, Any]:
        """Give feedback; return the status and what is answered."""
        return read(self.change(json.dumps(said).encode()))


def read(response: web.Response) -> tuple[int, Any]:
    """Return the status and the JSON of an answer."""
    return response.status, json.loads(response.body)


def test_what_is_said_reaches_whoever_chooses() -> None:
    """Of a call that has only just ended, too; once."""
    bench = Bench()
    told = {"request_id": "late", "upstream": "openai", "quality": 0.25}
    assert bench.say(request_id="late", quality=0.25, comment="meh") == (200, told)
    assert bench.said == [("openai", 0.25, bench.clock.now())]
    status, answer = bench.say(request_id="late", quality=0.25)
    assert (status, list(answer)) == (404, ["error"]) and "10000" in answer["error"] and "60 minutes" in answer["error"]
    assert len(bench.said) == 1
    scored = bench.meter.families.quality_score.child("openai", "gpt-4o")
    assert (sum(scored.counts), scored.sum) == (1, 0.25)


def test_a_kept_answer_says_nothing_of_an_upstream() -> None:
    """It may be rated, though."""
    bench = Bench()
    bench.unseen = [make_record(id="hit", upstream="", cache="hit", ended=bench.clock.now())]
    assert bench.say(request_id="hit", quality=1)[1]["upstream"] is None
    assert bench.said == []
    assert bench.meter.families.quality_score.child("openai", "gpt-4o").sum == 1.0


def test_bad_feedback_changes_nothing() -> None:
    """It is told what is allowed."""
    bench = Bench()
    with pytest.raises(ValueError, match="from 0 to 1"):
        bench.say(request_id="late", quality=2)
    assert bench.said == []


async def test_an_event_is_noted_told_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    """With its labels; a bad one is not."""
    meter = Meter(Limits(), (), version="1", python="3")
    paths, changes = make_events(FakeClock(), meter, EventLog("info"))
    assert read(changes[EVENTS_PATH](b'{"name": "deployed", "labels": {"version": "1.2", "by": "ci"}}')) == (200, {"name": "deployed"})
    with pytest.raises(ValueError, match="NAME"):
        changes[EVENTS_PATH](b"{}")
    told = await paths[EVENTS_PATH](web.Request("GET", EVENTS_PATH))
    assert read(told)[1]["counts"] == {"deployed": 1}
    assert meter.families.events.child("deployed").value == 1
    said = [vars(record) for record in caplog.records if record.levelno == logging.INFO]
    assert [(one["sidecar_event"].name, one["sidecar_fields"]) for one in said] == [
        ("application_event", {"name": "deployed", "labels": "version=1.2, by=ci"})
    ]
