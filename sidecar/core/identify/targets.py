"""Which request targets may be forwarded at all.

One path decides policy and is forwarded, byte for byte; what two parsers could read in two ways
is refused rather than repaired (RFC 9112 section 3.2, RFC 3986 section 5.2.4).
"""

import re
from typing import Final

from sidecar.errors import BAD_TARGET, ClientFault

# Visible ASCII only, and not a fragment or a backslash, which some servers read as a slash.
_ALLOWED = re.compile(r"/[!\"$-\[\]-~]*\Z")
# A dot segment, plain or encoded, ending at a slash (plain or encoded), a parameter or the end.
_DOT_SEGMENT = re.compile(r"(?:^|/|%2f|%5c)(?:\.|%2e){1,2}(?:/|%2f|%5c|;|$)", re.IGNORECASE)


# Paths come from callers: remember only so many that were found to be good.
_REMEMBERED_MAX: Final = 1024
_good: dict[str, tuple[str, str]] = {}


def split_target(target: str) -> tuple[str, str]:
    """Return path and query of an origin-form request target, both as received.

    Raises ClientFault(bad_target) for absolute-form, authority-form and asterisk-form, for dot
    segments in any spelling, and for characters that do not belong in a target.
    """
    known = _good.get(target)
    if known is not None:
        return known
    path, _, query = target.partition("?")
    if not _ALLOWED.match(path) or (query and not _ALLOWED.match("/" + query)):
        raise ClientFault(BAD_TARGET, "only an origin-form target of visible ASCII characters is forwarded")
    if ("." in path or "%" in path) and _DOT_SEGMENT.search(path):
        raise ClientFault(BAD_TARGET, "the path holds a dot segment")
    if not query and len(_good) < _REMEMBERED_MAX:  # a query may hold a secret, and is different each time
        _good[target] = path, query
    return path, query
