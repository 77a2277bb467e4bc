"""Rate limits as gauges."""

from sidecar.edge.telemetry.families import Families
from sidecar.edge.telemetry.ratelimits import RateLimits


def shown(families: Families) -> dict[str, float]:
    """What the gauges say: `remaining` and `limit` by their labels."""
    told = {f"remaining {gauge.labels}": gauge.value for gauge in families.ratelimit_remaining.children}
    return told | {f"limit {gauge.labels}": gauge.value for gauge in families.ratelimit_limit.children}


def test_the_last_answer_counts() -> None:
    """Each upstream has gauges of its own for what it told, and none for what it did not."""
    families = Families(100)
    limits = RateLimits(families)
    limits.note("a", [b"x-ratelimit-remaining-requests: 9", b"x-ratelimit-limit-requests: 10"])
    limits.note("a", [b"x-ratelimit-remaining-requests: 8", b"x-ratelimit-limit-requests: 10"])
    limits.note("b", [b"anthropic-ratelimit-tokens-remaining: 70"])
    assert shown(families) == {}
    limits.refresh()
    expected = {
        'remaining upstream="a",kind="requests"': 8, 'limit upstream="a",kind="requests"': 10, 'remaining upstream="b",kind="tokens"': 70,
    }  # fmt: skip
    assert shown(families) == expected
    limits.refresh()
    assert shown(families) == expected


def test_an_answer_that_names_fewer_limits_hides_none() -> None:
    """A 429 may tell of one limit only: the others stay as the answer before told them."""
    families = Families(100)
    limits = RateLimits(families)
    limits.note("a", [b"x-ratelimit-remaining-requests: 9", b"x-ratelimit-remaining-tokens: 50"])
    limits.note("a", [b"x-ratelimit-remaining-tokens: 0"])
    limits.refresh()
    assert shown(families) == {'remaining upstream="a",kind="requests"': 9, 'remaining upstream="a",kind="tokens"': 0}


def test_no_level_is_no_gauge() -> None:
    """-1 is not shown, and does not overwrite what was told before."""
    families = Families(100)
    limits = RateLimits(families)
    limits.note("a", [b"x-ratelimit-remaining-tokens: 50"])
    limits.refresh()
    limits.note("a", [b"x-ratelimit-remaining-tokens: -1", b"x-ratelimit-remaining-requests: -1"])
    limits.refresh()
    assert shown(families) == {'remaining upstream="a",kind="tokens"': 50}


def test_only_upstreams_that_are_there_are_shown() -> None:
    """Not what calls tell late of one that is gone, nor what was told by another place of that name."""
    families = Families(100)
    limits = RateLimits(families)
    for upstream in ("stays", "moves", "goes"):
        limits.note(upstream, [b"x-ratelimit-remaining-requests: 9"])
    limits.refresh()
    for upstream in ("stays", "moves", "goes"):
        limits.note(upstream, [b"x-ratelimit-remaining-requests: 8"])
    limits.adopt({"stays", "moves", "comes"}, {"stays"})
    limits.refresh()
    assert shown(families) == {'remaining upstream="stays",kind="requests"': 8}
    for upstream in ("moves", "goes", "comes"):
        limits.note(upstream, [b"x-ratelimit-remaining-requests: 7"])
    limits.refresh()
    assert shown(families) == {
        f'remaining upstream="{name}",kind="requests"': value for name, value in (("stays", 8), ("moves", 7), ("comes", 7))
    }
