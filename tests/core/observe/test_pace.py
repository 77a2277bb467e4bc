"""How fast a streamed answer came."""

from typing import Any

import pytest

from sidecar.core.observe.pace import measure_pace
from sidecar.exchange import Usage, UsageSource
from tests.edge.telemetry.records import make_seen, make_streamed

TIMES = {"first_chunk": 100.25, "first_token": 100.5, "last_chunk": 102.5}
USAGE = Usage(5, 0, 0, 40, 0)


@pytest.mark.parametrize(
    ("changes", "times", "pace"),
    [
        ({}, TIMES, (0.5, 20.0)),
        ({}, TIMES | {"first_token": None}, (None, None)),  # no content came
        ({}, TIMES | {"last_chunk": 100.5}, (0.5, None)),  # all at once
        ({}, TIMES | {"last_chunk": None}, (0.5, None)),
        ({"usage": Usage(5, 0, 0, 9, 0)}, TIMES, (0.5, None)),  # too few to tell
        ({"usage": Usage(5, 0, 0, 10, 0)}, TIMES, (0.5, 5.0)),
        ({"usage": Usage(5, 0, 0, 40, 1)}, TIMES, (0.5, None)),  # reasoning was done before
        ({"usage": None}, TIMES, (0.5, None)),
        ({"usage_source": UsageSource.ESTIMATED}, TIMES, (0.5, None)),
    ],
)
def test_what_is_known_of_a_streams_pace(changes: Any, times: Any, pace: Any) -> None:
    """From accept to the first token; output tokens from there to the last chunk, where both are known."""
    assert measure_pace(make_streamed(accepted=100.0, seen=make_seen(**times), **({"usage": USAGE} | changes))) == pace
