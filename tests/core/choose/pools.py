"""Pools to practise on: settings, the parts beside choosing, and a simulation on a virtual clock."""

from collections.abc import Callable, Sequence
from heapq import heappop, heappush
from random import Random
from typing import NamedTuple

from sidecar.config import Balancing, Breaker, Features, ModelGroup, Pool, Settings, Strategy, Upstream
from sidecar.core.choose.breakers import Breakers
from sidecar.core.choose.holds import Holds
from sidecar.core.choose.needs import NO_NEEDS, Grant, Needs
from sidecar.core.choose.rosters import Seat
from sidecar.core.choose.routing import Routing
from sidecar.core.choose.verdicts import Verdict
from sidecar.decision import Decision


class Slots:
    """Slots as core.admit keeps them, without a queue. Taking more than there are, or giving back what was not taken, fails."""

    def __init__(self, limits: dict[str, int]) -> None:
        self.limits = limits
        self.taken = dict.fromkeys(limits, 0)

    def has_room(self, upstream: str) -> bool:
        """Whether a call could begin."""
        return self.taken[upstream] < self.limits[upstream]

    def try_take(self, upstream: str, now: float) -> bool:
        if not self.has_room(upstream):
            return False
        self.take(upstream, now)
        return True

    def take(self, upstream: str, now: float) -> None:
        """Reserve a slot."""
        assert self.has_room(upstream)
        self.taken[upstream] += 1

    def release(self, upstream: str, now: float) -> None:
        """Give a slot back."""
        assert self.taken[upstream] > 0
        self.taken[upstream] -= 1

    def limit(self, upstream: str) -> int:
        """Return how many there are."""
        return self.limits[upstream]

    def in_use(self, upstream: str) -> int:
        """Return how many are taken."""
        return self.taken[upstream]


class Rig:
    """A pool named "chat" with everything around it, at one moment."""

    def __init__(
        self,
        upstreams: dict[str, Upstream],
        strategy: Strategy = Strategy.ROUND_ROBIN,
        *,
        balancing: Balancing | None = None,
        breaker: Breaker | None = None,
        breakers: bool = True,
        seed: int = 0,
    ) -> None:
        self.names = tuple(upstreams)
        self.settings = Settings(
            upstreams=upstreams,
            pools={"chat": Pool(self.names, strategy)},
            balancing=balancing or Balancing(),
            breaker=breaker or Breaker(),
            features=Features(breakers=breakers),
        )
        self.random = Random(seed)
        self.now = 1000.0
        self.breakers = Breakers(self.settings, self.random.random, lambda _: None)
        self.holds = Holds()
        self.slots = Slots({name: upstream.concurrency or upstream.connections for name, upstream in upstreams.items()})
        self.routing = Routing(self.settings, self.breakers, self.holds, self.slots, self.random.random)

    def decide(self, needs: Needs = NO_NEEDS) -> Decision:
        """Decide for a call of the pool."""
        return self.routing.decide("chat", self.names, needs, self.now)

    def ask(self, model: str) -> Needs:
        """Return the needs of a call for a model."""
        return Needs(model=model)

    def seat_of(self, name: str) -> Seat:
        """Return an upstream's seat in the pool, without asking for anything."""
        roster = self.routing._find_roster("chat", self.names, None)
        return next(seat for seat in roster.seats if seat.standing.post.name == name)

    def begin(self, needs: Needs = NO_NEEDS) -> Grant:
        """Decide and begin; somebody must be there."""
        grant = self.routing.begin(self.decide(needs), needs, self.now)
        assert grant is not None
        return grant

    def begin_at(self, name: str) -> Grant:
        """Begin at this very upstream, past all policy."""
        others = frozenset(self.names) - {name}
        return self.begin(Needs(tried=others))

    def settle(self, grant: Grant, verdict: Verdict = Verdict.SUCCESS, response_time_s: float | None = 1.0) -> None:
        """Settle a call."""
        self.routing.settle(grant, verdict, self.now, response_time_s=response_time_s)

    def call(self, verdict: Verdict = Verdict.SUCCESS, response_time_s: float | None = 1.0, needs: Needs = NO_NEEDS) -> str:
        """Make a whole call that takes no time on the clock; return who was asked."""
        grant = self.begin(needs)
        self.settle(grant, verdict, response_time_s)
        return grant.upstream

    def call_at(self, name: str, verdict: Verdict = Verdict.SUCCESS, response_time_s: float | None = 1.0) -> None:
        """Make a whole call at this very upstream."""
        self.settle(self.begin_at(name), verdict, response_time_s)

    def fail_at(self, name: str, times: int) -> None:
        """Let calls at this upstream fail."""
        for _ in range(times):
            self.call_at(name, Verdict.FAILURE, None)

    def reason_of(self, name: str, decision: Decision) -> str | None:
        """Return why an upstream could not be chosen."""
        return next(candidate.reason for candidate in decision.candidates if candidate.upstream == name)


