"""Embeddings that go out together: who gets what, who pays what, and whose failure is whose."""

import asyncio
import gzip
import json
from collections.abc import Awaitable
from dataclasses import replace
from typing import Any

import pytest

from sidecar.config import Batches, Budget, Budgets, Force, Limits
from sidecar.errors import UPSTREAM_RESET, UpstreamFault
from sidecar.exchange import Ending, UsageSource
from tests.edge.virtual import virtually
from tests.flown import EMBED, Flown, embeddings, featuring, fields_of, keeping, texts_of
from tests.path import JSON, PlayedAnswer
from tests.pooled import counted, failure, whole

TOGETHER = replace(featuring(cache=False, coalescing=False, batches=True), batches=Batches(inputs=5, wait=0.05, wait_max=0.5))
FUNDED = replace(featuring(TOGETHER, budgets=True), budgets=Budgets(tenant=Budget(day=1.0)))
PRICE = 0.02 / 1e6  # US dollars of a token


def asker(path: Flown, *texts: str, **more: Any) -> Any:
    """Return a caller that wants these embedded."""
    return path.caller(JSON, body=texts_of(*texts), **{"target": EMBED, **more})


def vectors_of(client: Any) -> list[list[float]]:
    """Return what a caller got, in its order."""
    data = json.loads(client.body)["data"]
    assert [each["index"] for each in data] == list(range(len(data)))
    return [each["embedding"] for each in data]


def inputs_of(answer: PlayedAnswer) -> Any:
    """Return what an upstream was asked for."""
    return json.loads(answer.request.partition(b"\r\n\r\n")[2])["input"]


def tokens_of(record: Any) -> int | None:
    return None if record.usage is None else sum(record.usage)


async def after(seconds: float, fault: Exception) -> None:
    """Fail later."""
    await asyncio.sleep(seconds)
    raise fault


@virtually
async def test_each_gets_its_part_in_its_order_and_pays_its_share() -> None:
    """One call, told of the first; what it used is shared out, so that the shares sum up."""
    path = Flown(embeddings("1", "2", "3", tokens=10), settings=FUNDED)
    clients = [asker(path, "aa", "bbbb"), asker(path, "cc")]
    records = await path.serve(*clients)
    assert [vectors_of(client) for client in clients] == [[[1], [2]], [[3]]]
    assert inputs_of(path.used[0]) == ["aa", "bbbb", "cc"]
    assert [tokens_of(record) for record in records] == [8, 2], "six characters and two"
    for client, record in zip(clients, records, strict=True):
        assert record.usage_source is UsageSource.APPORTIONED and record.bundled == 3
        assert json.loads(client.body)["usage"]["total_tokens"] == tokens_of(record)
        assert (record.cache, record.status, record.ending, client.ends) == (None, 200, Ending.COMPLETED, ["kept"])
        assert b"Content-Length: %d" % len(client.body) in fields_of(client)
        assert (record.seen.model, record.upstream, record.response_bytes) == ("text-embedding-3-small", "a", len(client.body))
        assert b"x-sidecar-attempts: 1" in fields_of(client)
        assert record.cost is not None and record.cost.usd == pytest.approx((tokens_of(record) or 0) * PRICE)
    assert [len(record.attempts) for record in records] == [1, 0]
    assert path.spent_usd() == pytest.approx(10 * PRICE, abs=2e-9)
    assert counted(path, "embedding_batches") == 1 and counted(path, "embedding_inputs") == 3
    path.check_rest()


@virtually
async def test_it_goes_when_it_is_full_or_has_waited() -> None:
    """At once when it is full; a little after the last, and no later than long after the first."""
    path = Flown(embeddings("1", "2", "3", "4", "5"), embeddings("6", "7"), settings=TOGETHER)
    began = path.clock.now()
    records = await path.serve(asker(path, "a", "b", "c"), asker(path, "d", "e"))
    assert path.clock.now() == began and [record.bundled for record in records] == [5, 5]
    first, second = asker(path, "f"), asker(path, "g")
    task = await path.begin(first)
    await asyncio.sleep(0.04)
    other = await path.begin(second)
    await asyncio.gather(task, other)
    assert path.clock.now() - began == pytest.approx(0.09)
    assert [vectors_of(client) for client in (first, second)] == [[[6]], [[7]]]
    path.check_rest()


