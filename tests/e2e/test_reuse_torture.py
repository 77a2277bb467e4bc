"""Everything of what is kept, shared and allowed at once: two upstreams that fail at random, callers that leave, a Redis that is killed.

What any one call comes to is left to chance. What must hold is not: nobody gets another one's answer, each call has one record, what
an upstream did is told in one record at most, and afterwards nothing is held by anybody.
"""

import asyncio
import contextlib
import gc
import json
import random
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from sidecar.bundling import Crew, Member
from sidecar.config import (
    Batches,
    Budget,
    Budgets,
    Cache,
    Coalescing,
    Expiry,
    Features,
    Hedging,
    HotLevel,
    Limits,
    Pool,
    Queue,
    Rate,
    RateLimits,
    Rates,
    Redis,
    Retries,
    Route,
    Settings,
    Tenants,
    Timeouts,
    Upstream,
    Warming,
    WarmLevel,
)
from sidecar.core.admit.ledger_lines import read_ledger
from sidecar.core.admit.spending_sums import Reservation
from sidecar.core.reuse.batches import Bundle
from sidecar.core.reuse.flights import Flight
from sidecar.exchange import Record, Usage
from sidecar.journeys import Journey
from sidecar.riding import Rider
from sidecar.simulator import Profile, Simulator, start
from sidecar.simulator.ledger import Entry, Ledger
from sidecar.simulator.script import Fault
from tests.rig.caller import Answer, Caller, compose, fetch
from tests.rig.pools import PoolSide, Scrape, configure, count_tasks, name_tasks, running_settings, until_equal
from tests.rig.redis import RedisServer, needs_redis, run_redis

pytestmark = needs_redis

SEEDS: Final = (1, 2)
CALLS: Final = 500
AT_ONCE: Final = 40
PATIENCE_S: Final = 10.0
TOLD: Final = ("hit", "stale", "coalesced")
HELD: Final = (Journey, Flight, Rider, Member, Crew, Bundle, Reservation)  # none of them outlives its calls
FAULTS: Final = {
    Fault.SERVER_ERROR: 0.05, Fault.UNAVAILABLE: 0.03, Fault.RESET_BEFORE_HEAD: 0.04, Fault.CLOSE_BEFORE_HEAD: 0.02, Fault.RESET: 0.05,
    Fault.DROP: 0.03, Fault.CUT: 0.04, Fault.STALL: 0.02, Fault.GARBAGE_HTTP: 0.02, Fault.ERROR_EVENT: 0.03, Fault.TRICKLE: 0.02,
    Fault.CLOSE_DELIMITED: 0.03, Fault.SLOW_FIRST_TOKEN: 0.03, Fault.NO_DONE: 0.02,
}  # fmt: skip


class Question(NamedTuple):
    """Something that is asked again and again: whose prompt it is can be told by its length."""

    tenant: str
    key: str
    path: str
    body: dict[str, Any]
    words: int


def list_questions() -> list[Question]:
    """Return what is asked: the same by different tenants and with different keys, so that only those tell them apart."""
    found = []
    words = 3
    for tenant in ("acme", "umbra", "stray"):
        for key in ("sk-one", "sk-two"):
            for form in range(6):
                words += 2
                prompt = " ".join(["word"] * words)
                body: dict[str, Any] = {"model": "sim-small", "temperature": 0, "messages": [{"role": "user", "content": prompt}]}
                if form % 3:
                    body["stream"] = True
                if form % 3 == 1:
                    body["stream_options"] = {"include_usage": True}
                found.append(Question(tenant, key, "/v1/chat/completions", body, words))
    return found


class Tally:
    """What the callers saw."""

    def __init__(self) -> None:
        self.answers: list[tuple[Question, Answer]] = []
        self.vectors: list[tuple[int, Answer]] = []
        self.left = 0


