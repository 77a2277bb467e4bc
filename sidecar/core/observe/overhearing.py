"""Listening to answers: what is said in them goes into a transcript while the dialect reads them as ever.

It happens only for calls whose content is captured, or whose tokens may have to be estimated; for
all others nothing is different.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from sidecar.config import Capture, Settings
from sidecar.core.observe.contents import find_reader
from sidecar.core.observe.contents.contract import ContentReader
from sidecar.core.observe.contents.transcript import MARGIN_CHARS, Transcript
from sidecar.core.observe.contract import Dialect, Reading, Splitter
from sidecar.exchange import Said, Seen


class Listening(NamedTuple):
    """Why there is listening, and how much is kept."""

    to_spans: bool  # content goes on spans that are kept
    to_file: bool  # content of every call goes to a file
    estimates: bool  # tokens are estimated where none are reported
    chars_max: int  # of a streamed answer

    @property
    def is_on(self) -> bool:
        """Whether there is any."""
        return self.to_spans or self.to_file or self.estimates


def read_listening(settings: Settings) -> Listening:
    """Return what the settings ask for. What is kept exceeds what is shown, so that no cut goes through a secret."""
    capture = settings.content.capture
    chars_max = 0 if capture is Capture.OFF else settings.content.bytes_max + MARGIN_CHARS
    return Listening(capture is Capture.SPANS, capture is Capture.FILE, settings.usage.estimate, chars_max)


class Overheard:
    """Reads as a dialect does (contract.Reading). A failure to read content costs nothing but the content."""

    def __init__(self, dialect: Dialect, reader: ContentReader, transcript: Transcript) -> None:
        self.operation: str = dialect.operation
        self.splitters: Mapping[str, Callable[[int], Splitter]] = dialect.splitters
        self._dialect = dialect
        self._reader = reader
        self._transcript = transcript

    def read_whole(self, body: bytes, seen: Seen) -> None:
        """Keep the answer, and read it as the dialect does."""
        self._transcript.answer = body
        self._dialect.read_whole(body, seen)

    def read_event(self, event: bytes, seen: Seen, now: float) -> None:
        """Read an event as the dialect does, and for what it says."""
        self._dialect.read_event(event, seen, now)
        transcript = self._transcript
        if transcript.broken:
            return
        try:
            self._reader.read_event(event, transcript)
        except ValueError:
            pass  # not JSON: a terminator, or garbage that the dialect has dealt with
        except Exception:
            transcript.broken = True

    def settle(self, seen: Seen) -> None:
        """Read what is left for the end, as the dialect does."""
        self._dialect.settle(seen)

    def outline(self, event: bytes) -> tuple[bytes, ...] | None:
        """Return nothing: each event has to be read."""
        return None


def overhear(dialect: Dialect, chars_max: int) -> tuple[Reading, Transcript | None]:
    """Return the dialect listened to, and its transcript; where nothing is known of its content, the dialect itself.

    `chars_max`: characters of a streamed answer that are kept; all are counted.
    """
    reader = find_reader(dialect.name)
    if reader is None:
        return dialect, None
    transcript = Transcript(chars_max)
    return Overheard(dialect, reader, transcript), transcript


def hand_over(dialect: str, request: bytes, coding: bytes, transcript: Transcript | None) -> Said | None:
    """Return what was said as it came, for whoever reads and redacts it; None where nothing is known of its content."""
    if find_reader(dialect) is None:
        return None
    if transcript is None:
        return Said(dialect, request, coding, b"", ())
    return Said(dialect, request, coding, transcript.answer, transcript.close())