@virtually
async def test_each_bundle_goes_in_its_own_time() -> None:
    """That another one has just gone makes none wait for longer."""
    path = Flown(embeddings("1"), embeddings("2"), settings=TOGETHER)
    began = path.clock.now()
    first = await path.begin(asker(path, "a"))
    await asyncio.sleep(0.02)
    second = await path.begin(asker(path, "b", target=EMBED + "?x=1"))
    await first
    assert path.clock.now() - began == pytest.approx(0.05)
    async with asyncio.timeout(10):
        await second
    assert path.clock.now() - began == pytest.approx(0.07)
    path.check_rest()


@virtually
async def test_one_alone_goes_as_it_came() -> None:
    """Byte for byte; what it used is reported, not shared out."""
    path = Flown(embeddings("1", tokens=3), settings=FUNDED)
    client = path.caller(JSON, target=EMBED, body=b'{ "model":"text-embedding-3-small", "input": "a" }')
    record = await path.serve(client)
    assert path.used[0].request.endswith(b'{ "model":"text-embedding-3-small", "input": "a" }')
    assert (record.bundled, record.usage_source, tokens_of(record), len(record.attempts)) == (0, UsageSource.REPORTED, 3, 1)
    assert path.spent_usd() == pytest.approx(3 * PRICE, abs=2e-9)
    path.check_rest()


@virtually
async def test_what_asks_for_no_embeddings_does_not_wait() -> None:
    """With bundles alone nothing else is touched."""
    path = Flown(whole(), settings=TOGETHER)
    client = path.caller()
    record = await path.serve(client)
    assert (record.cache, record.bypass, path.journeys, b"x-sidecar-cache" in client.head) == (None, None, [], False)
    path.check_rest()


@virtually
async def test_two_credentials_never_go_together() -> None:
    """Nor do two tenants, models, queries, two that wish for other upstreams, say something else besides, or read other codings."""
    path = Flown(*(embeddings("1") for _ in range(8)), settings=TOGETHER)
    clients = [
        asker(path, "a"), path.caller(JSON, target=EMBED + "?x=1", body=texts_of("b")),
        path.caller(JSON, (b"Authorization", b"Bearer k"), target=EMBED, body=texts_of("c")),
        path.caller(JSON, target=EMBED, body=b'{"model":"other","input":["d"]}'),
        path.caller(JSON, (b"X-Project", b"p"), target=EMBED, body=texts_of("e")),
        path.caller(JSON, (b"x-sidecar-tenant", b"t"), target=EMBED, body=texts_of("f")),
        path.caller(JSON, (b"x-sidecar-exclude", b"b"), target=EMBED, body=texts_of("g")),
        path.caller(JSON, (b"Accept-Encoding", b"gzip"), target=EMBED, body=texts_of("h")),
    ]  # fmt: skip
    await path.serve(*clients)
    assert sorted(inputs_of(answer) for answer in path.used) == [[each] for each in "abcdefgh"]
    path.check_rest()


@pytest.mark.parametrize("status", [400, 404, 413, 422])
@virtually
async def test_what_is_rejected_fails_for_its_caller_alone(status: int) -> None:
    """Each asks by itself then; the attempt made together is told once, as the first one's."""
    path = Flown(failure(status), embeddings("1", tokens=2), failure(status, "bad_input"), embeddings("3", tokens=4), settings=FUNDED)
    clients = [asker(path, "a"), asker(path, "bad"), asker(path, "c")]
    records = await path.serve(*clients)
    assert [client.status for client in clients] == [200, status, 200]
    assert [vectors_of(clients[0]), vectors_of(clients[2])] == [[[1]], [[3]]]
    assert [inputs_of(answer) for answer in path.used] == [["a", "bad", "c"], ["a"], ["bad"], ["c"]]
    assert [len(record.attempts) for record in records] == [2, 1, 1] and [record.bundled for record in records] == [0, 0, 0]
    assert [(tokens_of(record), record.usage_source) for record in records] == [
        (2, UsageSource.REPORTED), (None, UsageSource.ABSENT), (4, UsageSource.REPORTED),
    ]  # fmt: skip
    assert path.spent_usd() == pytest.approx(6 * PRICE, abs=2e-9)
    path.check_rest()


