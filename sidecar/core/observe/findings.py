"""Where secrets and personal data stand in a text, by their known forms.

Each finder yields (start, end) of what it found. None of them backtracks over more than a bounded
stretch: they run in a thread of the process that carries the calls, and hold the interpreter while
they search. Where a form is distinctive no word boundary is asked for before it: better too much
taken out than a key left in because a letter stood before it.
"""

import re
from collections.abc import Callable, Iterator
from typing import Final

Span = tuple[int, int]
Finder = Callable[[str], Iterator[Span]]

# Keys by the prefixes that providers give them, and what follows, long enough not to be a word.
_KEYS: Final = {
    prefix: re.compile(rest)
    for rest, prefixes in {
        r"[\w-]{6,}": ("sk-ant-", "sk-proj-", "sk-or-v1-", "sk-svcacct-", "sk-admin-", "sk-lf-",
                       "xapp-", "xoxb-", "xoxp-", "xoxa-", "xoxe-", "xoxr-", "xoxs-"),
        r"(?=[A-Za-z_-]{0,64}\d)[\w-]{20,}": ("sk-",),  # OpenAI's older form, DeepSeek, LiteLLM and others
        r"\w{8,}": ("sk_live_", "sk_test_", "rk_live_", "rk_test_", "pk_live_", "pk_test_"),  # Stripe
        r"[\w-]{16,}": ("AIza", "ya29.", "GOCSPX-", "glpat-", "nvapi-", "pypi-", "github_pat_"),
        r"\w{16,}": ("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "gsk_", "xai-", "hf_", "pplx-", "r8_", "npm_", "dop_v1_"),
        r"[A-Z0-9]{16}": ("AKIA", "ASIA", "ABIA", "ACCA"),  # AWS access key ids
        r"[\w-]{16,}\.[\w-]{16,}": ("SG.",),  # SendGrid
    }.items()
    for prefix in prefixes
}  # fmt: skip
# Of AWS the secret has no prefix: it is known by what it is said to be.
_AWS_SECRET: Final = re.compile(r"(?i:aws.{0,20}?secret.{0,20}?[\s\"':=]{1,8})([A-Za-z0-9/+]{40})(?![A-Za-z0-9/+])")
_TOKENS: Final = re.compile(r"eyJ[\w-]{8,1024}+\.[\w-]+(?:\.[\w-]*){0,3}")  # JSON Web Tokens (RFC 7519), encrypted ones too
_CREDENTIALS: Final = re.compile(
    r"(?i:bearer)[ \t]{1,4}(?=[A-Za-z._~+/=-]{0,128}\d)[\w.~+/=-]{12,}"
    r"|(?i:authorization)[\"']?[ \t]{0,4}[:=][ \t]{0,4}[\"']?(?:(?i:bearer|basic|token|digest)[ \t]{1,4})?[\w.~+/=-]{8,}"
)
_URL_USER: Final = re.compile(r"://([^\s/@:\"'<>]{0,128}:[^\s/@\"'<>]{1,256})@")
_PRIVATE_KEY: Final = re.compile(r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
_PRIVATE_KEY_END: Final = re.compile(r"-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")

_LETTERS: Final = "A-Za-z\u00c0-\u024f\u0370-\u052f"  # Latin, Greek, Cyrillic: scripts without spaces would run on
_AT: Final = (re.compile("@"), re.compile("%40"))  # apart: a literal is searched for twenty times as fast as a choice
_LOCAL: Final = re.compile(rf"[{_LETTERS}0-9.!#$%&'*+/=?^_`{{|}}~-]{{1,64}}\Z")
_DOMAIN: Final = re.compile(rf"[{_LETTERS}0-9-]{{1,63}}(?:\.[{_LETTERS}0-9-]{{1,63}}){{0,8}}\.[{_LETTERS}][{_LETTERS}0-9-]{{1,62}}")
_LOCAL_CHARS_MAX: Final = 64  # RFC 5321, 4.5.3.1.1

# What can hold a number with its separators: looked for first, since most texts hold few.
_NUMBERS: Final = re.compile(r"[+(\d][\d ./()\u00a0\u2010-\u2015-]{7,}")
_SEPARATOR: Final = r"[ \u00a0\u2010-\u2015.-]{1,2}"
_DIGITS: Final = re.compile(rf"(?<!\d)(?:\d{{12,19}}(?!\d)|\d{{3,6}}(?:{_SEPARATOR}\d{{1,7}}){{2,7}}(?!\d))")
_GROUP: Final = re.compile(r"\d+")
_CARD_DIGITS_MIN, _CARD_DIGITS_MAX = 13, 19
# Issuers' first digits and their numbers' lengths: without them a tenth of all long numbers would do.
_ISSUERS: Final = re.compile(
    r"4(?:\d{12}|\d{15}|\d{18})|5[1-5]\d{14}|2(?:2[2-9]|[3-6]\d|7[01])\d{13}|2720\d{12}|3[47]\d{13}|3(?:0[0-5]|[689]\d)\d{11}"
    r"|6(?:011|4[4-9]\d|5\d\d)\d{12}(?:\d{3})?|35\d{14}|62\d{14,17}|(?:50|5[6-9]|6\d)\d{11,17}"
)

_E164: Final = re.compile(r"(?<!\d)(?:\+|(?<![.,])00(?=[1-9]\d{0,2}[ ./()-]))[1-9](?:[ ./()\u00a0-]{0,3}\d){7,14}(?!\d)")
_NORTH_AMERICAN: Final = re.compile(
    r"(?<![\d.-])(?:1[ .-])?(?:\([2-9]\d{2}\) ?|[2-9]\d{2}[ .\u2011-])[2-9]\d{2}[ .\u2011-]\d{4}(?![\d.-]*\d)"
)
_TRUNK: Final = re.compile(r"(?<![\d.,:/-])\(?0[1-9]\d{0,4}\)?(?:[ ./-]{1,2}\d{2,8}){1,5}(?!\d)")
_DATE: Final = re.compile(r"\d{1,2}[./ -]\d{1,2}[./ -](?:19|20)\d{2}")
_TRUNK_DIGITS_MIN, _TRUNK_DIGITS_MAX = 9, 12

_IBAN: Final = re.compile(r"[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?(?![A-Z0-9])")


def find_keys(text: str) -> Iterator[Span]:
    """API keys."""
    for prefix, rest in _KEYS.items():
        if prefix not in text:
            continue
        start = text.find(prefix)
        while start >= 0:
            found = rest.match(text, start + len(prefix))
            if found is not None:
                yield start, found.end()
            start = text.find(prefix, start + 1 if found is None else found.end())
    if "secret" in text.lower():
        yield from (found.span(1) for found in _AWS_SECRET.finditer(text))


def find_tokens(text: str) -> Iterator[Span]:
    """JSON Web Tokens."""
    yield from (found.span() for found in _TOKENS.finditer(text))


def find_credentials(text: str) -> Iterator[Span]:
    """Credentials of HTTP: what follows Bearer or Authorization, and a URL's user and password."""
    lowered = text.lower()
    if "bearer" in lowered or "authorization" in lowered:
        yield from (found.span() for found in _CREDENTIALS.finditer(text))
    yield from (found.span(1) for found in _URL_USER.finditer(text))


def find_private_keys(text: str) -> Iterator[Span]:
    """PEM private keys (RFC 7468); one without its end reaches to the end of the text."""
    start = 0
    while (begun := _PRIVATE_KEY.search(text, start)) is not None:
        ended = _PRIVATE_KEY_END.search(text, begun.end())
        start = len(text) if ended is None else ended.end()
        yield begun.start(), start


def find_addresses(text: str) -> Iterator[Span]:
    """E-mail addresses (RFC 5321's common form), their @ also as %40."""
    for at in (at for spelling in _AT for at in spelling.finditer(text)):
        local = _LOCAL.search(text, max(0, at.start() - _LOCAL_CHARS_MAX), at.start())
        domain = _DOMAIN.match(text, at.end())
        if local is not None and domain is not None:
            yield local.start(), domain.end()


def find_cards(text: str) -> Iterator[Span]:
    """Payment card numbers: digits in groups, of a known issuer's form, with a right check digit (ISO/IEC 7812-1)."""
    runs = (run for stretch in _NUMBERS.finditer(text) for run in _DIGITS.finditer(text, *stretch.span()))
    for run in runs:
        groups = [group.span() for group in _GROUP.finditer(text, *run.span())]
        for first in range(len(groups)):
            for last in range(first, len(groups)):
                digits = "".join(text[start:end] for start, end in groups[first : last + 1])
                if len(digits) > _CARD_DIGITS_MAX:
                    break
                if len(digits) >= _CARD_DIGITS_MIN and _ISSUERS.fullmatch(digits) and has_check_digit(digits):
                    yield groups[first][0], groups[last][1]


def has_check_digit(digits: str) -> bool:
    """Return whether the last digit fits the others (Luhn's formula)."""
    total = 0
    for place, digit in enumerate(map(int, reversed(digits))):
        doubled = digit * 2 if place % 2 else digit
        total += doubled - 9 if doubled > 9 else doubled
    return total % 10 == 0


def find_phones(text: str) -> Iterator[Span]:
    """Phone numbers: international (E.164), North American, and national ones that begin with 0 and have separators."""
    # Within a stretch a pattern still sees what stands before it.
    for stretch in _NUMBERS.finditer(text):
        start, end = stretch.span()
        yield from (found.span() for found in _E164.finditer(text, start, end))
        yield from (found.span() for found in _NORTH_AMERICAN.finditer(text, start, end))
        for found in _TRUNK.finditer(text, start, end):
            digits = sum(char.isdigit() for char in found[0])
            if _TRUNK_DIGITS_MIN <= digits <= _TRUNK_DIGITS_MAX and not _DATE.match(found[0]):
                yield found.span()


def find_accounts(text: str) -> Iterator[Span]:
    """International bank account numbers with right check digits (ISO 13616)."""
    for found in _IBAN.finditer(text):
        number = found[0].replace(" ", "")
        if int("".join(str(int(char, 36)) for char in number[4:] + number[:4])) % 97 == 1:
            yield found.span()


SHORTEST_CHARS: Final = 6  # a@b.co: a shorter text holds nothing of these

# By the kind that stands in the text's place.
FINDERS: Final[tuple[tuple[str, Finder], ...]] = (
    ("private_key", find_private_keys), ("api_key", find_keys), ("token", find_tokens), ("credential", find_credentials),
    ("email", find_addresses), ("card", find_cards), ("iban", find_accounts), ("phone", find_phones),
)  # fmt: skip
