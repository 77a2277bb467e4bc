"""What is kept, for how long, where it is found, and who is told."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from sidecar.config import Limits
from sidecar.core.reuse.origins import Atlas
from sidecar.exchange import UsageSource
from tests.edge.virtual import virtually
from tests.flown import KEPT, PIECES, SETTINGS, Flown, Shared, featuring, keeping, paused
from tests.path import JSON, PlayedAnswer
from tests.pooled import ANSWER, DONE, FIRST, LAST, ROLE, counted, failure, stream, whole


async def keep(path: Flown, *headers: tuple[bytes, bytes], body: bytes = KEPT) -> Any:
    """Have a call made; return its journey."""
    await path.serve(path.caller(*headers, body=body))
    return path.journeys[-1]


@virtually
async def test_what_is_kept_is_all_that_has_to_be_told() -> None:
    """The answer, who gave it, what it used, and until when it is good."""
    path = Flown(whole(200, ANSWER, (b"Date", b"today"), (b"X-Other", b"1")), settings=featuring(stale=True))
    journey = await keep(path)
    found = path.larder.find_stale(journey.terms)
    assert found is not None and found.entry is journey.entry
    entry = found.entry
    assert (entry.kind, entry.status, entry.pieces, entry.streamed) == ("answers", 200, (ANSWER,), False)
    assert entry.fields == (b"Content-Type: application/json", b"X-Other: 1")
    assert (entry.upstream, entry.provider, entry.usage_source) == ("a", "openai", UsageSource.REPORTED)
    assert (entry.ttl_s, entry.stale_s, entry.stored_at) == (300.0, 3600.0, pytest.approx(path.clock.now()))
    assert journey.saved is not None and entry.usage == journey.saved.usage and journey.saved.cost is not None
    assert entry.cost_usd == journey.saved.cost.usd and counted(path, "cache_stored", "answers") == 1


@virtually
async def test_a_stream_is_kept_with_the_pace_of_its_pieces() -> None:
    """In the pieces in which it came."""
    path = Flown(paused(pause_s=0.25))
    await path.serve(path.listener())
    entry = path.journeys[0].entry
    assert entry is not None
    assert (entry.pieces, entry.delays_ms, entry.streamed) == (PIECES, (0, 250, 500, 750, 1000), True)


@pytest.mark.parametrize(
    "answer",
    [
        failure(400), failure(500), whole(201), whole(body=b"no json"), whole(body=ANSWER.replace(b"stop", b"content_filter")),
        stream(ROLE, FIRST, LAST), PlayedAnswer(200, JSON, (b"Cache-Control", b"no-store"), body=[ANSWER]),
    ],
)  # fmt: skip
@virtually
async def test_what_is_not_whole_and_good_is_not_kept(answer: PlayedAnswer) -> None:
    """It was looked for in vain, and that is counted."""
    path = Flown(PlayedAnswer(answer.status, *answer.headers, body=answer.body, framing=answer.told_framing))
    journey = await keep(path)
    assert journey.entry is None and path.levels.entries == {"hot": 0, "warm": 0}
    assert counted(path, "cache_not_stored", "unfit") == 1


@virtually
async def test_what_was_not_wholly_read_is_not_kept() -> None:
    """Its observer failed, or passed over an event that was too long for it."""
    unread = whole()
    unread.observer_failed = True
    path = Flown(unread, stream(ROLE, FIRST.replace(b"hi", b"x" * 500), LAST, DONE), settings=replace(SETTINGS, limits=Limits(line=300)))
    await path.serve(path.caller())
    record = await path.serve(path.listener())
    assert record.unread is not None and record.seen.answered
    assert counted(path, "cache_not_stored", "unfit") == 2 and path.levels.entries == {"hot": 0, "warm": 0}


@virtually
async def test_what_is_too_large_is_not_kept_and_saves_all_the_same() -> None:
    """Whoever shared it had it for nothing."""
    path = Flown(whole(at_head=1.0), settings=keeping(entry=100))
    records = await path.serve(path.caller(), path.caller())
    assert records[1].saved is not None and path.journeys[0].entry is None
    assert counted(path, "cache_not_stored", "too_large") == 1 and counted(path, "cache_not_stored", "unfit") == 0


@virtually
async def test_without_the_cache_nothing_is_kept_or_counted() -> None:
    """Nor told to other sidecars."""
    path = Flown(whole(), settings=featuring(cache=False), shared=(shared := Shared()))
    journey = await keep(path)
    assert journey.entry is None and path.levels.entries == {"hot": 0, "warm": 0} and not shared.kept and not shared.asked
    assert journey.saved is not None
    assert counted(path, "cache_not_stored", "unfit") == counted(path, "cache_stored", "answers") == 0
    assert await path.larder.find(journey.terms._replace(reads=True)) is None and not shared.asked


@virtually
async def test_a_caller_says_for_how_long() -> None:
    """In place of the settings."""
    path = Flown(whole(), whole())
    journey = await keep(path, (b"x-sidecar-cache", b"ttl=7"))
    assert journey.entry.ttl_s == 7.0 and journey.entry.stale_s == 0.0, "without the feature nothing is stale"
    await asyncio.sleep(7)
    assert (await path.serve(path.caller())).cache == "miss"


@virtually
async def test_who_may_not_read_finds_nothing() -> None:
    """Neither here nor there."""
    path = Flown(whole(), shared=(shared := Shared()))
    terms = (await keep(path)).terms
    asked = len(shared.asked)
    assert await path.larder.find(terms._replace(reads=False)) is None
    found = await path.larder.find(terms)
    assert found is not None and found.level == "hot" and len(shared.asked) == asked


@virtually
async def test_what_others_keep_is_as_old_as_it_is() -> None:
    """It expires here when it does there; what is too old for this caller is not for it."""
    shared = Shared()
    there = Flown(whole(), shared=shared)
    terms = (await keep(there)).terms
    ((key, (entry, _)),) = shared.kept.items()
    shared.kept[key] = (entry, 290.0)
    path = Flown(shared=shared)
    assert await path.larder.find(terms._replace(max_age_s=100.0)) is None
    found = await path.larder.find(terms)
    assert found is not None and (found.age_s, found.is_stale) == (290.0, False)
    fresh = Flown(shared=shared)
    found = await fresh.larder.find(terms)
    assert found is not None and (found.level, found.age_s) == ("shared", 290.0)
    await asyncio.sleep(10)
    shared.kept.clear()
    assert await fresh.larder.find(terms) is None


@virtually
async def test_without_the_feature_nothing_stands_in() -> None:
    """Though it is there."""
    path = Flown(whole())
    journey = await keep(path)
    assert path.larder.find_stale(journey.terms) is None


@virtually
async def test_what_a_tool_answered_is_put_together_for_who_waits_though_it_is_not_kept() -> None:
    """It has to be told again with another id."""
    answer = PlayedAnswer(200, JSON, body=[b'{"jsonrpc":"2.0","id":1,"result":{}}'], at_head=1.0)
    path = Flown(answer, settings=featuring(cache=False))
    body = b'{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{"name":"find","arguments":{}}}'
    clients = [path.caller(JSON, body=body % number, target="/t/mcp") for number in (1, 2)]
    records = await path.serve(*clients)
    assert [record.cache for record in records] == ["miss", "coalesced"] and b'"id":2' in clients[1].body
    assert path.journeys[0].entry is not None and not path.levels.entries["hot"]
    path.check_rest()


@virtually
async def test_an_answer_of_another_place_is_not_found() -> None:
    """Neither instead of an upstream nor of an error: who answers now is another one, though it is called the same."""
    path = Flown(whole(), settings=featuring(stale=True))
    journey = await keep(path)
    terms = journey.terms
    moved = replace(SETTINGS, upstreams={**SETTINGS.upstreams, "a": replace(SETTINGS.upstreams["a"], url="http://moved.test")})
    there = Atlas(moved.upstreams).find(("a",))
    assert await path.larder.find(terms) is not None
    assert path.larder.find_stale(terms._replace(origins=there)) is None
    assert path.larder.find_stale(terms) is None, "it is forgotten"
    path.levels.put(terms.key, journey.entry, path.clock.now())
    assert await path.larder.find(terms._replace(origins=there)) is None


@virtually
async def test_one_more_in_a_pool_takes_nothing_away() -> None:
    """One less takes away what it had answered."""
    path = Flown(whole())
    terms = (await keep(path)).terms
    atlas = Atlas(SETTINGS.upstreams)
    assert await path.larder.find(terms._replace(origins=atlas.find(("b", "a")))) is not None
    assert await path.larder.find(terms._replace(origins=atlas.find(("b",)))) is None


@virtually
async def test_sidecars_that_lead_elsewhere_do_not_take_each_others_places() -> None:
    """What they share has the marks of all who may answer in its name."""
    shared = Shared()
    path = Flown(whole(), shared=shared)
    terms = (await keep(path)).terms
    assert shared.asked == [terms.key + terms.origins.together]


@virtually
async def test_for_how_long_is_settled_when_it_is_asked_for() -> None:
    """By the policy of now."""
    path = Flown(whole())
    terms = (await keep(path)).terms
    await asyncio.sleep(100)
    assert await path.larder.find(terms._replace(life_s=101.0)) is not None
    assert await path.larder.find(terms._replace(life_s=99.0)) is None
