"""The signals that trends are told of."""

import pytest

from sidecar.core.reckon.signals import SIGNALS, read_moment
from sidecar.core.reckon.tally import Tally
from sidecar.exchange import Ending, Usage
from tests.edge.telemetry.records import make_record, make_streamed


def test_a_moment_has_every_signal_and_what_there_was_per_hour() -> None:
    """Milliseconds, shares, tokens a second, dollars a call; calls, tokens and dollars as if it went on for an hour."""
    tally = Tally()
    for _ in range(8):
        tally.add(make_streamed(cache="hit", usage=Usage(12, 0, 0, 47, 0)))
        tally.add(make_streamed(cache="miss", usage=Usage(12, 0, 0, 47, 0)))
    for _ in range(4):
        tally.add(make_record(ending=Ending.UPSTREAM_ERROR, status=500, usage=None, cost=None))
    moment = read_moment(5.0, tally, 60.0)
    told = dict(zip((signal.name for signal in SIGNALS), moment.values, strict=True))
    assert told["averageLatency"] == pytest.approx(2000, rel=0.01) and told["p95Latency"] == pytest.approx(2000, rel=0.01)
    assert (told["errorRate"], told["cacheHitRate"]) == (0.2, 0.5)
    assert told["p95TimeToFirstToken"] == pytest.approx(500, rel=0.01)
    assert told["tokensPerSecond"] == pytest.approx(47, rel=0.01)
    assert told["costPerCallUsd"] == pytest.approx(0.25)
    assert moment.at == 5.0 and moment.calls_per_hour == 20 * 60
    assert (moment.tokens_per_hour, moment.usd_per_hour) == ((tally.input_tokens + tally.output_tokens) * 60, tally.cost_usd * 60)


def test_too_little_is_none() -> None:
    """Of four calls no mean, quantile or share is told."""
    tally = Tally()
    for _ in range(4):
        tally.add(make_streamed(cache="miss"))
    assert read_moment(0.0, tally, 60.0).values == (None,) * len(SIGNALS)
    assert read_moment(0.0, Tally(), 60.0)[2:] == (0.0, 0.0, 0.0)
