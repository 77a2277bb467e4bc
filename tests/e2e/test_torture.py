"""Everything at once: faults at random, callers that leave, tiny limits, a queue, hedging, breakers and operators that flap.

What any one call comes to is left to chance; what must hold of every call, and of the sidecar afterwards, is not.
"""

import asyncio
import contextlib
import json
import random
import re
from collections import Counter
from collections.abc import AsyncIterator
from itertools import count
from typing import Any, Final

import pytest

from sidecar.config import (
    Balancing,
    Breaker,
    Features,
    Hedging,
    Limits,
    Pool,
    Probes,
    Queue,
    Retries,
    Route,
    Settings,
    Strategy,
    Timeouts,
    Upstream,
)
from sidecar.exchange import Record
from tests.rig.caller import Answer, Caller, compose, fetch
from tests.rig.faults import script_error
from tests.rig.pools import PoolSide, Scrape, configure, count_tasks, name_tasks, running_settings, until_equal, upstreams_of
from tests.rig.streams import write_chunk
from tests.rig.talks import BY_NAME, Talk
from tests.rig.upstream import Closed, End, Script, Visit
from tests.rig.upstream import Upstream as Told

SEEDS: Final = (1, 2)
CALLS: Final = 500
AT_ONCE: Final = 32
TOTAL_S: Final = 2.0
PATIENCE_S: Final = TOTAL_S + 3.0  # for one call: more than all its deadlines, on a busy machine
ATTEMPTS: Final = 4
CONCURRENCY: Final = 12
TALKS: Final = tuple(BY_NAME[name] for name in ("openai_stream", "openai_whole", "anthropic_stream", "anthropic_whole"))
WORD: Final = re.compile(rb"w\d+z")
OPERATED: Final = ("auto", "auto", "open", "closed", "disabled")
LEVELS: Final = ("pending", "in_use")


class Fickle:
    """What an upstream does next: anything. No two answers share a word."""

    def __init__(self, draw: random.Random) -> None:
        self._draw = draw
        self._numbers = count()
        self.good_only = False
        self.hold_s = 0.0
        self.spoken: dict[bytes, bytes] = {}  # by its word, what was, or would have been, the whole of an answer

    def __call__(self, visit: Visit) -> Script:
        """Return what is done on one request."""
        talk = next((each for each in TALKS if each.request == bytes(visit.body)), None)
        if visit.method != "POST" or talk is None:
            return Script([b"HTTP/1.1 %d Probed\r\nContent-Length: 0\r\n\r\n" % (200 if self.good_only else self._draw.choice([200, 500]))])
        if self.good_only:
            return Script([self.hold_s, *self._speak(talk)])
        return self._misbehave(talk) if self._draw.random() < 0.35 else Script([*self._dally(), *self._speak(talk)])

    def _dally(self) -> list[bytes | float]:
        return [self._draw.choice([0.0, 0.0, 0.01, 0.05, 0.2])]

    def _speak(self, talk: Talk, *, padding: bytes = b"") -> list[bytes | float]:
        word = f"w{next(self._numbers)}z"
        spoken = talk.speak(word)
        pieces = [piece for piece in (padding, spoken.opening, *spoken.tokens, spoken.ending) if piece]
        self.spoken[word.encode()] = b"".join(pieces)
        head = b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\nTransfer-Encoding: chunked\r\n\r\n" % talk.media_type.encode()
        steps: list[bytes | float] = [head]
        for piece in pieces:
            steps += [write_chunk(piece), self._draw.choice([0.0, 0.0, 0.002, 0.03])]
        return [*steps, b"0\r\n\r\n"]

    def _misbehave(self, talk: Talk) -> Script:
        draw = self._draw
        match draw.randrange(9):
            case 0:
                fields = draw.choice(
                    [b"", b"Retry-After: 0\r\n", b"Retry-After: 1\r\n", b"Retry-After: soon\r\n", b"retry-after-ms: 30\r\n"]
                )
                return script_error(talk, draw.choice([429, 503]), fields)
            case 1:
                return script_error(talk, draw.choice([400, 401, 404, 500, 529]))
            case 2:
                return Script(self._dally(), draw.choice([End.RST, End.FIN, End.HALF, End.HANG]))
            case 3:
                return Script([b"\x16\x03\x01 this is not HTTP\r\n\r\n"], End.HANG)
            case 4 if talk.streamed:
                word_of = self._speak(talk)
                return Script([*word_of[:3], write_chunk(talk.in_band), b"0\r\n\r\n"])
            case 5 if talk.streamed:  # more than is ever held back, before anything is said
                return Script(self._speak(talk, padding=b": " + b"x" * draw.choice([1_000, 65_536, 200_000]) + b"\n\n"))
            case 6:  # an error that never ends
                return Script([b"HTTP/1.1 500 Failed\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"], End.HANG)
            case _:
                steps = self._speak(talk)
                return Script(steps[: draw.randrange(1, len(steps))], draw.choice([End.RST, End.FIN, End.HANG]))


