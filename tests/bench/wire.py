"""The bytes of the benchmark: what is asked and what is answered, known to both ends.

An answer is the same for every call, so that the load can compare it byte for byte. Events of a
stream are OpenAI's, padded by `obfuscation` as those are. What they are padded with is the clock
of the upstream at the moment it was written (`time.perf_counter_ns`, the same clock for every
process of one Linux machine). So the time an event spent on its way is known exactly, whatever
the upstream's timers did.
"""

import json
from collections.abc import Iterator
from typing import Final

PATH: Final = "/v1/chat/completions"
PACE_HEADER: Final = b"x-bench-stream: "  # asks for a stream: "<content chunks>/<pace in ms>"
STAMP_DIGITS: Final = 19

_ID = "chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT"
_MODEL = "gpt-4o-mini"
_MESSAGES = [
    {"role": "system", "content": "You are a helpful assistant."},
    {"role": "user", "content": "Say hello, and ask what you can do. Answer in one sentence."},
]
_USAGE = {
    "prompt_tokens": 19,
    "completion_tokens": 10,
    "total_tokens": 29,
    "prompt_tokens_details": {"cached_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 0},
}


def _encode(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


SMALL_BODY: Final = _encode(
    {
        "id": _ID,
        "object": "chat.completion",
        "created": 1741569952,
        "model": _MODEL,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Hello! How can I assist you today?", "refusal": None},
                "finish_reason": "stop",
            }
        ],
        "usage": _USAGE,
        "service_tier": "default",
    }
)
SMALL_ANSWER: Final = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: " + str(len(SMALL_BODY)).encode() + b"\r\n\r\n" + SMALL_BODY
)
STREAM_HEAD: Final = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-cache\r\ntransfer-encoding: chunked\r\n\r\n"
LENGTH_REQUIRED: Final = b"HTTP/1.1 411 Length Required\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"

_EVENT_START = (
    f'data: {{"id":"{_ID}","object":"chat.completion.chunk","created":1741569952,"model":"{_MODEL}","system_fingerprint":"fp_44709d6fcb",'
)
EVENT_END: Final = b'"}\n\n'  # every event but the last ends so, after the stamp
_START: Final = _EVENT_START.encode()
_PADDING: Final = b',"obfuscation":"'
ROLE: Final = _START + b'"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]' + _PADDING
FINISH: Final = _START + b'"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]' + _PADDING
USAGE: Final = _START + b'"choices":[],"usage":' + _encode(_USAGE) + _PADDING
DONE: Final = b"data: [DONE]\n\n"
LAST_CHUNK: Final = b"0\r\n\r\n"


def content(text: bytes) -> bytes:
    """What stands before the stamp in an event with this text."""
    return b'%b"choices":[{"index":0,"delta":{"content":"%b"},"finish_reason":null}]%b' % (_START, text, _PADDING)


def numbered(index: int) -> bytes:
    """What stands before the stamp in the content event of this index (from 0)."""
    return content(b" w%05d" % index)


def event_starts(chunks: int) -> Iterator[bytes]:
    """What stands before the stamp in each stamped event of a stream, in order."""
    yield ROLE
    yield from map(numbered, range(chunks))
    yield FINISH
    yield USAGE


def stamped(start: bytes, now_ns: int) -> bytes:
    """One event, written at `now_ns`, as one chunk of a chunked body (RFC 9112 section 7.1)."""
    size = len(start) + STAMP_DIGITS + len(EVENT_END)
    return b"%x\r\n%b%019d%b\r\n" % (size, start, now_ns, EVENT_END)


def stream_end(now_ns: int) -> bytes:
    """Finish reason, usage, terminator and the end of the chunked body."""
    done = b"%x\r\n%b\r\n" % (len(DONE), DONE)
    return stamped(FINISH, now_ns) + stamped(USAGE, now_ns) + done + LAST_CHUNK


def request(prefix: str, *, chunks: int = 0, pace_ms: int = 0) -> bytes:
    """A chat call as an SDK sends it: unary, or with `chunks` a stream of that many at that pace."""
    return _compose(prefix, {"model": _MODEL, "messages": _MESSAGES}, chunks, pace_ms)


def question(prefix: str, number: int, *, chunks: int = 0, model: str = _MODEL) -> bytes:
    """A chat call whose answer may be kept, another one for each number: unary, or with `chunks` a stream of that many, at once."""
    messages = [*_MESSAGES, {"role": "user", "content": f"This is question {number:08}."}]
    return _compose(prefix, {"model": model, "temperature": 0, "messages": messages}, chunks, 0)


def questions(prefix: str, numbers: Iterator[int]) -> Iterator[bytes]:
    """Calls whose answers may be kept, each with another question."""
    template, placeholder = question(prefix, 0), b"%08d" % 0
    return (template.replace(placeholder, b"%08d" % number) for number in numbers)


def _compose(prefix: str, asked: dict[str, object], chunks: int, pace_ms: int) -> bytes:
    if chunks:
        asked |= {"stream": True, "stream_options": {"include_usage": True}}
    body = _encode(asked)
    head = (
        f"POST {prefix}{PATH} HTTP/1.1\r\nhost: 127.0.0.1\r\nuser-agent: bench\r\naccept: application/json\r\n"
        f"authorization: Bearer sk-bench\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
    ).encode()
    if chunks:
        head += PACE_HEADER + b"%d/%d\r\n" % (chunks, pace_ms)
    return head + b"\r\n" + body
