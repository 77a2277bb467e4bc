"""What one setting needs of others."""

from typing import Any

import pytest

from sidecar.core.settings.needs import check_needs

PATHS: tuple[str, ...] = ("path",)
ON: dict[str, Any] = {"cache": True}


def find(tree: dict[Any, Any]) -> list[tuple[str, str]]:
    """Return where the faults of a tree are, and what was found there."""
    return [(".".join(map(str, fault.path)), fault.found) for fault in check_needs(tree)]


def test_without_anything_nothing_is_missing() -> None:
    """Features that are off need nothing, whatever their sections say."""
    assert find({}) == []
    assert find({"features": {"stale": False, "warming": False, "limits": False, "budgets": False, "cache": False}}) == []
    assert find({"limits": {"rates": {"all": {"tokens": {"per_day": 1}}}}, "budgets": {"all": {"day": 1}}, "warming": {"file": "x"}}) == []


@pytest.mark.parametrize("name", ["stale", "refresh", "warming"])
def test_what_is_done_with_kept_answers_needs_kept_answers(name: str) -> None:
    """Alone it would do nothing, and nobody would notice."""
    warming = {"warming": {"file": "x"}}
    assert find({"features": {name: True}, **warming}) == [(f"features.{name}", "on, while features.cache is off")]
    assert find({"features": {name: True, "cache": False}, **warming}) == [(f"features.{name}", "on, while features.cache is off")]
    assert find({"features": {name: True, "cache": True}, **warming}) == []


def test_warming_needs_prompts() -> None:
    """The fault stands where something was written."""
    assert find({"features": {**ON, "warming": True}}) == [("features.warming", "no warming.file")]
    assert find({"features": {**ON, "warming": True}, "warming": {"pace": "1s"}}) == [("warming.file", "no warming.file")]


@pytest.mark.parametrize(
    ("rates", "is_something"),
    [
        (None, False),
        ({}, False),
        ({"all": {}, "tenant": {"requests": {}}}, False),
        ({"all": {"requests": {"per_second": None}}}, False),
        ({"tenants": {"a": {"tokens": {}}}}, False),
        ({"all": {"requests": {"per_second": 1}}}, True),
        ({"tenant": {"tokens": {"per_day": 5}}}, True),
        ({"tenants": {"a": {"requests": {"per_hour": 5}}}}, True),
    ],
)
def test_limits_that_are_on_limit_something(rates: Any, is_something: bool) -> None:
    """For all, for each, or for one."""
    tree = {"features": {"limits": True}, "limits": {"rates": rates}}
    assert find(tree) == ([] if is_something else [("features.limits", "on, while nothing is limited")])
    assert "limits: {rates:" in check_needs({"features": {"limits": True}})[0].allowed


@pytest.mark.parametrize(
    ("budgets", "is_something"),
    [
        (None, False),
        ({"file": "x", "soft": 0.5}, False),
        ({"all": {"day": None}}, False),
        ({"tenants": {"a": {}}}, False),
        ({"all": {"day": 1}}, True),
        ({"tenant": {"month": 1}}, True),
        ({"tenants": {"a": {"day": 1}}}, True),
    ],
)
def test_budgets_that_are_on_limit_something(budgets: Any, is_something: bool) -> None:
    """For all, for each, or for one."""
    tree = {"features": {"budgets": True}, "budgets": budgets}
    assert find(tree) == ([] if is_something else [("features.budgets", "on, while nothing is limited")])


def test_a_burst_fills_again() -> None:
    """Of each rate there is."""
    burst = {"burst": 5}
    rates = {
        "all": {"requests": burst},
        "tenant": {"tokens": burst, "requests": {"burst": 5, "per_second": 1}},
        "tenants": {"a": {"tokens": burst}},
    }
    assert find({"limits": {"rates": rates}}) == [
        ("limits.rates.all.requests.burst", "a burst without per_second"),
        ("limits.rates.tenant.tokens.burst", "a burst without per_second"),
        ("limits.rates.tenants.a.tokens.burst", "a burst without per_second"),
    ]


@pytest.mark.parametrize("name", ["username", "password_file", "ca_file", "encryption_key_file"])
def test_settings_of_redis_need_a_redis(name: str) -> None:
    """Whoever sets one believes that answers are shared."""
    assert find({"redis": {name: "x"}}) == [(f"redis.{name}", "a setting of Redis, and no redis.url")]
    assert find({"redis": {"cluster": True, "url": None}}) == [("redis.cluster", "a setting of Redis, and no redis.url")]
    assert find({"redis": {"url": "rediss://h", name: "x"}}) == find({"redis": {"timeout": "1s", "cluster": False, name: None}}) == []


