"""What may be shown of a value."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.settings.redaction import DOTS, redact, show


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://user:pass@host/v1", f"https://{DOTS}@host/v1"),
        ("https://tok@host", f"https://{DOTS}@host"),
        ("https://u:p/a?s#s@w@host/x", f"https://{DOTS}@host/x"),
        ("user:pass@host", f"{DOTS}@host"),
        ("https://host/?key=abc", f"https://host/?{DOTS}"),
        ("https://host/#abc", f"https://host/#{DOTS}"),
        ("sk-proj-abcdef123456", DOTS),
        ("Bearer abc.def", DOTS),
        ("see AIzaSyA1234567890 here", f"see {DOTS} here"),
        ("https://api.openai.com/v1", "https://api.openai.com/v1"),
        ("127.0.0.1:4000", "127.0.0.1:4000"),
        ("/run/secrets/openai", "/run/secrets/openai"),
        ("/v1/models?key=abc", f"/v1/models?{DOTS}"),
        ("claude-opus-4@20250514", "claude-opus-4@20250514"),
        ("user:pass@20250514", f"{DOTS}@20250514"),
        ("https://tok@20250514", f"https://{DOTS}@20250514"),
        ("task-force-alpha", "task-force-alpha"),
    ],
)
def test_secrets_become_dots_and_the_rest_stays(text: str, shown: str) -> None:
    """Userinfo, queries, fragments and shapes of keys are hidden; ordinary values are not."""
    assert redact(text) == shown


@given(st.from_regex(r"\A[a-z]+://[^@\s]{1,20}:S3CRET[^\s]{0,10}@[a-z.]+\Z"))
def test_no_userinfo_survives(url: str) -> None:
    """However odd the password, it is not shown."""
    assert "S3CRET" not in redact(url)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "nothing"),
        (True, "true"),
        (False, "false"),
        (4000, "4000"),
        (1.5, "1.5"),
        ({}, "a mapping"),
        ([], "a list"),
        ("a\nb", r"'a\nb'"),
        ("x" * 100, "'" + "x" * 80 + "…'"),
        (10**100, "a very large number"),
    ],
)
def test_values_are_shown_short_and_on_one_line(value: Any, shown: str) -> None:
    """Kinds of values have words, text is quoted, cut and escaped."""
    assert show(value) == shown


def test_numbers_too_long_to_print_are_named() -> None:
    """Python refuses to print very long whole numbers: a problem's text must not fail on one."""
    assert show(10**5000) == "a very large number"