@pytest.mark.parametrize("answer", [embeddings("1", tokens=2), whole(200, b"no json"), whole(200, b'{"data":[],"usage":{}}')])
@virtually
async def test_an_answer_that_cannot_be_taken_apart_goes_to_nobody(answer: PlayedAnswer) -> None:
    """Too few vectors, or no form at all: each asks by itself."""
    answer = PlayedAnswer(answer.status, *answer.headers, body=answer.body)
    path = Flown(answer, embeddings("1"), embeddings("2"), settings=TOGETHER)
    clients = [asker(path, "a"), asker(path, "b")]
    await path.serve(*clients)
    assert [vectors_of(client) for client in clients] == [[[1]], [[2]]] and len(path.asked) == 3
    path.check_rest()


@pytest.mark.parametrize("status", [429, 500, 503])
@virtually
async def test_what_fails_fails_for_all_alike(status: int) -> None:
    """With the provider's own answer; nobody asks again."""
    path = Flown(failure(status, "bad", (b"Retry-After", b"7")), settings=FUNDED)
    clients = [asker(path, "a"), asker(path, "b"), asker(path, "c")]
    records = await path.serve(*clients)
    assert len({client.body for client in clients}) == 1 and b"Retry-After: 7" in fields_of(clients[1])
    assert {client.status for client in clients} == {record.status for record in records} == {status}
    assert not [record for record in records if record.usage is not None]
    assert len({(record.ending, record.error_type) for record in records}) == 1 and records[0].ending is not Ending.COMPLETED
    assert [len(record.attempts) for record in records] == [1, 0, 0] and len(path.asked) == 1
    assert path.spent_usd() == 0
    path.check_rest()


@virtually
async def test_a_fault_is_the_same_for_all() -> None:
    """Told once as an attempt, and to each as an error of ours."""
    path = Flown(whole(at_head=after(1.0, UpstreamFault(UPSTREAM_RESET))), settings=FUNDED)
    clients = [asker(path, "a"), asker(path, "b")]
    records = await path.serve(*clients)
    assert len({client.body for client in clients}) == 1 and [client.status for client in clients] == [502, 502]
    assert [(record.ending, len(record.attempts)) for record in records] == [(Ending.RESET, 1), (Ending.RESET, 0)]
    path.check_rest()


@virtually
async def test_an_answer_that_breaks_off_is_nobodys() -> None:
    """Half of it is no answer for anybody."""
    path = Flown(PlayedAnswer(200, JSON, body=[b'{"data":[', 1.0, UpstreamFault(UPSTREAM_RESET)], framing=b"chunked"), settings=TOGETHER)
    clients = [asker(path, "a"), asker(path, "b")]
    records = await path.serve(*clients)
    assert [client.status for client in clients] == [502, 502] and {record.ending for record in records} == {Ending.RESET}
    assert sum(len(record.attempts) for record in records) == 1
    path.check_rest()


@virtually
async def test_a_failure_of_ours_is_told_and_reported() -> None:
    """What nobody thought of ends the call for all, and leaves nothing behind."""

    async def break_down() -> None:
        raise RuntimeError("unheard of")

    path = Flown(whole(at_head=break_down()), settings=FUNDED)
    clients = [asker(path, "a"), asker(path, "b")]
    records = await path.serve(*clients)
    assert [client.status for client in clients] == [500, 500] and len(path.reports) == 1
    assert {record.error_id for record in records} == {"internal"}
    path.check_rest()


