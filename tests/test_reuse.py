"""What is answered without asking anew: from what is kept, and together with a call in progress."""

import asyncio
import json
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from sidecar.config import Coalescing, Pace, Timeouts
from sidecar.errors import UNREACHABLE, UPSTREAM_RESET, UpstreamFault
from sidecar.exchange import Ending, UsageSource
from sidecar.journeys import LAST_BYTES_S
from tests.edge.virtual import turn, virtually
from tests.flown import (
    COST_USD,
    KEPT,
    KEPT_STREAM,
    MCP,
    PIECES,
    SETTINGS,
    TOLD,
    Flown,
    Shared,
    Slow,
    featuring,
    fields_of,
    keeping,
    paused,
    told_usage,
)
from tests.path import JSON, STREAM, PlayedAnswer
from tests.pooled import ANSWER, DONE, FIRST, LAST, ROLE, counted, failure, stream, whole

OWN = b"x-sidecar-cache"
STALE_ON = featuring(stale=True)
ALONE = featuring(coalescing=False)


def body_of(client: Any) -> bytes:
    """Return the body a caller got, without its chunks."""
    if b"Transfer-Encoding: chunked" not in client.head:
        return bytes(client.body)
    rest, body = client.body, b""
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        length = int(size, 16)
        body += rest[:length]
        assert rest[length : length + 2] == b"\r\n"
        rest = rest[length + 2 :]
    return bytes(body)


def chunks_of(client: Any) -> list[bytes]:
    """Return the chunks that a caller got, without the last."""
    rest, chunks = client.body, []
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        chunks.append(rest[: int(size, 16)])
        rest = rest[int(size, 16) + 2 :]
    assert chunks.pop() == b"", "the last chunk is the end"
    return chunks


def told(client: Any) -> bytes | None:
    """Return what the answer's head says of where it is from."""
    values = [field.partition(b": ")[2] for field in fields_of(client) if field.startswith(OWN + b":")]
    assert len(values) <= 1
    return values[0] if values else None


def use_of(record: Any) -> tuple[int, int] | None:
    return None if record.usage is None else (record.usage.input, record.usage.output)


# -- from what is kept -----------------------------------------------------------------------


@virtually
async def test_a_kept_answer_is_told_again_and_costs_nothing() -> None:
    """Its head says so; its record has no attempt, no usage and no cost, and tells what was saved."""
    path = Flown(whole())
    first = path.caller()
    record = await path.serve(first)
    assert (record.cache, record.cache_level, record.bypass, record.saved) == ("miss", None, None, None)
    assert (use_of(record), len(record.attempts), told(first)) == ((9, 3), 1, b"miss")
    await asyncio.sleep(2.5)
    again = path.caller()
    record = await path.serve(again)
    assert (record.cache, record.cache_level, record.status, record.ending) == ("hit", "hot", 200, Ending.COMPLETED)
    assert (record.upstream, record.provider, record.seen.model, record.seen.response_id) == ("a", "openai", "gpt-4o-mini-2024-07-18", "c1")
    assert record.seen.finish_reasons == ["stop"] and record.seen.terminated and record.seen.answered
    assert (record.attempts, record.usage, record.usage_source, record.cost) == ((), None, UsageSource.ABSENT, None)
    assert record.saved is not None and record.saved.usage is not None and record.saved.cost is not None
    assert (record.saved.usage.input, record.saved.usage.output) == (9, 3) and record.saved.cost.usd == pytest.approx(COST_USD)
    assert (record.first_byte, record.response_bytes) == (record.accepted, len(ANSWER))
    assert (record.overhead_request_s, record.overhead_response_s) == (None, None)
    assert (again.body, again.ends, told(again)) == (ANSWER, ["kept"], b"hit")
    assert b"Content-Length: %d" % len(ANSWER) in fields_of(again) and b"Age: 2" in fields_of(again)
    assert b"x-sidecar-upstream: a" in fields_of(again) and b"x-sidecar-attempts: 0" in fields_of(again)
    assert counted(path, "cache_lookups") == 2 and counted(path, "cache_hits", "hot") == 1
    path.check_rest()


@virtually
async def test_an_answer_that_comes_has_no_age() -> None:
    """Nor one that is shared: it is just being made."""
    path = Flown(paused())
    clients = [path.listener(), path.listener()]
    await path.serve(*clients)
    assert all(b"Age" not in client.head for client in clients)


@virtually
async def test_a_kept_stream_has_its_pieces_again_at_once() -> None:
    """Each event in a chunk of its own, as it came, and no time passes."""
    path = Flown(paused())
    first, again = path.listener(), None
    await path.serve(first)
    again = path.listener()
    record = await path.serve(again)
    assert chunks_of(again) == chunks_of(first) == list(PIECES)
    assert (record.streamed, record.ended - record.accepted, record.response_bytes) == (True, 0.0, len(TOLD))
    assert (record.cache, told(again)) == ("hit", b"hit")
    path.check_rest()


