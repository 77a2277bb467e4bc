"""Listening to answers while the dialect reads them."""

import json
from typing import Any

import pytest

from sidecar.catalogue import GAP_EDGES
from sidecar.config import Capture, Content, Limits, Settings, UsageSettings
from sidecar.core.observe.contents.transcript import MARGIN_CHARS
from sidecar.core.observe.contract import Reading
from sidecar.core.observe.dialects import OLLAMA_CHAT, OPAQUE, OPENAI_CHAT
from sidecar.core.observe.observer import observe
from sidecar.core.observe.overhearing import Listening, Overheard, hand_over, overhear, read_listening
from sidecar.exchange import Said, Seen, Spoken
from tests.filled import tell


def chunk(text: str, finish: str | None = None) -> bytes:
    """Return an event of a chat."""
    told = {"id": "c", "model": "m", "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": finish}]}
    return b"data: " + json.dumps(told, ensure_ascii=False).encode() + b"\n\n"


STREAM = b"".join([*(chunk(f"wörd{number} ") for number in range(40)), chunk("", "stop"), b"data: {garbage\n\n", b"data: [DONE]\n\n"])
TEXT = "".join(f"wörd{number} " for number in range(40))


def watch(reading: Reading, pieces: list[bytes], media_type: str = "text/event-stream") -> Any:
    """Return what an observer saw of an answer."""
    observer = observe(reading, status=200, media_type=media_type, content_encoding="", limits=Limits(), gap_edges=GAP_EDGES)
    for number, piece in enumerate(pieces):
        observer.feed(piece, float(number))
    observer.finish(float(len(pieces)))
    return observer.seen


@pytest.mark.parametrize("size_bytes", [1, 13, len(chunk("wörd0 ")), 100_000])
def test_what_is_said_is_heard_in_whatever_pieces_it_comes(size_bytes: int) -> None:
    """And what the observer sees is the same as without a listener."""
    pieces = [STREAM[start : start + size_bytes] for start in range(0, len(STREAM), size_bytes)]
    reading, transcript = overhear(OPENAI_CHAT, 10_000)
    assert transcript is not None
    assert tell(watch(reading, pieces)) == tell(watch(OPENAI_CHAT, pieces))
    assert transcript.close() == (Spoken(0, "text", TEXT),)


def test_a_whole_answer_is_kept_as_it_came() -> None:
    """It is read later, where nobody waits."""
    body = b'{"model": "m", "choices": [{"index": 0, "message": {"content": "hi"}, "finish_reason": "stop"}]}'
    reading, transcript = overhear(OPENAI_CHAT, 0)
    assert transcript is not None
    assert watch(reading, [body[:9], body[9:]], "application/json").model == "m"
    assert transcript.answer == body


def test_a_form_that_is_not_known_is_not_listened_to() -> None:
    """Nothing is put in its place."""
    assert overhear(OPAQUE, 100) == (OPAQUE, None)
    assert hand_over("opaque", b"body", b"", None) is None


def test_a_reader_that_fails_costs_only_the_content() -> None:
    """The dialect reads on; the transcript says that it is not whole."""

    class Failing:
        calls = 0

        def read_event(self, event: bytes, transcript: Any) -> None:
            self.calls += 1
            raise RuntimeError

    _, transcript = overhear(OPENAI_CHAT, 100)
    assert transcript is not None
    failing = Failing()
    reading = Overheard(OPENAI_CHAT, failing, transcript)  # type: ignore[arg-type]
    assert watch(reading, [STREAM]).terminated
    assert (transcript.broken, failing.calls) == (True, 1)
    assert reading.outline(b"") is None


def test_what_is_handed_over_shows_nothing_by_itself() -> None:
    """Neither in a log line nor in a traceback; and it can be forgotten."""
    _, transcript = overhear(OPENAI_CHAT, 100)
    assert transcript is not None
    transcript.add("canary")
    said = hand_over("openai_chat", b"canary", b"gzip", transcript)
    assert said is not None
    assert (said.size_bytes, said.spoken[0].text) == (12, "canary")
    assert "canary" not in f"{said!r} {said}"
    said.forget()
    assert said == Said("openai_chat", b"", b"gzip", b"", ())
    assert hand_over("openai_chat", b"x", b"", None) == Said("openai_chat", b"x", b"", b"", ())


def test_the_settings_say_why_there_is_listening() -> None:
    """By default not at all."""
    assert read_listening(Settings()) == Listening(False, False, False, 0)
    assert not read_listening(Settings()).is_on
    content = Content(capture=Capture.SPANS, bytes_max=2048)
    assert read_listening(Settings(content=content)) == Listening(True, False, False, 2048 + MARGIN_CHARS)
    assert read_listening(Settings(content=Content(capture=Capture.FILE, file="x"))).to_file
    estimating = read_listening(Settings(usage=UsageSettings(estimate=True)))
    assert estimating == Listening(False, False, True, 0)
    assert estimating.is_on


def test_errors_are_read_as_ever() -> None:
    """An error in the stream reaches the record."""
    reading, _ = overhear(OPENAI_CHAT, 100)
    seen: Seen = watch(reading, [b'data: {"error": {"code": "overloaded"}}\n\n'])
    assert seen.error_type == "overloaded"


@pytest.mark.parametrize("size_bytes", [1, 50, 100_000])
def test_lines_are_heard_as_events_are(size_bytes: int) -> None:
    """A form whose stream is one of lines."""
    lines = [{"model": "m", "message": {"content": f"wörd{number} "}, "done": False} for number in range(40)]
    stream = b"".join(json.dumps(line, ensure_ascii=False).encode() + b"\n" for line in [*lines, {"done": True, "done_reason": "stop"}])
    reading, transcript = overhear(OLLAMA_CHAT, 10_000)
    assert transcript is not None
    pieces = [stream[start : start + size_bytes] for start in range(0, len(stream), size_bytes)]
    assert tell(watch(reading, pieces, "application/x-ndjson")) == tell(watch(OLLAMA_CHAT, pieces, "application/x-ndjson"))
    assert transcript.close() == (Spoken(0, "text", TEXT),)
