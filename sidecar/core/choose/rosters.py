"""A pool's upstreams for one group of models: whose turn it is, and who is set aside."""

from collections.abc import Sequence

from sidecar.config import Balancing, Strategy
from sidecar.core.choose.standings import NEVER, SLOW_START_MIN, Standing


class Seat:
    """One upstream's place in a pool."""

    __slots__ = ("current", "ejected_until", "ejections", "place", "roster", "standing", "turn")

    def __init__(self, roster: "Roster", place: int, standing: Standing) -> None:
        self.roster = roster
        self.place = place  # in the roster
        self.standing = standing
        self.turn = -1  # when it was chosen last, counted in choices
        self.current = 0.0  # of smooth weighted round robin
        self.ejected_until = NEVER
        self.ejections = 0  # one after the other: each is longer
        standing.seats.append(self)

    def share(self, slow_start_s: float, now: float) -> float:
        """Return the share of its calls that it is given, 0.1 to 1: less than 1 for a while after it has come back."""
        returned_at = self.standing.returned_at
        if returned_at < self.ejected_until <= now:
            returned_at = self.ejected_until
        since_s = now - returned_at
        return 1.0 if since_s >= slow_start_s else max(SLOW_START_MIN, since_s / slow_start_s)


class Roster:
    """The upstreams of a pool, as to one group of models."""

    __slots__ = ("balancing", "favourite", "pool", "seats", "starters_until", "strategy", "turn")

    def __init__(self, pool: str, strategy: Strategy, standings: Sequence[Standing], balancing: Balancing) -> None:
        self.pool = pool
        self.strategy = strategy
        self.balancing = balancing
        self.turn = 0  # choices so far
        self.favourite: Seat | None = None  # of the adaptive strategy
        self.starters_until = NEVER  # nobody is in slow start from then on
        self.seats = tuple(Seat(self, place, standing) for place, standing in enumerate(standings))

    def inherit(self, before: "Roster") -> None:
        """Go on where another one of the same pool was: turns, ejections and what each has saved up stay."""
        known = {seat.standing: seat for seat in before.seats}
        self.turn = before.turn
        for seat in self.seats:
            old = known.get(seat.standing)
            if old is None:
                continue
            seat.turn, seat.current = old.turn, old.current
            seat.ejected_until, seat.ejections = old.ejected_until, old.ejections
            self.expect_starters(max(seat.standing.returned_at, seat.ejected_until))
            if old is before.favourite:
                self.favourite = seat

    def give_turn(self, seat: Seat) -> None:
        """Note who was chosen."""
        self.turn += 1
        seat.turn = self.turn

    def expect_starters(self, returns_at: float) -> None:
        """Note that somebody comes back: what is told here need not be looked for at every choice."""
        self.starters_until = max(self.starters_until, returns_at + self.balancing.slow_start)
