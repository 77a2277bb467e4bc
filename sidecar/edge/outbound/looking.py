"""Looking at an answer: as it passes, or before any of it is sent on."""

from math import inf

from sidecar.core.observe.contract import Observer


class Preview:
    """The beginning of an answer, held back until it tells what the answer is worth.

    `due`: the moment, in seconds on the clock, at which it has taken too long.
    """

    __slots__ = ("_bytes_left", "_whole", "due", "pieces")

    def __init__(self, bytes_max: int, due: float, *, whole: bool) -> None:
        """`whole`: only its end tells, or its size; else the first token, an error or the form's own end does, too."""
        self._bytes_left = bytes_max
        self._whole = whole
        self.due = due
        self.pieces: list[bytes] = []

    def tells(self, observer: Observer | None, data: bytes) -> bool:
        """Take note of a piece that `observer` has seen; return whether it was enough."""
        self.pieces.append(data)
        self._bytes_left -= len(data)
        if self._bytes_left <= 0 or observer is None:
            self.due = inf
            return True
        seen = observer.seen
        if self._whole or not (seen.first_token is not None or seen.error_type is not None or seen.terminated or seen.answered):
            return False
        self.due = inf
        return True


class Looking:
    """Whoever has an observer. A broken one must not cost the user a byte: it sees no more of this answer."""

    __slots__ = ("_observer", "_preview", "observer_failed")

    def __init__(self) -> None:
        self._observer: Observer | None = None
        self._preview: Preview | None = None
        self.observer_failed = False

    def _look_at(self, data: bytes, now: float) -> None:
        if self._observer is not None:
            try:
                self._observer.feed(data, now)
            except Exception:
                self._switch_off()

    def _close_observer(self, now: float) -> None:
        if self._observer is not None:
            try:
                self._observer.finish(now)
            except Exception:
                self._switch_off()

    def _switch_off(self) -> None:
        self._observer = None
        self.observer_failed = True
