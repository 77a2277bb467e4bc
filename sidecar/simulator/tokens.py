"""Tokens as the provider counts them, and what they cost."""

from typing import Final, NamedTuple

from sidecar.simulator.profile import Prices

_PER_MILLION: Final = 1_000_000


class Tokens(NamedTuple):
    """Cached and written ones are part of prompt, reasoning is part of completion."""

    prompt: int = 0
    completion: int = 0
    cached: int = 0
    reasoning: int = 0
    written: int = 0  # to the provider's prompt cache
    written_1h: int = 0  # of those, the ones that are kept for an hour

    def plus(self, other: "Tokens") -> "Tokens":
        """Both together."""
        return Tokens(*(mine + theirs for mine, theirs in zip(self, other, strict=True)))

    def times(self, factor: int) -> "Tokens":
        """As many of each; -1: what takes them away."""
        return Tokens(*(factor * count for count in self))

    def cost_usd(self, prices: Prices) -> float:
        """What they cost: prompt tokens that were cached, and that go into the cache, have prices of their own."""
        plain = self.prompt - self.cached - self.written
        short_usd = prices.input if prices.written is None else prices.written
        long_usd = short_usd if prices.written_1h is None else prices.written_1h
        written_usd = (self.written - self.written_1h) * short_usd + self.written_1h * long_usd
        return (plain * prices.input + self.cached * prices.cached + written_usd + self.completion * prices.output) / _PER_MILLION


NOTHING: Final = Tokens()
