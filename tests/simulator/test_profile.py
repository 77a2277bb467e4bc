"""sidecar/simulator/profile.py"""

from random import Random
from statistics import median

import pytest

from sidecar.simulator.profile import MODELS, Lognormal, Prices, Profile, ProfileError, read_profile
from sidecar.simulator.script import Fault


def test_nothing_said() -> None:
    """An empty profile is the built-in one."""
    assert read_profile("") == Profile()
    assert set(Profile().models) == {"sim-small", "sim-large", "sim-reasoning", "sim-embed"}


def test_yaml() -> None:
    """Models and fault rates are read from YAML."""
    profile = read_profile(
        """
        seed: 7
        speed: 2
        models:
          m: {first_token_ms: {median: 10}, prices: {input: 1, output: 2, cached: 0.5}}
        faults: {rate_limited: 0.25}
        """
    )
    assert (profile.seed, profile.speed, profile.faults) == (7, 2.0, {Fault.RATE_LIMITED: 0.25})
    assert profile.models["m"].first_token_ms == Lognormal(10.0, 0.0)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("sped: 1", "sped"), ("faults: {reset: 2}", "faults"), ("faults: {reset: 0.6, cut: 0.6}", "more than 1"), ("a: [", "not YAML"),
        ("models: {}", "empty"), ("faults: {explode: 0.1}", "explode"), ("faults: {status: 0.1}", "script"), ("[1]", "object"),
        ("outages: {healthy: 0, failing: 1}", "healthy"), ("outages: {healthy: 1, failing: 1, faults: []}", "faults"),
        ("outages: {healthy: 1, failing: 1, faults: [status]}", "script"),
    ],
)  # fmt: skip
def test_mistakes(text: str, reason: str) -> None:
    """A profile that cannot be used is refused with a reason in one line."""
    with pytest.raises(ProfileError, match=reason) as caught:
        read_profile(text)
    assert "\n" not in str(caught.value)


def test_outages() -> None:
    """After so many requests without a fault come so many with one, the faults in turn, and again."""
    outages = read_profile("outages: {healthy: 2, failing: 3, faults: [cut, stall]}").outages
    assert outages is not None
    struck = [None, None, Fault.CUT, Fault.STALL, Fault.CUT]
    assert [outages.find_fault(count) for count in range(10)] == struck * 2


def test_lognormal() -> None:
    """Half of the values drawn lie below the median, and none is negative."""
    random = Random(1)
    values = [Lognormal(200, 0.4).draw(random) for _ in range(4001)]
    assert median(values) == pytest.approx(200, rel=0.05)
    assert min(values) > 0


@pytest.mark.parametrize(("speed", "wait_s"), [(1.0, 0.25), (4.0, 0.0625), (0.0, 0.0)])
def test_speed(speed: float, wait_s: float) -> None:
    """Drawn times are divided by the speed; at speed 0 nobody waits."""
    assert Profile(speed=speed).wait_s(250) == wait_s


def test_embedding_model() -> None:
    """Only sim-embed embeds."""
    assert [name for name, model in MODELS.items() if model.embeds] == ["sim-embed"]


def test_fee() -> None:
    """A fee is on every price, and on none where there is none."""
    prices = Prices(input=2.0, output=8.0, cached=1.0, written=3.0)
    assert prices.with_fee(0.25) == Prices(input=2.5, output=10.0, cached=1.25, written=3.75)
    assert MODELS["sim-large"].prices.with_fee(0.0) == MODELS["sim-large"].prices
