"""Who may call now, who waits, and who is turned away at once."""

from collections.abc import Callable
from typing import Final

from sidecar.config import Settings, Upstream
from sidecar.core.admit.queue import QUEUE_FULL, TOO_LONG, Line, Queue, Shed, Ticket
from sidecar.core.admit.slots import Slots

# Of the time there is: who is expected to need more is turned away at once, not after having waited for nothing. The rest is for
# what is not known about a wait that is made of calls which have not ended yet.
_PATIENCE: Final = 0.8
_RETRY_AFTER_S_MIN: Final = 1.0
_RETRY_AFTER_S_MAX: Final = 60.0  # what an upstream that stands still would come to is no forecast


class _Hall:
    """What all views of an admission have in common: the total, and those who wait."""

    __slots__ = ("in_use", "numbers", "queue", "size", "total", "wait_s", "wake")

    def __init__(self, settings: Settings) -> None:
        self.wake: Callable[[Ticket], None] = _tell_nobody
        total = settings.limits.concurrency
        self.total = None if total is None else Slots(total)
        self.in_use = 0
        self.queue = Queue()
        self.size = settings.queue.size
        self.wait_s = settings.queue.wait
        self.numbers = 0

    def adopt(self, settings: Settings, now: float) -> None:
        """Hold to other settings. Who waits already keeps the time that it was given."""
        self.size, self.wait_s = settings.queue.size, settings.queue.wait
        total = settings.limits.concurrency
        if total is None:
            self.total = None
        elif self.total is None:
            self.total = Slots(total)
            self.total.occupy(self.in_use, now)
        else:
            self.total.adopt(total, adaptive=False, now=now)