class Behaviour(NamedTuple):
    """How a simulated upstream answers: after how many seconds, and with what."""

    takes_s: Callable[[Random], float]
    ends: Callable[[Random], Verdict] = lambda _: Verdict.SUCCESS
    is_answer: bool = True  # a true one, with a time


def steady(takes_s: float) -> Behaviour:
    """Return an upstream that answers after so many seconds, give or take a tenth."""
    return Behaviour(lambda random: takes_s * (0.9 + 0.2 * random.random()))


def failing(takes_s: float, share: float = 1.0, answers_s: float = 1.0) -> Behaviour:
    """Return an upstream that fails a share of its calls, each after so many seconds, and answers the others later."""
    fate: list[bool] = []

    def takes(random: Random) -> float:
        fate.append(random.random() < share)
        return takes_s if fate[-1] else answers_s * (0.9 + 0.2 * random.random())

    return Behaviour(takes, lambda _: Verdict.FAILURE if fate.pop() else Verdict.SUCCESS)


def simulate(
    rig: Rig, behaviours: dict[str, Behaviour], *, calls: int, every_s: float, seed: int = 1, needs: Needs = NO_NEEDS
) -> dict[str, int]:
    """Let calls come at random moments, so many seconds apart on average; return how many each upstream got.

    All are settled at the end. Calls that nobody takes are counted under "".
    """
    random = Random(seed)
    counts = dict.fromkeys((*rig.names, ""), 0)
    ends: list[tuple[float, int, Grant, Verdict, float | None]] = []
    arrives_at = rig.now
    for number in range(calls):
        arrives_at += random.expovariate(1 / every_s)
        _settle_until(rig, ends, arrives_at)
        rig.now = arrives_at
        decision = rig.decide(needs)
        if decision.upstream is None:
            counts[""] += 1
            continue
        grant = rig.routing.begin(decision, needs, rig.now)
        assert grant is not None
        counts[grant.upstream] += 1
        behaviour = behaviours[grant.upstream]
        takes_s = behaviour.takes_s(random)
        verdict = behaviour.ends(random)
        is_answer = behaviour.is_answer and verdict is not Verdict.FAILURE
        heappush(ends, (rig.now + takes_s, number, grant, verdict, takes_s if is_answer else None))
    _settle_until(rig, ends, float("inf"))
    return counts


def _settle_until(rig: Rig, ends: list[tuple[float, int, Grant, Verdict, float | None]], until: float) -> None:
    while ends and ends[0][0] <= until:
        rig.now, _, grant, verdict, took_s = heappop(ends)
        rig.routing.note_first_data(grant, rig.now)
        rig.settle(grant, verdict, took_s)


def plain(*names: str, concurrency: int = 1000) -> dict[str, Upstream]:
    """Return upstreams of which nothing is special."""
    return {name: Upstream(f"https://{name}.example", concurrency=concurrency) for name in names}


def weigh(weights: Sequence[float]) -> dict[str, Upstream]:
    """Return upstreams a, b, c and so on with these weights."""
    return {
        chr(ord("a") + place): Upstream("https://up.example", weight=weight, concurrency=1000) for place, weight in enumerate(weights)
    }  # fmt: skip


GROUPED = Breaker(groups={"large": ModelGroup(("large-*",))})
