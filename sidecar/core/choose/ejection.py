"""Setting aside an upstream of a pool that fails far more than the others do, though its breaker may still be closed.

As Envoy's outlier detection: by failures in a row, or by a share of failures far above the others'; for a time that grows
with each ejection that follows on another; never more than a share of the pool, and never the last that is left.
"""

from typing import Final

from sidecar.core.choose.rosters import Roster, Seat
from sidecar.core.choose.transitions import State

CONSECUTIVE: Final = 5  # failures in a row
CALLS_MIN: Final = 20  # of it, and of the others together, before shares are compared
SHARE_ABOVE: Final = 0.3  # by which its share of failures is above the others'
GROWTH_MAX: Final = 10  # the longest ejection, in first ones
FORGIVEN_AFTER: Final = 10  # first ejections' time without another: the next one is a first again


def count_ejected_max(roster: Roster) -> int:
    """Return how many of a pool may be set aside at once: its share, and never all."""
    seats = len(roster.seats)
    return max(0, min(int(roster.balancing.ejection_max * seats + 1e-9), seats - 1))


def judge_seat(seat: Seat, now: float) -> bool:
    """Set an upstream aside if it deserves it and the others can spare it; return whether that was done. Asked after a failure."""
    if seat.ejected_until > now or not (_fails_in_a_row(seat) or _stands_out(seat, now)):
        return False
    others = [other for other in seat.roster.seats if other is not seat]
    if sum(other.ejected_until > now for other in others) >= count_ejected_max(seat.roster):
        return False
    if not any(_is_left(other, now) for other in others):
        return False
    first_s = seat.roster.balancing.ejection
    if now - seat.ejected_until >= FORGIVEN_AFTER * first_s:
        seat.ejections = 0
    seat.ejections += 1
    seat.ejected_until = now + first_s * min(seat.ejections, GROWTH_MAX)
    seat.roster.expect_starters(seat.ejected_until)
    return True


def take_back(roster: Roster, now: float) -> None:
    """Let those come back, the first to go first, that a pool can spare no longer because it is smaller or has other settings."""
    ejected = sorted((seat for seat in roster.seats if seat.ejected_until > now), key=_end_of)
    for seat in ejected[: max(0, len(ejected) - count_ejected_max(roster))]:
        seat.ejected_until = now
        roster.expect_starters(now)


def _end_of(seat: Seat) -> float:
    return seat.ejected_until


def _fails_in_a_row(seat: Seat) -> bool:
    return seat.standing.consecutive >= CONSECUTIVE


def _stands_out(seat: Seat, now: float) -> bool:
    """Whether its share of failures is far above that of the others together."""
    calls, failures = seat.standing.track.count_recent(now)
    if calls < CALLS_MIN:
        return False
    others_calls = others_failures = 0
    for other in seat.roster.seats:
        if other is not seat:
            of_calls, of_failures = other.standing.track.count_recent(now)
            others_calls += of_calls
            others_failures += of_failures
    return others_calls >= CALLS_MIN and failures / calls >= others_failures / others_calls + SHARE_ABOVE


def _is_left(seat: Seat, now: float) -> bool:
    standing = seat.standing
    return seat.ejected_until <= now and not standing.post.is_down and standing.breaker.state(now) is not State.OPEN
