"""Streams of chat completions, drawn from a seed, in every shape that the wire allows, and the truth about each.

The truth is known because the stream was made from it; nothing here shares code with what reads it.
"""

import json
import zlib
from collections.abc import Iterator, Sequence
from random import Random
from typing import Any, Final, NamedTuple

from tests.rig.upstream import End, Script

LONG_BYTES: Final = 8 * 1024 * 1024
LONG_EVERY: Final = 250  # of so many streams one has a line of LONG_BYTES
_BOM: Final = b"\xef\xbb\xbf"
_WORDS: Final = (
    "the", " a", " token", "naïve", "日本語", "🙂", '"quoted"', "back\\slash", "line\nbreak", "data:", "[DONE]", '"usage":{}',
    '"finish_reason":"stop"', '"error"', "\u2028", "tab\t", "}{", "data: [DONE]\n\n",
)  # fmt: skip
_REASONS: Final = ("stop", "length", "tool_calls", "content_filter")
# How a stream ends, and how often.
_FATES: Final = {"done": 62, "no_done": 12, "open_done": 5, "ragged_done": 5, "unfinished": 8, "error": 8}
_NOT_UTF8: Final = b'{"choices":[{"index":0,"delta":{"content":"\xc3\x28\xff\xfe"},"finish_reason":null}]}'
_NOT_JSON: Final = b'{"choices":[{"index":0,"delta":{"content":"never clo'


class Truth(NamedTuple):
    """What is so, whatever anybody reads."""

    ending: str
    usage: tuple[int, int, int, int, int] | None  # input, cache_read, cache_write, output, reasoning
    finish_reasons: tuple[str, ...]


class Stream(NamedTuple):
    """One answer: its head, its body before the framing, and the pieces in which it goes to the socket."""

    name: str
    head: bytes
    body: bytes
    pieces: tuple[bytes, ...]
    framing: str
    truth: Truth
    gzip: bool

    @property
    def script(self) -> Script:
        """The upstream's script: one turn of the event loop between any two pieces."""
        steps: list[bytes | float] = [self.head]
        for piece in self.pieces:
            steps += [0, piece]
        return Script(steps, End.FIN if self.framing == "close" else End.KEEP)


def draw_stream(number: int) -> Stream:
    """Return stream `number`; the same each time."""
    random = Random(f"stream/{number}")
    is_long = number % LONG_EVERY == LONG_EVERY - 1
    # An event too long to be read may hold the end, so nobody can tell such a stream from a whole one.
    fate = _pick(random, {fate: weight for fate, weight in _FATES.items() if not (is_long and fate == "unfinished")})
    events, truth = _draw_events(random, fate, is_long)
    body = _write_events(random, events, ragged=fate == "ragged_done")
    gzips = random.random() < 0.2
    if gzips:
        body = _compress(random, body)
    framing = _pick(random, {"chunked": 60, "length": 20, "close": 20})
    return Stream(
        f"s{number}", write_head(framing, len(body), gzips=gzips), body, tuple(_split(random, body, framing)), framing, truth, gzips
    )


def write_head(framing: str, length: int, *, gzips: bool = False) -> bytes:
    """Return the head of a streamed answer."""
    lines = ["HTTP/1.1 200 OK", "Content-Type: text/event-stream; charset=utf-8"]
    if gzips:
        lines.append("Content-Encoding: gzip")
    if framing == "chunked":
        lines.append("Transfer-Encoding: chunked")
    elif framing == "length":
        lines.append(f"Content-Length: {length}")
    return "\r\n".join([*lines, "", ""]).encode()


