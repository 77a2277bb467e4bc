"""How one is chosen among the upstreams that may all be chosen.

| strategy | who | among equals |
|---|---|---|
| round_robin | who was chosen longest ago | |
| weighted | smooth weighted round robin, as nginx: each gains its weight, the richest is chosen and pays what all have gained | |
| least_connections | fewest calls pending, ÷ weight and the share of calls answered lately | weighted |
| performance | the best score; who is within `balancing.threshold` of it is as good | who was chosen longest ago |
| adaptive | who was chosen last, unless another's score is better by more than `balancing.threshold` | who was chosen longest ago |

The last two go by what they know, and so have to find out: who has never been asked, or has come back, is asked at once; and every
tenth choice goes to the one that was asked longest ago, if that is more than a minute.

To fail fast never pays: a failed call counts as one that took the penalty, a call that was not answered as pending until the penalty
is over, and where few calls are answered, few pending ones are no recommendation.
"""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final, NamedTuple

from sidecar.config import Strategy
from sidecar.core.choose import reasons
from sidecar.core.choose.rosters import Roster, Seat
from sidecar.core.choose.scores import score_adaptive, score_performance
from sidecar.core.choose.standings import LIVE_S, NEVER
from sidecar.core.identify.wishes import Wishes

EXPLORE_EVERY: Final = 10  # choices
EXPLORE_AFTER_S: Final = 60.0  # without a call
_SAME: Final = 1e-9
_NOT_WANTED: Final = float("-inf")


class Pick(NamedTuple):
    """Who was picked, why, and the scores of all, in the order they were given in."""

    seat: Seat
    why: str  # of reasons
    scores: Sequence[float]


def pick(roster: Roster, seats: Sequence[Seat], wishes: Wishes, now: float) -> Pick:
    """Choose among at least one upstream by the pool's strategy."""
    return _STRATEGIES[roster.strategy](roster, seats, wishes, now)


def pick_in_turn(roster: Roster, seats: Sequence[Seat], wishes: Wishes, now: float) -> Pick:
    """Choose who was chosen longest ago. Scores: choices since then."""
    return Pick(min(seats, key=_turn_of), reasons.TURN, [float(roster.turn - seat.turn) for seat in seats])


def _pick_weighted(roster: Roster, seats: Sequence[Seat], wishes: Wishes, now: float) -> Pick:
    """Choose so that shares are as weights, evenly spread. Scores: what each has saved up."""
    total = 0.0
    for seat in seats:
        weight = seat.standing.post.weight
        seat.current += weight
        total += weight
    scores = [seat.current for seat in seats]
    chosen = max(seats, key=_current_of)
    chosen.current -= total
    return Pick(chosen, reasons.SHARE, scores)


def _pick_least_pending(roster: Roster, seats: Sequence[Seat], wishes: Wishes, now: float) -> Pick:
    """Choose who has the fewest calls pending. Scores: minus these, ÷ weight and usefulness."""
    scores = []
    since = now - LIVE_S
    for seat in seats:
        standing = seat.standing
        post = standing.post
        load = post.load(now) if post.ghosts else post.pending
        worth = post.weight * standing.usefulness if standing.used_at > since else post.weight
        scores.append(-load / worth if worth > 0 else _NOT_WANTED)
    best = max(scores)
    equals = [seat for seat, score in zip(seats, scores, strict=True) if score >= best - _SAME]
    chosen = equals[0] if len(equals) == 1 else _pick_weighted(roster, equals, wishes, now).seat
    return Pick(chosen, reasons.FEWEST, scores)


def _pick_by_performance(roster: Roster, seats: Sequence[Seat], wishes: Wishes, now: float) -> Pick:
    """Choose among the best, in turn."""
    scores = score_performance(seats, now)
    unknown = _find_unknown(roster, seats, now)
    if unknown is not None:
        return Pick(unknown, reasons.EXPLORED, scores)
    return Pick(min(_list_best(roster, seats, scores), key=_turn_of), reasons.BEST, scores)


def _pick_adaptively(roster: Roster, seats: Sequence[Seat], wishes: Wishes, now: float) -> Pick:
    """Stay with who was chosen last, unless another is better by more than the threshold."""
    scores = score_adaptive(seats, wishes, now)
    unknown = _find_unknown(roster, seats, now)
    if unknown is not None:
        return Pick(unknown, reasons.EXPLORED, scores)
    good = _list_best(roster, seats, scores)
    favourite = roster.favourite
    if favourite is not None and favourite in good:
        return Pick(favourite, reasons.KEPT, scores)
    best = max(scores)
    equals = [seat for seat, score in zip(seats, scores, strict=True) if score >= best - _SAME]
    roster.favourite = min(equals, key=_turn_of)
    return Pick(roster.favourite, reasons.BEST, scores)


def _list_best(roster: Roster, seats: Sequence[Seat], scores: Sequence[float]) -> list[Seat]:
    enough = max(scores) - max(_SAME, roster.balancing.threshold)
    return [seat for seat, score in zip(seats, scores, strict=True) if score >= enough]


def _find_unknown(roster: Roster, seats: Sequence[Seat], now: float) -> Seat | None:
    """Return whom it is time to find out about; None: nobody."""
    oldest, oldest_at = None, now - EXPLORE_AFTER_S
    for seat in seats:
        asked_at = seat.standing.asked_at
        if asked_at == NEVER or asked_at < seat.ejected_until <= now:
            return seat  # has never been asked, or not since it came back
        if asked_at < oldest_at:
            oldest, oldest_at = seat, asked_at
    return oldest if roster.turn % EXPLORE_EVERY == 0 else None


def _turn_of(seat: Seat) -> int:
    return seat.turn


def _current_of(seat: Seat) -> float:
    return seat.current


_STRATEGIES: Final[Mapping[Strategy, Callable[[Roster, Sequence[Seat], Wishes, float], Pick]]] = MappingProxyType({
    Strategy.ROUND_ROBIN: pick_in_turn,
    Strategy.WEIGHTED: _pick_weighted,
    Strategy.LEAST_CONNECTIONS: _pick_least_pending,
    Strategy.PERFORMANCE: _pick_by_performance,
    Strategy.ADAPTIVE: _pick_adaptively,
})  # fmt: skip
