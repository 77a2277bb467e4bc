"""What accounts are called in a shared place."""

import re

from sidecar.edge.shared.names import mark_account


def test_names_tell_nothing() -> None:
    """Digits that hold nothing of the name, always the same ones, and others for another account."""
    marks = {name: mark_account(name) for name in ("", "a", "acme", "acmf", "x" * 64)}
    assert all(re.fullmatch("[0-9a-f]{20}", mark) for mark in marks.values())
    assert len(set(marks.values())) == len(marks)
    assert marks == {name: mark_account(name) for name in marks}
    assert mark_account("acme") == "854ee8b89d8c72fb6c53"  # two versions of us may share a place