def write_chunk(data: bytes) -> bytes:
    """Return data as one chunk."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def _draw_events(random: Random, fate: str, is_long: bool) -> tuple[list[bytes], Truth]:
    choices = _pick(random, {1: 8, 2: 1, 3: 1})
    stem = {"id": f"chatcmpl-{random.getrandbits(64):x}", "object": "chat.completion.chunk", "created": 1, "model": "sim-small"}
    events = [_chunk(stem, index, {"role": "assistant", "content": ""}) for index in range(choices)]
    if is_long:
        events.append(_chunk(stem, 0, {"content": "x" * LONG_BYTES}))
    for _ in range(random.choice((0, 1, 3, 6, 12))):
        key = random.choice(("content", "content", "content", "reasoning_content", "refusal"))
        events.append(_chunk(stem, random.randrange(choices), {key: random.choice(_WORDS)}))
        if random.random() < 0.04:
            events.append(random.choice((_NOT_UTF8, _NOT_JSON)))
    usage = truth = None
    if random.random() < 0.1:
        events.append(_dump({**stem, "choices": [], "usage": (drawn := _draw_usage(random))[0]}))
        usage = drawn[1]
    reasons: list[str] = ["error"] * choices
    for index in range(choices):
        if fate in ("done", "no_done", "ragged_done") or (index and fate == "unfinished"):
            reasons[index] = random.choice(_REASONS)
            events.append(_chunk(stem, index, {}, reasons[index]))
    if fate == "error":
        events.append(_dump({"error": {"message": "it failed", "type": "server_error", "code": None}}))
    elif fate != "unfinished" and random.random() < 0.7:
        events.append(_dump({**stem, "choices": [], "usage": (drawn := _draw_usage(random))[0]}))
        usage = drawn[1]
    if fate in ("done", "open_done", "ragged_done"):
        events.append(b"[DONE]")
    ending = {"unfinished": "cut", "error": "in_band_error"}.get(fate, "completed")
    truth = Truth(ending, usage, tuple(reasons))
    return events, truth


def _draw_usage(random: Random) -> tuple[dict[str, Any], tuple[int, int, int, int, int]]:
    prompt, completion = random.randrange(1, 100_000), random.randrange(1, 5_000)
    cached, reasoning = random.randrange(prompt + 1), random.randrange(completion + 1)
    told = {
        "prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": cached}, "completion_tokens_details": {"reasoning_tokens": reasoning},
    }  # fmt: skip
    return told, (prompt - cached, cached, 0, completion - reasoning, reasoning)


def _chunk(stem: dict[str, Any], index: int, delta: dict[str, Any], reason: str | None = None) -> bytes:
    return _dump({**stem, "choices": [{"index": index, "delta": delta, "finish_reason": reason}], "usage": None})


def _dump(tree: dict[str, Any]) -> bytes:
    return json.dumps(tree, ensure_ascii=False, separators=(",", ":")).encode()


def _write_events(random: Random, events: Sequence[bytes], *, ragged: bool) -> bytes:
    """Return the events as the format allows them to be written (WHATWG HTML, section 9.2.5)."""
    newlines = random.choice(((b"\n",), (b"\n",), (b"\r\n",), (b"\r",), (b"\n", b"\r\n")))
    is_plain = random.random() < 0.5
    out = bytearray(_BOM if random.random() < 0.15 else b"")
    for event in events:
        if not is_plain and random.random() < 0.3:
            out += random.choice((b": keep-alive", b"event: message", b"id: 7", b"retry: 10", b":", b"data", b"unknown: field"))
            out += random.choice(newlines) * random.choice((1, 2) if out[-4:] != b"data" else (2,))
        # JSON may hold a line break between any two of its tokens: then the event has several lines.
        lines = event.split(b',"choices"') if not is_plain and random.random() < 0.2 and event.count(b',"choices"') == 1 else [event]
        colon = b"data: " if is_plain or random.random() < 0.8 else b"data:"
        for place, line in enumerate(lines):
            out += colon + (b',"choices"' if place else b"") + line + random.choice(newlines)
        out += random.choice(newlines)
    return bytes(out.rstrip(b"\r\n")) if ragged else bytes(out)


def _compress(random: Random, body: bytes) -> bytes:
    deflate = zlib.compressobj(6, zlib.DEFLATED, 31)
    out = bytearray()
    start = 0
    while start < len(body):
        size = random.randrange(1, 1 + max(1, len(body) // 3))
        out += deflate.compress(body[start : start + size]) + deflate.flush(zlib.Z_SYNC_FLUSH)
        start += size
    return bytes(out + deflate.flush(zlib.Z_FINISH))


def _split(random: Random, body: bytes, framing: str) -> Iterator[bytes]:
    """Yield what goes to the socket at a time: sizes of chunks and sizes of writes have nothing to do with each other."""
    if framing == "chunked":
        body = b"".join(write_chunk(body[start:end]) for start, end in _cuts(random, len(body))) + b"0\r\n\r\n"
    for start, end in _cuts(random, len(body)):
        yield body[start:end]


def _cuts(random: Random, length: int) -> Iterator[tuple[int, int]]:
    sizes = [(1, 1), (1, 16), (16, 512), (512, 4096), (4096, 65536), (65536, 65536)]
    least, most = random.choice(sizes if length < 1200 else sizes[2:] if length < 100_000 else sizes[4:])
    start = 0
    while start < length:
        end = min(length, start + random.randint(least, most))
        yield start, end
        start = end


def _pick(random: Random, weighted: dict[Any, int]) -> Any:
    return random.choices(list(weighted), list(weighted.values()))[0]


class Short(NamedTuple):
    """A short stream as it goes over the wire, and from which byte on it is complete without its framing's end."""

    name: str
    head: bytes
    wire: bytes  # head included
    framing: str
    complete_from: int  # offset in `wire`: with so many bytes every choice has its finish reason, or [DONE] has come

    def expect(self, sent_bytes: int, *, reset: bool) -> str:
        """Return the ending if the connection breaks after `sent_bytes`: by a reset, else by an orderly close."""
        if sent_bytes < len(self.head):
            return "reset"
        ends_by_close = self.framing == "close" and not reset
        return "completed" if ends_by_close and sent_bytes >= self.complete_from else "cut"


def draw_short_streams(count: int) -> list[Short]:
    """Return streams of some hundred bytes, in every framing."""
    return [_draw_short(number) for number in range(count)]


def _draw_short(number: int) -> Short:
    random = Random(f"short/{number}")
    framing = ("chunked", "close", "length", "chunked")[number % 4]
    newline = (b"\n", b"\n", b"\r\n", b"\r")[number // 4 % 4]
    choices = 1 + (number % 5 == 4)
    events = [_dump({"model": "m", "choices": [{"index": index, "delta": {"content": "hé"}}]}) for index in range(choices)]
    for _ in range(random.randrange(3)):
        events.append(_dump({"choices": [{"index": 0, "delta": {"content": random.choice(_WORDS)}}]}))
    events += [_dump({"choices": [{"index": index, "delta": {}, "finish_reason": "stop"}]}) for index in range(choices)]
    finished = len(events)
    if number % 3 == 0:
        events.append(_dump({"choices": [], "usage": _draw_usage(random)[0]}))
    if number % 7 != 6:
        events.append(b"[DONE]")
    written = [b"data: " + event + newline * 2 for event in events]
    body = b"".join(written)
    head = write_head(framing, len(body))
    # A line may end with CR alone: the last LF of CRLF adds nothing.
    complete_from = len(head) + sum(map(len, written[:finished])) - (newline == b"\r\n")
    if framing == "chunked":
        body = b"".join(map(write_chunk, written)) + b"0\r\n\r\n"
    return Short(f"short{number}", head, head + body, framing, complete_from)
