"""The answers to the entries of a batch, each as a JSON object, and all of them as one body."""

from typing import Any, Final

import msgspec

from sidecar.core.identify.batch import is_json
from sidecar.core.observe.dialects import OPAQUE
from sidecar.core.observe.salvage import UNREADABLE
from sidecar.errors import ErrorKind
from sidecar.exchange import Asked


class EntryAnswer(msgspec.Struct, gc=False, omit_defaults=True):
    """What an entry of a batch got. `body` is a JSON value or text; bytes that are neither are written as base64."""

    status: int
    headers: dict[str, Any]  # text; a list of texts where a field came several times
    body: Any
    encoding: str | None = None


# Reads JSON to its end without making objects of it, which would take a multiple of its bytes; text it does not decode.
_skip: Final = msgspec.json.Decoder(msgspec.Raw).decode
_HIDDEN: Final = frozenset({"connection", "content-length"})  # of the answer as it would have come on a connection


def describe_answer(data: bytes) -> EntryAnswer:
    """Return an entry's whole answer, as it was written to an HTTP/1.0 caller, as it stands in the batch's."""
    head, _, body = data.partition(b"\r\n\r\n")
    status, *lines = head.decode("latin-1").split("\r\n")
    headers: dict[str, Any] = {}
    for line in lines:
        name, _, value = line.partition(":")
        name, value = name.lower(), value.strip()
        if name in headers:
            before = headers[name]
            headers[name] = [*before, value] if isinstance(before, list) else [before, value]
        elif name not in _HIDDEN:
            headers[name] = value
    shown, encoding = _show_body(body, str(headers.get("content-type", "")))
    return EntryAnswer(int(status.split(" ", 2)[1]), headers, shown, encoding)


def _show_body(body: bytes, content_type: str) -> tuple[Any, str | None]:
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        return body, "base64"  # as bytes are written in JSON
    if is_json(content_type):
        try:
            return _skip(body), None  # a part that is not JSON would spoil the whole
        except UNREADABLE:
            pass
    return text, None


def describe_refusal(kind: ErrorKind, message: str) -> EntryAnswer:
    """Return an answer of our own to an entry that never became a call, or whose answer never became whole."""
    headers = {"content-type": "application/json", "x-sidecar-error": kind.id}
    return EntryAnswer(kind.status, headers, msgspec.Raw(OPAQUE.refusal(kind, message, Asked())))


def write_batch(answers: list[EntryAnswer]) -> bytes:
    """Return the body of the answer to a batch."""
    return msgspec.json.encode(answers)
