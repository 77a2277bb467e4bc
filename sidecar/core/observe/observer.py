"""Readers of answers as they pass: which one an answer gets, and what they have in common.

An observer takes the bytes as they came from the upstream, in whatever pieces, and fills in a
`Seen`. It alters nothing, holds a bounded amount, and does not raise on any input.
"""

from typing import Final

from sidecar.config import Limits
from sidecar.core.observe.contract import Dialect, Observer, Reading, Splitter
from sidecar.core.observe.inflate import CODINGS, Inflater
from sidecar.core.observe.timeline import Timeline
from sidecar.exchange import Seen

_QUOTE, _LF, _CR, _BACKSLASH = b'"\n\r\\'
# Streams whose events differ in more than their text (padding, log probabilities) are not learned from for ever.
_LESSONS_MAX: Final = 4
# Content types come from upstreams: remember only so many spellings.
_REMEMBERED_MAX: Final = 256
_media_types: dict[str, str] = {}
_STREAMS: Final = frozenset({"text/event-stream", "application/x-ndjson"})
MISSING: Final = "error"  # as the conventions say, in place of a finish reason that never arrived


def observe(
    dialect: Reading, *, status: int, media_type: str, content_encoding: str, limits: Limits, gap_edges: tuple[float, ...]
) -> Observer:
    """Return the observer for an answer, by its head alone: what was asked for does not decide.

    `gap_edges` are the bucket edges of gaps between chunks, in seconds, ascending. An error status
    is the answer's error type until its body gives a better one.
    """
    seen = Seen()
    if status >= 400:
        seen.error_type = str(status)
    inner: Observer
    if dialect.operation == "http" and not dialect.splitters:
        return BlindObserver(seen)
    splitter = dialect.splitters.get(media_type)
    if splitter is not None:
        inner = StreamObserver(dialect, seen, splitter(limits.line), gap_edges, failed=status >= 400)
    elif media_type == "application/json" or media_type.endswith("+json"):
        inner = WholeObserver(dialect, seen, limits.observed)
    else:
        return BlindObserver(seen)
    coding = content_encoding.strip().lower() if content_encoding else ""
    if coding in ("", "identity"):
        return inner
    if coding in CODINGS:
        return InflatingObserver(inner, Inflater(coding, limits.observed))
    return BlindObserver(seen, "encoding")


def read_media_type(content_type: str) -> str:
    """Return the media type of a Content-Type in lower case, without parameters."""
    known = _media_types.get(content_type)
    if known is not None:
        return known
    media_type = content_type.partition(";")[0].strip().lower()
    if len(_media_types) < _REMEMBERED_MAX:
        _media_types[content_type] = media_type
    return media_type


def is_stream(dialect: Dialect, media_type: str) -> bool:
    """Tell whether an answer of this media type is a stream of events, by itself or in the dialect's form."""
    return media_type in _STREAMS or media_type in dialect.splitters


class BlindObserver:
    """Reads nothing: the form, the media type or the content coding is not understood."""

    __slots__ = ("seen", "skipped")

    ended_well: bool | None = None

    def __init__(self, seen: Seen, skipped: str | None = None) -> None:
        self.seen = seen
        self.skipped = skipped

    def feed(self, data: bytes, now: float) -> None:
        """Do nothing."""

    def finish(self, now: float) -> None:
        """Do nothing."""