class Tally:
    """What the callers saw."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self.left = 0
        self.unborn = 0  # left before the sidecar can have known of them


async def make_call(side: PoolSide, draw: random.Random, tally: Tally) -> None:
    """Make one call as somebody might: impatient, urgent, picky, slow to read, or gone in the middle."""
    talk = draw.choice(TALKS)
    fields = [("Authorization", f"Bearer sk-{draw.randrange(3)}")]
    for name, values in {
        "x-sidecar-timeout": ["0.02", "0.1", "0.4"], "x-sidecar-urgency": ["low", "high"], "x-sidecar-exclude": ["a", "b,c", "d"],
        "x-sidecar-prefer": ["a", "d", "nobody"], "x-sidecar-max-response-time": ["0.001", "1"], "x-sidecar-min-reliability": ["0.9"],
    }.items():  # fmt: skip
        if draw.random() < 0.12:
            fields.append((name, draw.choice(values)))
    route = draw.choice(["/robin", "/least", "/best", "/learning", "/a", "/b", "/d"])
    caller = await Caller.connect(side.url)
    try:
        caller.send(compose(route + talk.path, talk.request, fields=fields))
        if draw.random() < 0.2:
            with contextlib.suppress(TimeoutError):
                await caller.until_end(draw.choice([0.005, 0.05, 0.2, 0.4]))
        elif draw.random() < 0.1:
            caller.stop_reading()
            await asyncio.sleep(0.05)
            caller.read_on()
            await caller.until_end(PATIENCE_S)
        else:
            await caller.until_end(PATIENCE_S)
        if caller.answer.whole or caller.answer.ended is not None:
            tally.answers.append(caller.answer)
        else:
            tally.left += 1
    finally:
        caller.leave(reset=draw.random() < 0.5)


async def operate(side: PoolSide, draw: random.Random) -> None:
    """Be an operator who cannot decide."""
    while True:
        await asyncio.sleep(0.15)
        await force(side, draw.choice("abcd"), draw.choice(OPERATED))


async def force(side: PoolSide, upstream: str, value: str) -> None:
    """Force a breaker, or leave it to itself."""
    asked = compose(f"/api/upstreams/{upstream}/breaker", {"force": value})
    assert (await fetch(side.admin_url, asked.replace(b"Host: sidecar", b"Host: 127.0.0.1"))).status == 200


async def describe(side: PoolSide) -> list[dict[str, Any]]:
    """Return what the admin port says of each upstream."""
    told = json.loads((await fetch(side.admin_url, compose("/api/upstreams", method="GET"))).body)
    found: list[dict[str, Any]] = told if isinstance(told, list) else told["upstreams"]
    return found


@contextlib.asynccontextmanager
async def refusing() -> AsyncIterator[Closed]:
    """Have an address at which nobody listens."""
    closed = Closed()
    try:
        yield closed
    finally:
        closed.close()


def settle_on(upstreams: list[Told], dead: Closed) -> Settings:
    """Return settings with which everything happens all the time."""
    urls = [*(upstream.url for upstream in upstreams), dead.url]
    names = ("a", "b", "c", "d")
    more: dict[str, dict[str, Any]] = {"a": {"adaptive_concurrency": True}, "b": {"weight": 3.0}, "c": {"quality": 0.5}, "d": {}}
    strategies = {
        "robin": Strategy.WEIGHTED,
        "least": Strategy.LEAST_CONNECTIONS,
        "best": Strategy.PERFORMANCE,
        "learning": Strategy.ADAPTIVE,
    }
    return configure(
        {
            name: Upstream(url, provider="openai", connections=4, concurrency=5, keep_alive=0.3, **more[name])
            for name, url in zip(names, urls, strict=True)
        },
        {pool: Pool(names, strategy) for pool, strategy in strategies.items()},
        [*(Route(f"/{pool}/", pool=pool) for pool in strategies), *(Route(f"/{name}/", name) for name in names)],
        timeouts=Timeouts(connect=0.3, first_byte=0.25, idle=0.3, total=TOTAL_S),
        limits=Limits(concurrency=CONCURRENCY),
        queue=Queue(size=10, wait=0.3),
        retries=Retries(attempts=ATTEMPTS, base=0.005, cap=0.05, wait_max=0.1, budget_floor=100.0),
        hedging=Hedging(percentile=0.5, delay_min=0.01, calls_min=3, share_max=0.5),
        breaker=Breaker(consecutive=5, error_share=0.7, calls_min=10, window=0.5, slow=0.2, open=0.03, open_max=0.1, probes=2, successes=2),
        balancing=Balancing(penalty=0.1, ejection=0.1, slow_start=0.1),
        probes=Probes(interval=0.2, timeout=0.1),
        features=Features(retries=True, hedging=True),
    )


@pytest.mark.parametrize("seed", SEEDS)
async def test_whatever_happens_nothing_is_lost_doubled_or_kept(seed: int) -> None:
    """Each call has one record and at most one upstream's bytes; afterwards every level is back at zero, and all is taken again."""
    draw = random.Random(seed)
    async with upstreams_of(3) as upstreams, refusing() as dead, running_settings(settle_on(upstreams, dead)) as side:
        fickle = Fickle(draw)
        for upstream in upstreams:
            upstream.otherwise = fickle
        tasks = count_tasks()
        tally = await _torture(side, draw)
        scrape = await side.settle()
        assert [(one["name"], one[level]) for one in await describe(side) for level in LEVELS if one[level]] == []
        assert scrape.sum("in_flight_requests") == 0
        _check_answers(tally, fickle)
        _check_records(side.records.all, tally)
        _check_counters(scrape, side.records.all)
        _check_upstreams(upstreams, side.records.all)
        await _check_all_is_taken_again(side, fickle)
        await until_equal(count_tasks, tasks, f"tasks: {name_tasks()}")


