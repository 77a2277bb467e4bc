"""How tests hear what a stream says, in whatever pieces it comes."""

import json
from collections.abc import Iterable
from typing import Any

from sidecar.core.observe.contents.capture import Composer
from sidecar.core.observe.contents.contract import ContentReader, Prompt
from sidecar.core.observe.contents.transcript import Transcript
from sidecar.core.observe.redaction import Redactor
from sidecar.core.observe.sse import EventSplitter
from sidecar.exchange import Said


def read(reader: ContentReader, request: Any) -> Prompt:
    """Return what a request says."""
    return reader.read_request(json.dumps(request).encode())


def answer(reader: ContentReader, told: Any) -> list[Any]:
    """Return what a whole answer says."""
    return reader.read_whole(json.dumps(told).encode())


def hear(reader: ContentReader, events: Iterable[Any], chars_max: int = 100_000) -> Transcript:
    """Return the transcript of a stream."""
    transcript = Transcript(chars_max)
    for event in events:
        reader.read_event(json.dumps(event).encode(), transcript)
    return transcript


def tell(dialect: str, transcript: Transcript) -> Any:
    """Return the output messages of a transcript, as they leave the process."""
    composer = Composer(Redactor(), bytes_max=65536, decoded_bytes_max=65536)
    composed = composer.compose(Said(dialect, b"", b"", b"", transcript.close())).output_messages
    return None if composed is None else json.loads(composed)


def hear_bytes(dialect: str, reader: ContentReader, events: Iterable[Any], size_bytes: int) -> Any:
    """Return the output messages of a stream of server-sent events that comes in pieces of so many bytes."""
    stream = b"".join(b"data: " + json.dumps(event, ensure_ascii=False).encode() + b"\n\n" for event in events)
    transcript, splitter = Transcript(100_000), EventSplitter(1 << 20)
    for start in range(0, len(stream), size_bytes):
        for event in splitter.feed(stream[start : start + size_bytes]):
            reader.read_event(event, transcript)
    return tell(dialect, transcript)
