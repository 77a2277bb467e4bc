"""What the meter counts of answers that are kept or shared, and of the store that several sidecars share."""

from collections.abc import Mapping
from typing import Final

from sidecar import catalogue
from sidecar.config import Settings
from sidecar.edge.telemetry.families import Families
from sidecar.edge.telemetry.series import Series
from sidecar.exchange import Ending, Record, Saved

_LEVELS: Final = frozenset(catalogue.CACHE_LEVELS)
_REASONS: Final = frozenset(catalogue.BYPASS_REASONS)
_LOOKED_FOR: Final = frozenset((catalogue.HIT, catalogue.STALE, catalogue.MISS))
_COMPLETED: Final = Ending.COMPLETED


class Reuse:
    """The part of the meter that only calls come to which may be answered without asking anew."""

    def __init__(self, families: Families) -> None:
        self._families = families
        self._looks_up = False
        for level in catalogue.OWN_LEVELS:
            for reason in catalogue.EVICTION_REASONS:
                families.cache_evictions.child(level, reason)
        self._lookups = families.cache_lookups.child()

    def prepare(self, settings: Settings) -> None:
        """Create the series that follow from the configuration."""
        self._looks_up = settings.features.cache
        if settings.redis.url is not None:
            self._families.shared_up.child().set(1)  # until it is found to be away

    def adopt(self, settings: Settings) -> None:
        """Count by other settings from now on. What is kept is shown anew before the next scrape; nothing, where nothing is."""
        self._looks_up = settings.features.cache
        self.show_levels(dict.fromkeys(catalogue.OWN_LEVELS, (0, 0)))

    def show_levels(self, levels: Mapping[str, tuple[int, int]]) -> None:
        """Bring the gauges up to date: entries and bytes of each level in this process."""
        for level, (entries, size_bytes) in levels.items():
            self._families.cache_entries.child(level).set(entries)
            self._families.cache_bytes.child(level).set(size_bytes)

    def note_stored(self, kind: str) -> None:
        """Count an answer that is kept from now on, one of catalogue.CACHE_KINDS."""
        self._families.cache_stored.child(kind).value += 1

    def note_not_stored(self, reason: str) -> None:
        """Count an answer that was looked for and is not kept, by one of catalogue.NOT_STORED_REASONS."""
        self._families.cache_not_stored.child(reason).value += 1

    def note_evicted(self, level: str, reason: str, entries: int = 1) -> None:
        """Count entries that left a level for good, by one of catalogue.EVICTION_REASONS."""
        self._families.cache_evictions.child(level, reason).value += entries

    def note_joined(self, *, is_first: bool) -> None:
        """Count a call that joined another one in progress; if it is the first to do so, that other one as well."""
        self._families.coalesced_requests.child("follower").value += 1
        if is_first:
            self._families.coalesced_requests.child("leader").value += 1

    def note_detached(self) -> None:
        """Count a follower that was let go because it fell too far behind."""
        self._families.coalescing_detached.child().value += 1

    def note_shared(self, outcome: str) -> None:
        """Count a command to the shared store, by one of catalogue.SHARED_OUTCOMES."""
        self._families.shared_commands.child(outcome).value += 1

    def note_damaged(self) -> None:
        """Count a kept answer that could not be read."""
        self._families.cache_damaged.child().value += 1

    def note_put_dropped(self) -> None:
        """Count an answer for which there was no room in the queue to the shared store."""
        self._families.shared_dropped.child().value += 1

    def note_state(self, is_up: bool) -> None:
        """Show whether the shared store answers."""
        self._families.shared_up.child().set(int(is_up))

    def observe(self, record: Record, series: Series) -> None:
        """Count what one exchange did not have to ask for, or asked for on nobody's behalf."""
        if record.saved is not None:
            _count_saved(record.saved, series)
        if record.cache == catalogue.COALESCED:
            self._families.coalesced_saved.child().value += 1
        if record.bundled and record.attempts:  # of the calls that went out together, one has what was sent
            self._families.embedding_batches.child().value += 1
            self._families.embedding_inputs.child().value += record.bundled
        if record.origin == catalogue.CALLER:
            self._observe_lookup(record, series)
        else:
            self._observe_errand(record)

    def _observe_lookup(self, record: Record, series: Series) -> None:
        families, status = self._families, record.cache
        if status in _LOOKED_FOR and self._looks_up:
            self._lookups.value += 1
            if record.asked.tool is not None:
                looked_for, found = series.tool_lookups()
                looked_for.value += 1
                found.value += status == catalogue.HIT
        if status == catalogue.HIT and record.cache_level in _LEVELS:
            families.cache_hits.child(record.cache_level or "").value += 1
        elif status == catalogue.STALE:
            families.cache_stale.child().value += 1
        elif status == catalogue.BYPASS and record.bypass in _REASONS:
            families.cache_bypass.child(record.bypass or "").value += 1

    def _observe_errand(self, record: Record) -> None:
        is_done = record.ending is _COMPLETED and record.status is not None and record.status < 400
        family = self._families.cache_warmed if record.origin == catalogue.WARMING else self._families.cache_refreshes
        family.child("succeeded" if is_done else "failed").value += 1


def _count_saved(saved: Saved, series: Series) -> None:
    counters = series.saved()
    if saved.usage is not None:
        for counter, count in zip(counters.tokens, saved.usage, strict=True):
            counter.value += count
    if saved.cost is not None:
        counters.usd.value += saved.cost.usd
