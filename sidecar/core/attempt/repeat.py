"""When an attempt may be made again without asking anybody.

Only one case is safe for every method: nothing of the request can have been processed. A request
that was written to a kept connection the upstream was just closing may have been; so it is
repeated, once and on a new connection, only where HTTP calls the method idempotent (RFC 9110
sections 9.2.2 and 9.3). The window itself is kept small by asking the socket before reuse.
"""

from typing import Final

from sidecar.errors import UPSTREAM_RESET, ErrorKind

_IDEMPOTENT: Final = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"})


def may_repeat(kind: ErrorKind, method: str, *, reused: bool, body_held: bool) -> bool:
    """Tell whether an attempt that failed with `kind` before any byte of an answer may be repeated."""
    return kind is UPSTREAM_RESET and reused and body_held and method in _IDEMPOTENT
