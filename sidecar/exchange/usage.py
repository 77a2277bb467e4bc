"""What answers use, and what that costs."""

from enum import StrEnum
from typing import NamedTuple

import msgspec


class UsageSource(StrEnum):
    """Where a token count came from. An estimate is never shown as a report."""

    __hash__ = str.__hash__

    REPORTED = "reported"
    APPORTIONED = "apportioned"  # reported for several calls together: this one's share
    ESTIMATED = "estimated"
    ABSENT = "absent"


class Usage(NamedTuple):
    """Billable tokens of one answer as disjoint kinds: their sum is the total, none counted twice."""

    input: int = 0  # without cache reads and writes
    cache_read: int = 0
    cache_write: int = 0
    output: int = 0  # without reasoning
    reasoning: int = 0

    @property
    def input_total(self) -> int:
        """Everything on the input side, cached included (gen_ai.usage.input_tokens)."""
        return self.input + self.cache_read + self.cache_write

    @property
    def output_total(self) -> int:
        """Everything on the output side, reasoning included (gen_ai.usage.output_tokens)."""
        return self.output + self.reasoning


class Cost(msgspec.Struct, frozen=True, gc=False):
    """What an answer cost: USD, and whether the provider said so, the price table did, or the table for estimated tokens."""

    usd: float
    source: str  # "provider" | "table" | "estimated"


class Saved(msgspec.Struct, frozen=True, gc=False):
    """What a call would have used and cost, had it not been answered with another one's answer."""

    usage: Usage | None
    cost: Cost | None
