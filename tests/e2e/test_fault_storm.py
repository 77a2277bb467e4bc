"""Hundreds of calls at once, in every interface, over upstreams that fail at random: no call is lost, doubled, mixed up or left hanging."""

import asyncio
import time
from itertools import pairwise
from random import Random
from typing import Any, Final, NamedTuple

import pytest

from sidecar.config import Features, Hedging, Pool, Retries, Route, Settings, Strategy, Timeouts, Upstream
from sidecar.exchange import Record
from tests.rig.caller import Answer, compose, fetch
from tests.rig.faults import Cell, Fault, Phase, list_places, makes_sense, script_fault, script_good
from tests.rig.pools import PoolSide, configure, count_tasks, name_tasks, running_settings, until_equal, upstreams_of
from tests.rig.talks import TALKS, Talk
from tests.rig.upstream import Script, Visit
from tests.rig.upstream import Upstream as Told

CALLS: Final = 400
CALLERS: Final = 24
WORDS: Final = ("first", "second", "third")
FAULT_SHARE: Final = 0.5
TOTAL_S: Final = 4.0
TIMEOUTS: Final = Timeouts(first_byte=0.25, idle=0.25, total=TOTAL_S)
ATTEMPTS_MAX: Final = 3
PLACES: Final = [place for place in list_places() if place[1] not in (Phase.CONNECT, Phase.KEPT)]
VARIANTS: Final[dict[str, dict[str, Any]]] = {
    "failover": {"features": Features(probes=False, breakers=False)},
    "breakers": {"features": Features(probes=False)},
    "retries": {"features": Features(probes=False, breakers=False, retries=True)},
    "hedging": {
        "features": Features(probes=False, breakers=False, hedging=True),
        "hedging": Hedging(delay_min=0.02, calls_min=5, share_max=0.5, percentile=0.5),
    },
}


class Call(NamedTuple):
    """One call, and what its caller saw."""

    talk: Talk
    answer: Answer
    lasted_s: float
    record: Record


class Storm:
    """Upstreams that fail at random; the same each time for the same seed, as far as the order of calls is."""

    def __init__(self, upstreams: list[Told]) -> None:
        self._random = Random("storm")
        for upstream, word in zip(upstreams, WORDS, strict=True):
            upstream.otherwise = lambda visit, word=word: self._draw(visit, word)  # type: ignore[misc]

    def _draw(self, visit: Visit, word: str) -> Script:
        talk = next(talk for talk in TALKS if talk.path == visit.target and talk.request == bytes(visit.body))
        slow: list[bytes | float] = [self._random.choice((0, 0, 0.05))]
        if self._random.random() > FAULT_SHARE:
            return Script([*slow, *script_good(talk, word).steps])
        fault, phase = self._random.choice(PLACES)
        cell = Cell(fault, phase, talk)
        if not makes_sense(cell):
            return script_good(talk, word)
        script = script_fault(cell, word)
        return script if fault is Fault.TRICKLE else Script([*slow, *script.steps], script.end)


def settle(upstreams: list[Told], variant: dict[str, Any]) -> Settings:
    """Return settings with a pool of all three."""
    named = {word: Upstream(upstream.url, provider="openai") for word, upstream in zip(WORDS, upstreams, strict=True)}
    pools = {"all": Pool(WORDS, Strategy.LEAST_CONNECTIONS)}
    retries = Retries(attempts=ATTEMPTS_MAX, base=0.01, cap=0.05, budget_floor=1000.0)
    return configure(named, pools, [Route("/pool/", pool="all")], timeouts=TIMEOUTS, retries=retries, **variant)


async def make_calls(side: PoolSide) -> list[Call]:
    """Make the calls, so many at a time."""
    made: list[Call] = []
    numbers = iter(range(CALLS))

    async def work() -> None:
        for number in numbers:
            talk = TALKS[number % len(TALKS)]
            began = time.monotonic()
            answer = await fetch(side.url, compose(f"/pool{talk.path}", talk.request))
            made.append(Call(talk, answer, time.monotonic() - began, await side.records.of(answer.request_id)))

    async with asyncio.TaskGroup() as group:
        for _ in range(CALLERS):
            group.create_task(work())
    return made


