"""Strings from outside."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.observe.text import name_reason, read_code, read_identifier


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ("stop", "stop"),
        ("gpt-4.1/rate:limit_2", "gpt-4.1/rate:limit_2"),
        ("429", "429"),
        ("x" * 64, "x" * 64),
        ("x" * 65, None),
        ("no such key sk-secret", None),
        ("stop\n", None),
        ("a\r\nb", None),
        ("überlast", None),
        ("", None),
        ("!!!", None),
        (None, None),
        (7, None),
    ],
)
def test_codes(value: object, code: str | None) -> None:
    """Codes are short and made of safe characters; anything else is prose, of which nothing is kept."""
    assert read_code(value) == code


@pytest.mark.parametrize(
    ("value", "reason"), [("stop", "stop"), ("he said so", "_OTHER"), ("!", "_OTHER"), ("", None), (None, None), (7, None)]
)
def test_reasons(value: object, reason: str | None) -> None:
    """That an answer ended is known, even if not why."""
    assert name_reason(value) == reason


@given(st.text(alphabet=st.characters(codec=None)))
def test_identifiers_can_be_shown(value: str) -> None:
    """Identifiers are bounded, printable and can be encoded, whatever came."""
    found = read_identifier(value)
    assert (found is None) == (value == "")
    if found is not None:
        assert len(found) <= 256
        assert found.isprintable()
        found.encode()


def test_ordinary_identifier_is_kept() -> None:
    """A model name stays as it is."""
    assert read_identifier("meta-llama/Llama-3.1-8B Instruct:free") == "meta-llama/Llama-3.1-8B Instruct:free"
    assert read_identifier(7) is None