@virtually
async def test_a_kept_stream_can_have_its_own_pace() -> None:
    """Each piece after as long as it once came after the first."""
    path = Flown(paused(pause_s=2.0), settings=keeping(pace=Pace.ORIGINAL))
    await path.serve(path.listener())
    again = path.listener()
    task = await path.begin(again)
    got = [again.body.count(b"data: ")]
    while not task.done():
        await asyncio.sleep(1.0)
        got.append(again.body.count(b"data: "))
    await turn()
    assert got[:8] == [1, 1, 2, 2, 3, 3, 4, 4]
    assert path.rests == [2.0] * 4 and chunks_of(again) == list(PIECES)
    record = path.record_of(again)
    assert record.ended - record.accepted == pytest.approx(8.0)
    path.check_rest()


@virtually
async def test_who_leaves_within_the_old_pace_has_a_hit_all_the_same() -> None:
    """Its record says that it left."""
    path = Flown(paused(pause_s=2.0), settings=keeping(pace=Pace.ORIGINAL))
    await path.serve(path.listener())
    again = path.listener()
    task = await path.begin(again)
    await asyncio.sleep(3)
    record = await path.leave(again, task)
    assert (record.cache, record.ending, record.usage, record.attempts) == ("hit", Ending.CLIENT_GONE, None, ())
    path.check_rest()


@virtually
async def test_callers_of_http_1_0_get_no_chunks() -> None:
    """Neither of a kept stream, nor of a shared one; its end is the connection's."""
    path = Flown(paused())
    leader, follower = path.listener(version=(1, 0)), path.listener(version=(1, 0))
    await path.serve(leader, follower)
    again = path.listener(version=(1, 0))
    assert (await path.serve(again)).cache == "hit"
    for client in (leader, follower, again):
        assert b"chunked" not in client.head and b"Connection: close" in client.head
        assert (client.body, client.ends) == (TOLD, ["closed"])
    short = path.caller()
    path.answers = [whole()]
    await path.serve(short)
    plain = path.caller(version=(1, 0))
    assert (await path.serve(plain)).cache == "hit"
    assert plain.body == ANSWER and b"Content-Length: %d" % len(ANSWER) in plain.head
    path.check_rest()


@virtually
async def test_a_chunked_answer_that_is_no_stream_is_told_with_its_length() -> None:
    """Its chunks were an accident of the network."""
    path = Flown(PlayedAnswer(200, JSON, body=[ANSWER[:50], ANSWER[50:]], framing=b"chunked"))
    first = path.caller()
    await path.serve(first)
    again = path.caller()
    await path.serve(again)
    assert chunks_of(first) == [ANSWER[:50], ANSWER[50:]]
    assert again.body == ANSWER and b"Content-Length: %d" % len(ANSWER) in again.head
    path.check_rest()


@virtually
async def test_only_if_cached_asks_nobody() -> None:
    """It is refused where nothing is kept, where nothing may be kept, and answered where something is."""
    path = Flown(whole())
    only = (OWN, b"only-if-cached")
    refused, other = path.caller(only), path.caller(only, body=b'{"model":"gpt-4o-mini","messages":[]}')
    first, second = await path.serve(refused), await path.serve(other)
    assert [client.status for client in (refused, other)] == [504, 504]
    assert b"x-sidecar-error: not_cached" in fields_of(refused)
    assert (first.cache, first.bypass, first.ending, first.error_id) == ("miss", None, Ending.REFUSED, "not_cached")
    assert (second.cache, second.bypass, second.ending, second.error_id) == ("bypass", "not_deterministic", Ending.REFUSED, "not_cached")
    assert not path.asked and not path.journeys
    await path.serve(path.caller())
    kept = path.caller(only)
    assert (await path.serve(kept)).cache == "hit"
    path.check_rest()


@virtually
async def test_only_if_cached_joins_nobody() -> None:
    """A call in progress is not kept yet."""
    path = Flown(paused())
    task = await path.begin(path.listener())
    client = path.listener((OWN, b"only-if-cached"))
    assert (await path.serve(client)).error_id == "not_cached"
    await task
    path.check_rest()


@virtually
async def test_no_store_is_neither_looked_for_nor_kept() -> None:
    """The call bypasses; no other one finds its answer."""
    path = Flown(whole(), whole(), whole())
    client = path.caller((b"Cache-Control", b"no-store"))
    record = await path.serve(client)
    assert (record.cache, record.bypass, told(client), use_of(record)) == ("bypass", "directive", b"bypass", (9, 3))
    assert not path.journeys
    assert (await path.serve(path.caller())).cache == "miss"
    assert (await path.serve(path.caller((b"Cache-Control", b"no-store")))).cache == "bypass"
    assert counted(path, "cache_bypass", "directive") == 2
    path.check_rest()


