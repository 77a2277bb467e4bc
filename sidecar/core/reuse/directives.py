"""What callers and servers say of keeping an answer: `Cache-Control` (RFC 9111 section 5.2), and `x-sidecar-cache`.

Unknown directives are ignored. Of contradictory ones the stricter counts: that which is asked anew, kept for less long,
or not kept. A value that cannot be read counts as the strictest there is.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from sidecar.exchange import Headers

OWN: Final = "x-sidecar-cache"
TTL_TIMES_MAX: Final = 10.0  # a caller may have an answer kept for so many times as long as the settings say
SECONDS_MAX: Final = 2**31  # RFC 9111 section 1.2.2: what is larger counts as this

_DIRECTIVE: Final = re.compile(r'(?:"[^"]*"|[^,])+')  # commas within quotes part nothing
_SECONDS: Final = re.compile(r"[0-9]{1,20}")
_CACHE_CONTROL: Final = b"cache-control"
_PRAGMA: Final = b"pragma"
_LENGTHS: Final = frozenset({len(_CACHE_CONTROL), len(_PRAGMA)})
_REMEMBERED_MAX: Final = 256
_REMEMBERED_CHARS_MAX: Final = 256


class Directives(NamedTuple):
    """What one request wants. Seconds; None: nothing is said of it."""

    no_store: bool = False  # neither looked for nor kept
    no_cache: bool = False  # not looked for; what comes is kept
    only_if_cached: bool = False  # nobody is to be asked
    ttl_s: float | None = None  # for how long what comes is kept
    max_age_s: float | None = None  # no older than this
    min_fresh_s: float | None = None  # good for at least as long as this
    max_stale_s: float | None = None  # may have expired, so long ago at most; infinite where any time will do


class AnswerDirectives(NamedTuple):
    """What an answer says of itself."""

    no_store: bool = False
    no_cache: bool = False
    max_age_s: float | None = None
    varies_by: frozenset[bytes] = frozenset()  # names of request fields in lower case, `*`


NONE: Final = Directives()
_remembered: dict[tuple[str, str], Directives] = {}


def read_directives(headers: Headers, own: Mapping[str, str]) -> Directives:
    """Return what a request wants: NONE itself where it says nothing. Never raises.

    `Pragma: no-cache` counts as the directive of that name (RFC 9111 section 5.4). `ttl` is `x-sidecar-cache`'s alone.
    """
    said = ""
    for name, value in headers:
        low = name.lower() if len(name) in _LENGTHS else b""
        if low == _CACHE_CONTROL or (low == _PRAGMA and value.strip().lower() == b"no-cache"):
            said = _join(said, value)
    ours = own.get(OWN, "") if own else ""
    if not said and not ours:
        return NONE
    found = _remembered.get((said, ours))
    if found is None:
        found = _combine(_split(said, is_ours=False) + _split(ours, is_ours=True))
        if len(_remembered) < _REMEMBERED_MAX and len(said) + len(ours) <= _REMEMBERED_CHARS_MAX:
            _remembered[said, ours] = found
    return found


def read_answer_directives(fields: Sequence[bytes]) -> AnswerDirectives:
    """Return what an answer's fields, each as `Name: value`, say of keeping it. Never raises.

    `max_age_s` is what is left of it, after `Age`. What we keep is one caller's own, so `private` says nothing new; `s-maxage`
    counts where it is less.
    """
    said = ""
    age_s = 0.0
    varies_by: frozenset[bytes] = frozenset()
    for line in fields:
        name, _, value = line.partition(b":")
        low = name.lower()
        if low == _CACHE_CONTROL:
            said = _join(said, value)
        elif low == b"age":
            age_s = max(age_s, _read_seconds(value.decode("latin-1").strip(), SECONDS_MAX))
        elif low == b"vary":
            varies_by |= {each.strip() for each in value.lower().split(b",") if each.strip()}
    no_store = no_cache = False
    ages: list[float] = []
    for directive, text in _split(said, is_ours=False):
        if directive == "no-store":
            no_store = True
        elif directive == "no-cache" and text is None:  # with names, it speaks of those fields only
            no_cache = True
        elif directive in ("max-age", "s-maxage"):
            ages.append(_read_seconds(text, 0.0))
    return AnswerDirectives(no_store, no_cache, max(0.0, min(ages) - age_s) if ages else None, varies_by)


def _combine(directives: Iterable[tuple[str, str | None]]) -> Directives:
    no_store = no_cache = only_if_cached = False
    ttl_s = max_age_s = min_fresh_s = max_stale_s = None
    for name, text in directives:
        if name == "no-store":
            no_store = True
        elif name == "no-cache":
            no_cache = True
        elif name == "only-if-cached":
            only_if_cached = True
        elif name == "ttl":
            ttl_s = _less(ttl_s, _read_seconds(text, 0.0))
        elif name == "max-age":
            max_age_s = _less(max_age_s, _read_seconds(text, 0.0))
        elif name == "min-fresh":
            min_fresh_s = max(min_fresh_s or 0.0, _read_seconds(text, SECONDS_MAX))
        elif name == "max-stale":
            max_stale_s = _less(max_stale_s, float("inf") if text is None else _read_seconds(text, 0.0))
    return Directives(no_store, no_cache, only_if_cached, ttl_s, max_age_s, min_fresh_s, max_stale_s)


def _split(said: str, *, is_ours: bool) -> list[tuple[str, str | None]]:
    """Return the directives in lower case, with their values."""
    directives = []
    for each in _DIRECTIVE.findall(said):
        name, equals, text = each.partition("=")
        name = name.strip().lower()
        if is_ours or name != "ttl":
            directives.append((name, _unquote(text.strip()) if equals else None))
    return directives


def _unquote(text: str) -> str:
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] == '"' else text


def _join(said: str, value: bytes) -> str:
    text = value.decode("latin-1").strip()
    return f"{said},{text}" if said else text


def _less(known: float | None, new: float) -> float:
    return new if known is None or new < known else known


def _read_seconds(text: str | None, otherwise: float) -> float:
    """`otherwise`: the strictest, where it is no whole number of seconds (RFC 9111 section 1.2.2)."""
    return float(min(int(text), SECONDS_MAX)) if text is not None and _SECONDS.fullmatch(text) else float(otherwise)
