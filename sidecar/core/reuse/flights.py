"""One upstream call, and all who wait for its answer: who is aboard, what has come, and whose call it is.

    stage      begin     piece   land     fail     board   the last one leaves
    boarding   flying    -       landed   failed   yes     abandoned
    flying     -         kept    landed   failed   yes (1) abandoned
    abandoned  -         kept    -        -        no
    landed, failed, abandoned: over; the stage changes no more

(1) while everything is kept from the first piece on. The call belongs to the first passenger that is still aboard: its
attempts, its usage and its cost are told in that one's record, and in no other.
"""

from collections.abc import Callable
from enum import Enum
from typing import Any, Final, Protocol

from sidecar.errors import Fault


class Stage(Enum):
    """How far a flight has come."""

    BOARDING = "boarding"  # no head yet
    FLYING = "flying"
    LANDED = "landed"  # the answer is whole
    FAILED = "failed"
    ABANDONED = "abandoned"  # nobody waits for it any more


_BOARDING, _FLYING, _LANDED, _FAILED, _ABANDONED = Stage.BOARDING, Stage.FLYING, Stage.LANDED, Stage.FAILED, Stage.ABANDONED
_JOINABLE: Final = frozenset((_BOARDING, _FLYING))
_UNDER_WAY: Final = frozenset((_FLYING, _ABANDONED))  # an answer may be kept that everybody has left at its end


class Passenger(Protocol):
    """Somebody who waits for the answer. What it is told of it passes on at once, and must not raise."""

    passed: int  # pieces it has passed on, of all that came
    passed_bytes: int
    is_slow: bool  # it takes no more for now

    def note_begin(self) -> None:
        """The head is there."""
        ...

    def note_piece(self, piece: bytes, now: float) -> None:
        """A piece has come."""
        ...

    def note_over(self) -> None:
        """No more will come."""
        ...

    def note_detached(self) -> None:
        """It is too far behind, and no longer aboard."""
        ...


class Flight:
    """What has come of one call's answer. Pieces are kept from the first one on until they are too many.

    `bytes_max`: of all pieces, beyond which those that every passenger has are dropped. `lag_max`: bytes that one passenger may
    be behind another.
    """

    __slots__ = (
        "_bytes_max", "_go_on", "_lag_max", "_passengers", "_pause", "dropped", "fault", "is_paused", "is_whole", "key", "pieces",
        "size_bytes", "stage", "substitute", "times",
    )  # fmt: skip

    def __init__(self, key: str, *, bytes_max: int, lag_max: int) -> None:
        self.key = key
        self._bytes_max = bytes_max
        self._lag_max = lag_max
        self._passengers: dict[Passenger, None] = {}
        self._pause: Callable[[], None] | None = None
        self._go_on: Callable[[], None] | None = None
        self.stage = _BOARDING
        self.pieces: list[bytes] = []
        self.times: list[float] = []  # when each came, in seconds
        self.dropped = 0  # pieces, of the first ones
        self.size_bytes = 0  # of all pieces that came
        self.is_whole = True  # all that came is kept
        self.is_paused = False
        self.fault: Fault | None = None
        self.substitute: Any = None  # what passengers get in its place

    @property
    def owner(self) -> Passenger | None:
        """Whose call it is."""
        return next(iter(self._passengers), None)

    @property
    def is_joinable(self) -> bool:
        """Whether one more passenger would miss nothing."""
        return self.stage in _JOINABLE and self.is_whole

    @property
    def is_over(self) -> bool:
        """Whether nothing will change any more."""
        return self.stage not in _JOINABLE

    @property
    def aboard(self) -> int:
        """Passengers."""
        return len(self._passengers)

    def board(self, passenger: Passenger) -> None:
        """One more waits for the answer. The flight must be joinable."""
        self._passengers[passenger] = None
        self.weigh()

    def leave(self, passenger: Passenger) -> bool:
        """One waits no more; return whether it was the last one, and the answer has not come to its end."""
        self._passengers.pop(passenger, None)
        if self.stage not in _JOINABLE:
            return False
        if self._passengers:
            self.weigh()
            return False
        self.stage = _ABANDONED
        return True

    def watch(self, pause: Callable[[], None] | None, go_on: Callable[[], None] | None) -> None:
        """Have `pause` called when nobody takes any more, and `go_on` when somebody does again."""
        self._pause, self._go_on = pause, go_on
        self.is_paused = False

    def begin(self) -> None:
        """The head is there."""
        if self.stage is _BOARDING:
            self.stage = _FLYING
            for passenger in tuple(self._passengers):
                passenger.note_begin()

    def add(self, piece: bytes, now: float) -> None:
        """A piece has come."""
        if self.stage not in _UNDER_WAY or not piece:
            return
        self.pieces.append(piece)
        self.times.append(now)
        self.size_bytes += len(piece)
        for passenger in tuple(self._passengers) if len(self._passengers) > 1 else self._passengers:
            passenger.note_piece(piece, now)
        if self.size_bytes > self._bytes_max:
            self.is_whole = False
            self._drop_passed()
        self.weigh()

    def land(self) -> None:
        """The answer is whole."""
        self._end(_LANDED)

    def replace(self, substitute: Any) -> None:
        """Passengers get something else in place of an answer that did not come."""
        if not self.is_over:
            self.substitute = substitute
        self._end(_LANDED)

    def fail(self, fault: Fault) -> None:
        """The answer will not be whole."""
        if not self.is_over:
            self.fault = fault
        self._end(_FAILED)

    def strand(self) -> None:
        """Nobody takes any more: everybody is let go."""
        for passenger in tuple(self._passengers):
            del self._passengers[passenger]
            passenger.note_detached()
        self.stage = _ABANDONED

    def _end(self, stage: Stage) -> None:
        if self.stage in _JOINABLE:
            self.stage = stage
            self.watch(None, None)
            for passenger in tuple(self._passengers):
                passenger.note_over()

    def weigh(self) -> None:
        """Let the upstream wait if everybody is slow, and let go of whoever is too far behind the others."""
        slow = [passenger for passenger in self._passengers if passenger.is_slow]
        if not slow:
            if self.is_paused:
                self._resume()
            return
        if len(slow) == len(self._passengers):
            if not self.is_paused and self._pause is not None:
                self.is_paused = True
                self._pause()
            return
        if self.is_paused:
            self._resume()
        for passenger in slow:
            if self.size_bytes - passenger.passed_bytes > self._lag_max:
                del self._passengers[passenger]
                passenger.note_detached()

    def _resume(self) -> None:
        self.is_paused = False
        if self._go_on is not None:
            self._go_on()

    def _drop_passed(self) -> None:
        count = min((passenger.passed for passenger in self._passengers), default=self.dropped + len(self.pieces)) - self.dropped
        if count > 0:
            del self.pieces[:count], self.times[:count]
            self.dropped += count
