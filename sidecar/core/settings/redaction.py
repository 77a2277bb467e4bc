"""Values as they may be shown: short, on one line, and without what looks like a secret."""

import re
from typing import Any, Final

DOTS: Final = "••••"
_SHOWN_CHARS_MAX: Final = 80

# No host is a number of so many digits: a model of a version, as Vertex AI writes it.
_VERSIONED: Final = re.compile(r"[\w./-]+@(?:[0-9]{3,8}|default|latest)")
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
# Keys pasted where they do not belong: by the prefixes providers use, and as header values.
_KEY_SHAPES: Final = re.compile(
    r"(?<![A-Za-z0-9])(?:(?:sk|pk|rk|gsk|xai|hf|ghp|glpat|pplx)[-_][\w-]{6,}|AIza[\w-]{10,}|AKIA\w{10,}|(?:bearer|basic)\s+\S+|ey[JK][\w-]{10,}[\w.-]*)",
    re.IGNORECASE,
)


def redact(text: str) -> str:
    """Return text with dots for the userinfo, query and fragment of a URL or path, and for anything shaped like a key.

    A password may itself hold `/`, `?`, `#` or `@`, so all before the last `@` is taken for userinfo.
    """
    scheme = _SCHEME.match(text)
    start = scheme.end() if scheme else 0
    before, at, after = text[start:].rpartition("@")
    if at and before and not _VERSIONED.fullmatch(text):
        text = f"{text[:start]}{DOTS}@{after}"
    if scheme or text[:1] == "/":
        text = re.sub(r"([?#]).+", rf"\1{DOTS}", text, count=1, flags=re.DOTALL)
    return _KEY_SHAPES.sub(DOTS, text)


def show(value: Any) -> str:
    """Return a found value for a problem's text."""
    match value:
        case None:
            return "nothing"
        case bool():
            return "true" if value else "false"
        case dict():
            return "a mapping"
        case list() | tuple():
            return "a list"
        case str():
            clean = redact(value)
            return repr(clean if len(clean) <= _SHOWN_CHARS_MAX else clean[:_SHOWN_CHARS_MAX] + "…")
        case int() if abs(value) >= 10**_SHOWN_CHARS_MAX:
            return "a very large number"
        case _:
            return str(value)