class StreamObserver:
    """Reads a stream of events.

    Nearly every event of a stream is the one before it with another text, and another padding. Once such an event
    has been read, those that differ only within these JSON strings are counted without being parsed.
    """

    __slots__ = (
        "_after",
        "_before",
        "_between",
        "_failed",
        "_lessons",
        "_outline",
        "_read",
        "_settle",
        "_split",
        "_splitter",
        "_timeline",
        "seen",
    )

    def __init__(self, dialect: Reading, seen: Seen, splitter: Splitter, gap_edges: tuple[float, ...], *, failed: bool) -> None:
        self.seen = seen
        self._failed = failed
        self._splitter = splitter
        self._split = splitter.feed
        self._read = dialect.read_event
        self._settle = dialect.settle
        self._outline = dialect.outline
        self._lessons = _LESSONS_MAX
        self._before = self._between = self._after = b""  # of an ordinary piece: around its text, and its padding
        self._timeline = Timeline(seen, gap_edges)

    @property
    def skipped(self) -> str | None:
        """ "too_large" where an event was longer than limits.line."""
        return "too_large" if self._splitter.skipped else None

    @property
    def ended_well(self) -> bool | None:
        """Whether a terminator came, or a finish reason for every choice that had begun.

        None for an error status, and where the end may be in an unread event or in the answer to another call.
        """
        if self._failed:
            return None
        return True if self.seen.terminated else None if self._splitter.skipped or self.seen.resumable else False

    def feed(self, data: bytes, now: float) -> None:
        """Read the next piece, arrived at `now`."""
        seen = self.seen
        if self._before and data.startswith(self._before) and data.endswith(self._after) and self._is_ordinary(data):
            seen.chunks += 1
            self._timeline.note(1, now)
            return
        chunks = seen.chunks
        was_idle = self._lessons and self._splitter.is_idle
        events = self._split(data)
        for event in events:
            self._read(event, seen, now)
        chunks = seen.chunks - chunks
        if chunks:
            self._timeline.note(chunks, now)
            if was_idle and seen.first_token is not None and len(events) == 1 and self._splitter.is_idle:
                self._learn(events[0], data)

    def _learn(self, event: bytes, piece: bytes) -> None:
        """`piece` is all of one event, as it is framed in this stream."""
        self._lessons -= 1
        outline = self._outline(event)
        if outline is not None and event in piece:  # not so where its lines were joined
            before, _, after = piece.partition(event)
            self._before, self._after = before + outline[0], outline[-1] + after
            self._between = outline[1] if len(outline) > 2 else b""

    def _is_ordinary(self, data: bytes) -> bool:
        text = data[len(self._before) : -len(self._after)]
        if len(data) < len(self._before) + len(self._after) or not self._splitter.is_idle:
            return False
        if self._between:
            text, found, padding = text.partition(self._between)
            if not found or not _is_plain(padding):
                return False
        return _is_plain(text)

    def finish(self, now: float) -> None:
        """Read what the end itself completes, and mark choices that never finished."""
        seen = self.seen
        chunks = seen.chunks
        for event in self._splitter.flush():
            self._read(event, seen, now)
        if seen.chunks > chunks:
            self._timeline.note(seen.chunks - chunks, now)
        if seen.running is not None:
            self._settle(seen)
            seen.running = None
        if seen.choices:
            seen.finish_reasons = [reason or MISSING for _, reason in sorted(seen.choices.items())]


def _is_plain(text: bytes) -> bool:
    """Tell whether it can be within one JSON string of one line: with escapes, but no end of it."""
    return _QUOTE not in text and _LF not in text and _CR not in text and (not text or text[-1] != _BACKSLASH)


class WholeObserver:
    """Collects a JSON answer and reads it at its end."""

    __slots__ = ("_body", "_bytes_max", "_read", "seen", "skipped")

    ended_well: bool | None = None  # the transport's framing decides

    def __init__(self, dialect: Reading, seen: Seen, bytes_max: int) -> None:
        self.seen = seen
        self.skipped: str | None = None
        self._bytes_max = bytes_max
        self._read = dialect.read_whole
        self._body: bytes | bytearray = b""

    def feed(self, data: bytes, now: float) -> None:
        """Keep the next piece, up to the limit."""
        body = self._body
        if len(body) + len(data) > self._bytes_max:
            self.skipped = "too_large"
        if self.skipped is not None:
            self._body = b""
        elif not body:
            self._body = data  # nearly always all of it: not copied
        elif isinstance(body, bytearray):
            body += data
        else:
            self._body = bytearray(body + data)

    def finish(self, now: float) -> None:
        """Read the answer, if it was kept."""
        if self.skipped is not None or not self._body:
            return
        try:
            self._read(bytes(self._body), self.seen)
        except ValueError:
            self.skipped = "not_json"
        self._body = b""


class InflatingObserver:
    """Decodes a content coding for the observer within."""

    __slots__ = ("_inflater", "_inner", "seen")

    def __init__(self, inner: Observer, inflater: Inflater) -> None:
        self.seen = inner.seen
        self._inner = inner
        self._inflater = inflater

    @property
    def skipped(self) -> str | None:
        """Why decoding stopped, else what the observer within says."""
        return self._inflater.failure or self._inner.skipped

    @property
    def ended_well(self) -> bool | None:
        """As the observer within says; but what was not decoded may have held the end."""
        ended_well = self._inner.ended_well
        return None if self._inflater.failure and not ended_well else ended_well

    def feed(self, data: bytes, now: float) -> None:
        """Decode the next piece and read what comes out."""
        for piece in self._inflater.feed(data):
            self._inner.feed(piece, now)

    def finish(self, now: float) -> None:
        """Pass the end on."""
        self._inner.finish(now)