@virtually
async def test_no_cache_fetches_anew_and_keeps_that() -> None:
    """It joins nobody either: what is in progress may have begun before."""
    path = Flown(whole(), whole(body=ANSWER.replace(b'"hi"', b'"ho"')))
    await path.serve(path.caller())
    anew = path.caller((b"Cache-Control", b"no-cache"))
    assert (await path.serve(anew)).cache == "miss" and b'"ho"' in anew.body
    kept = path.caller()
    assert (await path.serve(kept)).cache == "hit" and b'"ho"' in kept.body
    path.check_rest()


@virtually
async def test_what_bypasses_is_measured_as_any_call() -> None:
    """It travels on no flight; its own upstream tells its times."""
    path = Flown(paused())
    client = path.listener(body=KEPT_STREAM.replace(b'"temperature":0,', b""))
    record = await path.serve(client)
    assert (record.cache, record.bypass, len(record.attempts), use_of(record)) == ("bypass", "not_deterministic", 1, (9, 3))
    assert (body_of(client), record.response_bytes) == (TOLD, len(TOLD))
    assert record.first_byte == path.used[0].first_byte_at and not path.journeys
    path.check_rest()


@virtually
async def test_what_others_keep_is_found_and_kept_here_too() -> None:
    """The level is told as shared, and hot from then on. What is kept here goes there."""
    shared = Shared()
    other = Flown(whole(), shared=shared)
    await other.serve(other.caller())
    assert len(shared.kept) == 1
    path = Flown(shared=shared)
    first, second = await path.serve(path.caller()), await path.serve(path.caller())
    assert [(record.cache, record.cache_level) for record in (first, second)] == [("hit", "shared"), ("hit", "hot")]
    assert len(shared.asked) == 2, "what is kept here is not looked for there"
    path.check_rest()


@virtually
async def test_a_hit_from_an_upstream_that_is_unknown_here_is_told_all_the_same() -> None:
    """Its name elsewhere is another one."""
    path = Flown(whole(), shared=(shared := Shared()))
    await path.serve(path.caller())
    ((key, (entry, age_s)),) = shared.kept.items()
    shared.kept[key] = (msgspec.structs.replace(entry, upstream="elsewhere"), age_s)
    here = Flown(shared=shared)
    client = here.caller()
    record = await here.serve(client)
    assert (record.cache, record.upstream, client.body) == ("hit", "a", ANSWER)


@virtually
async def test_who_waited_for_the_shared_level_joins_who_was_faster() -> None:
    """Between looking and taking off somebody else may have begun."""
    shared = Shared()
    shared.waits = asyncio.get_running_loop().create_future()
    path = Flown(paused(), shared=shared)
    tasks = [await path.begin(path.listener()), await path.begin(path.listener())]
    shared.waits.set_result(None)
    await asyncio.gather(*tasks)
    await turn()
    assert sorted(record.cache or "" for record in path.records[0]) == ["coalesced", "miss"] and len(path.asked) == 1
    path.check_rest()


# -- stale -----------------------------------------------------------------------------------


async def go_stale(path: Flown, body: bytes = KEPT) -> None:
    """Have an answer kept, and let it expire."""
    await path.serve(path.caller(body=body))
    await asyncio.sleep(301)


@pytest.mark.parametrize("failing", [UpstreamFault(UPSTREAM_RESET), UpstreamFault(UNREACHABLE), 500, 503])
@virtually
async def test_a_stale_answer_stands_in_for_an_error(failing: Any) -> None:
    """Told so in its head and its record, at the last step of degradation; what was tried is told with it."""
    path = Flown(whole(), settings=STALE_ON)
    await go_stale(path)
    path.answers = [failure(failing) if isinstance(failing, int) else failing]
    client, tried = path.caller(), len(path.asked)
    record = await path.serve(client)
    assert (client.status, client.body, told(client), client.ends) == (200, ANSWER, b"stale", ["kept"])
    assert b"Age: 301" in fields_of(client)
    assert (record.cache, record.cache_level, record.degraded, record.status) == ("stale", "hot", "emergency", 200)
    assert (record.ending, record.error_id, record.error_type, record.usage, record.cost) == (Ending.COMPLETED, None, None, None, None)
    assert len(record.attempts) == len(path.asked) - tried > 0
    assert record.saved is not None and record.seen.model == "gpt-4o-mini-2024-07-18" and record.seen.finish_reasons == ["stop"]
    assert counted(path, "cache_stale") == 1
    path.check_rest()


