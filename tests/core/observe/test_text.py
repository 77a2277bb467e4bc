"""Strings from outside."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.observe.text import read_code, read_identifier


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ("stop", "stop"),
        ("rate limit: exceeded!", "rate_limit:_exceeded"),
        ("a\r\nb", "a_b"),
        ("x" * 100, "x" * 64),
        ("überlast", "berlast"),
        ("", None),
        ("!!!", None),
        (None, None),
        (7, None),
    ],
)
def test_codes(value: object, code: str | None) -> None:
    """Codes are short and made of safe characters."""
    assert read_code(value) == code


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
