"""What an operator might change."""

from collections.abc import Mapping
from typing import Any

import pytest

from sidecar.core.reckon.advice import Situation, advise
from sidecar.core.reckon.tally import Tally
from sidecar.exchange import SERVICE_ERRORS, Ending, Usage
from sidecar.thresholds import Terms
from tests.edge.telemetry.records import make_record, make_seen, make_streamed


def make_tally(calls: int, **changes: Any) -> Tally:
    """Return a tally of so many like calls."""
    tally = Tally()
    for _ in range(calls):
        tally.add(make_record(**({"accepted": 100.0, "ended": 101.0} | changes)))
    return tally


def ask(total: Tally, upstreams: Mapping[str, Tally] | None = None, models: Mapping[str, Tally] | None = None) -> list[str]:
    """Return the advice on a situation."""
    return advise(Situation(total, upstreams or {}, models or {}), Terms())


def test_good_and_idle_need_no_advice() -> None:
    """Nothing is said where nothing is wrong."""
    good = make_tally(100)
    assert ask(good, {"openai": good}, {"gpt-4o": good}) == ask(Tally()) == []


def test_errors_name_the_upstream_the_way_they_fail_and_what_to_do() -> None:
    """The upstream with most of them first; one failure of one call is no case."""
    bad, worse = make_tally(20, ending=Ending.CUT), make_tally(40, ending=Ending.FIRST_BYTE_TIMEOUT)
    one = make_tally(1, ending=Ending.CUT)
    told = ask(worse, {"openai": bad, "slow": worse, "rare": one})
    assert [text.split(":")[0] for text in told] == ["Upstream slow", "Upstream openai"]
    assert "timeouts.first_byte" in told[0] and "100.0% of 40 calls" in told[0] and "most of them as cut" in told[1]
    (text,) = ask(bad, {"": make_tally(30, upstream="", ending=Ending.UNAVAILABLE)})
    assert text.startswith("Calls that reached no upstream") and "circuit breaker" in text


@pytest.mark.parametrize("ending", SERVICE_ERRORS)
def test_every_error_has_a_remedy(ending: Ending) -> None:
    """Whatever fails, there is something to look at."""
    assert len(ask(Tally(), {"openai": make_tally(20, ending=ending)})) == 1


def test_slow_calls_name_the_model_and_a_faster_one() -> None:
    """The model most time is spent on; another one only where it would be within the limit."""
    slow, fast = make_tally(20, ended=110.0), make_tally(20, ended=101.0)
    total = Tally()
    total.merge(slow)
    total.merge(fast)
    (text,) = ask(total, models={"large": slow, "small": fast})
    assert "5.5 s on average, above 3 s" in text and "model large" in text and "small takes 1.0 s" in text
    (text,) = ask(slow, models={"large": slow, "rare": make_tally(2)})
    assert "rare" not in text
    (text,) = ask(slow)
    assert text == "Calls take 10.0 s on average, above 3 s."


def test_streams_that_begin_late_or_write_slowly() -> None:
    """By model, where there were enough of them."""
    late, slow, few = Tally(), Tally(), Tally()
    seen = make_seen(first_chunk=104.0, first_token=104.0, last_chunk=124.0)
    for _ in range(10):
        late.add(make_streamed(seen=seen, accepted=100.0, ended=124.0))
        slow.add(make_streamed(usage=Usage(1, 0, 0, 9 * 1 + 1, 0), seen=make_seen(first_token=100.5, last_chunk=102.5), accepted=100.0))
    few.add(make_streamed(seen=seen, accepted=100.0, ended=124.0))
    told = ask(Tally(), models={"late": late, "slow": slow, "few": few})
    assert [text.split(":")[0] for text in told] == ["Model late", "Model slow"]
    assert "waits 4.0 s" in told[0] and "write 5.0 tokens" in told[1]


def test_a_cache_that_finds_little() -> None:
    """Only where it was asked often enough."""
    assert ask(make_tally(49, cache="miss")) == []
    (text,) = ask(make_tally(50, cache="miss"))
    assert "found 0.0% of 50" in text and "cache.ignore_headers" in text
