"""What the head of an answer means to us: words only, apart from the reading of it, which may be compiled."""

from enum import Enum

import msgspec


class Framing(Enum):
    """How the end of a body is told (RFC 9112 section 6)."""

    NONE = "none"  # there is no body, whatever the head says
    LENGTH = "length"
    CHUNKED = "chunked"
    CLOSE = "close"


class AnswerHead(msgspec.Struct, frozen=True, gc=False):
    """A final response head: what it means to us, and what of it goes on."""

    status: int
    reason: bytes
    framing: Framing
    fields: list[bytes]  # as `Name: value`, without hop-by-hop fields and the length
    length_field: bytes | None  # Content-Length as it came
    content_type: str  # in lower case
    content_encoding: str
    limits: list[bytes]  # those of the fields that tell of rate limits
    replayed: bool = False  # the provider says that it repeats an earlier answer
