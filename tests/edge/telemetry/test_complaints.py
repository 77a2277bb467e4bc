"""Lines about single exchanges."""

import io
import json

from sidecar.config import Log
from sidecar.edge.telemetry.complaints import Complaints
from sidecar.edge.telemetry.logs import set_up
from tests.edge.telemetry.records import make_record


def test_a_failed_observer_is_told_once_in_a_while() -> None:
    """The line names the request; the next ones of the same form are held back."""
    stream = io.StringIO()
    complaints = Complaints(set_up(Log(format="json"), stream))
    complaints.observe(make_record())
    assert stream.getvalue() == ""
    for _ in range(3):
        complaints.observe(make_record(observer_failed=True))
    [line] = map(json.loads, stream.getvalue().splitlines())
    assert (line["event"], line["request"], line["dialect"]) == ("observer_failed", "req-1", "openai_chat")