@virtually
async def test_stale_for_all_who_share_and_whoever_owns_it() -> None:
    """The one whose call it was tells the attempts; that it joined, or that its leader left, makes no answer less stale."""
    path = Flown(whole(), settings=STALE_ON)
    await go_stale(path)
    path.answers = [failure(503, at_head=5.0)]
    leader = path.caller()
    leading = await path.begin(leader)
    followers = [path.caller(), path.caller()]
    tasks = [await path.begin(follower) for follower in followers]
    await asyncio.sleep(1)
    assert (await path.leave(leader, leading)).ending is Ending.CLIENT_GONE
    await asyncio.gather(*tasks)
    records = [path.record_of(follower) for follower in followers]
    for client, record in zip(followers, records, strict=True):
        assert (client.body, told(client)) == (ANSWER, b"stale")
        assert (record.cache, record.degraded, record.saved is not None, record.usage) == ("stale", "emergency", True, None)
        assert record.seen.response_id == "c1"
    assert [len(record.attempts) for record in records] == [1, 0]
    path.check_rest()


@virtually
async def test_the_total_timeout_of_the_settings_is_the_upstreams_failure() -> None:
    """As without a flight: its attempt ends so, and a stale answer stands in."""
    path = Flown(whole(), settings=replace(STALE_ON, timeouts=Timeouts(total=20.0)), shared=(shared := Shared()))
    await go_stale(path)
    shared.kept.clear()
    shared.delay_s = 0.5  # the call is older than its flight
    path.answers = [whole(at_head=50.0), whole(at_head=50.0)]
    record = await path.serve(path.caller())
    assert (record.cache, [attempt.outcome for attempt in record.attempts]) == ("stale", ["total_timeout"])
    record = await path.serve(path.caller(body=KEPT.replace(b"[]", b'["other"]')))
    assert (record.ending, [attempt.outcome for attempt in record.attempts]) == (Ending.TOTAL_TIMEOUT, ["total_timeout"])
    path.check_rest()


@virtually
async def test_a_callers_own_timeout_is_no_reason_to_be_stale() -> None:
    """It said for how long it waits; the upstream has not failed."""
    path = Flown(whole(), settings=STALE_ON)
    await go_stale(path)
    path.answers = [whole(at_head=60.0)]
    client = path.caller((b"x-sidecar-timeout", b"2"))
    record = await path.serve(client)
    assert (client.status, record.cache, record.ending) == (504, "miss", Ending.TOTAL_TIMEOUT)
    path.check_rest()


@pytest.mark.parametrize("status", [400, 404, 429])
@virtually
async def test_a_refusal_of_the_provider_is_told_as_it_is(status: int) -> None:
    """It is an answer."""
    path = Flown(whole(), settings=STALE_ON)
    await go_stale(path)
    path.answers = [failure(status)]
    client = path.caller()
    record = await path.serve(client)
    assert (client.status, record.cache, record.degraded) == (status, "miss", None)
    path.check_rest()


@virtually
async def test_who_wants_nothing_kept_is_told_the_error() -> None:
    """It asked for what is there now."""
    path = Flown(whole(), settings=STALE_ON)
    await go_stale(path)
    path.answers = [failure(503), UpstreamFault(UPSTREAM_RESET)]
    for _ in range(2):
        record = await path.serve(path.caller((b"Cache-Control", b"no-cache")))
        assert (record.cache, record.degraded) == ("miss", None) and record.status in (502, 503)
    path.check_rest()


@virtually
async def test_what_stands_in_is_stale_though_it_has_not_expired() -> None:
    """A caller wanted it younger, and gets it because nothing else is to be had."""
    path = Flown(whole(), failure(503), settings=STALE_ON)
    await path.serve(path.caller())
    await asyncio.sleep(20)
    client = path.caller((b"Cache-Control", b"max-age=10"))
    record = await path.serve(client)
    assert (record.cache, told(client), record.degraded, client.body) == ("stale", b"stale", "emergency", ANSWER)
    path.check_rest()


@virtually
async def test_once_bytes_have_gone_out_nothing_stands_in() -> None:
    """A stream that breaks off says so."""
    path = Flown(stream(), settings=STALE_ON)
    await go_stale(path, KEPT_STREAM)
    path.answers = [stream(ROLE, FIRST, 1.0, UpstreamFault(UPSTREAM_RESET))]
    client = path.listener()
    record = await path.serve(client)
    assert client.body.startswith(b"%x\r\n" % len(ROLE)) and client.ends == ["broken off"]
    assert (record.cache, record.ending, record.degraded) == ("miss", Ending.RESET, None)
    path.check_rest()


@virtually
async def test_without_the_feature_nothing_is_stale() -> None:
    """An error stays one."""
    path = Flown(whole())
    await go_stale(path)
    path.answers = [failure(500)]
    record = await path.serve(path.caller())
    assert (record.cache, record.status) == ("miss", 500)


@virtually
async def test_a_caller_may_take_what_has_expired() -> None:
    """Nobody is asked; it is marked as stale."""
    path = Flown(whole(), settings=STALE_ON)
    await go_stale(path)
    client = path.caller((b"Cache-Control", b"max-stale=60"))
    record = await path.serve(client)
    assert (record.cache, record.attempts, told(client), len(path.asked)) == ("stale", (), b"stale", 1)
    path.check_rest()


