"""Secrets and personal data in texts: found in any place, and little else with them."""

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.observe.findings import FINDERS, find_cards, find_phones, has_check_digit

# By kind, each with a part that tells its survival.
CANARIES = {
    "api_key": [
        "sk-ant-api03-k7f3a91k7f3a91k7f3a91", "sk-proj-k7f3a91_k7f3a91-k7f3a91",
        "sk-or-v1-" + "0af7651916cd43dd" * 4, "sk-k7f3a91k7f3a91k7f3a91k7",
        "AIzaSyDk7f3a91k7f3a91k7f3a91k7f3a91k7f3", "ghp_k7f3a91k7f3a91k7f3a91k7f3a91k7f3a91", "github_pat_11ABCDEFG0k7f3a91k7f3a91",
        "xoxb-123456789012-k7f3a91k7f3a91", "AKIAIOSFODNN7EXAMPLE", "gsk_k7f3a91k7f3a91k7f3a91", "xai-k7f3a91k7f3a91k7f3a91",
        "hf_k7f3a91k7f3a91k7f3a91",
        "sk_live_k7f3a91k7f3a91", "glpat-k7f3a91k7f3a91k7f3", "SG.k7f3a91k7f3a91k7f3.k7f3a91k7f3a91k7f3", "npm_k7f3a91k7f3a91k7f3a91",
    ],
    "token": [
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJrN2YzYTkxIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJrN2YzYTkxIn0",
    ],
    "credential": ["Bearer k7f3a91-k7f3a91-k7f3a91", "bearer  AbC.k7f3a91~k7f3a91==", "Authorization: Basic dXNlcjpwYXNzd29yZA==",
                   "authorization=k7f3a91k7f3a91"],
    "email": ["k7f3a91@example.com", "first.last+tag@sub.domain.co.uk", "k7f3a91%40example.org", "jürgen@müller.de", "a@b.co"],
    "card": ["4111 1111 1111 1111", "4111-1111-1111-1111", "4111111111111111", "5500 0000 0000 0004", "3782 822463 10005",
    "378282246310005",
             "6011000990139424", "3530 1113 3330 0000", "30569309025904"],
    "phone": ["+49 30 12345678", "+14155550123", "+1 (415) 555-0123", "+44 20 7946 0958", "(415) 555-0123", "415-555-0123",
    "1-415-555-0123",
              "030 12345678", "0171/1234567", "020 7946 0958", "01 23 45 67 89", "0049 30 123456"],
    "iban": ["DE89370400440532013000", "GB82 WEST 1234 5698 7654 32", "FR14 2004 1010 0505 0001 3M02 606"],
    "private_key": ["-----BEGIN RSA PRIVATE KEY-----\nMIIk7f3a91\nk7f3a91==\n-----END RSA PRIVATE KEY-----",
                    "-----BEGIN PRIVATE KEY-----\\nMIIk7f3a91\\n-----END PRIVATE KEY-----"],
}  # fmt: skip
BY_NAME = dict(FINDERS)
EVERY = [(kind, canary) for kind, canaries in CANARIES.items() for canary in canaries]
# What stands around: prose without digits or what joins words, so that the canary is not made into another text.
PROSE = st.text(st.characters(categories=("L", "Zs", "Po"), exclude_characters="@%.-_/\\'#&*!?:·․‥"), max_size=60).map(
    lambda text: text and text + " "
)


def covers(kind: str, text: str, canary: str) -> bool:
    """Whether a finder found all of a canary in a text."""
    start = text.index(canary)
    return any(found <= start and end >= start + len(canary) for found, end in BY_NAME[kind](text))


@pytest.mark.parametrize(("kind", "canary"), EVERY)
def test_each_form_is_found(kind: str, canary: str) -> None:
    """By itself, within a sentence, quoted, in brackets, at a line's end."""
    for text in (canary, f"it is {canary}, then", f'{{"a":"{canary}"}}', f"({canary})", f"x\n{canary}\ny", f"k={canary};", f"<{canary}>"):
        assert covers(kind, text, canary), text


@given(st.sampled_from(EVERY), PROSE, PROSE)
def test_a_form_is_found_in_any_place(named: tuple[str, str], before: str, after: str) -> None:
    """Whatever is said before and after it."""
    kind, canary = named
    assert covers(kind, f"{before}{canary} {after}", canary)


