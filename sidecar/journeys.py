"""An upstream call made for several callers, and what of it is told in each one's record."""

import asyncio
from copy import copy
from typing import Final

from sidecar.catalogue import MISS, STALE
from sidecar.core.reuse.entry import Entry
from sidecar.core.reuse.flights import Flight
from sidecar.core.reuse.policy import Terms
from sidecar.exchange import Saved, Seen
from sidecar.progress import Exchange

LAST_BYTES_S: Final = 0.25


class Journey:
    """A flight with what carries it out."""

    __slots__ = ("carrier", "entry", "flight", "is_claimed", "is_shared", "leader", "saved", "task", "terms")

    def __init__(self, flight: Flight, carrier: Exchange, leader: Exchange, terms: Terms) -> None:
        self.flight = flight
        self.carrier = carrier
        self.leader = leader
        self.terms = terms
        self.task: asyncio.Task[None] | None = None
        self.entry: Entry | None = None  # the whole answer, where it is kept or has to be told again
        self.saved: Saved | None = None  # by each caller that does not have to pay for it
        self.is_claimed = False  # it is told in somebody's record
        self.is_shared = False  # somebody has joined

    async def settle(self) -> None:
        """Wait until a call that nobody waits for any more has let go of everything.

        SDKs hang up as soon as they have read the end mark of a stream, and the end that HTTP needs follows it. It is waited for:
        with it the answer can be kept, and the connection used again.
        """
        task = self.task
        if task is None or task.done():
            return
        try:
            if self._is_answered:
                await asyncio.wait((task,), timeout=LAST_BYTES_S)
        finally:
            task.cancel()
        await asyncio.wait((task,))

    @property
    def _is_answered(self) -> bool:
        """Whether the provider has said all it had to say."""
        seen = find_seen(self.carrier)
        return seen is not None and seen.answered and seen.error_type is None


def take_over(exchange: Exchange, carrier: Exchange, *, is_leader: bool) -> None:
    """Tell in a caller's record what became of the upstream call. `is_leader`: it is the caller that the call was made for."""
    exchange.trial, exchange.attempts_made = carrier.trial, carrier.attempts_made
    exchange.attempts += carrier.attempts
    exchange.queued_s, exchange.decision, exchange.shed = carrier.queued_s, carrier.decision, carrier.shed
    exchange.limited = carrier.limited
    exchange.reserved, carrier.reserved = carrier.reserved, None  # and so is what is still to be settled
    if exchange.cache == STALE:  # it was told another answer
        return
    exchange.share, exchange.bundled, exchange.told = carrier.share, carrier.bundled, carrier.told
    if is_leader:
        return
    exchange.cache = MISS
    seen = find_seen(carrier)
    if seen is not None:
        exchange.told = retrace(seen, exchange.call.accepted, pays=True)


def find_seen(carrier: Exchange) -> Seen | None:
    """Return what was seen of a carrier's answer."""
    observer = carrier.trial.observer
    return carrier.told if carrier.told is not None or observer is None else observer.seen


def retrace(seen: Seen, since: float, *, pays: bool) -> Seen:
    """Return what was seen, as it was for a caller that came later. `pays`: the answer counts as this caller's."""
    own = copy(seen)
    own.finish_reasons = list(seen.finish_reasons)
    own.gaps = None  # between pieces of which the first ones came at once
    if not pays:
        own.usage, own.cost_usd = None, None
    own.first_chunk, own.first_token = _postpone(own.first_chunk, since, pays), _postpone(own.first_token, since, pays)
    return own


def _postpone(moment: float | None, since: float, pays: bool) -> float | None:
    """Return when something came for a caller that came at `since`. What was there before says nothing of how fast an upstream is."""
    return moment if moment is None or moment >= since else None if pays else since