def settle_on(urls: list[str], redis: RedisServer, folder: Path) -> Settings:
    """Return settings with which everything happens all the time."""
    (folder / "prompts.jsonl").write_text(
        "\n".join(json.dumps({"path": f"/both{q.path}", "body": q.body, "tenant": q.tenant}) for q in list_questions()[:4]),
        encoding="utf-8",
    )
    (folder / "key").write_text("sk-one\n", encoding="utf-8")
    names = ("one", "two")
    rates = Rates(Rate(per_second=140.0, burst=100.0), Rate(per_minute=60_000.0))
    return configure(
        {name: Upstream(url, provider="openai", connections=24, concurrency=20) for name, url in zip(names, urls, strict=True)},
        {"both": Pool(names)},
        [Route("/both/", pool="both"), Route("/one/", "one")],
        timeouts=Timeouts(connect=0.5, first_byte=0.6, idle=0.4, total=3.0),
        limits=Limits(concurrency=40, rates=RateLimits(all=Rates(Rate(per_second=200.0, burst=200.0)), tenant=rates)),
        queue=Queue(size=20, wait=0.5),
        retries=Retries(attempts=3, base=0.005, cap=0.03, wait_max=0.1, budget_floor=100.0),
        hedging=Hedging(percentile=0.6, delay_min=0.02, calls_min=5, share_max=0.3),
        cache=Cache(
            expiry=Expiry(answers=0.5, embeddings=0.4, models=0.3), stale=0.4, entry=12 * 1024, hot=HotLevel(3, 0.2),
            warm=WarmLevel(6, 40 * 1024, 0.5), cleanup=0.1, refresh_hits=2, refresh_share=0.5,
        ),
        coalescing=Coalescing(lag_max=2 * 1024),
        batches=Batches(inputs=4, wait=0.01, wait_max=0.04),
        warming=Warming(str(folder / "prompts.jsonl"), str(folder / "key"), pace=0.05),
        tenants=Tenants(names=("acme", "umbra")),
        budgets=Budgets(str(folder / "ledger"), all=Budget(day=1000.0), tenants={"umbra": Budget(day=0.004)}, sync=0.1),
        redis=Redis(redis.url, timeout=0.03),
        features=Features(
            retries=True, hedging=True, cache=True, coalescing=True, stale=True, refresh=True, warming=True, batches=True, limits=True,
            budgets=True, probes=False,
        ),
    )  # fmt: skip


async def make_call(side: PoolSide, draw: random.Random, tally: Tally, questions: list[Question]) -> None:
    """Make one call as somebody might: in a hurry, in HTTP/1.0, slow to read, or gone in the middle."""
    if draw.random() < 0.15:
        await embed(side, draw, tally)
        return
    asked = questions[min(int(draw.expovariate(0.12)), len(questions) - 1)]
    fields = [("Authorization", f"Bearer {asked.key}"), ("x-sidecar-tenant", asked.tenant)]
    for name, values in {
        "x-sidecar-timeout": ["0.02", "0.1", "1"], "x-sidecar-cache": ["no-cache", "no-store", "ttl=1", "only-if-cached"],
        "cache-control": ["max-age=0", "max-stale=1", "min-fresh=1"], "x-sidecar-prefer": ["one", "two"],
    }.items():  # fmt: skip
        if draw.random() < 0.07:
            fields.append((name, draw.choice(values)))
    caller = await Caller.connect(side.url, receive_bytes=4096 if draw.random() < 0.1 else None)
    version = draw.choice(["1.1", "1.1", "1.0"])
    try:
        caller.send(compose(draw.choice(["/both", "/both", "/one"]) + asked.path, asked.body, fields=fields, version=version))
        if draw.random() < 0.2:
            with contextlib.suppress(TimeoutError):
                await caller.until_end(draw.choice([0.002, 0.02, 0.05, 0.1]))
        else:
            if draw.random() < 0.1:
                caller.stop_reading()
                await asyncio.sleep(0.1)
                caller.read_on()
            await caller.until_end(PATIENCE_S)
        if caller.answer.whole or caller.answer.ended is not None:
            tally.answers.append((asked, caller.answer))
        else:
            tally.left += 1
    finally:
        caller.leave(reset=draw.random() < 0.5)


async def embed(side: PoolSide, draw: random.Random, tally: Tally) -> None:
    """Ask for embeddings, which may go out with others'."""
    count = draw.choice([1, 1, 2, 3])
    body = {"model": "sim-embed", "input": [f"text {draw.randrange(1000)}" for _ in range(count)]}
    fields = [("Authorization", "Bearer sk-one"), ("x-sidecar-tenant", "acme")]
    tally.vectors.append((count, await fetch(side.url, compose("/both/v1/embeddings", body, fields=fields))))


@contextlib.asynccontextmanager
async def two_providers(seed: int) -> AsyncIterator[tuple[list[Simulator], Ledger]]:
    """Run two providers that keep one account."""
    ledger = Ledger()
    running = [await start(profile=Profile(seed=seed + each, speed=15, faults=FAULTS), ledger=ledger, name=str(each)) for each in (0, 1)]
    try:
        yield running, ledger
    finally:
        for each in running:
            await each.stop()


