"""Answers told again to another caller: where the form has something in them that is one caller's own, it is replaced.

That is so for MCP alone: a response names the id of its request (JSON-RPC 2.0 section 5). Every other byte stays, and a
body has as many pieces as before, so that they can come in their old pace.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Final

from sidecar.core.identify.members import Span, find_member

_MCP: Final = "mcp"
_ID: Final = "id"
_METHOD: Final = "method"
_BLANK: Final = re.compile(rb"(?:\r\n|\n|\r(?!\n)){2}")  # ends an event
_LINE: Final = re.compile(rb"[^\r\n]+")
_DATA: Final = re.compile(rb"data(?:: ?|$)")
_EVENT_ID: Final = re.compile(rb"(?:\A|[\r\n])id(?::|\r|\n|\Z)")


def needs_retelling(dialect_name: str) -> bool:
    """Tell whether answers of a form have something in them that is one caller's own."""
    return dialect_name == _MCP


def can_retell(dialect_name: str, body: bytes, *, streamed: bool) -> bool:
    """Tell whether a whole answer can be told to another caller: that it is one response, and what comes with it asks nothing back.

    A stream whose events have ids belongs to its session, in which the rest of it can be asked for.
    """
    if not needs_retelling(dialect_name):
        return True
    if streamed and _EVENT_ID.search(body):
        return False
    responses = 0
    for _, message in _find_messages(body, streamed=streamed):
        ids, methods = find_member(message, _ID), find_member(message, _METHOD)
        if ids and methods:
            return False  # a request to the caller: it would answer one that nobody has asked
        responses += len(ids)
    return responses == 1


def retell(dialect_name: str, pieces: Sequence[bytes], asked_body: bytes, *, streamed: bool) -> tuple[bytes, ...]:
    """Return an answer's pieces with what is one caller's own replaced by that of the caller who sent `asked_body`.

    The answer is one that `can_retell` took. Never raises.
    """
    if not needs_retelling(dialect_name):
        return tuple(pieces)
    asked = find_member(asked_body, _ID)
    if len(asked) != 1:
        return tuple(pieces)
    new = asked_body[asked[0].start : asked[0].end]
    body = b"".join(pieces)
    spans = [
        Span(start + span.start, start + span.end)
        for start, message in _find_messages(body, streamed=streamed)
        if not find_member(message, _METHOD)
        for span in find_member(message, _ID)
    ]
    return tuple(_replace(pieces, spans, new))


def _find_messages(body: bytes, *, streamed: bool) -> Iterator[tuple[int, bytes]]:
    """Yield each message and where it begins. What is not of the message is blanked, so that places in it are places in the body."""
    if not streamed:
        yield 0, body
        return
    start = 0
    while start < len(body):
        blank = _BLANK.search(body, start)
        end = len(body) if blank is None else blank.end()
        event = body[start:end]
        message = bytearray(b" ") * len(event)
        for line in _LINE.finditer(event):
            data = _DATA.match(line[0])
            if data is not None:
                message[line.start() + data.end() : line.end()] = line[0][data.end() :]
        if message.strip():
            yield start, bytes(message)
        start = end


def _replace(pieces: Sequence[bytes], spans: Sequence[Span], new: bytes) -> Iterator[bytes]:
    """Yield the pieces, with `new` in that in which a span begins, and without what of it is in others."""
    at = 0
    for piece in pieces:
        end = at + len(piece)
        told = []
        kept = at
        for span in spans:
            if span.start < end and span.end > at:
                told.append(piece[kept - at : max(span.start, at) - at])
                if span.start >= at:
                    told.append(new)
                kept = min(span.end, end)
        yield b"".join((*told, piece[kept - at :])) if told else piece
        at = end
