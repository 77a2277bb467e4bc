"""What a session's messages add up to: many answers, one sum."""

from collections.abc import Callable, Sequence

import msgspec

from sidecar.exchange import Cost, Seen, Usage

# Returns what one answer cost by the first of some models that has a price, or why it cannot be told.
Charge = Callable[[Sequence[str | None], Usage, str | None], tuple[Cost | None, str | None]]


class Tally(msgspec.Struct):
    """The sum of a session's answers, filled in by a dialect as they pass.

    Each answer is charged by itself: models, service tiers and prices of long prompts differ from one to the next.
    """

    charge: Charge | None = None
    seen: Seen = msgspec.field(default_factory=Seen)
    model: str | None = None  # that the client asked for
    awaited: bool = False  # an answer was asked for and has not begun
    answering: int = 0  # answers begun and not ended
    usd: float | None = None  # of all answers so far; None: none was charged
    unpriced: str | None = None  # why an answer could not be charged
    open_usage: Usage | None = None  # of the answer in progress, where a provider sends running totals
    open_is_text: bool = True
    owed: bool = False  # an answer has ended, and its usage has not come

    @property
    def is_answering(self) -> bool:
        """Whether an answer is in progress, or due."""
        return self.awaited or self.answering > 0

    @property
    def cost(self) -> tuple[Cost | None, str | None]:
        """What all answers cost, or why that cannot be told: a sum without some of them would be too small."""
        if self.unpriced is not None or self.usd is None:
            return None, self.unpriced
        return Cost(self.usd, "table"), None

    def add(self, usage: Usage, *, is_text: bool = True, service_tier: str | None = None) -> None:
        """Add what one answer used. Not `is_text`: tokens of audio, images or video are among it, which have prices of their own."""
        total = self.seen.usage
        self.seen.usage = usage if total is None else Usage(*(one + more for one, more in zip(total, usage, strict=True)))
        if not is_text:
            self.unpriced = "modality"
        elif self.charge is not None:
            cost, unpriced = self.charge((self.seen.model, self.model), usage, service_tier)
            if cost is not None:
                self.usd = (self.usd or 0.0) + cost.usd
            self.unpriced = self.unpriced or unpriced

    def settle(self) -> None:
        """Add what the answer in progress has used so far: it has ended."""
        usage, self.open_usage = self.open_usage, None
        if usage is not None:
            self.add(usage, is_text=self.open_is_text)
        self.open_is_text = True
