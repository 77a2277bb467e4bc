"""Who gets a call, once it is known who could take it: trials, slow starts, wishes, and what is done where nobody is fit."""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from sidecar.config import Force, Strategy
from sidecar.core.choose import reasons
from sidecar.core.choose.needs import Needs
from sidecar.core.choose.neighbours import Admission
from sidecar.core.choose.rosters import Roster, Seat
from sidecar.core.choose.screening import Screening
from sidecar.core.choose.strategies import pick, pick_in_turn
from sidecar.core.identify.wishes import Urgency

TRIAL_EVERY_S: Final = 1.0  # at most: a call of a pool with others in it is risked at one that is half-open
FULL: Final = "full"
SIMPLE: Final = "simple"
EMERGENCY: Final = "emergency"


class Choice(NamedTuple):
    """Who was chosen, why, by which degree of policy, and what was compared."""

    seat: Seat
    why: str
    step: str = FULL
    strategy: str | None = None  # None: no strategy had a say
    scores: Sequence[float | None] | None = None  # by place in the roster


def choose(roster: Roster, found: Screening, needs: Needs, draw: Callable[[], float], now: float, *, step: str = FULL) -> Choice | None:
    """Choose among those who may be; None: nobody may, or it is better to wait for room."""
    if found.fit or found.trials:
        return _choose_fit(roster, found, needs, draw, now, step)
    if found.full:
        return None
    if found.held:
        return Choice(min(found.held, key=_end_of)[1], reasons.PAUSE_ENDS, step)
    if found.aside:
        return Choice(min(found.aside, key=_turn_of), reasons.LAST, step)
    return None


def choose_in_emergency(roster: Roster, found: Screening, admission: Admission, now: float) -> Choice | None:
    """Choose who is due first, where all breakers are open; None: nobody that this call may be given to.

    Who was forced open by an operator is left alone.
    """
    able = [
        seat for seat in roster.seats
        if found.why[seat.place] not in reasons.PER_CALL and found.why[seat.place] != reasons.EXCLUDED
        and seat.standing.breaker.forced is not Force.OPEN and admission.has_room(seat.standing.post.name)
    ]  # fmt: skip
    if not able:
        return None
    return Choice(min(able, key=lambda seat: (seat.standing.breaker.retry_after_s(now), seat.turn)), reasons.DUE, EMERGENCY)


def _choose_fit(roster: Roster, found: Screening, needs: Needs, draw: Callable[[], float], now: float, step: str) -> Choice:
    fit, trials, wishes = found.fit, found.trials, needs.wishes
    if wishes.prefer:
        preferred = [seat for seat in fit if seat.standing.post.name in wishes.prefer]
        preferred_trials = [seat for seat in trials if seat.standing.post.name in wishes.prefer]
        if preferred or preferred_trials:
            for seat in (*fit, *trials):
                if seat.standing.post.name not in wishes.prefer:
                    found.why[seat.place] = reasons.NOT_PREFERRED
            fit, trials = preferred, preferred_trials
        else:
            step = SIMPLE
    trial = _find_trial(trials, needs, now, is_needed=not fit)
    if trial is not None:
        found.why[trial.place] = None
        return Choice(trial, reasons.TRIAL, step)
    if now < roster.starters_until:
        fit = _leave_out_starters(roster, found, fit, draw, now)
    if len(fit) == 1:
        return Choice(fit[0], reasons.ONLY, step, roster.strategy)
    picked = (pick if step == FULL else pick_in_turn)(roster, fit, wishes, now)
    strategy = roster.strategy if step == FULL else Strategy.ROUND_ROBIN
    return Choice(picked.seat, picked.why, step, strategy, _order(roster, fit, picked.scores))


def _order(roster: Roster, seats: Sequence[Seat], scores: Sequence[float]) -> Sequence[float | None]:
    """Return scores by place in the roster; None for those that did not take part."""
    if len(scores) == len(roster.seats):
        return scores
    ordered: list[float | None] = [None] * len(roster.seats)
    for seat, score in zip(seats, scores, strict=True):
        ordered[seat.place] = score
    return ordered


def _find_trial(trials: list[Seat], needs: Needs, now: float, *, is_needed: bool) -> Seat | None:
    """Return one that is half-open and whose turn to be tried it is; None: nobody's.

    Where others are fit, no call is risked that has failed already or is urgent.
    """
    if not trials:
        return None
    seat = min(trials, key=_asked_at_of)
    if is_needed:
        return seat
    is_due = now - seat.standing.asked_at >= TRIAL_EVERY_S
    return seat if is_due and not needs.tried and needs.wishes.urgency is not Urgency.HIGH else None


def _leave_out_starters(roster: Roster, found: Screening, fit: list[Seat], draw: Callable[[], float], now: float) -> list[Seat]:
    """Return those who take part: one in slow start does so with the probability of its share, or where nobody else does."""
    slow_start_s = roster.balancing.slow_start
    starters = {}
    for seat in fit:
        share = seat.share(slow_start_s, now)
        if share < 1.0 and draw() >= share:
            starters[seat.place] = seat
    if not starters or len(starters) == len(fit):
        return fit
    for place in starters:
        found.why[place] = reasons.STARTING
    return [seat for seat in fit if seat.place not in starters]


def _turn_of(seat: Seat) -> int:
    return seat.turn


def _asked_at_of(seat: Seat) -> float:
    return seat.standing.asked_at


def _end_of(held: tuple[float, Seat]) -> float:
    return held[0]