def test_a_token_needs_somebody_who_gets_it() -> None:
    """Whoever sets one believes that alerts are sent."""
    assert find({"alerts": {"token_file": "x"}}) == [("alerts.token_file", "a token for nobody")]
    assert (
        find({"alerts": {"token_file": "x", "webhook_file": "y"}}) == find({"alerts": {"webhook_file": "y"}}) == find({"alerts": 3}) == []
    )


def test_an_authority_needs_tls() -> None:
    """A connection without it would be made, and nobody checked."""
    assert find({"redis": {"url": "redis://h", "ca_file": "x"}}) == [("redis.ca_file", "an authority for a connection without TLS")]


@pytest.mark.parametrize(
    ("url", "is_good"),
    [("redis://h", True), ("redis://h:1/", True), ("redis://h:1/0", True), ("rediss://h/1", False), ("redis://h/10", False)],
)
def test_a_cluster_has_one_database(url: str, is_good: bool) -> None:
    """The first."""
    assert find({"redis": {"url": url, "cluster": True}}) == ([] if is_good else [("redis.url", "a database beside redis.cluster")])
    assert find({"redis": {"url": url}}) == []


def test_answers_of_models_are_not_kept_by_route() -> None:
    """Neither of a route of `kind: llm` nor of one that says nothing of its kind."""
    routes = [{"cache": "1m"}, {"tools": {"a": 0}, "kind": "llm"}, {"cache": "1m", "tools": {"a": 0}, "kind": "tool"}, {"tools": {}}]
    assert find({"routes": routes}) == [
        ("routes.0.cache", "set on a route that leads to models"),
        ("routes.1.tools", "set on a route that leads to models"),
    ]


def test_a_source_is_asked_once() -> None:
    """And keys only where one asks for them."""
    assert find({"tenants": {"sources": ["key", "header", "key"]}}) == [("tenants.sources.2", "'key' a second time")]
    keys = {"keys": {"0" * 64: "a"}}
    assert find({"tenants": {"sources": ["header"], **keys}}) == [("tenants.keys", "keys that nobody asks for")]
    assert find({"tenants": keys}) == find({"tenants": {"sources": ["header"], "keys": {}}}) == []


@pytest.mark.parametrize(
    ("tenants", "found"),
    [
        ({"sources": PATHS, "prefix": "/t/"}, ("tenants.prefix", "'/t/', below which the route '/t/a/' is")),
        ({"sources": PATHS, "prefix": "/openai/"}, ("tenants.prefix", "'/openai/', below which the route '/openai/' is")),
        ({"sources": PATHS}, ("tenants.sources", "'/tenants/', below which the route '/tenants/x/' is")),
        ({"sources": PATHS, "prefix": "/x-sidecar/t/"}, ("tenants.prefix", "'/x-sidecar/t/', where the sidecar itself answers")),
        ({"sources": PATHS, "prefix": "/u/"}, None),
        ({"sources": ("header",), "prefix": "/t/"}, None),
        ({"prefix": "/t/"}, None),
    ],
)
def test_no_route_is_hidden_by_the_tenants_prefix(tenants: dict[str, Any], found: tuple[str, str] | None) -> None:
    """Where paths tell tenants at all; a route of everything else goes on taking everything else."""
    if "sources" in tenants:
        tenants = {**tenants, "sources": list(tenants["sources"])}
    routes = [{"prefix": "/t/a/"}, {"prefix": "/tenants/x/"}, {"prefix": "/"}]
    assert find({"tenants": tenants, "routes": routes}) == ([] if found is None else [found])


@pytest.mark.parametrize(
    "tree",
    [
        {"features": 1, "limits": 2, "budgets": 3, "redis": 4, "routes": 5, "tenants": 6, "warming": 7},
        {"features": {"limits": "on", "stale": 1}},
        {"limits": {"rates": 1}},
        {"limits": {"rates": {"all": 1, "tenant": [], "tenants": {"a": 1, 2: {}, "b": {"requests": 3}}}}},
        {"budgets": {"all": 1, "tenants": [1]}},
        {"redis": {"url": 5, "cluster": True, "ca_file": "x"}},
        {"routes": [1, None, {"kind": 3, "cache": "1s"}]},
        {"tenants": {"sources": "path", "keys": {}, "prefix": 3}},
        {"tenants": {"sources": [{}, [], None, "path"], "prefix": 3}},
        {"tenants": {"sources": ["path"], "prefix": ""}, "routes": [{"prefix": 1}]},
    ],
)
def test_odd_trees_are_left_for_the_decoder(tree: dict[Any, Any]) -> None:
    """Parts of the wrong type are skipped."""
    assert find(tree) == []
