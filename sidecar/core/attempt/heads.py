"""Request and response heads as they are sent on: what is dropped, what is added (RFC 9110, 9112).

Hop-by-hop fields end here, in both directions, together with those that `Connection` names;
`x-sidecar-*` never leaves towards a provider and is never accepted from one. All else passes as
it came, in order, case and number.
"""

from collections.abc import Iterable
from enum import Enum
from typing import Final

from sidecar.exchange import Header, Headers, Wanted

# RFC 9110 section 7.6.1, and Proxy-* of section 11.7, which speak to the next hop only.
HOP_BY_HOP: Final = frozenset({
    b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"transfer-encoding", b"upgrade",
    b"proxy-authenticate", b"proxy-authorization", b"proxy-authentication-info",
})  # fmt: skip
# Written anew for the upstream: its own host, the length of the body as we send it, and no Expect,
# which has been answered here already.
_REWRITTEN: Final = HOP_BY_HOP | {b"host", b"content-length", b"expect"}
# A caller must not be able to strip these by naming them in Connection (the hop-by-hop abuse class).
_PROTECTED: Final = frozenset({
    b"authorization", b"x-api-key", b"api-key", b"x-goog-api-key", b"content-type", b"content-encoding", b"accept",
    b"accept-encoding", b"traceparent", b"tracestate", b"anthropic-version", b"cache-control", b"set-cookie", b"retry-after",
})  # fmt: skip
OWN_PREFIX: Final = b"x-sidecar-"
_TRACE: Final = frozenset({b"traceparent", b"tracestate"})
_ACCEPT_ENCODING: Final = b"accept-encoding"

# Field names come from peers: remember only so many spellings.
_REMEMBERED_MAX: Final = 2048
_lowered: dict[bytes, bytes] = {}


def lower_name(name: bytes) -> bytes:
    """Return a field name in lower case; underscores in our own prefix count as hyphens."""
    known = _lowered.get(name)
    if known is None:
        known = name.lower()
        if known.replace(b"_", b"-").startswith(OWN_PREFIX):
            known = known.replace(b"_", b"-")
        if len(_lowered) < _REMEMBERED_MAX:
            _lowered[name] = known
    return known


class Framing(Enum):
    """How the end of a body is told (RFC 9112 section 6)."""

    NONE = "none"  # there is no body, whatever the head says
    LENGTH = "length"
    CHUNKED = "chunked"
    CLOSE = "close"


def read_wanted(headers: Headers) -> Wanted:
    """Read in one pass what the sidecar itself needs to know of a request's head."""
    own: dict[str, str] = {}
    expects = upgrade = False
    nominated: frozenset[bytes] = frozenset()
    accept = content = b""
    length: int | None = None
    for name, value in headers:
        low = lower_name(name)
        if low == b"connection":
            nominated |= nominated_names(value)
        elif low == _ACCEPT_ENCODING:
            accept = accept + b", " + value if accept else value
        elif low == b"content-encoding":
            content = content + b", " + value if content else value
        elif low == b"content-length":
            length = int(value)
        elif low == b"expect":
            expects = value.strip().lower() == b"100-continue"
        elif low == b"upgrade":
            upgrade = True
        elif low.startswith(OWN_PREFIX):
            own[low.decode("ascii", "replace")] = value.decode("utf-8", "replace").strip()
    return Wanted(own, expects, nominated, accept, content, length, upgrade and b"upgrade" in nominated)


def nominated_names(value: bytes) -> frozenset[bytes]:
    """Return the field names that a Connection value nominates, without protected ones."""
    low = value.lower()
    if low in (b"keep-alive", b"close"):
        return frozenset()
    return frozenset(token.strip() for token in low.split(b",")) - _PROTECTED


def forwarded_fields(headers: Iterable[Header], nominated: frozenset[bytes], *, dropped: frozenset[bytes]) -> list[bytes]:
    """Return the fields to send on, each as `Name: value`, in order."""
    kept: list[bytes] = []
    for name, value in headers:
        low = lower_name(name)
        if low in _REWRITTEN or low in dropped or low.startswith(OWN_PREFIX) or low in nominated:
            continue
        kept.append(name + b": " + value)
    return kept


def narrow_codings(accept: bytes, readable: frozenset[str]) -> bytes | None:
    """Return an Accept-Encoding value without codings that could not be observed; None: leave it.

    A provider that may answer in a coding we cannot read would make its usage invisible. Dropping
    an offer is always within the caller's own terms (RFC 9110 section 12.5.3).
    """
    offers = [offer.strip() for offer in accept.split(b",") if offer.strip()]
    kept = [offer for offer in offers if offer.split(b";", 1)[0].strip().lower().decode("latin-1") in readable]
    if len(kept) == len(offers):
        return None
    return b", ".join(kept) or b"identity"


_DROPPED_TRACE: Final = _TRACE
_DROPPED_NOTHING: Final[frozenset[bytes]] = frozenset()
_DROPPED_CREDENTIALS: Final = frozenset({b"authorization", b"x-api-key", b"api-key", b"x-goog-api-key"})


def dropped_names(*, trace: bool, codings: bool, credential: bool) -> frozenset[bytes]:
    """Return the end-to-end names that are replaced: our trace context, codings, or credential."""
    names = _DROPPED_TRACE if trace else _DROPPED_NOTHING
    if codings:
        names = names | {_ACCEPT_ENCODING}
    return names | _DROPPED_CREDENTIALS if credential else names


def has_no_body(method: str, status: int) -> bool:
    """Tell whether an answer ends at its head, whatever its fields say (RFC 9112 section 6.3)."""
    return method == "HEAD" or status in (204, 304) or 100 <= status < 200


def read_framing(method: str, status: int, headers: Iterable[Header]) -> tuple[Framing, int | None]:
    """Return how an answer's end is told, and its length where that is told."""
    if has_no_body(method, status):
        return Framing.NONE, None
    length: int | None = None
    for name, value in headers:
        low = lower_name(name)
        if low == b"transfer-encoding":
            return Framing.CHUNKED, None
        if low == b"content-length":
            length = int(value)
    return (Framing.CLOSE, None) if length is None else (Framing.LENGTH, length)


def client_framing(framing: Framing, http_version: tuple[int, int], *, endless: bool) -> Framing:
    """Return the framing towards the client: HTTP/1.0 knows no chunks (RFC 9112 section 7.1).

    `endless`: the answer is a stream of events. Its length is then not passed on even if it was
    told, because a stream that breaks off must be able to say so.
    """
    if framing is Framing.NONE or (framing is Framing.LENGTH and not endless):
        return framing
    return Framing.CHUNKED if http_version >= (1, 1) else Framing.CLOSE


def read_media_type(headers: Iterable[Header]) -> tuple[str, str]:
    """Return an answer's Content-Type and Content-Encoding, "" where there is none."""
    content_type = content_encoding = ""
    for name, value in headers:
        low = lower_name(name)
        if low == b"content-type":
            content_type = value.decode("latin-1")
        elif low == b"content-encoding":
            content_encoding = value.decode("latin-1")
    return content_type, content_encoding