# -- together --------------------------------------------------------------------------------


@pytest.mark.parametrize("joined_s", [0.5, 1.5, 3.5, 4.5])
@virtually
async def test_who_joins_gets_every_byte_and_pays_nothing(joined_s: float) -> None:
    """Before the head, after it, in the middle; one call, one usage, one cost over all records."""
    path = Flown(paused(at_head=1.0))
    leader = path.listener()
    leading = await path.begin(leader)
    await asyncio.sleep(joined_s)
    follower = path.listener()
    following = await path.begin(follower)
    await asyncio.gather(leading, following)
    mine, other = path.record_of(leader), path.record_of(follower)
    assert body_of(leader) == body_of(follower) == TOLD
    assert (len(path.asked), told_usage(path)) == (1, [mine.id])
    assert (mine.cache, mine.saved, len(mine.attempts)) == ("miss", None, 1)
    assert (other.cache, other.cache_level, other.attempts, other.usage, other.cost) == ("coalesced", None, (), None, None)
    assert other.saved is not None and other.saved.cost is not None and other.saved.cost.usd == pytest.approx(COST_USD)
    assert (other.ending, other.status, other.streamed, other.upstream) == (Ending.COMPLETED, 200, True, "a")
    assert (other.seen.model, other.seen.finish_reasons, other.seen.usage) == ("gpt-4o-mini", ["stop"], None)
    assert other.response_bytes == mine.response_bytes == len(TOLD)
    assert other.first_byte is not None and other.first_byte >= other.accepted
    assert (told(leader), told(follower)) == (b"miss", b"coalesced")
    assert counted(path, "coalesced_requests", "leader") == counted(path, "coalesced_requests", "follower") == 1
    assert counted(path, "coalesced_saved") == 1
    path.check_rest()


PHASES = {"before the head": 0.5, "after it": 1.5, "mid-stream": 3.5, "before the end": 6.5}


@pytest.mark.parametrize("left_s", PHASES.values(), ids=PHASES)
@virtually
async def test_whoever_leads_may_leave(left_s: float) -> None:
    """The others get every byte; the first of them has the call from then on, with its attempts, its usage and its cost."""
    path = Flown(paused(at_head=1.0, at_end=2.0))
    leader, heir, other = path.listener(), path.listener(), path.listener()
    leading, *following = [await path.begin(client) for client in (leader, heir, other)]
    await asyncio.sleep(left_s)
    left = await path.leave(leader, leading)
    await asyncio.gather(*following)
    took_over, joined = path.record_of(heir), path.record_of(other)
    assert body_of(heir) == body_of(other) == TOLD
    assert (left.ending, left.cache, left.attempts, left.usage, left.cost, left.saved) == (Ending.CLIENT_GONE, "miss", (), None, None, None)
    assert (took_over.cache, took_over.saved, len(took_over.attempts), use_of(took_over)) == ("miss", None, 1, (9, 3))
    assert took_over.cost is not None and took_over.cost.usd == pytest.approx(COST_USD)
    assert (joined.cache, joined.attempts) == ("coalesced", ()) and joined.saved is not None
    assert told_usage(path) == [took_over.id] and len(path.asked) == 1
    path.check_rest()


@virtually
async def test_who_leaves_after_the_end_has_what_was_used() -> None:
    """The answer had come; it was slow to take it."""
    path = Flown(paused())
    leader, other = path.listener(kind=Slow), path.listener()
    leading, following = await path.begin(leader), await path.begin(other)
    await asyncio.sleep(1.5)
    leader.pause()
    await following
    assert told_usage(path) == []
    left = await path.leave(leader, leading)
    assert (left.ending, use_of(left), len(left.attempts), path.record_of(other).cache) == (Ending.COMPLETED, (9, 3), 1, "coalesced")
    path.check_rest()


@pytest.mark.parametrize("left_s", PHASES.values(), ids=PHASES)
@virtually
async def test_the_last_who_leaves_cancels_the_call(left_s: float) -> None:
    """At once, but after the answer's own end mark; it has the attempt, which ends so, and all is given back."""
    path = Flown(paused(at_head=1.0, at_end=2.0))
    waited_s = LAST_BYTES_S if left_s == PHASES["before the end"] else 0.0
    clients = [path.listener(), path.listener()]
    tasks = [await path.begin(client) for client in clients]
    await asyncio.sleep(left_s)
    first = await path.leave(clients[0], tasks[0])
    assert not path.used[0].released
    last = await path.leave(clients[1], tasks[1])
    assert path.used[0].released == 1 and path.clock.now() - last.accepted == pytest.approx(left_s + waited_s)
    assert (first.attempts, first.ending) == ((), Ending.CLIENT_GONE)
    assert [attempt.outcome for attempt in last.attempts] == ["client_gone"] and last.cache == "miss"
    assert not path.levels.entries["hot"]
    path.check_rest()
    path.answers = [stream()]
    assert (await path.serve(path.listener())).cache == "miss", "nobody joins what is over"