class Admission:
    """Slots of each upstream and of all together (`limits.concurrency`), and one bounded queue for those who find none free.

    Never is a slot free that somebody in the queue could use: whatever frees one gives it, in the same moment, to the first
    who can use it. `wake` is told of each ticket that has got a slot or was turned away to make room for a more urgent one.

    It is a view, by the names of one set of settings: calls that began under other settings have one of their own, in which a
    name stands for what it stood for then. The total and the queue are the same in all of them, and the slots of upstreams that stay.
    """

    def __init__(self, settings: Settings) -> None:
        self._hall = _Hall(settings)
        self._slots = {
            name: Slots(_find_limit(upstream), adaptive=upstream.adaptive_concurrency, name=name)
            for name, upstream in settings.upstreams.items()
        }

    def succeed(self, settings: Settings, kept: frozenset[str], now: float) -> "Admission":
        """Return the view of other settings; what is shared holds to them from now on. `kept`: the upstreams that are what they were.

        Slots in use stay counted. A lower limit is reached as calls end; what a higher one frees goes to those who wait.
        """
        successor = Admission(settings)
        successor._hall = self._hall
        self._hall.adopt(settings, now)
        for name in kept:
            slots, upstream = self._slots[name], settings.upstreams[name]
            slots.adopt(_find_limit(upstream), adaptive=upstream.adaptive_concurrency, now=now)
            successor._slots[name] = slots
        successor._hand_on_all(now)
        return successor

    @property
    def wake(self) -> Callable[[Ticket], None]:
        """Who is told of tickets, of all views."""
        return self._hall.wake

    @wake.setter
    def wake(self, wake: Callable[[Ticket], None]) -> None:
        self._hall.wake = wake

    def has_room(self, upstream: str) -> bool:
        """Whether a call to this upstream could begin now."""
        slots, total = self._slots[upstream], self._hall.total
        return slots.in_use < slots.limit and (total is None or total.in_use < total.limit)

    def take(self, upstream: str, now: float) -> None:
        """Reserve a slot. Whoever does so has asked `has_room` in the same step."""
        self._reserve(self._slots[upstream], now)

    def try_take(self, upstream: str, now: float) -> bool:
        """Reserve a slot if there is one; tell whether there was."""
        slots, hall = self._slots[upstream], self._hall
        total = hall.total
        if slots.in_use >= slots.limit or (total is not None and total.in_use >= total.limit):
            return False
        hall.in_use += 1
        slots.take(now)
        if total is not None:
            total.take(now)
        return True

    def release(self, upstream: str, now: float) -> Ticket | None:
        """Give a slot back; return who got it, whom `wake` was told of already."""
        hall = self._hall
        hall.in_use -= 1
        self._slots[upstream].release(now)
        if hall.total is not None:
            hall.total.release(now)
        return self._hand_on(now) if hall.queue.length else None

    def enqueue(self, upstreams: tuple[str, ...], urgency: int, now: float, deadline_at: float) -> Ticket | Shed:
        """Wait for a slot of any of these upstreams. `urgency`: 0 to 2, the higher goes first.

        Shed: the queue is full of others as urgent, or the wait to expect is longer than `queue.wait` or than the caller has time.
        The ticket has its slot already where one is free.
        """
        hall, line = self._hall, self._find_line(upstreams)
        hall.numbers += 1
        patience_s = min(hall.wait_s, deadline_at - now)
        ticket = Ticket(line, urgency, hall.numbers, now + patience_s)
        free = self._choose(line)
        if free is not None:
            self._give(ticket, free, now)
            return ticket
        expected_s = self._expect_s(line, urgency, now)
        if patience_s <= 0 or (expected_s is not None and expected_s > patience_s * _PATIENCE):
            return self._shed(TOO_LONG, expected_s)
        if hall.queue.length >= hall.size:
            last = hall.queue.last_below(urgency)
            if last is None:
                return self._shed(QUEUE_FULL, expected_s)
            hall.queue.remove(last)
            last.shed = self._shed(QUEUE_FULL, self._expect_s(last.line, last.urgency, now))
            hall.wake(last)
        hall.queue.add(ticket)
        return ticket

    def leave(self, ticket: Ticket, now: float) -> None:
        """Wait no longer: the caller left, its time is over, we stop. A slot that was given in the same moment is passed on."""
        if ticket.upstream is not None:
            upstream, ticket.upstream = ticket.upstream, None
            self.release(upstream, now)
        else:
            self._hall.queue.remove(ticket)

    def note_first_token(self, upstream: str, ttft_s: float, now: float, began: float | None = None) -> None:
        """Take note of how long an upstream took to its first token: where its concurrency is adaptive, the limit follows.

        `began`: when the call was made, where this is told later than the token came.
        """
        slots = self._slots[upstream]
        before = slots.limit
        slots.note_first_token(ttft_s, now, began)
        if slots.limit > before:
            self._hand_on_all(now)  # it may have grown by more than one

    def limit(self, upstream: str) -> int:
        """Return how many calls at once this upstream is given at present."""
        return self._slots[upstream].limit

    def in_use(self, upstream: str) -> int:
        """Return how many slots of this upstream are reserved."""
        return self._slots[upstream].in_use

    def queued(self) -> int:
        """Return how many wait."""
        return self._hall.queue.length

    def retry_after_s(self, upstreams: tuple[str, ...], urgency: int, now: float) -> float:
        """Return when one who was turned away may come again: when those who wait now have got their turn; at least 1 s."""
        return self._shed("", self._expect_s(self._find_line(upstreams), urgency, now)).retry_after_s

    def _find_line(self, upstreams: tuple[str, ...]) -> Line:
        return tuple(self._slots[name] for name in upstreams)

    def _is_free(self, slots: Slots) -> bool:
        total = self._hall.total
        return slots.in_use < slots.limit and (total is None or total.in_use < total.limit)

    def _choose(self, line: Line) -> Slots | None:
        return next(filter(self._is_free, line), None)

    def _reserve(self, slots: Slots, now: float) -> None:
        hall = self._hall
        hall.in_use += 1
        slots.take(now)
        if hall.total is not None:
            hall.total.take(now)

    def _give(self, ticket: Ticket, slots: Slots, now: float) -> None:
        ticket.upstream = slots.name
        self._reserve(slots, now)

    def _hand_on(self, now: float) -> Ticket | None:
        hall = self._hall
        found = hall.queue.first(self._choose)
        if found is None:
            return None
        ticket, slots = found
        hall.queue.remove(ticket)
        self._give(ticket, slots, now)
        hall.wake(ticket)
        return ticket

    def _hand_on_all(self, now: float) -> None:
        while self._hall.queue.length and self._hand_on(now) is not None:
            pass

    def _shed(self, reason: str, expected_s: float | None) -> Shed:
        wait_s = self._hall.wait_s if expected_s is None else expected_s
        return Shed(max(_RETRY_AFTER_S_MIN, min(wait_s, _RETRY_AFTER_S_MAX)), reason)

    def _expect_s(self, line: Line, urgency: int, now: float) -> float | None:
        """Return how long a new one would wait: its position times the interval at which slots come free. None: not known yet."""
        waits = []
        total, queue = self._hall.total, self._hall.queue
        if total is not None and total.in_use >= total.limit:
            waits.append((queue.ahead(urgency, _count_whole) + 1, total.interval_s(now)))
        if not any(slots.in_use < slots.limit for slots in line):
            waits.append((queue.ahead(urgency, _make_weigher(line)) + 1, _find_interval_s(line, now)))
        return max((position * interval_s for position, interval_s in waits if interval_s is not None), default=None)


def _find_interval_s(line: Line, now: float) -> float | None:
    """Return the seconds between slots that come free at any of these; those not measured yet count as the others."""
    rate = limits = measured = 0.0
    for slots in line:
        interval_s = slots.interval_s(now)
        limits += slots.limit
        if interval_s is not None:
            if interval_s <= 0:
                return 0.0
            rate += 1 / interval_s
            measured += slots.limit
    return measured / (rate * limits) if rate else None


def _make_weigher(line: Line) -> Callable[[Line], float]:
    """Return how much of a line stands before those who can use this one: the share of its slots that are theirs."""

    def weigh(other: Line) -> float:
        if other == line:
            return 1.0
        return sum(slots.limit for slots in other if slots in line) / sum(slots.limit for slots in other)

    return weigh


def _find_limit(upstream: Upstream) -> int:
    return upstream.connections if upstream.concurrency is None else upstream.concurrency


def _count_whole(line: Line) -> float:
    return 1.0


def _tell_nobody(ticket: Ticket) -> None:
    """Who waits looks at its ticket itself."""
