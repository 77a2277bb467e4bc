"""Waiting for room at an upstream: every way out of it gives up the place in the queue, or the slot."""

import asyncio

from sidecar.core.admit.admission import Admission
from sidecar.core.admit.queue import GAVE_UP, Shed, Ticket
from sidecar.errors import OVERLOADED, SidecarFault
from sidecar.ports import Clock


class NoRoom(SidecarFault):
    """A call that was turned away (`overloaded`): when to come again, and why, as one of catalogue.SHED_REASONS."""

    def __init__(self, shed: Shed, *, has_waited: bool) -> None:
        super().__init__(OVERLOADED, retry_after_s=shed.retry_after_s)
        self.reason = shed.reason
        self.has_waited = has_waited


class Queueing:
    """Calls that wait, each with a future."""

    def __init__(self, admission: Admission, clock: Clock) -> None:
        self._admission = admission
        self._clock = clock
        self._waiters: dict[int, asyncio.Future[None]] = {}  # by the ticket's number, of all views of the admission
        admission.wake = self.released

    def succeed(self, admission: Admission) -> "Queueing":
        """Return the way to wait at the next view of this admission. Who waits already goes on waiting here."""
        successor = Queueing(admission, self._clock)
        successor._waiters = self._waiters
        return successor

    def released(self, ticket: Ticket) -> None:
        """Wake who holds this ticket: it has a slot, or was turned away."""
        waiter = self._waiters.get(ticket.number)
        if waiter is not None:
            _finish(waiter)

    async def wait(self, upstreams: tuple[str, ...], urgency: int, deadline_at: float) -> str:
        """Wait until one of these upstreams has room; return the one whose slot is now the caller's, to be released by it.

        Raises NoRoom.
        """
        ticket = self._admission.enqueue(upstreams, urgency, self._clock.now(), deadline_at)
        if isinstance(ticket, Shed):
            raise NoRoom(ticket, has_waited=False)
        if ticket.upstream is None:
            await self._until_woken(ticket)
        if ticket.upstream is not None:
            return ticket.upstream
        if ticket.shed is not None:
            raise NoRoom(ticket.shed, has_waited=True)
        now = self._clock.now()
        self._admission.leave(ticket, now)
        raise NoRoom(Shed(self._admission.retry_after_s(upstreams, urgency, now), GAVE_UP), has_waited=True)

    async def _until_woken(self, ticket: Ticket) -> None:
        loop = asyncio.get_running_loop()
        waiter = self._waiters[ticket.number] = loop.create_future()
        timer = loop.call_later(ticket.gives_up_at - self._clock.now(), _finish, waiter)
        try:
            await waiter
        except BaseException:  # cancelled, perhaps when it had been woken already: then the slot is passed on
            self._admission.leave(ticket, self._clock.now())
            raise
        finally:
            timer.cancel()
            del self._waiters[ticket.number]


def _finish(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
