"""What calls come to."""

from sidecar.core.reckon.tally import Tally
from sidecar.exchange import SERVICE_ERRORS, Cost, Ending, Record, Session, Usage, UsageSource
from tests.edge.telemetry.records import make_record, make_streamed


def add(*records: Record) -> Tally:
    """Return a tally of records."""
    tally = Tally()
    for record in records:
        tally.add(record)
    return tally


def test_a_call_is_counted_by_its_ending() -> None:
    """Errors are those of the service: a caller's own mistake and one that hung up are none."""
    tally = add(*(make_record(ending=ending) for ending in Ending))
    assert tally.requests == len(Ending) and tally.errors == len(SERVICE_ERRORS)
    assert tally.endings == dict.fromkeys(Ending, 1)
    assert tally.error_ratio == len(SERVICE_ERRORS) / len(Ending)
    assert Tally().error_ratio is None and Tally().hit_ratio is None


def test_durations_are_those_of_calls_that_reached_somebody() -> None:
    """A refusal of our own took no time of anybody's; a stream without an end has none; of a session it is the handshake."""
    assert add(make_record(upstream="")).durations.count == 0
    assert add(make_record(endless=True)).durations.count == 0
    assert add(make_record(upstream="", cache="hit")).durations.count == 1
    session = Session(opened=100.5, close_code=None, to_upstream=1, to_client=1)
    assert add(make_record(accepted=100.0, session=session)).durations.total == 0.5
    assert add(make_record(accepted=100.0, ended=102.0)).durations.total == 2.0


def test_streams_have_a_pace() -> None:
    """First token and speed, where metrics have them: not of what was retold, repeated by the provider, or no stream."""
    tally = add(make_streamed())
    assert (tally.first_tokens.count, tally.first_tokens.total) == (1, 0.5)
    assert tally.speeds.count == 0  # some of it was reasoning
    usage = Usage(10, 0, 0, 40, 0)
    assert add(make_streamed(usage=usage)).speeds.total == 40.0
    assert add(make_streamed(usage=usage, usage_source=UsageSource.ESTIMATED)).speeds.count == 0
    for record in (make_record(), make_streamed(cache="hit"), make_streamed(operation="http"), make_streamed(operation="execute_tool")):
        assert add(record).first_tokens.count == 0


def test_tokens_and_cost_are_what_was_billed() -> None:
    """Another call's answer costs nothing; what is not known is not zero."""
    tally = add(make_record(usage=Usage(12, 3, 1, 40, 7), cost=Cost(0.25, "table")))
    assert (tally.usages, tally.input_tokens, tally.output_tokens, tally.costs, tally.cost_usd) == (1, 16, 47, 1, 0.25)
    for record in (make_record(cache="coalesced"), make_record(usage=None), make_record(usage_source=UsageSource.ABSENT)):
        assert (add(record).usages, add(record).costs) == (0, 0)
    assert add(make_record(cost=None)).costs == 0


def test_the_cache_is_judged_by_what_was_looked_for() -> None:
    """Hits of lookups; a bypass, a follower, and calls of the sidecar's own are no lookups."""
    records = [make_record(cache=status) for status in ("hit", "hit", "miss", "stale", "bypass", "coalesced")]
    tally = add(*records, make_record(cache="miss", origin="warming"), make_record(cache=None))
    assert (tally.lookups, tally.hits, tally.hit_ratio) == (4, 2, 0.5)


def test_where_nothing_is_kept_nothing_is_looked_for() -> None:
    """Calls may be shared without a cache: the first of them found nothing, and there was nothing to find."""
    tally = Tally()
    tally.add(make_record(cache="miss"), looks_up=False)
    assert (tally.requests, tally.lookups, tally.hit_ratio) == (1, 0, None)


def test_tallies_add_up() -> None:
    """Two of half the calls are one of all."""
    records = [make_streamed(), make_record(ending=Ending.CUT, cost=None), make_record(cache="hit"), make_record(cache="miss")]
    merged, whole = add(*records[:2]), add(*records)
    merged.merge(add(*records[2:]))
    for name in ("requests", "errors", "endings", "lookups", "hits", "usages", "input_tokens", "output_tokens", "costs", "cost_usd"):
        assert getattr(merged, name) == getattr(whole, name), name
    for name in ("durations", "first_tokens", "speeds"):
        assert getattr(merged, name).counts == getattr(whole, name).counts, name
