"""Request and response heads as they are sent on: what is dropped, what is added (RFC 9110, 9112).

Hop-by-hop fields end here, in both directions, together with those that `Connection` names;
`x-sidecar-*` never leaves towards a provider and is never accepted from one. All else passes as
it came, in order, case and number.
"""

import re
from collections.abc import Sequence
from typing import Final

from sidecar.core.attempt.answer_head import AnswerHead, Framing
from sidecar.core.attempt.ratelimits import FIELDS
from sidecar.exchange import Headers, Wanted

# RFC 9110 section 7.6.1, and Proxy-* of section 11.7, which speak to the next hop only.
HOP_BY_HOP: Final = frozenset({
    b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"transfer-encoding", b"upgrade",
    b"proxy-authenticate", b"proxy-authorization", b"proxy-authentication-info",
})  # fmt: skip
# Written anew for the upstream: its own host, the length of the body as we send it, and no Expect,
# which has been answered here already.
_REWRITTEN: Final = HOP_BY_HOP | {b"host", b"content-length", b"expect"}
_CREDENTIALS: Final = frozenset({b"authorization", b"x-api-key", b"api-key", b"x-goog-api-key"})
_TRACE: Final = frozenset({b"traceparent", b"tracestate"})
# A caller must not be able to strip these by naming them in Connection (the hop-by-hop abuse class).
_PROTECTED: Final = _CREDENTIALS | _TRACE | {
    b"content-type", b"content-encoding", b"accept", b"accept-encoding", b"anthropic-version", b"cache-control", b"set-cookie",
    b"retry-after",
}  # fmt: skip
_OWN_PREFIX: Final = b"x-sidecar-"
_ORDINARY: Final = b""  # the class of every field that simply passes
_LIMIT: Final = b"ratelimit"  # the class of all fields that tell how much of a rate limit is left
_REPLAY: Final = b"x-openrouter-cache-status"
# Not offered on: without an agreement on extensions frames can be read, and hold no state (RFC 6455 section 9).
EXTENSIONS: Final = b"sec-websocket-extensions"
_SPECIAL: Final = _REWRITTEN | _CREDENTIALS | _TRACE | {
    b"accept-encoding", b"content-encoding", b"content-type", _REPLAY, EXTENSIONS,
}  # fmt: skip

# Field names come from peers: remember the class of only so many spellings.
_REMEMBERED_MAX: Final = 2048
_classes: dict[bytes, bytes] = {}
_types: dict[bytes, str] = {}  # what Content-Type lines say, likewise


def classify(name: bytes) -> bytes:
    """Return a field name in lower case where it means something to us, else b""; for all rate limits one name.

    Underscores in our own prefix count as hyphens: some servers read the two as one. Raises
    ValueError for what begins with white space: it is the rest of the line before (RFC 9112 section 5.2).
    """
    if name[:1] in (b" ", b"\t", b""):
        raise ValueError("malformed head")
    low = name.lower()
    if low.replace(b"_", b"-").startswith(_OWN_PREFIX):
        low = low.replace(b"_", b"-")
    elif low in FIELDS:
        low = _LIMIT
    elif low not in _SPECIAL:
        low = _ORDINARY
    if len(_classes) < _REMEMBERED_MAX:
        _classes[name] = low
    return low


# Looking a member up on its class is ten times the cost of a name of the module.
_NONE, _LENGTH, _CHUNKED, _CLOSE = Framing.NONE, Framing.LENGTH, Framing.CHUNKED, Framing.CLOSE


def read_request(headers: Headers) -> Wanted:
    """Read in one pass what the sidecar needs to know of a request's head, and what of it goes on.

    Raises ValueError for what two parsers could read in two ways: more than one Host, and a
    transfer coding other than `chunked` alone (RFC 9112 sections 3.2 and 6.1).
    """
    own: dict[str, str] = {}
    fields: list[tuple[bytes, bytes]] = []
    expects = upgrade = chunked = named = traced = False
    nominated: frozenset[bytes] = frozenset()
    accept = content = b""
    length: int | None = None
    for name, value in headers:
        low = _classes.get(name)
        if low is None:
            low = classify(name)
        if not low or (low not in _REWRITTEN and not low.startswith(_OWN_PREFIX)):
            fields.append((low, name + b": " + value))
            if low == b"accept-encoding":
                accept = accept + b", " + value if accept else value
            elif low == b"content-encoding":
                content = content + b", " + value if content else value
            elif low in _TRACE:
                traced = True
        elif low == b"host":
            if named:
                raise ValueError("two hosts")
            named = True
        elif low == b"content-length":
            length = int(value)
        elif low == b"connection":
            nominated |= nominated_names(value)
        elif low == b"transfer-encoding":
            if chunked or value.strip().lower() != b"chunked":
                raise ValueError("unknown transfer coding")
            chunked = True
        elif low == b"expect":
            expects = value.strip().lower() == b"100-continue"
        elif low == b"upgrade":
            upgrade = True
        elif low.startswith(_OWN_PREFIX):
            own[low.decode("ascii", "replace")] = value.decode("utf-8", "replace").strip()
    if nominated:
        fields = [field for field in fields if _name_of(field[1]) not in nominated]
    return Wanted(own, fields, expects, accept, content, length, chunked, upgrade and b"upgrade" in nominated, traced)


