"""What the calls of some time come to."""

from typing import Final

from sidecar import catalogue
from sidecar.core.observe.pace import measure_pace
from sidecar.core.reckon.sketch import Sketch
from sidecar.exchange import SERVICE_ERRORS, Ending, Record, UsageSource

_OPERATIONS: Final = frozenset(catalogue.OPERATION_DURATION.labels[0].values)
_TOLD: Final = frozenset(catalogue.CACHE_TOLD)
_LOOKED_FOR: Final = frozenset((catalogue.HIT, catalogue.STALE, catalogue.MISS))
_ABSENT: Final = UsageSource.ABSENT


class Tally:
    """Counts, sums and quantiles of calls. Tallies of short times add up to one of a long time."""

    __slots__ = (
        "cost_usd",
        "costs",
        "durations",
        "endings",
        "errors",
        "first_tokens",
        "hits",
        "input_tokens",
        "lookups",
        "output_tokens",
        "requests",
        "speeds",
        "usages",
    )

    def __init__(self) -> None:
        self.requests = 0
        self.errors = 0
        self.endings: dict[Ending, int] = {}
        self.lookups = 0
        self.hits = 0
        self.usages = 0  # calls whose tokens are known or estimated
        self.input_tokens = 0
        self.output_tokens = 0
        self.costs = 0  # calls that have a price
        self.cost_usd = 0.0
        self.durations = Sketch()  # seconds
        self.first_tokens = Sketch()  # seconds
        self.speeds = Sketch()  # output tokens per second

    def add(self, record: Record, *, looks_up: bool = True) -> None:
        """Take note of one call, by the rules by which metrics count. `looks_up`: whether answers are kept, so that one can be found."""
        ending, status, session = record.ending, record.cache, record.session
        self.requests += 1
        self.endings[ending] = self.endings.get(ending, 0) + 1
        if ending in SERVICE_ERRORS:
            self.errors += 1
        is_told = False
        if status is not None:
            is_told = status in _TOLD
            if looks_up and status in _LOOKED_FOR and record.origin == catalogue.CALLER:
                self.lookups += 1
                self.hits += status == catalogue.HIT
        if not record.endless and (is_told or record.upstream):
            self.durations.add((record.ended if session is None else session.opened) - record.accepted)
        if not is_told and record.operation in _OPERATIONS:
            self._add_answer(record, is_stream=record.streamed and session is None)

    def _add_answer(self, record: Record, *, is_stream: bool) -> None:
        if is_stream and not record.seen.replayed:
            first_token_s, tokens_per_s = measure_pace(record)
            if first_token_s is not None:
                self.first_tokens.add(first_token_s)
            if tokens_per_s is not None:
                self.speeds.add(tokens_per_s)
        usage, cost = record.usage, record.cost
        if usage is None or record.usage_source is _ABSENT:
            return
        fresh, read, written, output, reasoning = usage
        self.usages += 1
        self.input_tokens += fresh + read + written
        self.output_tokens += output + reasoning
        if cost is not None:
            self.costs += 1
            self.cost_usd += cost.usd

    def merge(self, other: "Tally") -> None:
        """Take in another one."""
        for ending, count in other.endings.items():
            self.endings[ending] = self.endings.get(ending, 0) + count
        self.requests += other.requests
        self.errors += other.errors
        self.lookups += other.lookups
        self.hits += other.hits
        self.usages += other.usages
        self.input_tokens += other.input_tokens
        self.output_tokens += other.output_tokens
        self.costs += other.costs
        self.cost_usd += other.cost_usd
        self.durations.merge(other.durations)
        self.first_tokens.merge(other.first_tokens)
        self.speeds.merge(other.speeds)

    @property
    def error_ratio(self) -> float | None:
        """Of all calls; None without any."""
        return self.errors / self.requests if self.requests else None

    @property
    def hit_ratio(self) -> float | None:
        """Of the answers that were looked for; None where nobody looked."""
        return self.hits / self.lookups if self.lookups else None
