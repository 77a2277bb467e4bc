"""The provider's own account: what it was asked, what it sent, what it earned.

Two accounts of tokens are kept apart. *True* is what the provider generated and would bill.
*Reported* is what it told: usage that went out in full. A stream that was cut before its usage
has true tokens and no reported ones, and nobody downstream can know better.

Requests with one tag (`x-sim-tag`) are attempts at one call, perhaps at several providers that keep
one ledger together. One of them stands for the call: its answer is the one that was listened to. The
others were replaced: what they generated is true, what they told was told to nobody.
"""

from collections import OrderedDict, deque
from hashlib import sha256
from typing import Any, Final, NamedTuple

from sidecar.simulator.profile import Prices
from sidecar.simulator.reply import Marks, Outcome
from sidecar.simulator.tokens import NOTHING, Tokens

_TAGS_MAX: Final = 10_000


_FREE: Final = Prices(input=0.0, output=0.0, cached=0.0)


class Entry:
    """One request and what became of it. Times are seconds on the monotonic clock."""

    __slots__ = (
        "body_bytes", "cached_tokens", "client_closed_s", "digest", "ended_s", "fault", "first_byte_s", "first_token_s",
        "header_names", "id", "is_billed", "is_superseded", "marks", "method", "model", "number", "outcome", "path", "prices",
        "prompt_tokens", "provider", "received_s", "request_id", "rival", "status", "stream", "tag", "traceparent", "upstream",
        "written_1h_tokens", "written_tokens",
    )  # fmt: skip

    def __init__(self, number: int, method: str, path: str, received_s: float) -> None:
        self.number = number
        self.method = method
        self.path = path
        self.received_s = received_s
        self.id = ""  # of the answer
        self.request_id = ""
        self.tag = ""  # the caller's own name for this request (`x-sim-tag`)
        self.traceparent: str | None = None
        self.header_names: tuple[str, ...] = ()
        self.upstream = ""  # who was asked, where several keep one ledger
        self.provider = ""  # whose interface was called
        self.model = ""
        self.stream = False
        self.fault: str | None = None
        self.status: int | None = None
        self.outcome = Outcome.OPEN
        self.marks = Marks()
        self.is_billed = False
        self.is_superseded = False  # another attempt at the same call stands for it
        self.rival: Entry | None = None  # an attempt at the same call that was under way at the same time
        self.prices = _FREE
        self.prompt_tokens = 0
        self.cached_tokens = 0
        self.written_tokens = 0
        self.written_1h_tokens = 0
        self.body_bytes = 0
        self.digest = sha256()
        self.first_byte_s: float | None = None
        self.first_token_s: float | None = None
        self.ended_s: float | None = None
        self.client_closed_s: float | None = None

    def wrote(self, body: bytes, now: float) -> None:
        """More of the answer went to the socket, head or body."""
        if self.first_byte_s is None:
            self.first_byte_s = now
        if not body:
            return
        self.body_bytes += len(body)
        self.digest.update(body)
        if self.first_token_s is None and self.marks.streamed and self.marks.token_ends and self.body_bytes >= self.marks.token_ends[0]:
            self.first_token_s = now

    @property
    def true_tokens(self) -> Tokens:
        """What was generated until now."""
        if not self.is_billed:
            return NOTHING
        completion, reasoning = self.marks.tokens_within(self.body_bytes)
        return Tokens(self.prompt_tokens, completion, self.cached_tokens, reasoning, self.written_tokens, self.written_1h_tokens)

    @property
    def is_reported(self) -> bool:
        """Whether any usage went out in full."""
        return self.marks.told_within(self.body_bytes) is not None

    @property
    def reported_tokens(self) -> Tokens:
        """What the caller was told."""
        return self.marks.told_within(self.body_bytes) or NOTHING

    @property
    def is_good(self) -> bool:
        """Whether it was answered, and with success."""
        return self.outcome is Outcome.COMPLETE and self.status is not None and self.status < 400

    def tell(self) -> dict[str, Any]:
        """The entry as JSON types."""
        tokens = self.true_tokens
        return {
            "number": self.number, "id": self.id, "request_id": self.request_id, "tag": self.tag, "traceparent": self.traceparent,
            "method": self.method, "path": self.path, "header_names": list(self.header_names),
            "upstream": self.upstream, "provider": self.provider,
            "model": self.model, "stream": self.stream, "status": self.status,
            "fault": self.fault, "outcome": self.outcome.value, "superseded": self.is_superseded,
            "usage": tokens._asdict(), "reported": self.is_reported, "cost_usd": tokens.cost_usd(self.prices),
            "told": self.reported_tokens._asdict(), "told_usd": self.reported_tokens.cost_usd(self.prices),
            "bytes": self.body_bytes, "sha256": self.digest.hexdigest(), "received_s": self.received_s,
            "first_byte_s": self.first_byte_s, "first_token_s": self.first_token_s, "ended_s": self.ended_s,
            "client_closed_s": self.client_closed_s,
        }  # fmt: skip


class Row(NamedTuple):
    """The totals of one provider, model, status and outcome."""

    provider: str
    model: str
    status: int | None
    outcome: Outcome
    requests: int = 0
    true: Tokens = NOTHING
    reported: Tokens = NOTHING
    true_usd: float = 0.0
    reported_usd: float = 0.0
    replaced: int = 0  # by another attempt: these are no part of `requests`, nor of what was reported


