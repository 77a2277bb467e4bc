"""What one reply is told to do: its fault, its pace and its shape on the wire.

A script comes with a request (header `x-sim-script`, a JSON object), or waits in a queue for the
next request without one. Times in a script are taken literally; the profile's `speed` scales only
times that the simulator draws itself.
"""

from enum import StrEnum
from typing import Annotated, Any, Final

import msgspec


class Fault(StrEnum):
    """One way in which a provider fails its caller."""

    RATE_LIMITED = "rate_limited"  # 429 with Retry-After
    SERVER_ERROR = "server_error"  # 500
    UNAVAILABLE = "unavailable"  # 503
    STATUS = "status"  # the script's status
    RESET_BEFORE_HEAD = "reset_before_head"
    CLOSE_BEFORE_HEAD = "close_before_head"
    RESET = "reset"  # TCP reset within the body
    DROP = "drop"  # closed within the body, without the framing's end
    CUT = "cut"  # the framing ends cleanly, the answer does not
    STALL = "stall"  # silence within the body
    SLOW_FIRST_TOKEN = "slow_first_token"
    GARBAGE_EVENT = "garbage_event"  # an event that is not JSON; a whole body that is not JSON
    GARBAGE_HTTP = "garbage_http"  # bytes that are not HTTP
    SHORT_BODY = "short_body"  # fewer bytes than Content-Length says, then closed
    EXCESS_BODY = "excess_body"  # more bytes than Content-Length says
    ERROR_EVENT = "error_event"  # an error within an answer that began as a success
    NO_DONE = "no_done"  # a finish reason, but no [DONE]
    TRICKLE = "trickle"  # one byte at a time
    INFORMATIONAL = "informational"  # 100 and 103 before the head
    CLOSE_DELIMITED = "close_delimited"  # the body ends with the connection
    SILENT_CLOSE = "silent_close"  # closes a connection that it had promised to keep


class Newline(StrEnum):
    """How lines of a stream end (all three are allowed by the WHATWG's event-stream format)."""

    LF = "lf"
    CRLF = "crlf"
    CR = "cr"


NEWLINES: Final = {Newline.LF: b"\n", Newline.CRLF: b"\r\n", Newline.CR: b"\r"}

Count = Annotated[int, msgspec.Meta(ge=0, le=1 << 30)]
Milliseconds = Annotated[float, msgspec.Meta(ge=0, le=3_600_000)]


class Script(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Everything that can be told to one reply; what is not told is drawn."""

    fault: Fault | None = None
    status: Annotated[int, msgspec.Meta(ge=400, le=599)] | None = None
    retry_after_s: Annotated[float, msgspec.Meta(ge=0)] = 1.0
    after_chunks: Count | None = None  # events sent before the fault
    after_bytes: Count | None = None  # bytes of body sent before the fault; outranks after_chunks
    ttft_ms: Milliseconds | None = None  # from request to first token
    gap_ms: Milliseconds | None = None  # between tokens
    stall_ms: Milliseconds | None = None  # how long a stall lasts; by default until the caller leaves
    tokens: Count | None = None  # of each answer
    chunk_bytes: Annotated[int, msgspec.Meta(ge=1)] | None = None  # the body in pieces of this size
    line_bytes: Count = 0  # the first token's event is at least this long
    newline: Newline = Newline.LF
    bom: bool = False
    comments: bool = False  # a comment line before every event
    invalid_utf8: bool = False  # one more event whose text is not UTF-8
    gzip: bool = False  # where the caller accepts it
    refusal: bool = False  # the model declines
    failed: bool = False  # the response's own status says so (responses only)


class ScriptError(ValueError):
    """A script that cannot be followed."""


_PLAIN: Final = Script()
_ONE: Final = msgspec.json.Decoder(Script)
_MANY: Final = msgspec.json.Decoder(Script | list[Script])


def read_script(text: str | bytes | None) -> Script:
    """Read one script from its JSON; None or empty text is the script that says nothing.

    Raises ScriptError with the field and what is wrong with it.
    """
    if not text:
        return _PLAIN
    try:
        return _checked(_ONE.decode(text))
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ScriptError(str(error)) from error


def read_scripts(body: bytes) -> list[Script]:
    """Read one script or a list of them. Raises ScriptError."""
    try:
        scripts: Any = _MANY.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ScriptError(str(error)) from error
    return [_checked(script) for script in (scripts if isinstance(scripts, list) else [scripts])]


def _checked(script: Script) -> Script:
    """Fault and status go together: a status alone means the fault `status`, which needs one."""
    if script.fault is Fault.STATUS and script.status is None:
        raise ScriptError("fault `status` needs `status`")
    if script.fault is None and script.status is not None:
        return msgspec.structs.replace(script, fault=Fault.STATUS)
    return script
