"""What must fit together."""

from typing import Any

import pytest

from sidecar.core.settings.checks import check_together


def paths(tree: dict[Any, Any]) -> list[tuple[str | int, ...]]:
    """Return where the faults of a tree are."""
    return [fault.path for fault in check_together(tree)]


def test_routes_lead_to_upstreams_that_are_there() -> None:
    """Built-in and written upstreams may be named, others not, and the likely one is suggested."""
    faults = check_together(
        {"upstreams": {"mine": {}}, "routes": [{"prefix": "/a/", "upstream": "mine"}, {"upstream": "openai"}, {"upstream": "opnai"}]}
    )
    assert [(fault.path, fault.found) for fault in faults] == [(("routes", 2, "upstream"), "'opnai'")]
    assert faults[0].allowed.endswith("did you mean openai?")
    assert "mine" in faults[0].allowed


def test_a_prefix_is_used_once() -> None:
    """The second route of a prefix is told about the first."""
    routes = [{"prefix": prefix, "upstream": "openai"} for prefix in ("/a/", "/b/", "/a/", "/a/")]
    faults = check_together({"routes": routes})
    assert [fault.path for fault in faults] == [("routes", 2, "prefix"), ("routes", 3, "prefix")]
    assert "routes[0]" in faults[1].found


@pytest.mark.parametrize(
    ("listen", "admin", "at_fault"),
    [
        ("127.0.0.1:4000", "127.0.0.1:4000", True),
        ("0.0.0.0:4000", "127.0.0.1:4000", True),
        ("127.0.0.1:4000", "[::]:4000", True),
        ("127.0.0.1:4000", "127.0.0.2:4000", False),
        ("127.0.0.1:0", "127.0.0.1:0", False),
        ("127.0.0.1:4000", "127.0.0.1:4001", False),
        ("nonsense", "127.0.0.1:4001", False),
        (4000, 4000, False),
    ],
)
def test_the_two_ports_differ(listen: Any, admin: Any, at_fault: bool) -> None:
    """Two listeners cannot have one port of one address; what is no address is another's fault to find."""
    assert paths({"listen": listen, "admin": {"listen": admin}}) == ([("admin", "listen")] if at_fault else [])


def test_a_listener_may_collide_with_a_default() -> None:
    """The fault stands where something was written."""
    assert paths({"listen": "127.0.0.1:9464"}) == [("listen",)]
    assert paths({"admin": {"listen": "127.0.0.1:4000"}}) == [("admin", "listen")]


@pytest.mark.parametrize(
    "tree",
    [
        {},
        {"routes": None},
        {"routes": "x"},
        {"routes": [1, {"prefix": 2, "upstream": []}]},
        {"routes": [{"upstream": 1}, {"pool": 2}]},
        {"pools": 1, "breaker": 2, "retries": 3, "probes": []},
        {"pools": {"a": 1, "b": {"upstreams": 2}, 3: {}, "c": {"upstreams": [4, None]}}},
        {"breaker": {"groups": 1, "open": [], "open_max": "x"}, "retries": {"base": "soon"}},
        {"breaker": {"groups": {"a": 1, "b": {"models": 2}, "c": {"models": [3, {}, 3]}}}},
        {"upstreams": {"a": {"connections": "x", "concurrency": 3}, "b": {"connections": 0, "concurrency": 1}, "c": {"concurrency": True}}},
        {"upstreams": 3, "admin": 4},
        {"upstreams": {5: {}}},
    ],
)
def test_odd_trees_are_left_for_the_decoder(tree: dict[Any, Any]) -> None:
    """Parts of the wrong type are skipped."""
    assert paths(tree) == []


def test_capture_to_a_file_needs_one() -> None:
    """And only then."""
    assert paths({"content": {"capture": "file"}}) == [("content", "file")]
    assert paths({"content": {"capture": "file", "file": "x"}}) == paths({"content": {"capture": "spans"}}) == paths({"content": 3}) == []


def test_patterns_have_different_names() -> None:
    """The second of a name is told."""
    patterns = [{"name": "a"}, {"name": "b"}, {"name": "a"}, {"name": 3}, 4]
    assert paths({"content": {"redact": {"patterns": patterns}}}) == [("content", "redact", "patterns", 2, "name")]
    assert paths({"content": {"redact": {"patterns": "a"}}}) == paths({"content": {"redact": 1}}) == []


