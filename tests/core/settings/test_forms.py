"""What single settings must look like beyond their type."""

import pytest

from sidecar.config import (
    Admin,
    Balancing,
    Batches,
    Breaker,
    Budget,
    Budgets,
    Cache,
    Content,
    Features,
    Hedging,
    Journal,
    Log,
    ModelGroup,
    Pool,
    Prices,
    Probes,
    Queue,
    Rate,
    RateLimits,
    Redis,
    Retries,
    Route,
    Settings,
    Tenants,
    Tracing,
    Upstream,
    Warming,
)
from sidecar.core.settings.forms import FORMS, KEYS, PARTS
from sidecar.core.settings.kinds import members


@pytest.mark.parametrize(
    "section",
    [
        Settings,
        Admin,
        Upstream,
        Route,
        Tracing,
        Log,
        Prices,
        Balancing,
        Retries,
        Hedging,
        Breaker,
        Probes,
        Queue,
        Features,
        Cache,
        Warming,
        Batches,
        Tenants,
        Rate,
        Budget,
        Budgets,
        Redis,
        Journal,
    ],
)
def test_defaults_have_their_form(section: type) -> None:
    """A default is never something that an operator could not write."""
    for name in members(section):
        default = getattr(section() if section not in (Upstream, Route) else section("https://a", "b"), name)
        form = FORMS.get((section, name))
        assert form is None or default is None or section is Route or form.accepts(default), name


def test_every_form_belongs_to_a_setting() -> None:
    """A rule for a field that is not there would never be applied."""
    assert all(name in members(section) for section, name in (*FORMS, *PARTS, *KEYS))
    assert {members(section)[name].kind.entries is not None for section, name in KEYS} == {True}
    for section, name in PARTS:
        kind = members(section)[name].kind
        assert kind.entries or kind.items


def test_content_is_bounded_by_a_bound_that_makes_sense() -> None:
    """Neither too small for a message nor too large for a collector."""
    accepts = FORMS[Content, "bytes_max"].accepts
    assert [accepts(size_bytes) for size_bytes in (1023, 1024, 2**20, 2**20 + 1)] == [False, True, True, False]


_EXTREMES = [-1, -0.0, 0, 0.001, 0.5, 1, 1.001, 2, 10, 11, 1000, 1001, 2048, 2049, 100_000, 100_001, 1_000_000, 1_000_001, 1e9, 1e12, 1e13]


@pytest.mark.parametrize(
    ("section", "name", "least", "most"),
    [
        (Upstream, "weight", 0.001, 1_000_000),
        (Upstream, "quality", 0, 1),
        (Balancing, "window", 1, 100_000),
        (Balancing, "learning_rate", 0.001, 1),
        (Balancing, "threshold", 0, 1),
        (Balancing, "ejection_max", 0, 1),
        (Balancing, "panic", 0, 1),
        (Retries, "attempts", 1, 10),
        (Retries, "budget_share", 0, 1),
        (Retries, "budget_floor", 0, 1_000_000),
        (Hedging, "percentile", 0.001, 0.5),
        (Hedging, "share_max", 0, 1),
        (Breaker, "error_share", 0.001, 1),
        (Breaker, "slow_share", 0.001, 1),
        (Queue, "size", 0, 1_000_000),
        (Cache, "memory_share", 0.001, 1),
        (Cache, "refresh_share", 0, 1),
        (Batches, "inputs", 2, 2048),
        (Rate, "per_second", 0.001, 1e12),
        (Rate, "burst", 1, 1e12),
        (Rate, "per_minute", 1, 1e12),
        (Rate, "per_hour", 1, 1e12),
        (Rate, "per_day", 1, 1e12),
        (Budget, "day", 0.001, 1e9),
        (Budget, "month", 0.001, 1e9),
        (Budgets, "soft", 0.001, 1),
        (Budgets, "unpriced", 0, 1e9),
        (Redis, "connections", 1, 1000),
    ],
)
def test_numbers_have_their_bounds(section: type, name: str, least: float, most: float) -> None:
    """Shares are shares, and nothing is negative."""
    accepts = FORMS[section, name].accepts
    assert [number for number in _EXTREMES if accepts(number)] == [number for number in _EXTREMES if least <= number <= most]


def test_the_journal_is_kept_for_days_and_saved_more_than_hourly() -> None:
    """What is shorter than a day would be gone before its day is told; what is longer than an hour would lose one."""
    assert [seconds for seconds in (3600, 86_399, 86_400, 30 * 86_400) if FORMS[Journal, "keep"].accepts(seconds)] == [86_400, 30 * 86_400]
    assert [seconds for seconds in (0.05, 0.1, 60, 3600, 3601) if FORMS[Journal, "interval"].accepts(seconds)] == [0.1, 60, 3600]


def test_lists_that_need_something_in_them_say_so() -> None:
    """A pool of nobody, or a group of nothing, is a mistake."""
    for place in ((Pool, "upstreams"), (ModelGroup, "models")):
        assert not FORMS[place].accepts([]) and FORMS[place].accepts(["a"])


def test_only_a_star_alone_stands_for_other_models() -> None:
    """As a pattern it would be taken for one, and never match; and nobody's model is called so."""
    assert [name for name in ("*", "gpt-*", "a") if KEYS[Upstream, "models"].accepts(name)] == ["*", "a"]
    assert [name for name in ("*", "gpt-*", "a") if PARTS[Upstream, "models"].accepts(name)] == ["gpt-*", "a"]


def test_a_budget_of_nothing_is_none() -> None:
    """Who may spend nothing at all is stopped; a sum is one that can be divided by."""
    assert not FORMS[Budget, "day"].accepts(0)


def test_tenants_have_names_of_their_own_kind() -> None:
    """Wherever one is named: `team:a` is one, though no upstream could be called so."""
    of_tenants = (PARTS[Tenants, "names"], PARTS[Tenants, "keys"], KEYS[RateLimits, "tenants"], KEYS[Budgets, "tenants"])
    for form in (*of_tenants, FORMS[Tenants, "default"], FORMS[Warming, "tenant"]):
        assert [name for name in ("team:a", "a/b", "", "-a", "a b", "\u00e4", "a" * 65, "a\n") if form.accepts(name)] == ["team:a", "a/b"]


def test_not_every_path_is_a_tenants() -> None:
    """A prefix of everything would take off the first part of every path."""
    accepts = FORMS[Tenants, "prefix"].accepts
    assert [prefix for prefix in ("/", "/t/", "/a/b/", "t", "/t", "t/") if accepts(prefix)] == ["/t/", "/a/b/"]


def test_tools_are_named_as_servers_name_them() -> None:
    """Not as settings name things: a tool may be called anything that can be seen."""
    accepts = KEYS[Route, "tools"].accepts
    assert accepts("get weather (v2)") and not accepts("") and not accepts("a\nb")