@pytest.mark.parametrize("left", [0, 1])
@virtually
async def test_who_leaves_before_it_goes_is_not_asked_for(left: int) -> None:
    """Nothing of it goes out, and it pays nothing."""
    path = Flown(embeddings("1", "2", tokens=4), settings=FUNDED)
    clients = [asker(path, text) for text in "abc"]
    tasks = [await path.begin(client) for client in clients]
    await asyncio.sleep(0.01)
    record = await path.leave(clients[left], tasks[left])
    assert (record.ending, record.attempts, record.usage) == (Ending.CLIENT_GONE, (), None)
    del clients[left], tasks[left]
    await asyncio.gather(*tasks)
    assert inputs_of(path.used[0]) == [text for number, text in enumerate("abc") if number != left]
    assert [vectors_of(client) for client in clients] == [[[1]], [[2]]]
    assert path.spent_usd() == pytest.approx(4 * PRICE, abs=2e-9)
    path.check_rest()


@virtually
async def test_who_leaves_all_alone_leaves_no_call_behind() -> None:
    """The time at which it would have gone comes, and nothing goes."""
    path = Flown(settings=FUNDED)
    client = asker(path, "a")
    task = await path.begin(client)
    await path.leave(client, task)
    await asyncio.sleep(1)
    assert not path.asked
    path.check_rest()


@pytest.mark.parametrize("left", [0, 1, 2])
@virtually
async def test_who_leaves_while_it_is_out_takes_nobody_along(left: int) -> None:
    """The others get their parts. The attempt is told by the first that is still there; the leaver pays for what it asked."""
    path = Flown(embeddings("1", "2", "3", tokens=6, at_head=2.0), settings=FUNDED)
    clients = [asker(path, text * 8) for text in "abc"]
    tasks = [await path.begin(client) for client in clients]
    await asyncio.sleep(1)
    gone = await path.leave(clients[left], tasks[left])
    assert (gone.ending, gone.attempts, gone.usage) == (Ending.CLIENT_GONE, (), None)
    paid_usd = path.spent_usd()
    assert paid_usd == pytest.approx(2 * PRICE, abs=2e-9), "its input has gone out: eight characters are about two tokens"
    del clients[left], tasks[left]
    await asyncio.gather(*tasks)
    records = [path.record_of(client) for client in clients]
    expected = [[[number + 1]] for number in range(3) if number != left]
    assert [vectors_of(client) for client in clients] == expected
    assert [len(record.attempts) for record in records] == [1, 0] and [tokens_of(record) for record in records] == [2, 2]
    assert path.spent_usd() == pytest.approx(paid_usd + 4 * PRICE, abs=3e-9)
    path.check_rest()


@virtually
async def test_the_last_who_leaves_cancels_it() -> None:
    """At once; it has the attempt, which ends so."""
    path = Flown(embeddings("1", "2", at_head=50.0), settings=FUNDED)
    clients = [asker(path, "a"), asker(path, "b")]
    tasks = [await path.begin(client) for client in clients]
    await asyncio.sleep(1)
    first = await path.leave(clients[0], tasks[0])
    assert not path.used[0].released
    last = await path.leave(clients[1], tasks[1])
    assert path.used[0].released == 1 and path.clock.now() - last.accepted == pytest.approx(1.0)
    assert (first.attempts, [attempt.outcome for attempt in last.attempts]) == ((), ["client_gone"])
    path.check_rest()


@virtually
async def test_all_who_leave_at_once_cancel_it() -> None:
    """Whoever is last."""
    path = Flown(embeddings("1", "2", at_head=50.0), settings=FUNDED)
    clients = [asker(path, "a"), asker(path, "b")]
    tasks = [await path.begin(client) for client in clients]
    await asyncio.sleep(1)
    for client, task in zip(clients, tasks, strict=True):
        client.gone = True
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert sum(len(record.attempts) for record in path.records[0]) == 1
    path.check_rest()


