"""Who may call now, who waits, and who is turned away at once."""

from collections.abc import Callable, Mapping
from typing import Final

from sidecar.config import Settings, Upstream
from sidecar.core.admit.queue import QUEUE_FULL, TOO_LONG, Queue, Shed, Ticket
from sidecar.core.admit.slots import Slots

# Of the time there is: who is expected to need more is turned away at once, not after having waited for nothing. The rest is for
# what is not known about a wait that is made of calls which have not ended yet.
_PATIENCE: Final = 0.8
_RETRY_AFTER_S_MIN: Final = 1.0
_RETRY_AFTER_S_MAX: Final = 60.0  # what an upstream that stands still would come to is no forecast


class Admission:
    """Slots of each upstream and of all together (`limits.concurrency`), and one bounded queue for those who find none free.

    Never is a slot free that somebody in the queue could use: whatever frees one gives it, in the same moment, to the first
    who can use it. `wake` is told of each ticket that has got a slot or was turned away to make room for a more urgent one.
    """

    def __init__(self, settings: Settings) -> None:
        self.wake: Callable[[Ticket], None] = _tell_nobody
        self._slots: Mapping[str, Slots] = {
            name: Slots(_find_limit(upstream), adaptive=upstream.adaptive_concurrency) for name, upstream in settings.upstreams.items()
        }
        total = settings.limits.concurrency
        self._total = None if total is None else Slots(total)
        self._queue = Queue()
        self._size = settings.queue.size
        self._wait_s = settings.queue.wait
        self._numbers = 0

    def has_room(self, upstream: str) -> bool:
        """Whether a call to this upstream could begin now."""
        slots, total = self._slots[upstream], self._total
        return slots.in_use < slots.limit and (total is None or total.in_use < total.limit)

    def take(self, upstream: str, now: float) -> None:
        """Reserve a slot. Whoever does so has asked `has_room` in the same step."""
        self._slots[upstream].take(now)
        if self._total is not None:
            self._total.take(now)

    def try_take(self, upstream: str, now: float) -> bool:
        """Reserve a slot if there is one; tell whether there was."""
        slots, total = self._slots[upstream], self._total
        if slots.in_use >= slots.limit or (total is not None and total.in_use >= total.limit):
            return False
        slots.take(now)
        if total is not None:
            total.take(now)
        return True

    def release(self, upstream: str, now: float) -> Ticket | None:
        """Give a slot back; return who got it, whom `wake` was told of already."""
        self._slots[upstream].release(now)
        if self._total is not None:
            self._total.release(now)
        return self._hand_on(now) if self._queue.length else None

    def enqueue(self, upstreams: tuple[str, ...], urgency: int, now: float, deadline_at: float) -> Ticket | Shed:
        """Wait for a slot of any of these upstreams. `urgency`: 0 to 2, the higher goes first.

        Shed: the queue is full of others as urgent, or the wait to expect is longer than `queue.wait` or than the caller has time.
        The ticket has its slot already where one is free.
        """
        self._numbers += 1
        patience_s = min(self._wait_s, deadline_at - now)
        ticket = Ticket(upstreams, urgency, self._numbers, now + patience_s)
        free = self._choose(upstreams)
        if free is not None:
            self._give(ticket, free, now)
            return ticket
        expected_s = self._expect_s(upstreams, urgency, now)
        if patience_s <= 0 or (expected_s is not None and expected_s > patience_s * _PATIENCE):
            return self._shed(TOO_LONG, expected_s)
        if self._queue.length >= self._size:
            last = self._queue.last_below(urgency)
            if last is None:
                return self._shed(QUEUE_FULL, expected_s)
            self._queue.remove(last)
            last.shed = self._shed(QUEUE_FULL, self._expect_s(last.upstreams, last.urgency, now))
            self.wake(last)
        self._queue.add(ticket)
        return ticket

    def leave(self, ticket: Ticket, now: float) -> None:
        """Wait no longer: the caller left, its time is over, we stop. A slot that was given in the same moment is passed on."""
        if ticket.upstream is not None:
            upstream, ticket.upstream = ticket.upstream, None
            self.release(upstream, now)
        else:
            self._queue.remove(ticket)

    def note_first_token(self, upstream: str, ttft_s: float, now: float, began: float | None = None) -> None:
        """Take note of how long an upstream took to its first token: where its concurrency is adaptive, the limit follows.

        `began`: when the call was made, where this is told later than the token came.
        """
        slots = self._slots[upstream]
        before = slots.limit
        slots.note_first_token(ttft_s, now, began)
        while slots.limit > before and self._queue.length and self._hand_on(now) is not None:
            pass  # it may have grown by more than one

    def limit(self, upstream: str) -> int:
        """Return how many calls at once this upstream is given at present."""
        return self._slots[upstream].limit

    def in_use(self, upstream: str) -> int:
        """Return how many slots of this upstream are reserved."""
        return self._slots[upstream].in_use

    def queued(self) -> int:
        """Return how many wait."""
        return self._queue.length

    def retry_after_s(self, upstreams: tuple[str, ...], urgency: int, now: float) -> float:
        """Return when one who was turned away may come again: when those who wait now have got their turn; at least 1 s."""
        return self._shed("", self._expect_s(upstreams, urgency, now)).retry_after_s

    def _choose(self, upstreams: tuple[str, ...]) -> str | None:
        return next(filter(self.has_room, upstreams), None)

    def _give(self, ticket: Ticket, upstream: str, now: float) -> None:
        ticket.upstream = upstream
        self.take(upstream, now)

    def _hand_on(self, now: float) -> Ticket | None:
        found = self._queue.first(self._choose)
        if found is None:
            return None
        ticket, upstream = found
        self._queue.remove(ticket)
        self._give(ticket, upstream, now)
        self.wake(ticket)
        return ticket

    def _shed(self, reason: str, expected_s: float | None) -> Shed:
        wait_s = self._wait_s if expected_s is None else expected_s
        return Shed(max(_RETRY_AFTER_S_MIN, min(wait_s, _RETRY_AFTER_S_MAX)), reason)

    def _expect_s(self, upstreams: tuple[str, ...], urgency: int, now: float) -> float | None:
        """Return how long a new one would wait: its position times the interval at which slots come free. None: not known yet."""
        waits = []
        total = self._total
        if total is not None and total.in_use >= total.limit:
            waits.append((self._queue.ahead(urgency, _count_whole) + 1, total.interval_s(now)))
        if not any(self._slots[name].in_use < self._slots[name].limit for name in upstreams):
            waits.append((self._queue.ahead(urgency, self._weigher(upstreams)) + 1, self._interval_s(upstreams, now)))
        return max((position * interval_s for position, interval_s in waits if interval_s is not None), default=None)

    def _interval_s(self, upstreams: tuple[str, ...], now: float) -> float | None:
        """Return the seconds between slots that come free at any of these; those not measured yet count as the others."""
        rate = limits = measured = 0.0
        for name in upstreams:
            slots = self._slots[name]
            interval_s = slots.interval_s(now)
            limits += slots.limit
            if interval_s is not None:
                if interval_s <= 0:
                    return 0.0
                rate += 1 / interval_s
                measured += slots.limit
        return measured / (rate * limits) if rate else None

    def _weigher(self, upstreams: tuple[str, ...]) -> Callable[[tuple[str, ...]], float]:
        """Return how much of a line stands before those who can use these upstreams: the share of its slots that are theirs."""

        def weigh(line: tuple[str, ...]) -> float:
            if line == upstreams:
                return 1.0
            shared = sum(self._slots[name].limit for name in line if name in upstreams)
            return shared / sum(self._slots[name].limit for name in line)

        return weigh


def _find_limit(upstream: Upstream) -> int:
    return upstream.connections if upstream.concurrency is None else upstream.concurrency


def _count_whole(line: tuple[str, ...]) -> float:
    return 1.0


def _tell_nobody(ticket: Ticket) -> None:
    """Who waits looks at its ticket itself."""
