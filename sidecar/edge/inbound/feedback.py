"""What applications tell by the admin port: how good an answer was, and what else happened."""

from collections.abc import Callable, Mapping
from typing import Final

from sidecar import catalogue
from sidecar.core.reckon.events import Events, read_event
from sidecar.core.reckon.feedback import AGE_S_MAX, CALLS_MAX, Answers, read_feedback
from sidecar.edge.inbound import web
from sidecar.edge.inbound.admin import Change, Respond
from sidecar.edge.inbound.api import answer
from sidecar.edge.telemetry.logs import EventLog
from sidecar.edge.telemetry.meter import Meter
from sidecar.ports import Clock

FEEDBACK_PATH: Final = "/api/feedback"
EVENTS_PATH: Final = "/api/events"
_UNKNOWN: Final = (
    f"There is no such call: only the last {CALLS_MAX} that were answered can be rated, for {AGE_S_MAX / 60:g} minutes, and each once."
)


def make_feedback(
    answers: Answers, flush: Callable[[], None], clock: Clock, meter: Meter, rate: Callable[[str, float, float], None]
) -> Mapping[str, Change]:  # fmt: skip
    """Return what a POST of feedback does. `flush`: has `answers` told of every call that has ended.

    `rate`: is told of an upstream, the quality of one of its answers, and when that was said.
    """

    def change(body: bytes) -> web.Response:
        feedback = read_feedback(body)
        flush()
        now = clock.now()
        rated = answers.take(feedback.request_id, now)
        if rated is None:
            return web.json_response({"error": _UNKNOWN}, status=404)
        meter.note_quality(rated.provider, rated.model, feedback.quality)
        if rated.upstream:
            rate(rated.upstream, feedback.quality, now)
        return answer({"request_id": feedback.request_id, "upstream": rated.upstream or None, "quality": feedback.quality})

    return {FEEDBACK_PATH: change}


def make_events(clock: Clock, meter: Meter, log: EventLog) -> tuple[Mapping[str, Respond], Mapping[str, Change]]:
    """Return the answer of the path that tells of events, and what a POST to it does: it tells of one more."""
    events = Events()

    async def respond(request: web.Request) -> web.Response:
        return answer(events.show())

    def change(body: bytes) -> web.Response:
        event = read_event(body)
        events.note(event, clock.wall_ns())
        meter.note_event(event.name)
        labels = ", ".join(f"{name}={value}" for name, value in event.labels.items())
        log.write(catalogue.APPLICATION_EVENT, event.name, name=event.name, labels=labels or None)
        return answer({"name": event.name})

    return {EVENTS_PATH: respond}, {EVENTS_PATH: change}
