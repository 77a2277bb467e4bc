"""A caller that waits for a flight: what comes of the answer goes on to it, framed for its own connection."""

import asyncio
from typing import Final

from sidecar.core.attempt.answer_head import Framing
from sidecar.core.attempt.compose import frame_chunk
from sidecar.core.reuse.flights import Flight, Stage
from sidecar.errors import TOTAL_TIMEOUT, ClientGone, UpstreamFault
from sidecar.ports import Client, Clock

_NONE, _CHUNKED = Framing.NONE, Framing.CHUNKED
_LANDED: Final = Stage.LANDED


class Rider:
    """One caller aboard a flight (core.reuse.flights.Passenger)."""

    __slots__ = (
        "_client", "_flight", "_framing", "_waiter", "first_byte_at", "is_detached", "is_slow", "passed", "passed_bytes",
    )  # fmt: skip

    def __init__(self, flight: Flight) -> None:
        self._flight = flight
        self._client: Client | None = None
        self._framing = _NONE
        self._waiter: asyncio.Future[None] | None = None
        self.is_detached = False  # it fell too far behind
        self.is_slow = False
        self.passed = 0
        self.passed_bytes = 0
        self.first_byte_at: float | None = None

    # -- core.reuse.flights.Passenger ------------------------------------------------------

    def note_begin(self) -> None:
        """The head is there."""
        self._wake()

    def note_piece(self, piece: bytes, now: float) -> None:
        """A piece has come."""
        client = self._client
        # One that has just closed may not know yet that it has left; writing to it may raise, and harm all others.
        if client is None or self.is_slow or self.is_detached or client.gone:
            return
        if self.first_byte_at is None:
            self.first_byte_at = now
        self.passed += 1
        self.passed_bytes += len(piece)
        if self._framing is _CHUNKED:
            client.write(frame_chunk(piece))
        elif self._framing is not _NONE:
            client.write(piece)

    def note_over(self) -> None:
        """No more will come."""
        self._wake()

    def note_detached(self) -> None:
        """It is too far behind."""
        self.is_detached = True
        self._wake()

    # -- what the path does ----------------------------------------------------------------

    async def until_begun(self, due: float | None, clock: Clock) -> None:
        """Wait for the head, or for what comes in place of an answer. Raises Fault. `due`: this caller's own deadline."""
        while self._flight.stage is Stage.BOARDING:
            await self._until_news(due, clock)
        if self._flight.fault is not None and self._flight.substitute is None:
            raise self._flight.fault

    def start(self, client: Client, head: bytes, framing: Framing, now: float) -> None:
        """Send the head and all that has come; from here on, pieces pass as they come."""
        self._client, self._framing = client, framing
        client.watch(self._hold, self._go_on)
        first = [head]
        for piece in self._flight.pieces:  # whoever may board has missed nothing, and bytes that are here cost no more to send at once
            first.append(frame_chunk(piece) if framing is _CHUNKED else b"" if framing is _NONE else piece)
        if len(first) > 1:
            self.first_byte_at = now
        self.passed = len(first) - 1
        self.passed_bytes = self._flight.size_bytes
        client.write(b"".join(first))

    async def until_end(self, due: float | None, idle_s: float, clock: Clock) -> None:
        """Wait until this caller has been sent everything. Raises Fault where the answer broke off, ClientGone if it is too slow.

        `idle_s`: it has left if it takes nothing for so long.
        """
        flight = self._flight
        while not flight.is_over:
            await self._until_news(due, clock)
        if flight.fault is not None:
            raise flight.fault
        while self.passed < flight.dropped + len(flight.pieces):
            passed = self.passed
            await self._until_news(clock.now() + idle_s, clock)
            if self.passed == passed:
                raise ClientGone("the client stopped reading")

    async def until_landed(self, due: float | None, clock: Clock) -> None:
        """Wait until the answer is whole, of which nothing is sent before. Raises Fault."""
        while not self._flight.is_over:
            await self._until_news(due, clock)
        if self._flight.stage is not _LANDED and self._flight.fault is not None:
            raise self._flight.fault

    def release(self) -> None:
        """Pass nothing on any more."""
        if self._client is not None:
            self._client.watch(None, None)
            self._client = None

    # --------------------------------------------------------------------------------------

    def _hold(self) -> None:
        self.is_slow = True

    def _go_on(self) -> None:
        self.is_slow = False
        flight = self._flight
        while not self.is_slow and not self.is_detached and self.passed < flight.dropped + len(flight.pieces):
            at = self.passed - flight.dropped
            self.note_piece(flight.pieces[at], flight.times[at])
        if flight.is_over:
            self._wake()
        else:
            flight.weigh()

    async def _until_news(self, due: float | None, clock: Clock) -> None:
        if self.is_detached:
            raise ClientGone("the client reads too slowly to share an answer")
        loop = asyncio.get_running_loop()
        waiter = self._waiter = loop.create_future()
        timer = None if due is None else loop.call_later(max(0.0, due - clock.now()), _finish, waiter)
        try:
            await waiter
        finally:
            self._waiter = None
            if timer is not None:
                timer.cancel()
        if due is not None and clock.now() >= due and not self._flight.is_over:
            raise UpstreamFault(TOTAL_TIMEOUT)

    def _wake(self) -> None:
        if self._waiter is not None:
            _finish(self._waiter)


def _finish(waiter: "asyncio.Future[None]") -> None:
    if not waiter.done():
        waiter.set_result(None)
