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

    def plus(self, other: "Tokens") -> "Tokens":
        """Both together."""
        return Tokens(*(mine + theirs for mine, theirs in zip(self, other, strict=True)))

    def cost_usd(self, prices: Prices) -> float:
        """What they cost: prompt tokens that were cached, and that go into the cache, have prices of their own."""
        plain = self.prompt - self.cached - self.written
        written_usd = self.written * (prices.input if prices.written is None else prices.written)
        return (plain * prices.input + self.cached * prices.cached + written_usd + self.completion * prices.output) / _PER_MILLION


NOTHING: Final = Tokens()
