"""What the last minutes came to, as far as alerts ask for it."""

import pytest

from sidecar.core.reckon.lately import Lately
from sidecar.core.reckon.tally import Tally
from sidecar.core.reckon.window import STEP_S, Who
from sidecar.exchange import Ending, Usage
from tests.edge.telemetry.records import make_record, make_seen, make_streamed

NOW = 100_000.0
NEWEST = int(NOW // STEP_S)


def make_tally() -> Tally:
    """Return a tally of five calls: two failed, one of them cut, one limited; one streamed, one found in the cache."""
    tally = Tally()
    for ending in (Ending.CUT, Ending.UNAVAILABLE, Ending.RATE_LIMITED):
        tally.add(make_record(ending=ending, cache="miss"))
    tally.add(make_streamed(seen=make_seen(first_chunk=100.5, first_token=100.5, last_chunk=102.0, chunks=50), usage=Usage(1, 0, 0, 40, 0)))
    tally.add(make_record(cache="hit", upstream=""))
    return tally


@pytest.mark.parametrize(
    ("age", "calls", "long", "lookups"), [(0, 5, 5, 4), (20, 5, 5, 4), (21, 0, 5, 4), (60, 0, 5, 4), (61, 0, 0, 4), (121, 0, 0, 0)]
)
def test_each_number_looks_back_as_far_as_its_rule(age: int, calls: int, long: int, lookups: int) -> None:
    """Five minutes for calls and streams, fifteen for answers cut, thirty for the cache; in steps of 15 s."""
    lately = Lately(NOW)
    assert lately.add(NEWEST - age, Who("a", "m", "t"), make_tally()) is (calls > 0)
    found = lately.upstreams.get("a")
    assert (0 if found is None else found.requests, 0 if found is None else found.requests_long, lately.lookups) == (calls, long, lookups)
    assert lately.hits == (1 if lookups else 0) and ("m" in lately.models) is (calls > 0)


def test_calls_are_added_up_by_upstream_and_streams_by_model() -> None:
    """Whoever's account they were on."""
    lately = Lately(NOW)
    for who in (Who("a", "m", "t"), Who("a", "n", "u"), Who("b", "m", "t")):
        lately.add(NEWEST, who, make_tally())
    assert {name: each.requests for name, each in lately.upstreams.items()} == {"a": 10, "b": 5}
    assert {name: each.first_tokens.count for name, each in lately.models.items()} == {"m": 2, "n": 1}
    calls = lately.upstreams["a"]
    assert (calls.errors, calls.cut, calls.limited, calls.unavailable, calls.durations.count) == (4, 2, 2, 2, 10)
    assert lately.models["m"].speeds.count == 2