def find_wrong(call: Call) -> str | None:
    """Return what is wrong with what a caller saw, against the record of the call."""
    answer, record = call.answer, call.record
    body, word = bytes(answer.body), answer.field("x-sidecar-upstream") or ""
    if answer.status >= 400:
        return None if answer.whole and record.status == answer.status else "a refusal that is not whole"
    if word != record.upstream:
        return f"said to come from {word}, recorded of {record.upstream}"
    spoken = call.talk.speak(word)
    if answer.whole:
        passed = body == spoken.opening + spoken.tokens[0] + call.talk.in_band or body == spoken.opening + call.talk.in_band
        expected = "in_band_error" if passed else "completed"
        if (body != spoken.body and not passed) or record.ending != expected:
            return f"whole, recorded as {record.ending}: {body!r}"
        return None
    if record.ending not in ("cut", "idle_timeout", "total_timeout"):
        return f"broken, recorded as {record.ending}"
    told = body if not call.talk.streamed else body[: max(body.rfind(b"\n\n{"), body.rfind(b'\n{"error'), body.rfind(b"\n\ndata: {"), 0)]
    others = [other for other in WORDS if other != word and other.encode() in body]
    if others or not spoken.body.startswith(told[:-20] if call.talk.streamed else told):
        return f"broken and not a beginning of {word}'s: {body!r}"
    return None


def find_wrong_attempts(record: Record, *, hedged: bool) -> str | None:
    """Return what is wrong with the attempts of a call: too many, one beside another, or a last one that is not the answer."""
    attempts = record.attempts
    if len(attempts) > ATTEMPTS_MAX:
        return f"{len(attempts)} attempts"
    if not hedged and any(later.started < earlier.ended for earlier, later in pairwise(attempts)):
        return "an attempt began before the one before it had ended"
    if sum(attempt.outcome == "completed" for attempt in attempts) > 1:
        return "completed twice"
    if attempts and record.ending == "completed" and not any(attempt.outcome == "completed" for attempt in attempts):
        return "completed by nobody"
    return None


@pytest.mark.parametrize("variant", VARIANTS)
async def test_a_storm(variant: str) -> None:
    """Every caller has one upstream's answer, an honest break, or one whole refusal; sums agree to the last call, and nothing is left."""
    async with upstreams_of(len(WORDS)) as upstreams:
        Storm(upstreams)
        async with running_settings(settle(upstreams, VARIANTS[variant])) as side:
            tasks, before = count_tasks(), name_tasks()
            calls = await make_calls(side)
            scrape = await side.settle()
            await until_equal(count_tasks, tasks, f"tasks ({name_tasks() - before})")
            wrong = [f"{call.talk.name} {call.record.id}: {found}" for call in calls if (found := find_wrong(call))]
            hedged = variant == "hedging"
            wrong += [f"{each.id}: {found}" for each in side.records.all if (found := find_wrong_attempts(each, hedged=hedged))]
            endings = {str(ending): count for ending, count in side.records.endings.items()}
            asked = sum(bool(each.attempts) for each in side.records.all)
            reached = {word: len(upstream.visits) for word, upstream in zip(WORDS, upstreams, strict=True)}
    print(variant, endings, reached, f"longest {max(call.lasted_s for call in calls):.2f} s")
    assert wrong == []
    assert len(calls) == len(side.records.all) == CALLS
    assert max(call.lasted_s for call in calls) < TOTAL_S * 1.05 + 0.2
    assert scrape.count_by("requests_total", "ending") == endings
    attempts = scrape.count_by("attempts_total", "upstream")
    lost = scrape.count_by("attempts_total", "upstream", outcome="hedge_lost")  # perhaps before they came to the upstream
    assert all(0 <= attempts.get(word, 0) - reached[word] <= lost.get(word, 0) for word in WORDS), (attempts, reached, lost)
    repeats = scrape.sum("failovers_total") + scrape.sum("retries_total")
    hedges = sum(count for outcome, count in scrape.count_by("hedges_total", "outcome").items() if outcome != "refused")
    assert sum(attempts.values()) == asked + repeats + hedges
    assert endings["completed"] > CALLS * (0.05 if variant == "breakers" else 0.5)
