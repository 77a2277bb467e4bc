"""Paths as text."""

import pytest

from sidecar.core.settings.tree import KeyPath, spell


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ((), ""),
        (("listen",), "listen"),
        (("upstreams", "openai", "url"), "upstreams.openai.url"),
        (("routes", 0, "prefix"), "routes[0].prefix"),
        (("upstreams", "a b"), "upstreams.'a b'"),
        (("a\nb",), r"'a\nb'"),
        (("sk-abcdefgh1234",), "'••••'"),
        (("x" * 300,), "'" + "x" * 200 + "'"),
        (("tenants", "keys"), "tenants.keys"),
        (("tenants", "keys", "0a" * 32), "tenants.keys." + "0a" * 32),
        (("tenants", "keys", "0123456789abcdef0123456789abcdef"), "tenants.keys.'••••'"),
        (("upstreams", "a", "models", "org/model:tag"), "upstreams.a.models.'org/model:tag'"),
        (("upstreams", "a", "models", "claude-opus-4@20250514"), "upstreams.a.models.'claude-opus-4@20250514'"),
    ],
)
def test_paths_are_spelt_as_operators_write_them(path: KeyPath, text: str) -> None:
    """Keys are joined by dots, list positions stand in brackets, odd keys are quoted, cut and redacted."""
    assert spell(path) == text


def test_the_end_of_a_path_knows_where_it_stands() -> None:
    """A variable's name takes the place of the beginning; what is withheld in the whole is withheld in its end."""
    assert spell(("tenants", "keys", "hunter2"), 2) == "'••••'"
    assert spell(("tenants", "keys", "hunter2"), 1) == "keys.'••••'"
    assert spell(("routes", 0, "prefix"), 1) == "[0].prefix"