@pytest.mark.parametrize("callers", [1, 2])
@virtually
async def test_an_answer_is_kept_whose_callers_left_at_its_end_mark(callers: int) -> None:
    """SDKs hang up then: what ends the answer for HTTP comes a moment later, and nothing of the answer behind it."""
    path = Flown(paused(at_end=LAST_BYTES_S / 2))
    clients = [path.listener() for _ in range(callers)]
    tasks = [await path.begin(client) for client in clients]
    await asyncio.sleep(len(PIECES) + LAST_BYTES_S / 4)
    *_, last = [await path.leave(client, task) for client, task in zip(clients, tasks, strict=True)]
    assert path.clock.now() - last.accepted == pytest.approx(len(PIECES) + LAST_BYTES_S / 2)
    assert (last.ending, [attempt.outcome for attempt in last.attempts], use_of(last)) == (Ending.COMPLETED, ["completed"], (9, 3))
    path.check_rest()
    again = path.listener()
    assert (await path.serve(again)).cache == "hit" and body_of(again).endswith(DONE)


@virtually
async def test_an_answer_that_goes_on_behind_its_end_mark_is_kept_whole_or_not_at_all() -> None:
    """What nobody was there for any more is there for the next."""
    path = Flown(stream(*PIECES, LAST_BYTES_S / 2, b": ping\n\n"))
    client = path.listener()
    task = await path.begin(client)
    await asyncio.sleep(LAST_BYTES_S / 4)
    assert DONE in client.body
    await path.leave(client, task)
    path.check_rest()
    again = path.listener()
    assert (await path.serve(again)).cache == "hit" and body_of(again).endswith(b": ping\n\n")


async def reset_later() -> None:
    """Break off before there is an answer."""
    await asyncio.sleep(1)
    raise UpstreamFault(UPSTREAM_RESET)


@pytest.mark.parametrize("status", [None, 503, 429])
@virtually
async def test_what_fails_before_the_head_is_the_same_to_all(status: int | None) -> None:
    """One attempt, told once; each caller's answer in its own framing. The next call is made anew."""
    path = Flown(stream(at_head=reset_later()) if status is None else failure(status, at_head=1.0))
    clients = [path.listener() for _ in range(3)]
    records = await path.serve(*clients)
    assert len({client.body for client in clients}) == 1 and len({client.status for client in clients}) == 1
    assert clients[0].status in (502, 503, 429)
    assert len({(record.ending, record.error_id, record.error_type, record.status) for record in records}) == 1
    assert [len(record.attempts) for record in records] == [1, 0, 0] and len(path.asked) == 1
    assert [record.cache for record in records] == ["miss", "coalesced", "coalesced"]
    assert not [record for record in records if record.usage or record.saved]
    path.check_rest()
    path.answers = [stream()]
    assert (await path.serve(path.listener())).cache == "miss"


@virtually
async def test_what_breaks_off_breaks_off_for_all() -> None:
    """Each is told within its own stream; nothing is kept."""
    path = Flown(stream(ROLE, FIRST, 1.0, UpstreamFault(UPSTREAM_RESET)))
    clients = [path.listener() for _ in range(3)]
    records = await path.serve(*clients)
    for client in clients:
        assert (client.ends == ["broken off"] and b"event: error" in client.body) or b'"error"' in client.body
    assert {(record.ending, record.status) for record in records} == {(Ending.RESET, 200)}
    assert not path.levels.entries["hot"] and sum(len(record.attempts) for record in records) == 1
    path.check_rest()


@virtually
async def test_an_error_within_an_answer_is_everybodys() -> None:
    """It is passed on as it came, told in each record, and not kept."""
    error = b'data: {"error":{"message":"no","type":"server_error","code":"overloaded"}}\n\n'
    path = Flown(stream(ROLE, FIRST, 1.0, error, DONE))
    clients = [path.listener() for _ in range(2)]
    records = await path.serve(*clients)
    assert {(record.ending, record.error_type) for record in records} == {(Ending.IN_BAND_ERROR, "overloaded")}
    assert all(error in client.body for client in clients) and not path.levels.entries["hot"]
    path.check_rest()


@virtually
async def test_a_stream_without_its_end_is_cut_for_all() -> None:
    """Where the transport says nothing, the form does."""
    path = Flown(stream(ROLE, FIRST, 1.0))
    clients = [path.listener() for _ in range(2)]
    records = await path.serve(*clients)
    assert {record.ending for record in records} == {Ending.CUT} and not path.levels.entries["hot"]
    assert all(client.ends == ["broken off"] for client in clients)
    path.check_rest()