async def _torture(side: PoolSide, draw: random.Random) -> Tally:
    tally = Tally()
    gate = asyncio.Semaphore(AT_ONCE)

    async def pass_gate() -> None:
        async with gate:
            await asyncio.sleep(draw.random() * 0.08)
            await make_call(side, draw, tally)

    operator = asyncio.create_task(operate(side, draw))
    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(CALLS):
                group.create_task(pass_gate())
    finally:
        operator.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await operator
    for name in "abcd":
        await force(side, name, "auto")
    return tally


def _check_answers(tally: Tally, fickle: Fickle) -> None:
    assert len(tally.answers) + tally.left == CALLS
    good = 0
    for answer in tally.answers:
        body = bytes(answer.body)
        words = set(WORD.findall(body))
        assert len(words) <= 1, f"two answers in one: {body!r}"
        if answer.status != 200 or not words:
            continue
        spoken = fickle.spoken[words.pop()]
        if answer.whole:
            is_failed = b"overloaded" in body
            assert is_failed or body == spoken, f"{body!r} is not what was said: {spoken!r}"
            good += not is_failed
        else:  # what came first is what was said, and all that may follow is our own word for the end
            same = next(
                (at for at, (one, other) in enumerate(zip(body, spoken, strict=False)) if one != other), min(len(body), len(spoken))
            )
            assert not WORD.search(body, same), f"bytes that nobody said, or twice: {body!r}"
    assert good > CALLS // 10, "hardly a call came through: that tests nothing"


