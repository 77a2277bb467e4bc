"""A pool of two upstreams of which the first fails: every fault at every place of every interface, streamed and whole.

Three accounts must agree of each call: what its caller saw, what each upstream did, and what the sidecar counted. The calls of
one fault at one place, one for each interface, are made side by side through one sidecar, each with a pool of its own.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Final, NamedTuple

import pytest

from sidecar.config import Pool, Retries, Route, Settings, Strategy, Timeouts, Upstream
from tests.rig.caller import Answer, compose, fetch
from tests.rig.faults import (
    CONNECT_S,
    FIRST_BYTE_S,
    IDLE_S,
    Cell,
    Fate,
    Fault,
    Phase,
    expect,
    list_places,
    makes_sense,
    script_fault,
    script_good,
)
from tests.rig.pools import PoolSide, Scrape, configure, count_tasks, name_tasks, running_settings, until_equal, upstreams_of
from tests.rig.talks import TALKS
from tests.rig.upstream import BlackHole, Closed, Untrusted, Visit
from tests.rig.upstream import Upstream as Told

FAILOVER_S: Final = 0.1
DEADLINE_SHARE: Final = 0.05
TRIES: Final = 3  # of a place where nothing was wrong but the time: others use this machine too
TIMEOUTS: Final = Timeouts(connect=CONNECT_S, first_byte=FIRST_BYTE_S, idle=IDLE_S, total=10)
# Of a budget that many calls at once would use up there are tests of their own.
RETRIES: Final = Retries(budget_floor=1000.0)
PLACES: Final = list_places()


class Place(NamedTuple):
    """What a cell runs on."""

    cell: Cell
    first: Told  # of a fault of connecting it is never reached
    second: Told

    @property
    def route(self) -> str:
        """The route's name, which is the talk's."""
        return self.cell.talk.name

    @property
    def names(self) -> tuple[str, str]:
        """The names of both upstreams."""
        return f"{self.route}-first", f"{self.route}-second"

    def ask(self) -> bytes:
        """The request."""
        talk = self.cell.talk
        return compose(f"/{self.route}{talk.path}", talk.request)


class Seen(NamedTuple):
    """What a caller saw, and when."""

    asked_at: float
    answer: Answer
    greeted_at: float | None = None  # a handshake began that came to nothing


@contextlib.asynccontextmanager
async def dead_end(fault: Fault) -> AsyncIterator[Closed | BlackHole | Untrusted]:
    """An address at which no connection comes about."""
    async with contextlib.AsyncExitStack() as stack:
        if fault is Fault.REFUSE:
            closed = Closed()
            stack.callback(closed.close)
            yield closed
        elif fault is Fault.BLACK_HOLE:
            hole = BlackHole()
            stack.callback(hole.close)
            yield hole
        else:
            untrusted = Untrusted()
            await untrusted.start()
            stack.push_async_callback(untrusted.stop)
            yield untrusted


def settle(places: list[Place], nowhere: str | None) -> Settings:
    """Return settings with a pool for each cell. One call at a time at each upstream: a slot that is not given back is missed."""
    upstreams: dict[str, Upstream] = {}
    pools, routes = {}, []
    for place in places:
        first, second = place.names
        provider = place.cell.talk.provider
        upstreams[first] = Upstream(nowhere or place.first.url, provider=provider, weight=1000, concurrency=1)
        upstreams[second] = Upstream(place.second.url, provider=provider, weight=0.001, concurrency=1)
        pools[place.route] = Pool((first, second), Strategy.WEIGHTED)
        routes.append(Route(f"/{place.route}/", pool=place.route))
    return configure(upstreams, pools, routes, timeouts=TIMEOUTS, retries=RETRIES)


async def visit(place: Place, side: PoolSide) -> Seen:
    """Make the cell's call, after one that goes well where the connection is to be a kept one."""
    talk = place.cell.talk
    place.second.otherwise = lambda visit: script_good(talk, "second")
    if place.cell.phase is Phase.KEPT:
        place.first.otherwise = lambda visit: script_good(talk, "first")
        answer = await fetch(side.url, place.ask())
        assert (answer.status, bytes(answer.body)) == (200, talk.speak("first").body)
    if place.cell.phase is not Phase.CONNECT:
        place.first.otherwise = lambda visit: script_fault(place.cell)
    asked_at = time.monotonic()
    return Seen(asked_at, await fetch(side.url, place.ask()))


class Result(NamedTuple):
    """What was wrong with a cell: whatever it was, and apart what was only late."""

    wrong: list[str]
    late: list[str]


def judge(place: Place, seen: Seen, scrape: Scrape) -> Result:
    """Compare the three accounts of a cell."""
    expected = expect(place.cell)
    warm = 1 if place.cell.phase is Phase.KEPT else 0
    failed = place.first.visits[warm:]
    wrong, late = [], []
    match expected.fate:
        case Fate.FAILOVER:
            wrong += check_failover(place, seen.answer, failed)
            late += check_time(place, seen, failed, expected.after_s)
        case Fate.BROKEN:
            wrong += check_broken(place, seen.answer, expected.outcomes)
        case Fate.PASSED:
            wrong += check_passed(place, seen.answer, failed)
    wrong += check_counts(place, scrape, expected.fate, expected.outcomes, warm)
    wrong += check_attempts(place, seen.answer, scrape, warm)
    return Result([f"{place.cell}: {each}" for each in wrong], [f"{place.cell}: {each}" for each in late])