@pytest.mark.parametrize("hurried", [0, 1])
@virtually
async def test_who_is_in_a_hurry_harms_nobody_else(hurried: int) -> None:
    """It gets its timeout, before the head or within the stream; the others get the whole answer."""
    path = Flown(paused(at_head=3.0))
    clients = [path.listener((b"x-sidecar-timeout", b"2")) if number == hurried else path.listener() for number in range(2)]
    early = await path.serve(*clients)
    assert (clients[hurried].status, early[hurried].ending) == (504, Ending.TOTAL_TIMEOUT)
    assert body_of(clients[1 - hurried]) == TOLD and told_usage(path) == [early[1 - hurried].id]
    path.answers = [paused(at_head=1.0)]
    await asyncio.sleep(301)
    late = [path.listener((b"x-sidecar-timeout", b"3")) if number == hurried else path.listener() for number in range(2)]
    records = await path.serve(*late)
    assert (records[hurried].ending, records[hurried].status, late[hurried].ends) == (Ending.TOTAL_TIMEOUT, 200, ["broken off"])
    assert body_of(late[1 - hurried]) == TOLD
    path.check_rest()


@virtually
async def test_more_than_is_kept_passes_whole_to_those_aboard() -> None:
    """Nobody can join it any more, and nothing of it is kept."""
    big = FIRST.replace(b"hi", b"x" * 3000)
    pieces = (ROLE, big, big, FIRST, LAST, DONE)
    path = Flown(paused(*pieces), paused(*pieces), settings=keeping(entry=5000))
    clients = [path.listener(), path.listener()]
    tasks = [await path.begin(client) for client in clients]
    await asyncio.sleep(3.5)
    late = path.listener()
    tasks.append(await path.begin(late))
    await asyncio.gather(*tasks)
    assert [body_of(client) for client in (*clients, late)] == [b"".join(pieces)] * 3
    assert [path.record_of(client).cache for client in (*clients, late)] == ["miss", "coalesced", "miss"] and len(path.asked) == 2
    assert not path.levels.entries["hot"] and counted(path, "cache_not_stored", "too_large") == 2
    path.check_rest()


@virtually
async def test_who_falls_too_far_behind_is_let_go() -> None:
    """The others are not held up; the call is somebody else's then."""
    big = FIRST.replace(b"hi", b"x" * 3000)
    settings = replace(SETTINGS, coalescing=Coalescing(lag_max=4000))
    path = Flown(paused(ROLE, big, big, LAST, DONE), settings=settings)
    slow, other = path.listener(kind=Slow), path.listener()
    tasks = [await path.begin(slow), await path.begin(other)]
    await asyncio.sleep(1.5)
    slow.pause()
    await asyncio.gather(*tasks)
    behind, rest = path.record_of(slow), path.record_of(other)
    assert (behind.ending, behind.attempts, rest.cache, len(rest.attempts)) == (Ending.CLIENT_GONE, (), "miss", 1)
    assert slow.ends == ["broken off"] and counted(path, "coalescing_detached") == 1
    assert body_of(other) == ROLE + big + big + LAST + DONE
    path.check_rest()


@virtually
async def test_usage_that_we_asked_for_is_nobodys_but_ours() -> None:
    """It is removed for who leads, who follows and whoever is told later; the record has it."""
    path = Flown(paused())
    asked = KEPT_STREAM.replace(b'"stream_options":{"include_usage":true},', b"")
    clients = [path.listener(body=asked) for _ in range(2)]
    first, second = await path.serve(*clients)
    again = path.listener(body=asked)
    third = await path.serve(again)
    assert (third.cache, first.usage_added, use_of(first)) == ("hit", True, (9, 3))
    assert first.usage is not None and second.usage is None
    assert {body_of(client) for client in (*clients, again)} == {ROLE + FIRST + LAST + DONE}
    assert b"include_usage" in path.used[0].request
    path.check_rest()


@virtually
async def test_however_many_join_one_has_led() -> None:
    """Counted once as leader."""
    path = Flown(paused())
    records = await path.serve(*(path.listener() for _ in range(4)))
    assert [record.cache for record in records] == ["miss", "coalesced", "coalesced", "coalesced"]
    assert (counted(path, "coalesced_requests", "leader"), counted(path, "coalesced_requests", "follower")) == (1, 3)
    assert counted(path, "coalesced_saved") == 3
    path.check_rest()


@virtually
async def test_who_joined_and_left_has_saved_nothing() -> None:
    """It has not had the answer; its connection is no longer watched."""
    path = Flown(paused())
    leader, follower = path.listener(), path.listener(kind=Slow)
    tasks = [await path.begin(leader), await path.begin(follower)]
    await asyncio.sleep(1.5)
    follower.pause()
    await tasks[0]
    record = await path.leave(follower, tasks[1])
    assert (record.cache, record.saved, follower.pause, follower.go_on) == ("coalesced", None, None, None)
    path.check_rest()