async def shake(redis: RedisServer, draw: random.Random) -> None:
    """Be a Redis that nobody can rely on."""
    while True:
        await asyncio.sleep(draw.uniform(0.4, 0.8))
        if draw.random() < 0.5:
            redis.hang()
            await asyncio.sleep(0.3)
            redis.wake()
        else:
            await asyncio.to_thread(redis.kill)
            await asyncio.sleep(0.2)
            await asyncio.to_thread(redis.start)


@pytest.mark.parametrize("seed", SEEDS)
async def test_nobody_gets_anothers_answer_and_nothing_is_held(seed: int, tmp_path: Path) -> None:
    """Each call has one record, each upstream call is told once at most, and all that was taken has been given back."""
    draw, tally, questions = random.Random(seed), Tally(), list_questions()
    tasks, held = count_tasks(), count_held()
    with run_redis(tmp_path) as redis:
        async with two_providers(seed) as (providers, ledger):
            tokens = await learn_tokens(providers[0], questions)
            ledger.clear()
            settings = settle_on([each.url for each in providers], redis, tmp_path)
            async with running_settings(settings) as side:
                await torture(side, draw, tally, questions, redis)
                scrape = await side.settle()
                scrape = await side.until(lambda scrape: not scrape.sum("budget_reserved_usd"))
                check_answers(tally, ledger, tokens)
                check_records(side.records.all, tally)
                check_accounts(side.records.all, ledger)
                check_counters(scrape, side.records.all)
                await until_equal(count_held, held, f"objects of calls: {name_held()}")
            spent = json_sum(side.records.all)
        told = read_ledger((tmp_path / "ledger").read_bytes().splitlines(keepends=True))
        assert (told.damaged, told.state.open) == (0, [])
        day = sum(nano for (account, period), nano in told.state.spent.items() if account == "" and len(period) == 10)
        assert day / 1e9 >= spent - 1e-9
        await until_equal(count_tasks, tasks, f"tasks: {name_tasks()}")


async def torture(side: PoolSide, draw: random.Random, tally: Tally, questions: list[Question], redis: RedisServer) -> None:
    """Make all calls, some at a time."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def pass_gate() -> None:
        async with gate:
            await asyncio.sleep(draw.random() * 0.15)
            await make_call(side, draw, tally, questions)

    shaking = asyncio.create_task(shake(redis, random.Random(draw.random())))
    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(CALLS):
                group.create_task(pass_gate())
    finally:
        shaking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await shaking


async def learn_tokens(provider: Simulator, questions: list[Question]) -> dict[int, int]:
    """Return the provider's own count of each prompt, by its words."""
    found = {}
    for asked in questions:
        fields = [("Authorization", "Bearer sk-one"), ("x-sim-script", '{"tokens": 1, "ttft_ms": 0}')]
        answer = await fetch(provider.url, compose(asked.path, {**asked.body, "stream": False, "stream_options": None}, fields=fields))
        found[asked.words] = json.loads(answer.body)["usage"]["prompt_tokens"]
    assert len(set(found.values())) == len(questions)
    return found


def find_id(body: bytes) -> str:
    """Return the id of a chat answer, or of the first event of a stream."""
    text = body.removeprefix(b"data: ").split(b"\n\n")[0] if body.startswith(b"data: ") else body
    with contextlib.suppress(ValueError, TypeError):
        found = json.loads(text)["id"] if b'"choices"' in text else ""
        return str(found)
    return ""


def check_answers(tally: Tally, ledger: Ledger, tokens: dict[int, int]) -> None:
    """Every good answer was made for a prompt of that length: of that tenant and key, in that form."""
    entries = {entry.id: entry for entry in ledger.entries if entry.id}
    good, statuses = Counter[str](), Counter[str]()
    for asked, answer in tally.answers:
        body = bytes(answer.body)
        told = answer.field("x-sidecar-cache") or "none"
        statuses[f"{answer.status} {told}"] += 1
        if answer.status != 200:
            continue
        made_for = entries.get(find_id(body))
        if made_for is None:  # nothing came, or an error
            continue
        assert made_for.prompt_tokens == tokens[asked.words], f"made for another prompt: {told}"
        assert made_for.stream == bool(asked.body.get("stream"))
        if answer.whole:
            good[told] += 1
            # A stream of which nothing but its last mark is missing is no error (core.attempt.endings); it is not kept.
            is_ended = not made_for.stream or b"[DONE]" in body
            assert is_ended or b'"error"' in body or made_for.fault in (Fault.NO_DONE, Fault.CUT), (told, body[-300:])
            if told in ("hit", "stale"):
                assert is_ended, told
                assert made_for.is_good and made_for.fault in (
                    None,
                    Fault.TRICKLE,
                    Fault.SLOW_FIRST_TOKEN,
                    Fault.CLOSE_DELIMITED,
                    Fault.NO_DONE,
                ), made_for.fault
                assert b'"error"' not in body
            if made_for.is_good and "stream_options" in asked.body and b'"error"' not in body:
                assert len(body) == made_for.body_bytes, (told, made_for.fault)
    for count, answer in tally.vectors:
        if answer.status == 200 and answer.whole and b'"data"' in answer.body:  # else an error in its place
            good["vectors"] += 1
            assert [each["index"] for each in json.loads(answer.body)["data"]] == list(range(count))
    print(f"\n{dict(good)} {dict(statuses)}")
    assert all(good[each] > 5 for each in ("hit", "coalesced", "miss", "vectors")), good