class Ledger:
    """The last entries, bounded, and the totals of all, which are not."""

    def __init__(self, entries_max: int = 100_000) -> None:
        self._entries: deque[Entry] = deque(maxlen=entries_max)
        self._by_tag: OrderedDict[str, Entry] = OrderedDict()
        self._rows: dict[tuple[str, str, int | None, Outcome], Row] = {}
        self._open = 0

    def begin(self, entry: Entry) -> None:
        """A request came in. One with the tag of an earlier one is another attempt at the same call."""
        self._entries.append(entry)
        self._open += 1
        if not entry.tag:
            return
        earlier = self._by_tag.pop(entry.tag, None)
        if earlier is not None:
            self._replace(earlier)
            if earlier.outcome is Outcome.OPEN:
                entry.rival, earlier.rival = earlier, entry
        self._by_tag[entry.tag] = entry
        if len(self._by_tag) > _TAGS_MAX:
            self._by_tag.popitem(last=False)

    def seal(self, entry: Entry, outcome: Outcome, now: float) -> None:
        """An answer ended, one way or another."""
        entry.outcome = outcome
        entry.ended_s = now
        self._open -= 1
        row, true = self._row_of(entry), entry.true_tokens
        self._put(row._replace(true=row.true.plus(true), true_usd=row.true_usd + true.cost_usd(entry.prices)))
        self._count(entry, 1)
        rival = entry.rival
        if rival is None:
            return
        stands, falls = (rival, entry) if _outlasts(rival, entry) else (entry, rival)
        if stands.is_superseded and not falls.is_superseded:
            self._replace(falls)
            self._reinstate(stands)

    def clear(self) -> None:
        """Forget every sealed entry and all totals; open entries will be counted when they end."""
        still_open = [entry for entry in self._entries if entry.outcome is Outcome.OPEN]
        self._entries.clear()
        self._entries.extend(still_open)
        self._by_tag = OrderedDict((entry.tag, entry) for entry in still_open if entry.tag)
        self._rows.clear()

    @property
    def entries(self) -> tuple[Entry, ...]:
        """The last entries, oldest first."""
        return tuple(self._entries)

    @property
    def rows(self) -> tuple[Row, ...]:
        """The totals of all sealed entries."""
        return tuple(self._rows.values())

    @property
    def open_count(self) -> int:
        """Requests that are being answered."""
        return self._open

    def tell_totals(self) -> dict[str, Any]:
        """The totals as JSON types, overall and by row."""
        rows = self.rows
        return {
            "requests": sum(row.requests for row in rows), "open": self._open,
            "true": _tell_tokens(*(row.true for row in rows), cost_usd=sum(row.true_usd for row in rows)),
            "reported": _tell_tokens(*(row.reported for row in rows), cost_usd=sum(row.reported_usd for row in rows)),
            "rows": [
                {
                    "provider": row.provider, "model": row.model, "status": row.status, "outcome": row.outcome.value,
                    "requests": row.requests, "replaced": row.replaced,
                    "true": _tell_tokens(row.true, cost_usd=row.true_usd),
                    "reported": _tell_tokens(row.reported, cost_usd=row.reported_usd),
                }
                for row in rows
            ],
        }  # fmt: skip

    def _replace(self, entry: Entry) -> None:
        """Another attempt stands for the call."""
        if entry.outcome is not Outcome.OPEN:
            self._count(entry, -1)
        entry.is_superseded = True
        if entry.outcome is not Outcome.OPEN:
            self._count(entry, 1)

    def _reinstate(self, entry: Entry) -> None:
        """It stands for the call after all."""
        if entry.outcome is not Outcome.OPEN:
            self._count(entry, -1)
        entry.is_superseded = False
        if entry.outcome is not Outcome.OPEN:
            self._count(entry, 1)
        if entry.tag in self._by_tag:
            self._by_tag[entry.tag] = entry

    def _count(self, entry: Entry, step: int) -> None:
        """Add (1) a sealed entry to what it counts as now, or take it away (-1)."""
        row = self._row_of(entry)
        if entry.is_superseded:
            self._put(row._replace(replaced=row.replaced + step))
            return
        told = entry.reported_tokens
        self._put(row._replace(
            requests=row.requests + step, reported=row.reported.plus(told.times(step)),
            reported_usd=row.reported_usd + step * told.cost_usd(entry.prices),
        ))  # fmt: skip

    def _row_of(self, entry: Entry) -> Row:
        key = (entry.provider, entry.model, entry.status, entry.outcome)
        return self._rows.get(key) or Row(*key)

    def _put(self, row: Row) -> None:
        self._rows[row.provider, row.model, row.status, row.outcome] = row


def _outlasts(rival: Entry, entry: Entry) -> bool:
    """Whether the rival of an entry that has just ended stands for their call: the other was given up, or failed before it did."""
    if rival.outcome is Outcome.OPEN:
        return not entry.is_good
    return rival.is_good or (entry.outcome is Outcome.CLIENT_GONE and rival.outcome is not Outcome.CLIENT_GONE)


def _tell_tokens(*several: Tokens, cost_usd: float) -> dict[str, Any]:
    total = NOTHING
    for tokens in several:
        total = total.plus(tokens)
    return {**total._asdict(), "cost_usd": cost_usd}
