"""What README.md says of feedback and events is so."""

import re

from sidecar.config import Limits
from sidecar.core.choose.ratings import CONFIGURED_WEIGHT, HALF_LIFE_S, WEIGHT_MAX, Ratings
from sidecar.core.reckon.events import KEPT_MAX, read_event
from sidecar.core.reckon.feedback import AGE_S_MAX, CALLS_MAX, Answers, read_feedback
from sidecar.edge.inbound.feedback import make_events, make_feedback
from sidecar.edge.telemetry.logs import EventLog
from sidecar.edge.telemetry.meter import Meter
from tests.edge.outbound.doubles import FakeClock
from tests.house.source import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
METER = Meter(Limits(), (), version="1", python="3")
PART = README[README.index("## Without Grafana") : README.index("\n## When an upstream fails")]


def test_feedback_and_events_are_as_told() -> None:
    """The bodies are understood, the paths are the ones there are, and the numbers those in force."""
    rows = [line for line in PART.splitlines() if "/api/feedback" in line or "/api/events" in line]
    feedback, event = (re.findall(r"`(\{[^`]+\})`", row)[0].encode() for row in rows)
    assert (read_feedback(feedback).quality, read_event(event).labels) == (0.8, {"version": "1.2"})
    told, changes = make_events(FakeClock(), METER, EventLog("error"))
    posts = {*changes, *make_feedback(Answers(), lambda: None, FakeClock(), METER, lambda *said: None)}
    assert set(re.findall(r"`POST ([^`]+)`", "".join(rows))) == posts and set(re.findall(r"`GET ([^`]+)`", "".join(rows))) == set(told)
    assert f"one of the last {CALLS_MAX} calls" in PART and "within an hour" in PART and AGE_S_MAX == 3600
    assert f"of the last {KEPT_MAX}" in PART


def test_ratings_count_as_told() -> None:
    """Half the weight in an hour, so much at most, ten for what is configured, and five until anything is known."""
    assert HALF_LIFE_S == 3600 and f"weigh no more than {WEIGHT_MAX:.0f}" in PART and f"weighs {CONFIGURED_WEIGHT:.0f}" in PART
    ratings = Ratings(None)
    known = []
    for _ in range(5):
        ratings.note(1.0, 0.0)
        known.append(ratings.estimate(0.0))
    assert known == [None] * 4 + [1.0] and "fewer than five ratings say nothing yet" in PART
