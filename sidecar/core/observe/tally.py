"""What a session's messages add up to: many answers, one sum."""

from typing import Final

import msgspec

from sidecar.exchange import Seen, Usage

MODELS_MAX: Final = 16  # of one session, counted apart; what further ones used has no price


class Tally(msgspec.Struct):
    """The sum of a session's answers, filled in by a dialect as they pass."""

    seen: Seen = msgspec.field(default_factory=Seen)
    model: str | None = None  # that the client asked for
    awaited: bool = False  # an answer was asked for and has not begun
    answering: int = 0  # answers begun and not ended
    usages: dict[str, Usage] = msgspec.field(default_factory=dict)  # by the model that answered; "" where it is not known
    is_text: bool = True  # False: tokens of audio, images or video were among them, which are priced apart
    open_usage: Usage | None = None  # of the answer in progress, where a provider sends running totals
    owed: bool = False  # an answer has ended, and its usage has not come

    @property
    def is_answering(self) -> bool:
        """Whether an answer is in progress, or due."""
        return self.awaited or self.answering > 0

    def add(self, usage: Usage) -> None:
        """Add what one answer used."""
        model = self.seen.model or self.model or ""
        if model not in self.usages and len(self.usages) >= MODELS_MAX:
            model = ""
        self.usages[model] = _sum(self.usages.get(model), usage)
        self.seen.usage = _sum(self.seen.usage, usage)

    def settle(self) -> None:
        """Add what the answer in progress has used so far: it has ended."""
        usage, self.open_usage = self.open_usage, None
        if usage is not None:
            self.add(usage)


def _sum(one: Usage | None, other: Usage) -> Usage:
    if one is None:
        return other
    return Usage(*(first + second for first, second in zip(one, other, strict=True)))
