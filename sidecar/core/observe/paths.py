"""Paths as they may be recorded. Some servers take keys, addresses and arguments in them, which are no names of anything."""

from collections.abc import Iterator
from functools import lru_cache
from typing import Final

from sidecar.core.observe.findings import Span, find_addresses, find_keys, find_tokens
from sidecar.core.observe.redaction import Own, Redactor

_REMEMBERED_MAX: Final = 1024
_REMEMBERED_CHARS_MAX: Final = 256
_REST: Final = "*"


def show_path(path: str) -> str:
    """Return a path without what looks like a key, a token or an e-mail address."""
    return _remember(path) if len(path) <= _REMEMBERED_CHARS_MAX else _REDACTOR.redact(path)


def show_tool_path(prefix: str, rest: str) -> str:
    """Return the path of a call to a tool as far as it names one: what follows the first segment is arguments.

    `prefix` of its route, and what is behind it; both have a slash where they meet.
    """
    segment, slash, arguments = rest[1:].partition("/")
    segment, semicolon, _ = segment.partition(";")
    return show_path(prefix + segment) + (slash and "/") + (_REST if arguments or semicolon else "")


def _find_addresses(text: str) -> Iterator[Span]:
    """A slash may stand in an address (RFC 5321), but here it ends a segment."""
    return ((max(start, text.rfind("/", start, end) + 1), end) for start, end in find_addresses(text))


# Numbers of cards and phones are not looked for: in paths, ids and dates look like them.
_REDACTOR: Final = Redactor((Own("api_key", find_keys), Own("token", find_tokens), Own("email", _find_addresses)), builtin=False)
_remember = lru_cache(_REMEMBERED_MAX)(_REDACTOR.redact)