@virtually
async def test_two_who_ask_differently_share_nothing() -> None:
    """Neither what is in progress nor what is kept."""
    path = Flown(whole(at_head=1.0), whole(at_head=1.0))
    first, second = await path.serve(path.caller((b"Authorization", b"Bearer a")), path.caller((b"Authorization", b"Bearer b")))
    assert (first.cache, second.cache, len(path.asked)) == ("miss", "miss", 2)
    path.check_rest()


@virtually
async def test_without_coalescing_each_has_its_own_flight() -> None:
    """And finds what another one has kept."""
    path = Flown(whole(at_head=1.0), whole(at_head=1.0), settings=ALONE)
    records = await path.serve(path.caller(), path.caller())
    assert [record.cache for record in records] == ["miss", "miss"] and len(path.asked) == 2
    assert (await path.serve(path.caller())).cache == "hit"
    path.check_rest()


@virtually
async def test_without_a_cache_calls_are_shared_and_nothing_is_kept() -> None:
    """What is over is over."""
    path = Flown(whole(at_head=1.0), whole(), settings=featuring(cache=False))
    records = await path.serve(path.caller(), path.caller())
    assert [record.cache for record in records] == ["miss", "coalesced"]
    assert records[1].saved is not None
    assert (await path.serve(path.caller())).cache == "miss" and len(path.asked) == 2
    assert counted(path, "cache_lookups") == 0
    path.check_rest()


# -- MCP -------------------------------------------------------------------------------------


def tool_call(number: Any) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": {"name": "find", "arguments": {}}}).encode()


def tool_answer(number: Any, *, streamed: bool) -> PlayedAnswer:
    message = json.dumps({"jsonrpc": "2.0", "id": number, "result": {"content": []}}).encode()
    if streamed:
        return PlayedAnswer(200, STREAM, body=[b"event: message\ndata: ", 1.0, message + b"\n\n"], framing=b"chunked", at_head=1.0)
    return PlayedAnswer(200, JSON, body=[message], at_head=1.0)


@pytest.mark.parametrize("streamed", [False, True])
@virtually
async def test_each_gets_the_id_of_its_own_request(streamed: bool) -> None:
    """Who leads as it came, who follows and who is told later with its own."""
    path = Flown(tool_answer(1, streamed=streamed))
    accepts = (b"Accept", b"application/json, text/event-stream")
    clients = [path.caller(JSON, accepts, body=tool_call(number), target=MCP) for number in (1, "two")]
    records = await path.serve(*clients)
    again = path.caller(JSON, accepts, body=tool_call(3333), target=MCP)
    records.append(await path.serve(again))
    assert [record.cache for record in records] == ["miss", "coalesced", "hit"] and len(path.asked) == 1
    for client, number in zip((*clients, again), (1, "two", 3333), strict=True):
        message = body_of(client).partition(b"data: ")[2] if streamed else body_of(client)
        assert json.loads(message)["id"] == number
        if not streamed:
            assert b"Content-Length: %d" % len(client.body) in client.head
    assert [record.asked.tool for record in records] == ["find"] * 3
    assert [b"Age:" in client.head for client in (*clients, again)] == [False, False, True]
    path.check_rest()


@virtually
async def test_what_can_be_told_to_nobody_else_is_asked_for_by_each() -> None:
    """An answer without the one id: whoever waited for it makes a call of its own, and pays for that one alone."""
    odd = [PlayedAnswer(200, JSON, body=[b'{"jsonrpc":"2.0","error":{}}'], at_head=1.0) for _ in range(3)]
    path = Flown(*odd)
    clients = [path.caller(JSON, body=tool_call(number), target=MCP) for number in range(3)]
    records = await path.serve(*clients)
    assert [(record.cache, record.status, len(record.attempts)) for record in records] == [("miss", 200, 1)] * 3
    assert len(path.asked) == 3 and {client.body for client in clients} == {odd[0].body[0]}
    path.check_rest()


@virtually
async def test_who_waits_for_a_whole_answer_is_told_that_it_failed() -> None:
    """Nothing was sent before: it gets an error of its own, not half an answer."""
    answer = PlayedAnswer(
        200, STREAM, body=[b"event: message\ndata: {", 1.0, UpstreamFault(UPSTREAM_RESET)], framing=b"chunked", at_head=1.0
    )
    path = Flown(answer)
    accepts = (b"Accept", b"application/json, text/event-stream")
    clients = [path.caller(JSON, accepts, body=tool_call(number), target=MCP) for number in (1, 2)]
    first, second = await path.serve(*clients)
    assert (first.status, first.ending, second.ending, second.status) == (200, Ending.RESET, Ending.RESET, 502)
    assert clients[1].ends == ["kept"] and second.attempts == ()
    path.check_rest()