@pytest.mark.parametrize("canary", [canary for canary in CANARIES["api_key"] if not canary.startswith("sk-k7")])
def test_a_key_is_found_behind_a_letter(canary: str) -> None:
    """A word boundary is not asked for where the form is distinctive."""
    assert covers("api_key", f"x{canary}", canary)


@pytest.mark.parametrize("kind", ["private_key"])
def test_a_private_key_without_its_end_reaches_to_the_end(kind: str) -> None:
    """A stream may have been cut within it."""
    assert list(BY_NAME[kind]("a -----BEGIN EC PRIVATE KEY-----\nMIIk7f3a91")) == [(2, 43)]
    assert list(BY_NAME[kind]("-----BEGIN CERTIFICATE-----\nMIIk7f3a91")) == []


ORDINARY = [
    "The quick brown fox jumps over the lazy dog.", "In 2024, 1,234,567 people used version 3.11.4 of it.",
    "It costs $1,299.00 (or 1.299,00 EUR).",
    "On 2024-05-01 at 10:30:15, or 01.02.2024, or 01-02-2024 10:30.",
    "Order 1234567890 weighs 12.5 kg and has id 550e8400-e29b-41d4-a716-446655440000.",
    "Timestamps: 1700000000, 1700000000000, 1700000000000000000.", "See https://example.com/a/b?c=d&e=1#f and README.md, section 4.1.2.",
    "The bearer of this letter, and the basic understanding of authorization, are fine.", "10.0.0.1, 192.168.178.20:8080, ::1",
    "sha256: e3b0c44298fc1c14",
    "risk-adjusted returns over the long term, task-oriented, desk-bound", "def f(x: int) -> str: return x[1:-1] @ y",
    "user @ host, @mention, a@b",
    "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16", "100 200 300 400 500 600", "4111 1111 1111 1112", "pi is 3.14159265358979323846",
    "ISBN 978-3-16-148410-0",
    "Der Große Preis von 1999 war 12.345.678,90 €.", "東京は2024年に人口1400万人。", "a == b; c != d; e -> f; g @= h",
    "base64: aGVsbG8gd29ybGQ=", "-1.5e-10 +2 +300",
    "DE12 is a code, AB12CDEF too", "RFC 5321, 4.5.3.1.1", "0.001 0.25 007 0123",
]  # fmt: skip


@pytest.mark.parametrize("text", ORDINARY)
def test_ordinary_text_is_left_alone(text: str) -> None:
    """Numbers, dates, versions, addresses of machines, code."""
    assert [(kind, text[start:end]) for kind, find in FINDERS for start, end in find(text)] == []


@given(st.text(max_size=300))
def test_findings_lie_within_the_text(text: str) -> None:
    """On any input, and without raising."""
    for _, find in FINDERS:
        assert all(0 <= start < end <= len(text) for start, end in find(text))


@pytest.mark.parametrize(
    "text",
    ["a" * 50_000, "1" * 50_000, "a@" * 20_000, "eyJaaaaaaaaa" * 4000, "sk-" * 15_000, "+1 2" * 12_000, "://a:b" * 8000,
     "aws secret " * 4500,
     "DE12 ABCD " * 5000, "authorization: " * 3000, "1-" * 25_000, "(" * 50_000, "-----BEGIN PRIVATE KEY" * 2000],
    ids=lambda text: text[:12],
)  # fmt: skip
def test_no_text_takes_long(text: str) -> None:
    """What repeats what a form begins with is searched in time that grows with its length, not with its square."""
    began = time.thread_time()
    short = sum(len(list(find(text[: len(text) // 8]))) for _, find in FINDERS)
    eighth_s = time.thread_time() - began
    whole = sum(len(list(find(text))) for _, find in FINDERS)
    whole_s = time.thread_time() - began - eighth_s
    assert whole >= short
    assert whole_s < max(0.05, 24 * eighth_s)


def test_cards_need_an_issuer_and_a_check_digit() -> None:
    """One digit changed, and it is just a number."""
    assert has_check_digit("79927398713")
    assert not has_check_digit("79927398710")
    assert list(find_cards("4111111111111112")) == list(find_cards("9999999999999995")) == []
    assert list(find_cards("in 12 4111 1111 1111 1111 99 days")) == [(6, 25)]


def test_phone_numbers_do_not_begin_within_a_number() -> None:
    """Nor end within one."""
    assert list(find_phones("1415-555-01234")) == []
    assert not re.search(r"\d", "".join("call +49 30 1234567"[end:] for _, end in find_phones("call +49 30 1234567")))