def check_failover(place: Place, answer: Answer, failed: list[Visit]) -> list[str]:
    """The second upstream's answer, whole and once, and not a byte of the first's."""
    wrong = []
    good = place.cell.talk.speak("second").body
    if (answer.status, answer.whole) != (200, True) or bytes(answer.body) != good:
        wrong.append(f"shown {answer.status}, whole: {answer.whole}, {bytes(answer.body[:300])!r}")
    if answer.field("x-sidecar-upstream") != place.names[1]:
        wrong.append(f"said to come from {answer.field('x-sidecar-upstream')}")
    if len(place.second.visits) != 1:
        wrong.append(f"the second upstream was asked {len(place.second.visits)} times")
    if place.cell.phase is not Phase.CONNECT and len(failed) != 1:
        wrong.append(f"the first upstream was asked {len(failed)} times")
    if any(each.closed_at is None for each in failed) and place.cell.fault not in (Fault.RATE_LIMITED, Fault.SERVER_ERROR, Fault.IN_BAND):
        wrong.append("the connection to the first upstream is still open")
    return wrong


def check_time(place: Place, seen: Seen, failed: list[Visit], after_s: float | None) -> list[str]:
    """The second upstream had the call within FAILOVER_S of the failure; a deadline struck in time."""
    if not place.second.visits or after_s is None:
        return []
    begun_at = place.second.visits[0].begun_at
    if place.cell.phase is Phase.CONNECT:
        failed_at = seen.greeted_at or seen.asked_at + after_s
    elif not failed:
        return []
    elif after_s:
        failed_at = failed[0].begun_at + after_s
    else:
        failed_at = failed[-1].ended_at or failed[-1].begun_at
    late = []
    if begun_at - failed_at > FAILOVER_S:
        late.append(f"the second upstream had the call {(begun_at - failed_at) * 1000:.0f} ms after the failure")
    if after_s and begun_at - failed_at < -after_s * DEADLINE_SHARE:
        late.append(f"given up {(failed_at - begun_at) * 1000:.0f} ms before the deadline")
    return late


def check_broken(place: Place, answer: Answer, endings: frozenset[str]) -> list[str]:
    """What the first upstream sent, then no clean end; in a stream an error that says why. Nobody else was asked."""
    wrong = []
    good = place.cell.talk.speak("first").body
    body = bytes(answer.body)
    common = next((place for place, (one, two) in enumerate(zip(body, good, strict=False)) if one != two), min(len(body), len(good)))
    if answer.status != 200 or answer.whole:
        wrong.append(f"shown {answer.status}, whole: {answer.whole}, {body[:300]!r}")
    rest = body[common:]
    told = b"idle_timeout" if "idle_timeout" in endings else b"stream_cut"
    if place.cell.talk.streamed and (told not in rest or not common):
        wrong.append(f"within the stream stands {rest!r} after {common} bytes")
    if not place.cell.talk.streamed and rest:
        wrong.append(f"within the answer stands {rest!r}")
    return wrong + check_second_left_alone(place)


def check_passed(place: Place, answer: Answer, failed: list[Visit]) -> list[str]:
    """The first upstream's answer as it came. Nobody else was asked."""
    wrong = []
    talk = place.cell.talk
    spoken = talk.speak("first")
    expected = spoken.opening + spoken.tokens[0] + talk.in_band if place.cell.fault is Fault.IN_BAND else spoken.body
    if (answer.status, answer.whole, bytes(answer.body)) != (200, True, expected):
        wrong.append(f"shown {answer.status}, whole: {answer.whole}, {bytes(answer.body)!r}")
    if len(failed) != 1:
        wrong.append(f"the first upstream was asked {len(failed)} times")
    return wrong + check_second_left_alone(place)


def check_second_left_alone(place: Place) -> list[str]:
    """No other attempt after the first byte."""
    return [f"the second upstream was asked {len(place.second.visits)} times"] if place.second.visits else []


def check_counts(place: Place, scrape: Scrape, fate: Fate, outcomes: frozenset[str], warm: int) -> list[str]:
    """What the sidecar counted is what happened."""
    wrong = []
    first, second = place.names
    ending = "completed" if fate is Fate.FAILOVER else next(iter(outcomes))
    endings = {"completed": warm} if warm else {}
    endings[ending] = endings.get(ending, 0) + 1
    if scrape.count_by("requests_total", "ending", route=place.route) != endings:
        wrong.append(f"requests counted as {scrape.count_by('requests_total', 'ending', route=place.route)}, were {endings}")
    attempts = scrape.count_by("attempts_total", "outcome", upstream=first)
    if warm:
        attempts["completed"] = attempts.get("completed", 0) - warm
    attempts = {outcome: count for outcome, count in attempts.items() if count}
    if not attempts or not attempts.keys() <= outcomes:
        wrong.append(f"attempts at the first upstream counted as {attempts}, expected {sorted(outcomes)}")
    if place.cell.phase is not Phase.CONNECT and sum(attempts.values()) != len(place.first.visits) - warm:
        wrong.append(f"attempts at the first upstream counted as {attempts}, it was asked {len(place.first.visits) - warm} times")
    answered = {"completed": 1} if fate is Fate.FAILOVER else {}
    if scrape.count_by("attempts_total", "outcome", upstream=second) != answered:
        wrong.append(f"attempts at the second upstream: {scrape.count_by('attempts_total', 'outcome', upstream=second)}, were {answered}")
    failovers = scrape.sum("failovers_total", **{"from": first, "to": second})
    if failovers != len(answered):
        wrong.append(f"{failovers:g} failovers counted, were {len(answered)}")
    if scrape.sum("failovers_total", **{"from": second}):
        wrong.append("a failover from the second upstream was counted")
    return wrong


