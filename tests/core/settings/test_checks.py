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
    routes = [{"prefix": "/a/"}, {"prefix": "/b/"}, {"prefix": "/a/"}, {"prefix": "/a/"}]
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