@pytest.mark.parametrize("left", [0, 1])
@virtually
async def test_who_leaves_in_the_moment_of_the_answer_keeps_it_from_nobody(left: int) -> None:
    """The others have their parts, and the attempt is told."""
    held: list[Any] = []

    async def leave_now() -> None:
        path, client, task = held
        client.gone = True
        path.journeys[left].task.cancel()
        task.cancel()

    path = Flown(embeddings("1", "2", "3", tokens=6, at_head=leave_now()), settings=FUNDED)
    clients = [asker(path, text) for text in "abc"]
    tasks = [await path.begin(client) for client in clients]
    held += [path, clients[left], tasks[left]]
    async with asyncio.timeout(100):
        await asyncio.gather(*tasks, return_exceptions=True)
    for number, client in enumerate(clients):
        assert number == left or vectors_of(client) == [[number + 1]]
    assert path.record_of(clients[left]).ending is Ending.CLIENT_GONE and not path.reports
    path.check_rest()


@virtually
async def test_who_is_just_leaving_is_no_harm_to_who_comes() -> None:
    """Its place in the bundle is given up in the very moment in which the next one fills it."""
    path = Flown(embeddings(*"12345"), settings=TOGETHER)
    early = asker(path, "a")
    task = await path.begin(early)
    journey = path.journeys[0]
    late = asker(path, *"bcdef")
    carried = asyncio.ensure_future(path.pipeline.carry(late))
    for _ in range(100):
        if len(path.journeys) > 1:
            break
        await asyncio.sleep(0)
    assert journey.task is not None
    early.gone = True
    journey.task.cancel()  # the next one's flight is about to begin
    task.cancel()
    await asyncio.gather(task, carried, return_exceptions=True)
    record = path.record_of(late)
    assert (record.ending, path.reports) == (Ending.COMPLETED, []) and len(vectors_of(late)) == 5
    path.check_rest()


@virtually
async def test_the_answer_of_all_is_never_one_callers() -> None:
    """Nobody can be asked again after a bundle was rejected: that is told, and not the answer to what all had asked."""
    held: list[Flown] = []

    async def close_down() -> None:
        held[0].switchboard.force("a", Force.OPEN)

    rejected = failure(400)
    rejected.at_end = close_down()
    path = Flown(rejected, settings=FUNDED)
    held.append(path)
    clients = [asker(path, "a"), asker(path, "b")]
    records = await path.serve(*clients)
    assert [client.status for client in clients] == [503, 503] and {record.ending for record in records} == {Ending.UNAVAILABLE}
    path.check_rest()


@virtually
async def test_an_error_too_long_to_hold_is_asked_for_again_by_each() -> None:
    """Half an answer is never sent on with the length of the whole."""
    settings = replace(TOGETHER, limits=Limits(observed=2000))
    path = Flown(failure(500, message="x" * 5000), failure(500), failure(500), settings=settings)
    clients = [asker(path, "a"), asker(path, "b")]
    await path.serve(*clients)
    for client in clients:
        assert client.status == 500 and b"Content-Length: %d" % len(client.body) in fields_of(client)
    path.check_rest()


@virtually
async def test_a_compressed_answer_is_taken_apart_and_sent_plain() -> None:
    """Its coding is told no more; one that nobody can read goes to nobody."""
    answer = embeddings("1", "2", tokens=2)
    coded = PlayedAnswer(200, JSON, (b"Content-Encoding", b"gzip"), body=[gzip.compress(answer.body[0])])
    path = Flown(coded, settings=TOGETHER)
    offers = (b"Accept-Encoding", b"gzip")
    clients = [path.caller(JSON, offers, target=EMBED, body=texts_of(text)) for text in "ab"]
    await path.serve(*clients)
    assert [vectors_of(client) for client in clients] == [[[1]], [[2]]]
    assert all(b"content-encoding" not in client.head.lower() for client in clients)
    strange = PlayedAnswer(200, JSON, (b"Content-Encoding", b"br"), body=[b"strange"])
    path.answers = [strange, embeddings("1"), embeddings("2")]
    clients = [path.caller(JSON, offers, target=EMBED, body=texts_of(text)) for text in "cd"]
    await path.serve(*clients)
    assert [vectors_of(client) for client in clients] == [[[1]], [[2]]] and len(path.asked) == 4
    path.check_rest()


