"""A batch: several calls to tools in one request, and each of them as a call of its own.

What an entry says goes through the same doors as a call from a socket; what HTTP would have taken
care of there (field syntax, framing, hop-by-hop fields) is done here.
"""

import re
from collections.abc import Mapping
from typing import Final

import msgspec

from sidecar.core.attempt.heads import HOP_BY_HOP, read_request
from sidecar.core.identify.tracecontext import format_parent
from sidecar.core.observe.salvage import UNREADABLE
from sidecar.errors import BAD_BATCH, ClientFault
from sidecar.exchange import Call, Header, Headers, TraceContext, Wanted

OWN_PATHS: Final = "/x-sidecar/"  # answered here, and never sent on
BATCH_PATH: Final = "/x-sidecar/batch"

_MEMBERS: Final = ("path", "method", "headers", "body")
_METHOD: Final = re.compile(r"[A-Z][A-Z-]{0,31}")
_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}")  # RFC 9110 section 5.6.2
_VALUE: Final = re.compile(r"[\t -~\x80-\xff]*")
_LINE_CHARS_MAX: Final = 16 * 1024
_FIELDS_MAX: Final = 120
# Written anew: the body's length, no interim answer, and a body that can be shown.
_REPLACED: Final = HOP_BY_HOP | {b"host", b"content-length", b"expect", b"accept-encoding"}
_TRACE: Final = frozenset({b"traceparent", b"tracestate"})
_ORIGIN: Final = b"origin"
_TIMEOUT: Final = "x-sidecar-timeout"
_NONE: Final[frozenset[bytes]] = frozenset()
_JSON: Final = b"application/json"
_decode_batch = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_entry = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_text = msgspec.json.Decoder(str).decode
_decode_fields = msgspec.json.Decoder(dict[str, str]).decode


def read_batch(headers: Headers, body: bytes, entries_max: int) -> list[msgspec.Raw]:
    """Return the entries of a batch, unread. Raises ClientFault(bad_batch).

    It must call itself JSON: a web page that a browser shows can send to a loopback address without
    asking first, but nothing of that type (Fetch standard, section 4.10), and here it could choose the fields.
    """
    if not any(name.lower() == b"content-type" and is_json(value.decode("latin-1")) for name, value in headers):
        raise ClientFault(BAD_BATCH, "The body does not call itself JSON. Send Content-Type: application/json.")
    try:
        entries = _decode_batch(body)
    except UNREADABLE:
        raise ClientFault(BAD_BATCH, f"The body is not a JSON list. {BAD_BATCH.advice}") from None
    if len(entries) > entries_max:
        raise ClientFault(BAD_BATCH, f"The list has {len(entries)} entries; limits.batch allows {entries_max}. Send several batches.")
    return entries


def read_entry(
    entry: msgspec.Raw, index: int, outer: Call, trace: TraceContext | None, timeout_s: float | None, *, now: float, now_ns: int
) -> tuple[Call, bytes]:
    """Return an entry as a call that came at `now`, and its body. Raises ClientFault(bad_batch).

    `outer`: the batch's call, of which nothing is inherited but the name and the Origin, by which servers
    tell web pages from programs. `trace`: the batch's, which
    is continued. `timeout_s`: what the batch's caller wants, which an entry may only shorten.
    """
    where = f"Entry {index}"
    try:
        members = _decode_entry(entry)
    except UNREADABLE:
        raise ClientFault(BAD_BATCH, f"{where} is not a JSON object. {BAD_BATCH.advice}") from None
    if not members.keys() <= set(_MEMBERS):
        raise ClientFault(BAD_BATCH, f"{where} has a member that is not known; allowed: {', '.join(_MEMBERS)}.")
    path = _read_text(members, "path", None, where)
    method = _read_text(members, "method", "POST", where)
    if not path.startswith("/") or path.startswith(OWN_PATHS) or len(path) > _LINE_CHARS_MAX:
        raise ClientFault(BAD_BATCH, f"{where}: path is not that of a tool; allowed: the path and query of a tool route, such as /tools/….")
    if not _METHOD.fullmatch(method) or method == "CONNECT":
        raise ClientFault(BAD_BATCH, f"{where}: method is not one of HTTP's, such as POST or GET.")
    origin = [field for field in outer.headers if field[0].lower() == _ORIGIN]
    fields = origin + _read_fields(members, where, _REPLACED | ({_ORIGIN} if origin else _NONE) | (_TRACE if trace is not None else _NONE))
    body = _read_body(members, fields, where)
    if trace is not None:
        fields += format_parent(trace)
    headers = tuple(fields)
    wanted = read_request(headers)
    if timeout_s is not None:
        wanted = _shorten(wanted, timeout_s)
    return Call(f"{outer.id}-{index}", method, path, headers, (1, 0), bool(body), False, wanted, now, now_ns), body