def check_records(records: list[Record], tally: Tally) -> None:
    """One each; whoever did not pay has neither attempts nor usage, and says so."""
    by_id = Counter(record.id for record in records)
    assert set(by_id.values()) <= {1}
    assert len(tally.answers) + tally.left + len(tally.vectors) == CALLS
    for _, answer in tally.answers:
        assert not answer.request_id or by_id[answer.request_id] == 1
    for record in records:
        assert record.duration_s < PATIENCE_S
        if record.cache in ("hit", "coalesced"):
            assert record.attempts == () and record.usage is None and record.cost is None, record
        seen = record.seen
        assert all(moment is None or moment >= record.accepted for moment in (seen.first_chunk, seen.first_token, record.first_byte)), (
            record
        )


def check_accounts(records: list[Record], ledger: Ledger) -> None:
    """No upstream call is told twice, and each that came to a good end whose answer anybody had is told."""
    chats = [record for record in records if record.operation == "chat"]
    told = Counter(record.seen.response_id for record in chats if record.usage is not None)
    assert not [each for each, count in told.items() if count > 1], "an answer's usage is told twice"
    entries = {entry.id: entry for entry in ledger.entries if entry.id}
    for record in chats:
        if record.usage is not None and record.seen.response_id in entries:
            assert sum(record.usage) == _sum(entries[record.seen.response_id]), record
    answered = {record.seen.response_id for record in chats if record.ending == "completed" and record.status == 200}
    for each in answered - {None}:
        assert entries[each or ""].is_reported is False or told[each] == 1, "an answer that somebody had is on nobody's account"
    shares = sum((sum(record.usage or Usage()) for record in records if record.operation == "embeddings"), 0)
    embedded = [entry for entry in ledger.entries if entry.model == "sim-embed"]
    assert sum(map(_sum, embedded)) >= shares >= sum(_sum(entry) for entry in embedded if entry.is_good)
    attempts = [attempt for record in records for attempt in record.attempts]
    assert (
        sum(attempt.status is not None for attempt in attempts)
        <= len(ledger.entries)
        <= sum(attempt.sent is not None for attempt in attempts)
    )


def _sum(entry: Entry) -> int:
    told = entry.reported_tokens
    return told.prompt + told.completion if entry.is_reported else 0


def check_counters(scrape: Scrape, records: list[Record]) -> None:
    """What is counted is what happened."""
    assert scrape.sum("in_flight_requests") == 0
    assert scrape.count_by("requests_total", "ending") == Counter(record.ending.value for record in records)
    assert scrape.count_by("attempts_total", "outcome") == Counter(attempt.outcome for record in records for attempt in record.attempts)
    assert scrape.sum("cache_stale_total") == sum(record.cache == "stale" for record in records)
    assert scrape.sum("cache_hits_total") == sum(record.cache == "hit" and record.origin == "caller" for record in records)
    limited = Counter(record.limited for record in records if record.limited is not None)
    assert scrape.count_by("rate_limited_requests_total", "limit") == limited
    print(
        f"{dict(limited)} refreshed {scrape.count_by('cache_refreshes_total', 'outcome')}"
        f", shared {scrape.count_by('shared_commands_total', 'outcome')}, batches {scrape.sum('embedding_batches_total')}"
        f", detached {scrape.sum('coalescing_detached_total')}"
    )


def json_sum(records: list[Record]) -> float:
    """Return the US dollars of all records."""
    return sum(record.cost.usd for record in records if record.cost is not None)


def count_held() -> int:
    """Return how many objects there are that belong to calls in progress."""
    return sum(1 for _ in _list_held())


def name_held() -> Counter[str]:
    """Return what they are, for a message."""
    return Counter(type(each).__name__ for each in _list_held())


def _list_held() -> Iterator[object]:
    gc.collect()
    return (each for each in gc.get_objects() if isinstance(each, HELD))
