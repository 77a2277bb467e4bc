"""Sinks that fail, and sinks that take several records at a time."""

import io
import json

import pytest

from sidecar.config import Limits, Log
from sidecar.edge.telemetry.guarded import Guarded
from sidecar.edge.telemetry.logs import set_up
from sidecar.edge.telemetry.meter import Meter
from sidecar.exchange import Record
from tests.edge.telemetry.records import make_record


class Taker:
    """A sink that fails at records of the id `bad`."""

    def __init__(self) -> None:
        self.taken: list[str] = []

    def observe(self, record: Record) -> None:
        """Take a record."""
        if record.id == "bad":
            raise RuntimeError("secret")
        self.taken.append(record.id)


@pytest.mark.parametrize("together", [1, 2, 5])
def test_a_failing_sink_costs_one_record(together: int) -> None:
    """The failure is counted and told without its text; the other records are taken in order."""
    stream, meter, taker = io.StringIO(), Meter(Limits(), [], version="1", python="3"), Taker()
    guarded = Guarded("metrics", taker, meter, set_up(Log(format="json"), stream), together=together)
    for name in ("a", "bad", "b", "c"):
        guarded.observe(make_record(id=name))
    guarded.flush()
    assert taker.taken == ["a", "b", "c"]
    assert meter.sink_failures("metrics").value == 1
    [line] = map(json.loads, stream.getvalue().splitlines())
    assert (line["event"], line["sink"], line["reason"]) == ("sink_failed", "metrics", "RuntimeError")
    assert "secret" not in stream.getvalue()


def test_records_are_shown_when_enough_have_come_or_somebody_asks() -> None:
    """None is shown twice, none is kept for ever."""
    taker = Taker()
    guarded = Guarded("metrics", taker, Meter(Limits(), [], version="1", python="3"), set_up(Log(), io.StringIO()), together=3)
    guarded.observe(make_record(id="1"))
    guarded.observe(make_record(id="2"))
    assert taker.taken == []
    guarded.observe(make_record(id="3"))
    assert taker.taken == ["1", "2", "3"]
    guarded.observe(make_record(id="4"))
    guarded.flush()
    guarded.flush()
    assert taker.taken == ["1", "2", "3", "4"]