def _read_text(members: Mapping[str, msgspec.Raw], name: str, default: str | None, where: str) -> str:
    raw = members.get(name)
    if raw is None and default is not None:
        return default
    try:
        return _decode_text(raw if raw is not None else b"")
    except UNREADABLE:
        raise ClientFault(BAD_BATCH, f"{where}: {name} is not text. {BAD_BATCH.advice}") from None


def _read_fields(members: Mapping[str, msgspec.Raw], where: str, replaced: frozenset[bytes]) -> list[Header]:
    try:
        given = _decode_fields(members.get("headers", b"{}"))
    except UNREADABLE:
        raise ClientFault(BAD_BATCH, f"{where}: headers is not an object of texts.") from None
    fields: list[Header] = []
    for name, value in given.items():
        if not is_field(name, value) or len(given) > _FIELDS_MAX:
            raise ClientFault(BAD_BATCH, f"{where}: headers are not those of HTTP (RFC 9110 section 5), or too many.")
        field = name.encode("ascii"), value.strip(" \t").encode("latin-1")
        if field[0].lower() not in replaced:
            fields.append(field)
    return [*fields, (b"Accept-Encoding", b"identity")]


def _read_body(members: Mapping[str, msgspec.Raw], fields: list[Header], where: str) -> bytes:
    """Return the body, and note its type and length in `fields`: JSON, unless it is text whose type says otherwise."""
    body = bytes(members.get("body", b""))
    if not body or body == b"null":
        return b""
    told = next((value for name, value in fields if name.lower() == b"content-type"), None)
    if told is None:
        fields.append((b"Content-Type", _JSON))
    elif body[:1] == b'"' and not is_json(told.decode("latin-1")):
        try:
            body = _decode_text(body).encode()
        except UNREADABLE:
            raise ClientFault(BAD_BATCH, f"{where}: body is not text that can be sent.") from None
    fields.append((b"Content-Length", b"%d" % len(body)))
    return body


def _shorten(wanted: Wanted, timeout_s: float) -> Wanted:
    """Bound what an entry wants by what the batch does, as read: a field may be spelled in many ways, and come twice."""
    given = wanted.own.get(_TIMEOUT)
    try:
        if given is not None and float(given) <= timeout_s:
            return wanted
    except ValueError:
        return wanted  # refused when the call is read
    return msgspec.structs.replace(wanted, own={**wanted.own, _TIMEOUT: repr(timeout_s)})


def is_field(name: str, value: str) -> bool:
    """Whether text can be a field of a request's head (RFC 9110 section 5), and is no longer than one may be."""
    return _NAME.fullmatch(name) is not None and len(value) <= _LINE_CHARS_MAX and _VALUE.fullmatch(value) is not None


def is_json(content_type: str) -> bool:
    """Whether a Content-Type names JSON (RFC 6838 section 4.2.8, RFC 8259)."""
    media_type = content_type.partition(";")[0].strip().lower()
    return media_type == "application/json" or media_type.endswith("+json")
