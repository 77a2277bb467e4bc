"""Texts without what must not leave the process."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.observe.contents.transcript import MARGIN_CHARS
from sidecar.core.observe.redaction import WITHHELD, Own, Redactor
from tests.core.observe.test_findings import EVERY, ORDINARY, PROSE

REDACTOR = Redactor()


def find_word(word: str) -> Own:
    """Return a pattern of the operator's that finds a word."""

    def find(text: str) -> Iterator[tuple[int, int]]:
        start = text.find(word)
        while start >= 0:
            yield start, start + len(word)
            start = text.find(word, start + len(word))

    return Own(f"the_{word}", find)


def time_out(text: str) -> Iterator[tuple[int, int]]:
    """Be too slow for a text that has an x in it."""
    if "x" in text:
        raise TimeoutError
    return iter(())


@given(st.lists(st.tuples(st.sampled_from(EVERY), PROSE), min_size=1, max_size=5), PROSE)
def test_no_canary_survives(named: list[tuple[tuple[str, str], str]], before: str) -> None:
    """However many, of whatever kinds, with whatever between them."""
    text = before + " | ".join(f"{canary} {after}" for (_, canary), after in named)
    shown = REDACTOR.redact(text)
    assert not any(canary in shown for (_, canary), _ in named)
    assert "k7f3a91" not in shown


@pytest.mark.parametrize("text", [*ORDINARY, "", "a", "Grüße 👋"])
def test_ordinary_text_survives(text: str) -> None:
    """To the letter."""
    assert REDACTOR.redact(text) == text


def test_the_kind_stands_in_its_place() -> None:
    """All around it is kept."""
    text = "write to bob@example.com or call +1 415 555 0123 (key sk-ant-api03-abcdefgh1234)."
    assert REDACTOR.redact(text) == "write to [REDACTED:email] or call [REDACTED:phone] (key [REDACTED:api_key])."


def test_own_patterns_are_looked_for_in_the_original() -> None:
    """What another finding took out is found too; what overlaps goes together, under the first one's name."""
    redactor = Redactor((find_word("bob"), find_word("com or")))
    assert redactor.redact("bob, bob@example.com or not") == "[REDACTED:the_bob], [REDACTED:email] not"
    assert Redactor((find_word("REDACTED"),)).redact("a@b.example") == "[REDACTED:email]"


def test_the_built_in_forms_can_be_switched_off() -> None:
    """Then only the operator's own are taken out, and short texts are searched too."""
    assert Redactor((find_word("b"),), builtin=False).redact("a@b.example") == "a@[REDACTED:the_b].example"
    assert Redactor((find_word("b"),)).redact("abc") == "a[REDACTED:the_b]c"


def test_a_text_on_which_a_pattern_timed_out_is_withheld() -> None:
    """As a whole, and told under the pattern's name; others are not touched."""
    told: list[str] = []
    redactor = Redactor((find_word("bob"), Own("slow", time_out)), note_withheld=told.append)
    assert redactor.redact("bob and x") == WITHHELD
    assert redactor.redact("bob and y") == "[REDACTED:the_bob] and y"
    assert told == ["slow"]
    assert Redactor((Own("slow", time_out),)).redact("x") == WITHHELD


def test_the_end_of_a_cut_text_is_left_out() -> None:
    """What begins before it is taken out whole; what begins within it is not shown at all."""
    key = "sk-ant-api03-abcdefgh1234"
    assert REDACTOR.redact("ab " + "x" * MARGIN_CHARS, is_cut=True) == "ab "
    assert REDACTOR.redact(f"ab {key}" + "." * (MARGIN_CHARS - 10), is_cut=True) == "ab [REDACTED:api_key]"
    assert REDACTOR.redact("short", is_cut=True) == ""
    assert REDACTOR.redact("longer text", is_cut=True) == ""


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (r'{"to": "bob\u0040example.com", "a": "\u00e9"}', r'{"to": "[REDACTED:email]", "a": "\u00e9"}'),
        (r'{"key": "\u0073k-ant-api03-abcdefgh1234", "ci', '{"key": "[REDACTED:api_key]", "ci'),
        (r"nothing in \u0041 here", r"nothing in \u0041 here"),
        (r"bob@example.com and al\u0040example.com", "[REDACTED:email] and [REDACTED:email]"),
    ],
)
def test_escapes_hide_nothing(text: str, shown: str) -> None:
    """JSON that was not read as such, because it is within a text or was cut off."""
    assert REDACTOR.redact(text) == shown