def nominated_names(value: bytes) -> frozenset[bytes]:
    """Return the field names that a Connection value nominates, without protected ones (RFC 9110 section 7.6.1)."""
    low = value.lower()
    if low == b"keep-alive" or low == b"close":
        return frozenset()
    return frozenset(token.strip() for token in low.split(b",")) - _PROTECTED


def _name_of(line: bytes) -> bytes:
    return line.partition(b":")[0].lower()


def forwarded_fields(fields: Sequence[tuple[bytes, bytes]], dropped: frozenset[bytes]) -> list[bytes]:
    """Return the fields to send on, each as `Name: value`, in order, without those of the classes `dropped`."""
    if not dropped:
        return [line for _, line in fields]
    return [line for low, line in fields if not low or low not in dropped]


def dropped_names(*, trace: bool, codings: bool, credential: bool) -> frozenset[bytes]:
    """Return the end-to-end names that are replaced: by our trace context, codings, or credential."""
    names = _TRACE if trace else frozenset()
    if codings:
        names = names | {b"accept-encoding"}
    return names | _CREDENTIALS if credential else names


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


# RFC 9112 section 4. The parser lets control characters through, which must not reach a caller.
_REASON: Final = re.compile(rb"[\t -~\x80-\xff]*")


def read_answer(method: str, status: int, head: bytes) -> AnswerHead:
    """Read a final response head, as it came up to the empty line, in one pass.

    The parser has read the same bytes and found them to be HTTP; fields are passed on as the lines
    they came as. Raises ValueError for what it lets through and a caller must not see: a status
    below 100, control characters in the reason phrase, folded lines, bare line feeds, and a
    transfer coding that is not `chunked` alone.
    """
    lines = head.split(b"\r\n")
    reason = lines.pop(0)[13:]
    if status < 100 or head.count(b"\n") > len(lines) or (reason != b"OK" and not _REASON.fullmatch(reason)):
        raise ValueError("malformed head")
    fields: list[bytes] = []
    limits: list[bytes] = []
    framing, replayed = _CLOSE, False
    length_field: bytes | None = None
    content_type = content_encoding = ""
    nominated: frozenset[bytes] = frozenset()
    for line in lines:
        name = line[: line.index(b":")]
        low = _classes.get(name)
        if low is None:
            low = classify(name)
        if not low:
            fields.append(line)
        elif low is _LIMIT:
            fields.append(line)
            limits.append(line)
        elif low == b"content-type":
            fields.append(line)
            content_type = _types.get(line) or _read_type(line)
        elif low == b"content-length":
            length_field = line
            framing = _LENGTH if framing is _CLOSE else framing
        elif low == b"transfer-encoding":
            if _value_of(line).lower() != "chunked":
                raise ValueError("unknown transfer coding")
            framing = _CHUNKED
        elif low == b"connection":
            nominated |= nominated_names(line.partition(b":")[2].strip())
        elif low not in HOP_BY_HOP and not low.startswith(_OWN_PREFIX):
            fields.append(line)
            if low == b"content-encoding":
                content_encoding = _value_of(line)
            elif low == _REPLAY:
                replayed = _value_of(line).upper() == "HIT"
    fields = [line for line in fields if _name_of(line) not in nominated] if nominated else fields
    if method == "HEAD" or status == 204 or status == 304:  # RFC 9112 section 6.3: no body, whatever the fields say
        framing = _NONE
    return AnswerHead(status, reason, framing, fields, length_field, content_type, content_encoding, limits, replayed)


def _read_type(line: bytes) -> str:
    value = _value_of(line).lower()
    if len(_types) < _REMEMBERED_MAX:
        _types[line] = value
    return value


def _value_of(line: bytes) -> str:
    return line.partition(b":")[2].strip(b" \t").decode("latin-1")


def client_framing(framing: Framing, http_version: tuple[int, int], *, endless: bool) -> Framing:
    """Return the framing towards the client: HTTP/1.0 knows no chunks (RFC 9112 section 7.1).

    `endless`: the answer is a stream of events. Its length is then not passed on even if it was
    told, because a stream that breaks off must be able to say so.
    """
    if framing is _NONE or (framing is _LENGTH and not endless):
        return framing
    return _CHUNKED if http_version >= (1, 1) else _CLOSE