@virtually
async def test_who_asks_for_one_gets_one_though_several_were_asked_for() -> None:
    """Gemini's form: what goes out together has another path, and another body."""
    path = Flown(whole(200, b'{"embeddings":[{"values":[1]},{"values":[2]}]}'), settings=TOGETHER)
    target = "/one/v1beta/models/text-embedding-004:embedContent"
    body = b'{"content":{"parts":[{"text":"%b"}]}}'
    clients = [path.caller(JSON, target=target, body=body % text) for text in (b"a", b"b")]
    await path.serve(*clients)
    assert path.used[0].request.startswith(b"POST /v1beta/models/text-embedding-004:batchEmbedContents ")
    assert [json.loads(client.body) for client in clients] == [{"embedding": {"values": [1]}}, {"embedding": {"values": [2]}}]
    path.check_rest()


@virtually
async def test_parts_are_kept_each_under_its_own_request() -> None:
    """And those who ask the same share a place in the bundle."""
    path = Flown(embeddings("1", "2", tokens=4), settings=featuring(TOGETHER, cache=True, coalescing=True))
    clients = [asker(path, "a"), asker(path, "b"), asker(path, "a")]
    records = await path.serve(*clients)
    assert inputs_of(path.used[0]) == ["a", "b"]
    assert [record.cache for record in records] == ["miss", "miss", "coalesced"] and records[2].saved is not None
    assert records[2].saved.usage is not None and records[2].saved.usage.input == 2
    again = asker(path, "b")
    record = await path.serve(again)
    assert (record.cache, vectors_of(again), record.saved is not None) == ("hit", [[2]], True)
    path.check_rest()


@pytest.mark.parametrize("failing", [None, 503])
@virtually
async def test_a_stale_answer_stands_in_for_a_bundle_that_failed(failing: int | None) -> None:
    """For each who has one."""
    settings = keeping(featuring(TOGETHER, cache=True, stale=True))
    path = Flown(embeddings("1"), settings=settings)
    await path.serve(asker(path, "a"))
    await asyncio.sleep(3601)
    fault: Awaitable[None] = after(1.0, UpstreamFault(UPSTREAM_RESET))
    path.answers = [whole(at_head=fault) if failing is None else failure(failing)]
    if failing is not None:
        fault.close()  # type: ignore[attr-defined]
    clients = [asker(path, "a"), asker(path, "b")]
    records = await path.serve(*clients)
    assert [record.cache for record in records] == ["stale", "miss"] and vectors_of(clients[0]) == [[1]]
    assert clients[1].status == (failing or 502) and sum(len(record.attempts) for record in records) == 1
    path.check_rest()


@virtually
async def test_where_nobody_tells_what_was_used_each_pays_what_it_reserved() -> None:
    """All of them: what was asked for each has been sent."""
    path = Flown(embeddings("1", "2", tokens=None), settings=FUNDED)
    records = await path.serve(asker(path, "a" * 40), asker(path, "b" * 80))
    assert [(record.usage, record.bundled) for record in records] == [(None, 2), (None, 2)]
    assert path.spent_usd() == pytest.approx(30 * PRICE, abs=3e-9)
    path.check_rest()


@virtually
async def test_what_a_budget_refuses_goes_along_with_nobody() -> None:
    """The others go without it."""
    path = Flown(embeddings("1"), settings=FUNDED)
    assert path.spending is not None
    served = asker(path, "b")
    waiting = await path.begin(served)
    path.spending.halt("default", True)
    assert (await path.serve(asker(path, "a"))).limited == "stopped"
    await waiting
    assert [inputs_of(answer) for answer in path.used] == [["b"]] and vectors_of(served) == [[1]]
    path.check_rest()
