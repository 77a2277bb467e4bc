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
        (("upstreams", "a", "models", "org/model:tag"), "upstreams.a.models.'org/model:tag'"),
        (("upstreams", "a", "models", "claude-opus-4@20250514"), "upstreams.a.models.'claude-opus-4@20250514'"),
    ],
)
def test_paths_are_spelt_as_operators_write_them(path: KeyPath, text: str) -> None:
    """Keys are joined by dots, list positions stand in brackets, odd keys are quoted, cut and redacted."""
    assert spell(path) == text