def test_a_route_leads_to_one_of_upstream_and_pool() -> None:
    """Neither is as wrong as both."""
    pools = {"chat": {"upstreams": ["openai"]}}
    faults = check_together(
        {"pools": pools, "routes": [{"prefix": "/a/"}, {"upstream": "openai", "pool": "chat"}, {"pool": "chat"}, {"upstream": None}]}
    )
    assert [(fault.path, fault.found) for fault in faults] == [
        (("routes", 0), "neither an upstream nor a pool"),
        (("routes", 1, "pool"), "a pool beside an upstream"),
        (("routes", 3), "neither an upstream nor a pool"),
    ]


def test_routes_lead_to_pools_that_are_there() -> None:
    """An upstream is no pool, and the likely one is suggested."""
    faults = check_together({"pools": {"chat": {"upstreams": ["openai"]}}, "routes": [{"pool": "caht"}, {"pool": "openai"}]})
    assert [(fault.path, fault.found) for fault in faults] == [(("routes", 0, "pool"), "'caht'"), (("routes", 1, "pool"), "'openai'")]
    assert faults[0].allowed == "a pool's name: chat; did you mean chat?"
    assert check_together({"routes": [{"pool": "chat"}]})[0].allowed == "a pool's name: there is none yet"


def test_pools_hold_each_upstream_once_and_only_those_that_are_there() -> None:
    """Built-in ones are there, of whatever provider."""
    upstreams = ["openai", "mine", "opnai", "anthropic", "mine", "mine"]
    faults = check_together({"upstreams": {"mine": {}}, "pools": {"chat": {"upstreams": upstreams}}})
    assert [(fault.path, fault.found) for fault in faults] == [
        (("pools", "chat", "upstreams", 2), "'opnai'"),
        (("pools", "chat", "upstreams", 4), "'mine' a second time"),
        (("pools", "chat", "upstreams", 5), "'mine' a second time"),
    ]
    assert faults[0].allowed.endswith("did you mean openai?")


@pytest.mark.parametrize(
    ("tree", "at_fault"),
    [
        ({"retries": {"base": "11s"}}, ("retries", "base")),
        ({"batches": {"wait": "1s"}}, ("batches", "wait")),
        ({"batches": {"wait_max": "10ms"}}, ("batches", "wait_max")),
        ({"batches": {"wait": "1s", "wait_max": "1s"}}, None),
        ({"retries": {"cap": "50ms"}}, ("retries", "cap")),
        ({"retries": {"base": "1s", "cap": 0.5}}, ("retries", "base")),
        ({"retries": {"base": "10s"}}, None),
        ({"breaker": {"open": "2m"}}, ("breaker", "open")),
        ({"breaker": {"open": "2m", "open_max": "2m"}}, None),
        ({"breaker": {"open_max": "1s"}}, ("breaker", "open_max")),
    ],
)
def test_what_cannot_be_longer_is_not(tree: dict[Any, Any], at_fault: tuple[str, ...] | None) -> None:
    """The fault stands where something was written, and tells both."""
    faults = check_together(tree)
    assert [fault.path for fault in faults] == ([] if at_fault is None else [at_fault])
    assert all(fault.found.count(" of ") == 2 for fault in faults)


def test_what_settings_need_of_each_other_is_checked_too() -> None:
    """Along with all the rest."""
    assert paths({"features": {"stale": True}, "redis": {"ca_file": "x"}}) == [("features", "stale"), ("redis", "ca_file")]


def test_calls_at_once_need_connections() -> None:
    """More calls than connections would wait where nothing counts them."""
    upstreams = {"a": {"concurrency": 101}, "b": {"concurrency": 100}, "c": {"concurrency": 8, "connections": 7}}
    assert paths({"upstreams": upstreams}) == [("upstreams", "a", "concurrency"), ("upstreams", "c", "concurrency")]


def test_a_model_is_in_one_group() -> None:
    """The second mention is told, and the rest's name is taken."""
    groups = {"large": {"models": ["gpt-5*", "o3"]}, "small": {"models": ["o3", "*mini", "*mini"]}, "default": {"models": ["x"]}}
    faults = check_together({"breaker": {"groups": groups}})
    assert [fault.path for fault in faults] == [
        ("breaker", "groups", "small", "models", 0),
        ("breaker", "groups", "small", "models", 2),
        ("breaker", "groups", "default"),
    ]
    assert faults[0].found == "'o3', which breaker.groups.large has too"