def _check_records(records: list[Record], tally: Tally) -> None:
    by_id = Counter(record.id for record in records)
    assert set(by_id.values()) <= {1}
    assert len(tally.answers) <= len(records) <= CALLS
    for answer in tally.answers:
        assert not answer.request_id or by_id[answer.request_id] == 1
    for record in records:
        attempts = record.attempts
        assert len(attempts) <= ATTEMPTS, record
        assert record.duration_s < PATIENCE_S
        assert all(attempt.ended <= record.ended for attempt in attempts)
        if record.first_byte is not None:
            assert all(attempt.started <= record.first_byte for attempt in attempts), f"tried again after the first byte: {record}"
        assert all(attempt.cause is not None or attempt.outcome == "hedge_lost" for attempt in attempts[:-1]) or any(
            attempt.hedge for attempt in attempts
        ), f"an attempt that failed for no reason: {attempts}"


def _check_counters(scrape: Scrape, records: list[Record]) -> None:
    """What is counted is what happened."""
    attempts = [attempt for record in records for attempt in record.attempts]
    assert scrape.count_by("requests_total", "ending") == Counter(record.ending.value for record in records)
    assert scrape.count_by("attempts_total", "outcome") == Counter(attempt.outcome for attempt in attempts)
    hedges = scrape.count_by("hedges_total", "outcome")
    assert hedges.get("won", 0) + hedges.get("lost", 0) + hedges.get("failed", 0) == sum(attempt.hedge for attempt in attempts)
    again = sum(max(0, sum(not attempt.hedge for attempt in record.attempts) - 1) for record in records)
    assert scrape.sum("failovers_total") + scrape.sum("retries_total") == again
    assert scrape.count_by("shed_requests_total", "reason") == Counter(record.shed for record in records if record.shed is not None)
    assert all(record.ending == "overloaded" for record in records if record.shed is not None)


def _check_upstreams(upstreams: list[Told], records: list[Record]) -> None:
    """Nobody was asked more often than is told, or answered without having been asked."""
    for name, upstream in zip("abc", upstreams, strict=True):
        attempts = [attempt for record in records for attempt in record.attempts if attempt.upstream == name]
        visits = sum(visit.method == "POST" for visit in upstream.visits)
        assert sum(attempt.status is not None for attempt in attempts) <= visits <= sum(attempt.sent is not None for attempt in attempts)


async def _check_all_is_taken_again(side: PoolSide, fickle: Fickle) -> None:
    """No slot is lost, no breaker locked: as many calls as there is room for are let in at once, with nobody waiting."""
    fickle.good_only = True
    talk = BY_NAME["openai_stream"]
    async with asyncio.timeout(PATIENCE_S):
        while any(one["breaker"] != "closed" for one in await describe(side) if one["name"] != "d"):
            for route in ("/a", "/b", "/c"):
                await fetch(side.url, compose(route + talk.path, talk.request))
            await asyncio.sleep(0.01)
    await side.settle()
    fickle.hold_s = 0.15
    before = len(side.records.all)
    calls = [fetch(side.url, compose(f"/{'abc'[at % 3]}{talk.path}", talk.request)) for at in range(CONCURRENCY)]
    answers = await asyncio.gather(*calls)
    assert [answer.status for answer in answers] == [200] * CONCURRENCY
    after = side.records.all[before:]
    assert [record.queued_s for record in after] == [0.0] * CONCURRENCY, "room is lost"
