"""Who is asked next, what is reserved for it, and what is learned from what became of it.

A call of a pool asks `decide`, then `begin` in the same step, and `settle` exactly once, whatever happens. State changes when it is
decided, never later: what `begin` reserves (the breaker's permit, the slot, the place among those pending), `settle` gives back.

Degradation: "full" is the pool's strategy and all wishes; "simple" is anyone healthy, in turn, where those preferred are not to be
had, or where nobody meets the wishes and the call is urgent: then one who misses the fewest; "emergency" is one call a second for
each pool of which all breakers are open, to the upstream that is due first. A single upstream knows no emergency: an open breaker refuses.

It is a view, by the names of one set of settings: a call goes on to its end with the one that it began with, in which names stand for
what they stood for then. What is known of upstreams that stay is the same in all views, and is lost with the last view that knows them.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

from sidecar.config import Settings, Strategy
from sidecar.core.choose import reasons
from sidecar.core.choose.choices import EMERGENCY, FULL, SIMPLE, Choice, choose, choose_in_emergency
from sidecar.core.choose.ejection import judge_seat
from sidecar.core.choose.needs import NO_NEEDS, Grant, Needs
from sidecar.core.choose.neighbours import Admission, Breaker, Breakers, Holds
from sidecar.core.choose.overview import describe_upstream
from sidecar.core.choose.rosters import Roster
from sidecar.core.choose.screening import Screening, find_obstacle, list_unmet, name_refusal, screen
from sidecar.core.choose.standings import NEVER, Post, Standing
from sidecar.core.choose.succession import inherit, take_over
from sidecar.core.choose.transitions import State
from sidecar.core.choose.verdicts import Verdict
from sidecar.core.choose.views import UpstreamView
from sidecar.core.identify.wishes import Urgency, Wishes
from sidecar.decision import Candidate, Decision

EMERGENCY_EVERY_S: Final = 1.0

_make: Final = tuple.__new__

_CLOSED: Final = State.CLOSED
_FAILURE, _IGNORED = Verdict.FAILURE, Verdict.IGNORED
_NOTHING_AGAINST: Final = NO_NEEDS[1:6]


class Routing:
    """Decisions of all pools, and of single upstreams: a pool named "" of one. `draw` gives numbers in [0, 1)."""

    def __init__(self, settings: Settings, breakers: Breakers, holds: Holds, admission: Admission, draw: Callable[[], float]) -> None:
        self._pools = settings.pools
        self._balancing = settings.balancing
        self._breakers = breakers
        self._holds = holds
        self._admission = admission
        self._draw = draw
        self._number = 0  # of this view: they follow one on the other
        self._posts = {name: Post(name, upstream) for name, upstream in settings.upstreams.items()}
        self._standings = {
            name: {breaker.group: Standing(post, breaker, settings.balancing) for breaker in breakers.of(name)}
            for name, post in self._posts.items()
        }
        self._alone = {name: Decision("", "", FULL, name, reasons.ONLY, ()) for name in self._posts}
        self._rosters: dict[tuple[str, tuple[str, ...], str], Roster] = {}  # by pool, upstreams and group: all from the settings
        self._emergency_at: dict[str, float] = {}  # by pool

    def succeed(self, settings: Settings, breakers: Breakers, admission: Admission, kept: frozenset[str], now: float) -> "Routing":
        """Return the view of other settings. `kept`: the upstreams that are what they were; what is known of them goes on."""
        successor = Routing(settings, breakers, self._holds, admission, self._draw)
        successor._number = self._number + 1
        successor._posts, successor._standings = take_over(settings, breakers, (self._posts, self._standings), kept, successor._number, now)
        for (pool, upstreams, group), roster in self._rosters.items():
            if pool in settings.pools:
                upstreams = settings.pools[pool].upstreams
            elif pool or upstreams[0] not in settings.upstreams:
                continue
            if group in successor._standings[upstreams[0]]:
                inherit(successor._seat(pool, upstreams, group), roster, now)
        self._emergency_at = successor._emergency_at = {pool: at for pool, at in self._emergency_at.items() if pool in settings.pools}
        return successor

    def decide(self, match_pool: str, upstreams: tuple[str, ...], needs: Needs, now: float) -> Decision:
        """Return who is to be asked, and why. Where it is nobody, the reason is circuit_open, no_room, wish_unmet or exhausted."""
        if not match_pool and len(upstreams) == 1 and needs[1:6] == _NOTHING_AGAINST:
            name = upstreams[0]
            if self._breakers.find(name, needs[0]).admits(now) and self._admission.has_room(name):
                return self._alone[name]
        roster = self._find_roster(match_pool, upstreams, needs.model)
        found = screen(roster, needs, self._holds, self._admission, now)
        choice = choose(roster, found, needs, self._draw, now)
        if choice is None and found.unmet and not found.full and needs.wishes.urgency is Urgency.HIGH:
            choice = self._choose_nearest(roster, found, needs, now)
        if choice is None and self._is_emergency(roster, found, now):
            choice = choose_in_emergency(roster, found, self._admission, now)
        if choice is None:
            return Decision(roster.pool, roster.strategy, FULL, None, name_refusal(found), _show(roster, found, None, now))
        found.why[choice.seat.place] = None
        roster.give_turn(choice.seat)
        return Decision(
            roster.pool, choice.strategy or roster.strategy, choice.step, choice.seat.standing.post.name, choice.why,
            _show(roster, found, choice, now),
        )  # fmt: skip

    def has_another(self, upstreams: Sequence[str], needs: Needs, now: float) -> bool:
        """Tell whether one of these could take the attempt, perhaps after waiting for room. Changes nothing."""
        posts = self._posts
        refused = frozenset(posts[name].credential for name in needs.other_credentials_than or ())
        for name in upstreams:
            breaker = self._breakers.find(name, needs.model)
            obstacle = find_obstacle(self._standings[name][breaker.group], needs, refused, now)
            urgent = needs.wishes.urgency is Urgency.HIGH and obstacle in reasons.ESTIMATED_WISHES
            if (obstacle is None or urgent) and breaker.admits(now):
                return True
        return False

    def begin(self, decision: Decision, needs: Needs, now: float, *, is_hedge: bool = False, has_slot: bool = False) -> Grant | None:
        """Reserve what a decision that chose somebody needs. `has_slot`: the queue has reserved the slot already.

        None where the breaker has closed the way since it was decided; then nothing is reserved, and the slot is given back.
        """
        name = decision.upstream
        if name is None:
            raise ValueError("nobody was chosen")
        breaker = self._breakers.find(name, needs.model)
        permit = breaker.acquire(now)
        if permit is None and decision.step != EMERGENCY:
            if has_slot:
                self._admission.release(name, now)
            return None
        if not has_slot:
            self._admission.take(name, now)
        if decision.step == EMERGENCY:
            self._emergency_at[decision.pool] = now
        return self._reserve(name, breaker, permit, now, is_hedge)

    def begin_alone(self, name: str, model: str | None, now: float) -> Grant | None:
        """Reserve what a call to one upstream needs that wishes for nothing: the usual case, in one step.

        None where it cannot be: `decide` knows why.
        """
        breaker = self._breakers.find(name, model)
        if not breaker.admits(now) or not self._admission.try_take(name, now):
            return None
        permit = breaker.acquire(now)
        return self._reserve(name, breaker, permit, now, False)

    def _reserve(self, name: str, breaker: Breaker, permit: Any, now: float, is_hedge: bool) -> Grant:
        standing = self._standings[name][breaker.group]
        for seat in standing.seats:
            if standing.asked_at < seat.ejected_until <= now:
                standing.forget()
        standing.asked_at = now
        post = standing.post
        post.active += 1
        post.pending += 1
        return Grant(name, breaker, permit, now, breaker.group, is_hedge, standing)

    def note_first_data(self, grant: Grant, now: float) -> None:
        """The upstream has begun to answer: the call is no longer pending there."""
        if not grant.first_data:
            grant.first_data = True
            grant.standing.post.pending -= 1

    def note_first_token(self, grant: Grant, ttft_s: float, now: float) -> None:
        """Take note, before it is settled, of how long a call waited for its first token: an adaptive concurrency follows."""
        self._admission.note_first_token(grant.upstream, ttft_s, now, grant.began)

    def settle(self, grant: Grant, verdict: Verdict, now: float, *, response_time_s: float | None) -> None:
        """Give back what was reserved, and learn from what became of the attempt. A second time changes nothing.

        `response_time_s`: until a true answer began (its first token, or its head); None where there was none. Errors that are
        no failures of the upstream (a 429, the caller's own mistakes) come fast: without a time they are neither for nor
        against it, but count as pending until the penalty is over, as failures do.
        """
        if grant.settled:
            return
        grant.settled = True
        standing = grant.standing
        post, breaker = standing.post, grant.breaker
        post.active -= 1
        if not grant.first_data:
            post.pending -= 1
        self._admission.release(grant.upstream, now)
        permit = grant.permit
        if permit is not None:
            breaker.settle(permit, verdict, now)
            if permit.is_probe and breaker.state(now) is _CLOSED:
                standing.come_back(now)
        elif verdict is not _IGNORED:
            breaker.note_probe(verdict is not _FAILURE, now)
        if response_time_s is None or verdict is _FAILURE or verdict is _IGNORED:
            self._note_nothing(grant, verdict is _FAILURE, now)
            return
        standing.note_answer(response_time_s, now)
        if post.is_down:
            self._raise_up(post, now)

    def retry_after_s(self, upstreams: Sequence[str], needs: Needs, now: float) -> float:
        """Return the seconds until one of these may be asked again: 0 or more."""
        return min((self._due_in_s(name, needs, now) for name in upstreams), default=0.0)

    def describe(self, now: float) -> list[UpstreamView]:
        """Return what there is to see of each upstream."""
        return [
            describe_upstream(post, tuple(self._standings[name].values()), self._admission, self._balancing, now)
            for name, post in self._posts.items()
        ]

    def note_probe(self, upstream: str, succeeded: bool, now: float) -> None:
        """Take notice of what active probes say of an upstream: while they fail it is not chosen where there is another."""
        post = self._posts[upstream]
        if succeeded:
            self._raise_up(post, now)
        else:
            post.is_down = True
        self._breakers.note_probe(upstream, succeeded, now)

    def forget_probes(self, upstream: str, now: float) -> None:
        """Nobody probes an upstream any more: what probes said last holds no longer."""
        self._raise_up(self._posts[upstream], now)

    def forget_pauses(self, upstream: str) -> None:
        """An upstream is sent another credential: what it asked for on the account of the one before holds no longer."""
        post = self._posts[upstream]
        post.held_until = NEVER
        self._holds.forget(post.mark, "")

    def note_quality(self, upstream: str, quality: float, now: float) -> None:
        """Take notice of how good one of an upstream's answers was, from 0 to 1. Of one that is gone nobody wants to know.

        What was said of the others ages meanwhile: who was rated low and so is chosen no more is in the end as unknown, and tried again.
        """
        if upstream not in self._posts:
            return
        self._posts[upstream].ratings.note(quality, now)
        for post in self._posts.values():
            post.quality = post.ratings.estimate(now)

    def _note_nothing(self, grant: Grant, failed: bool, now: float) -> None:
        """Learn from an attempt that came to no answer."""
        standing = grant.standing
        if failed:
            standing.note_failure(now - grant.began, now)
            for seat in standing.seats:
                judge_seat(seat, now)
        elif standing.seats:
            standing.note_nothing(now)
        penalty_until = grant.began + self._balancing.penalty
        if penalty_until > now and standing.seats:
            standing.post.haunt(penalty_until)

    def _raise_up(self, post: Post, now: float) -> None:
        if post.is_down:
            post.is_down = False
            for standing in self._standings[post.name].values():
                standing.come_back(now)

    def _choose_nearest(self, roster: Roster, found: Screening, needs: Needs, now: float) -> Choice | None:
        """Choose among those who miss the fewest of an urgent call's wishes."""
        missed = {seat.place: len(list_unmet(seat.standing, needs.wishes, now)) for seat in found.unmet}
        relaxed = needs._replace(wishes=Wishes(exclude=needs.wishes.exclude, urgency=Urgency.HIGH))
        able = screen(roster, relaxed, self._holds, self._admission, now)
        if not able.fit:
            return choose(roster, able, relaxed, self._draw, now, step=SIMPLE)
        fewest = min(missed.get(seat.place, 0) for seat in able.fit)
        nearest = able._replace(fit=[seat for seat in able.fit if missed.get(seat.place, 0) == fewest], trials=[])
        choice = choose(roster, nearest, relaxed, self._draw, now, step=SIMPLE)
        return None if choice is None else choice._replace(why=reasons.NEAREST)

    def _is_emergency(self, roster: Roster, found: Screening, now: float) -> bool:
        return (
            found.is_all_open
            and len(roster.seats) > 1
            and bool(roster.pool)
            and now - self._emergency_at.get(roster.pool, NEVER) >= EMERGENCY_EVERY_S
        )

    def _due_in_s(self, name: str, needs: Needs, now: float) -> float:
        post = self._posts[name]
        held_until = self._holds.until((post.mark, needs.model, "" if post.credential else needs.credential), now)
        return max(0.0 if held_until is None else held_until - now, self._breakers.find(name, needs.model).retry_after_s(now))

    def _find_roster(self, pool: str, upstreams: tuple[str, ...], model: str | None) -> Roster:
        group = self._breakers.find(upstreams[0], model).group
        return self._rosters.get((pool, upstreams, group)) or self._seat(pool, upstreams, group)

    def _seat(self, pool: str, upstreams: tuple[str, ...], group: str) -> Roster:
        strategy = self._pools[pool].strategy if pool else Strategy.ROUND_ROBIN
        roster = Roster(pool, strategy, [self._standings[name][group] for name in upstreams], self._balancing)
        return self._rosters.setdefault((pool, upstreams, group), roster)


def _show(roster: Roster, found: Screening, choice: Choice | None, now: float) -> tuple[Candidate, ...]:
    """Return every upstream as it was seen."""
    scores = None if choice is None else choice.scores
    shown = []
    for place, seat in enumerate(roster.seats):
        track, post = seat.standing.track, seat.standing.post
        if now >= track.stale_at:
            track.sum_up(now)
        score = None if scores is None else scores[place]
        # As Candidate(…) does, at half the price: there are many, and they are made for every call.
        shown.append(_make(Candidate, (post.name, score, track.mean_s, track.reliability, post.quality, post.pending, found.why[place])))
    return tuple(shown)
