"""Answers that are kept: in memory, and where several sidecars share them."""

from collections.abc import Sequence
from typing import Final, Protocol

from sidecar.config import Settings
from sidecar.core.attempt.answer_head import Framing
from sidecar.core.observe.pricing import PriceTable
from sidecar.core.reuse.entry import Entry, compose_entry
from sidecar.core.reuse.keeping import may_keep
from sidecar.core.reuse.levels import Found, Levels
from sidecar.core.reuse.policy import Terms
from sidecar.core.reuse.retelling import can_retell, needs_retelling
from sidecar.exchange import Saved, UsageSource
from sidecar.journeys import Journey, find_seen
from sidecar.ports import Clock
from sidecar.sealing import price

_CLOSE: Final = Framing.CLOSE
_NS: Final = 1e-9


class Keeper(Protocol):
    """Who is told of what is kept."""

    def note_stored(self, kind: str) -> None:
        """An answer of this kind, one of catalogue.CACHE_KINDS, is kept."""
        ...

    def note_not_stored(self, reason: str) -> None:
        """An answer that could have been kept was not, for one of catalogue.NOT_STORED_REASONS."""
        ...

    def note_joined(self, *, is_first: bool) -> None:
        """A call joined another one in progress, as the first to do so or a later one."""
        ...

    def note_detached(self) -> None:
        """A call was let go because it fell too far behind the others that it shared an answer with."""
        ...


class SharedAnswers(Protocol):
    """Answers that several sidecars have in common."""

    async def get(self, key: str) -> tuple[Entry, float] | None:
        """Return what is kept under `key` and its age in seconds; None where nothing is, or it takes too long."""
        ...

    def put(self, key: str, entry: Entry) -> None:
        """Keep an answer, in the background."""


class Larder:
    """Finds and keeps answers. `shared`: the level that several sidecars have in common. `note` is told of what is kept."""

    def __init__(
        self, settings: Settings, levels: Levels, shared: SharedAnswers | None, prices: PriceTable, clock: Clock, note: Keeper
    ) -> None:  # fmt: skip
        self._settings = settings
        self._features = settings.features
        self._levels = levels
        self._shared = shared
        self._prices = prices
        self._clock = clock
        self._note = note

    async def find(self, terms: Terms) -> Found | None:
        """Return what is kept under the key of a call, if it will do."""
        if not terms.reads or not self._features.cache:
            return None
        found = self._look(terms)
        return await self._fetch(terms, self._shared) if found is None and self._shared is not None else found

    async def _fetch(self, terms: Terms, shared: SharedAnswers) -> Found | None:
        """Look among what other sidecars have kept; what is found there is kept here, too."""
        there = await shared.get(_name_shared(terms))
        if there is not None:
            self._levels.put(terms.key, there[0], self._clock.now(), age_s=there[1])
        # A call that was in progress may have kept one meanwhile.
        found = self._look(terms)
        return found if found is None or there is None else found._replace(level="shared")

    def _look(self, terms: Terms) -> Found | None:
        found = self._levels.get(
            terms.key, self._clock.now(), max_age_s=terms.max_age_s, max_stale_s=terms.max_stale_s, life_s=terms.life_s
        )  # fmt: skip
        return self._check(found, terms)

    def find_stale(self, terms: Terms) -> Found | None:
        """Return what may stand in for an error."""
        found = self._levels.get_stale(terms.key, self._clock.now()) if self._features.stale else None
        return self._check(found, terms)

    def _check(self, found: Found | None, terms: Terms) -> Found | None:
        """Forget an answer of a place that such calls do not go to any more."""
        if found is not None and found.entry.origin not in terms.origins.members:
            self._levels.discard(terms.key)
            return None
        return found

    def keep(self, journey: Journey) -> None:
        """An answer has come whole: keep it, if that may be."""
        flight, carrier, terms = journey.flight, journey.carrier, journey.terms
        trial = carrier.trial
        head, observer, answer = trial.head, trial.observer, trial.answer
        seen = find_seen(carrier)
        if head is None or seen is None:
            return
        cost, _ = price(self._prices, trial.place.provider, carrier.asked.model, seen, seen.usage, UsageSource.REPORTED)
        if seen.usage is not None or cost is not None:
            journey.saved = Saved(seen.usage, cost)
        ttl_s = None
        if terms.stores and self._features.cache:
            is_whole = flight.is_whole and (trial.streamed or head.framing is not _CLOSE)
            ttl_s = may_keep(
                terms, head.status, head.fields, seen, dialect=carrier.dialect, streamed=trial.streamed, whole=is_whole,
                observer_failed=answer is not None and answer.observer_failed, skipped=None if observer is None else observer.skipped,
                pieces=flight.pieces,
            )  # fmt: skip
            if ttl_s is None:
                self._note.note_not_stored("unfit" if flight.is_whole else "too_large")
        if ttl_s is None and not _can_repeat(carrier.dialect.name, trial.streamed, head.content_encoding, flight.pieces):
            return
        entry = journey.entry = compose_entry(
            kind=terms.kind, head=head, media_type=trial.media_type, streamed=trial.streamed, pieces=flight.pieces, times=flight.times,
            seen=seen, usage=seen.usage, usage_source=UsageSource.REPORTED, cost=cost, place=trial.place,
            wall_s=self._clock.wall_ns() * _NS, ttl_s=ttl_s or 0.0, life_s=terms.life_s,
            stale_s=self._settings.cache.stale if self._features.stale else 0.0, origin=terms.origins.marks.get(trial.place.name, ""),
        )  # fmt: skip
        if ttl_s is not None:
            self._levels.put(terms.key, entry, self._clock.now())
            self._note.note_stored(terms.kind)
            if self._shared is not None:
                self._shared.put(_name_shared(terms), entry)


def _name_shared(terms: Terms) -> str:
    """Return the key among what sidecars share: those whose route leads elsewhere do not take each other's places."""
    return terms.key + terms.origins.together


def _can_repeat(dialect_name: str, streamed: bool, content_encoding: str, pieces: Sequence[bytes]) -> bool:
    """Tell whether an answer that is not kept can be told to callers that have something of their own in it."""
    return needs_retelling(dialect_name) and not content_encoding and can_retell(dialect_name, b"".join(pieces), streamed=streamed)
