"""How the simulated provider behaves: its models, their pace and prices, and how often it fails."""

import math
from collections.abc import Mapping
from random import Random
from typing import Annotated, Final

import msgspec
import yaml

from sidecar.simulator.script import Fault

Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Positive = Annotated[float, msgspec.Meta(gt=0)]


class Lognormal(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A lognormal distribution: latencies are skewed to the right, never negative."""

    median: Positive
    sigma: Annotated[float, msgspec.Meta(ge=0, le=3)] = 0.0

    def draw(self, random: Random) -> float:
        """One value, in the unit of the median."""
        return self.median * math.exp(self.sigma * random.gauss(0.0, 1.0))


class Prices(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """USD per million tokens."""

    input: float
    output: float
    cached: float
    written: float | None = None  # to the prompt cache; None: as input
    written_1h: float | None = None  # to be kept there for an hour; None: as written

    def with_fee(self, share: float) -> "Prices":
        """The prices with a share of them added."""
        written, written_1h = (None if price is None else price * (1 + share) for price in (self.written, self.written_1h))
        return Prices(self.input * (1 + share), self.output * (1 + share), self.cached * (1 + share), written, written_1h)


class Model(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One model: how fast, how long, at what price."""

    first_token_ms: Lognormal
    prices: Prices
    token_ms: Lognormal = Lognormal(15.0, 0.5)
    answer_tokens: Lognormal = Lognormal(60.0, 0.6)
    reasoning_tokens: Lognormal | None = None
    embeds: bool = False
    dimensions: Annotated[int, msgspec.Meta(ge=1, le=4096)] = 256  # of an embedding, unless asked otherwise


# Prices are those of the same names in the sidecar's price table: the two accounts must agree.
MODELS: Final[Mapping[str, Model]] = {
    "sim-small": Model(
        first_token_ms=Lognormal(220, 0.35), token_ms=Lognormal(9, 0.5), answer_tokens=Lognormal(50, 0.6),
        prices=Prices(input=0.15, output=0.60, cached=0.075),
    ),
    "sim-large": Model(
        first_token_ms=Lognormal(550, 0.45), token_ms=Lognormal(18, 0.5), answer_tokens=Lognormal(80, 0.6),
        prices=Prices(input=2.50, output=10.00, cached=1.25, written=3.125, written_1h=5.00),
    ),
    "sim-reasoning": Model(
        first_token_ms=Lognormal(800, 0.5), token_ms=Lognormal(12, 0.5), answer_tokens=Lognormal(60, 0.5),
        reasoning_tokens=Lognormal(80, 0.6), prices=Prices(input=1.10, output=4.40, cached=0.55),
    ),
    "sim-embed": Model(
        first_token_ms=Lognormal(60, 0.3), prices=Prices(input=0.02, output=0.0, cached=0.02), embeds=True,
    ),
}  # fmt: skip


class Outages(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Bursts of failures: after `healthy` requests the next `failing` ones fail, the faults taking turns, then again.

    Counted are requests that come without a script of their own, and to the interface of `provider` if that is given.
    """

    healthy: Annotated[int, msgspec.Meta(ge=1)]
    failing: Annotated[int, msgspec.Meta(ge=1)]
    provider: str | None = None  # a GenAI provider name
    faults: Annotated[tuple[Fault, ...], msgspec.Meta(min_length=1)] = (Fault.SERVER_ERROR, Fault.RESET_BEFORE_HEAD)

    def find_fault(self, count: int) -> Fault | None:
        """What strikes the request that comes after `count` others, if anything does."""
        number = count % (self.healthy + self.failing) - self.healthy
        return self.faults[number % len(self.faults)] if number >= 0 else None


class Profile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole behaviour. `speed` divides every drawn time; 0 means no waiting at all."""

    seed: int = 1
    speed: Annotated[float, msgspec.Meta(ge=0)] = 1.0
    models: dict[str, Model] = msgspec.field(default_factory=lambda: dict(MODELS))
    faults: dict[Fault, Share] = {}
    outages: Outages | None = None
    cached_from_tokens: Annotated[int, msgspec.Meta(ge=1)] = 1024  # shorter prompts are not cached
    requests_per_minute: Annotated[int, msgspec.Meta(ge=1)] = 10_000  # as told in x-ratelimit headers
    tokens_per_minute: Annotated[int, msgspec.Meta(ge=1)] = 2_000_000

    def wait_s(self, milliseconds: float) -> float:
        """How long a drawn time lasts at this profile's speed, in seconds."""
        return milliseconds / 1000 / self.speed if self.speed else 0.0


class ProfileError(ValueError):
    """A profile that cannot be used: what is wrong and where."""


def read_profile(text: str) -> Profile:
    """Read a profile from YAML (JSON is YAML too). Raises ProfileError with one line of reason."""
    try:
        tree = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ProfileError(f"not YAML: {' '.join(str(error).split())}") from error
    try:
        profile = msgspec.convert({} if tree is None else tree, Profile)
    except msgspec.ValidationError as error:
        raise ProfileError(str(error)) from error
    if sum(profile.faults.values()) > 1:
        raise ProfileError("the rates of `faults` add up to more than 1")
    if Fault.STATUS in profile.faults:
        raise ProfileError("fault `status` needs a script: it has no rate")
    if profile.outages is not None and Fault.STATUS in profile.outages.faults:
        raise ProfileError("fault `status` needs a script: there is no outage of it")
    if not profile.models:
        raise ProfileError("`models` is empty")
    return profile