def check_attempts(place: Place, answer: Answer, scrape: Scrape, warm: int) -> list[str]:
    """The caller is told how many attempts there were."""
    made = sum(scrape.sum("attempts_total", upstream=name) for name in place.names) - warm
    told = answer.field("x-sidecar-attempts")
    return [] if told == f"{made:g}" else [f"the caller was told of {told} attempts, {made:g} were counted"]


async def check_afterwards(places: list[Place], side: PoolSide) -> list[str]:
    """Both upstreams can be asked again, and the first is preferred again: nothing of theirs is held."""
    wrong = []
    for place in places:
        talk = place.cell.talk
        if place.cell.phase is not Phase.CONNECT:
            place.first.otherwise = lambda visit, talk=talk: script_good(talk, "first")  # type: ignore[misc]
        expected = place.names[1] if place.cell.phase is Phase.CONNECT else place.names[0]
        for _ in range(1 if place.cell.fault is Fault.BLACK_HOLE else 2):
            answer = await fetch(side.url, place.ask())
            if not answer.whole or answer.status != 200 or answer.field("x-sidecar-upstream") != expected:
                wrong.append(f"{place.cell}: afterwards {answer.status} from {answer.field('x-sidecar-upstream')}")
    return wrong


async def run_cells(cells: list[Cell]) -> Result:
    """Make the calls of some cells side by side; return all that was wrong."""
    async with contextlib.AsyncExitStack() as stack:
        upstreams = await stack.enter_async_context(upstreams_of(2 * len(cells)))
        places = [Place(cell, *upstreams[2 * number : 2 * number + 2]) for number, cell in enumerate(cells)]
        connects = cells[0].phase is Phase.CONNECT
        nowhere = await stack.enter_async_context(dead_end(cells[0].fault)) if connects else None
        side = await stack.enter_async_context(running_settings(settle(places, None if nowhere is None else nowhere.url)))
        tasks, before = count_tasks(), name_tasks()
        sights = await asyncio.gather(*(visit(place, side) for place in places))
        scrape = await side.settle()
        result = Result([], [])
        greeted_at = nowhere.greeted_at if isinstance(nowhere, Untrusted) else None
        for place, seen in zip(places, sights, strict=True):
            one = judge(place, seen._replace(greeted_at=greeted_at), scrape)
            result.wrong.extend(one.wrong)
            result.late.extend(one.late)
        try:
            await until_equal(count_tasks, tasks, "tasks")
        except AssertionError as error:
            result.wrong.append(f"{error}: {name_tasks() - before}")
        result.wrong.extend(await check_afterwards(places, side))
        await side.settle()
    return result


async def run_apart(cells: list[Cell]) -> Result:
    """Run one cell after the other: to read the trusted authorities takes long, and each upstream does it for itself."""
    results = [await run_cells([cell]) for cell in cells]
    return Result([each for result in results for each in result.wrong], [each for result in results for each in result.late])


@pytest.mark.parametrize(("fault", "phase"), PLACES, ids=[f"{fault}-{phase}" for fault, phase in PLACES])
async def test_a_fault_costs_no_call_but_one_that_has_begun(fault: Fault, phase: Phase) -> None:
    """Before the first token another upstream answers, once and at once; after it the caller sees what there was, and that it broke."""
    cells = [cell for talk in TALKS if makes_sense(cell := Cell(fault, phase, talk))]
    for left in reversed(range(TRIES)):
        result = await run_apart(cells) if fault is Fault.TLS else await run_cells(cells)
        print(*result.wrong, *result.late, sep="\n")
        assert result.wrong == []
        if not result.late:
            return
        late = {each.split(":")[0] for each in result.late}
        cells = [cell for cell in cells if cell.talk.name in late]
        assert left, result.late


def test_the_matrix_is_whole() -> None:
    """Twelve faults and one, six places, four interfaces, streamed and whole."""
    faults, phases = {fault for fault, _ in PLACES}, {phase for _, phase in PLACES}
    assert faults == set(Fault) and phases == set(Phase)
    cells = [cell for fault, phase in PLACES for talk in TALKS if makes_sense(cell := Cell(fault, phase, talk))]
    assert len(cells) >= 288
    assert len({talk.provider for talk in TALKS}) == 4
