"""What observing costs: per ordinary streamed chunk, per unary answer, per request peeked at.

Each beside msgspec's full decoding of the same JSON in the same run. Run: python tests/bench/observer.py
"""

import gzip
import json
import timeit
from collections.abc import Callable
from pathlib import Path
from sys import path as module_path

module_path.insert(0, str(Path(__file__).parents[2]))

import msgspec

from sidecar.config import Limits
from sidecar.core.observe.asking import UsageRemover, add_usage_request
from sidecar.core.observe.contract import Dialect
from sidecar.core.observe.dialects import ANTHROPIC_MESSAGES, GEMINI_STREAM, OLLAMA_CHAT, OPENAI_CHAT, OPENAI_RESPONSES
from sidecar.core.observe.observer import observe

EDGES = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
LIMITS = Limits()
CHUNK = (
    b'{"id":"chatcmpl-CkW5rT0aB2JH6Yc1qzO0Yt9bX0a1b","object":"chat.completion.chunk","created":1763600000,"model":"gpt-4o-mini-2024-07-18",'
    b'"service_tier":"default","system_fingerprint":"fp_560af6e559","choices":[{"index":0,"delta":{"content":" the"},"logprobs":null,'
    b'"finish_reason":null}],"usage":null,"obfuscation":"aZ3kQ9xw"}'
)
EVENT = b"data: " + CHUNK + b"\n\n"
OLLAMA_LINE = (
    b'{"model":"llama3.2","created_at":"2026-03-02T09:15:04.385406455Z","message":{"role":"assistant","content":" the"},"done":false}\n'
)
# As OpenAI sends chunks: each with padding of another length, so that each is parsed.
PADDED = [EVENT.replace(b"aZ3kQ9xw", b"aZ3kQ9xwT7bC"[: 3 + size]) for size in range(8)]
RESPONSES = [
    b'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","sequence_number":%d,"item_id":'
    b'"msg_68af40337e58819392e935fb404414d00e6e5ef1b7a1c2d3","output_index":0,"content_index":0,"delta":" the","logprobs":[],'
    b'"obfuscation":"%b"}\n\n' % (number, b"aZ3kQ9xwT7bC"[: 3 + number]) for number in range(8)
]  # fmt: skip
# As Google does, with the line ends of its servers: each has other counts.
GEMINI = [
    b'{"candidates": [{"content": {"parts": [{"text": " the"}],"role": "model"},"index": 0}],"usageMetadata": {"promptTokenCount": 412,'
    b'"candidatesTokenCount": %d,"totalTokenCount": %d,"promptTokensDetails": [{"modality": "TEXT","tokenCount": 412}],'
    b'"thoughtsTokenCount": 93},"modelVersion": "gemini-2.5-flash","responseId": "q3UfadSBKPyVkdUP5Jn5wQE"}' % (number, number + 505)
    for number in range(100, 108)
]  # fmt: skip
# As Anthropic does: padded with spaces before the last brace.
MESSAGE_START = (
    b'event: message_start\ndata: {"type":"message_start","message":{"model":"claude-opus-5-5","id":"msg_01XFDUDYJgAACzvnptvVoYEL",'
    b'"content":[],"stop_reason":null,"usage":{"input_tokens":25,"output_tokens":1,"service_tier":"standard"}}}\n\n'
)
MESSAGES = [
    b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":" the"}%b}\n\n'
    % (b" " * size) for size in range(8)
]  # fmt: skip
REQUEST = json.dumps(
    {
        "model": "gpt-4o-mini",
        "messages": [{"role": "system", "content": "You are helpful."}, {"role": "user", "content": "Hello there, how are you?"}],
        "stream": True,
        "temperature": 0.7,
    }
).encode()
ANSWER = json.dumps(
    {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "model": "gpt-4o-mini-2024-07-18",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello! How can I help?"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 19, "completion_tokens": 9, "total_tokens": 28, "prompt_tokens_details": {"cached_tokens": 0}},
    }
).encode()


def measure(call: Callable[[], object], per_call: int = 1, number: int = 100_000) -> float:
    """Microseconds, the best of five."""
    return min(timeit.repeat(call, number=number // per_call, repeat=5)) / number * 1e6


def stream(piece: bytes, encoding: str = "") -> Callable[[], None]:
    """A call that feeds `piece` to an observer which has seen a stream's beginning."""
    observer = observe(OPENAI_CHAT, status=200, media_type="text/event-stream", content_encoding=encoding, limits=LIMITS, gap_edges=EDGES)
    if not encoding:
        observer.feed(EVENT, 0.0)
    clock = iter(range(1 << 30))
    return lambda: observer.feed(piece, next(clock) * 0.02)


def lines(piece: bytes) -> Callable[[], None]:
    """The same for a stream of Ollama's lines, none of which is like another."""
    observer = observe(OLLAMA_CHAT, status=200, media_type="application/x-ndjson", content_encoding="", limits=LIMITS, gap_edges=EDGES)
    observer.feed(piece, 0.0)
    clock = iter(range(1 << 30))
    return lambda: observer.feed(piece, next(clock) * 0.02)


def cycle(
    dialect: Dialect, pieces: list[bytes], media_type: str = "text/event-stream", opening: tuple[bytes, ...] = ()
) -> Callable[[], None]:
    """A call that feeds the next of `pieces`, one event each, to an observer which has seen a stream's beginning."""
    observer = observe(dialect, status=200, media_type=media_type, content_encoding="", limits=LIMITS, gap_edges=EDGES)
    for piece in (*opening, *pieces):
        observer.feed(piece, 0.0)
    clock = iter(range(1 << 30))

    def feed() -> None:
        number = next(clock)
        observer.feed(pieces[number % len(pieces)], number * 0.02)

    return feed


def read_stream(body: bytes, encoding: str) -> None:
    """A whole stream through a fresh observer."""
    observer = observe(OPENAI_CHAT, status=200, media_type="text/event-stream", content_encoding=encoding, limits=LIMITS, gap_edges=EDGES)
    observer.feed(body, 1.0)
    observer.finish(1.0)


def read_answer() -> None:
    """A unary answer from head to end."""
    observer = observe(OPENAI_CHAT, status=200, media_type="application/json", content_encoding="", limits=LIMITS, gap_edges=EDGES)
    observer.feed(ANSWER, 1.0)
    observer.finish(1.0)


def main() -> None:
    """Print the table."""
    decode = msgspec.json.Decoder().decode
    half = len(EVENT) // 2
    # Pieces that begin and end within an event: the slow way through the splitter.
    askew = EVENT[half:] + EVENT[:half]
    askew_feed = stream(askew)
    stream_bytes = EVENT * 100
    remover_feed = UsageRemover().feed
    zipped = gzip.compress(stream_bytes)
    rows = [
        ("chunk, one per piece", measure(stream(EVENT)), measure(lambda: decode(CHUNK))),
        ("chunk, padded as by OpenAI", measure(cycle(OPENAI_CHAT, PADDED)), measure(lambda: decode(CHUNK))),
        (
            "responses: delta, padded as by OpenAI",
            measure(cycle(OPENAI_RESPONSES, RESPONSES)),
            measure(lambda: decode(RESPONSES[0].split(b"data: ")[1])),
        ),
        (
            "Gemini chunk",
            measure(cycle(GEMINI_STREAM, [b"data: " + chunk + b"\r\n\r\n" for chunk in GEMINI])),
            measure(lambda: decode(GEMINI[0])),
        ),
        (
            "Gemini chunk of an array",
            measure(cycle(GEMINI_STREAM, [b",\r\n" + chunk for chunk in GEMINI], "application/json")),
            measure(lambda: decode(GEMINI[0])),
        ),
        ("chunk, ten per piece", measure(stream(EVENT * 10), 10), measure(lambda: decode(CHUNK))),
        ("chunk, pieces cut within events", measure(askew_feed), measure(lambda: decode(CHUNK))),
        ("chunk, CRLF", measure(stream(EVENT.replace(b"\n", b"\r\n"))), measure(lambda: decode(CHUNK))),
        ("chunk, gzip, hundred per piece", measure(lambda: read_stream(zipped, "gzip"), 100), measure(lambda: decode(CHUNK))),
        ("line of Ollama's, one per piece", measure(lines(OLLAMA_LINE)), measure(lambda: decode(OLLAMA_LINE))),
        (
            "messages: delta, padded as by Anthropic",
            measure(cycle(ANTHROPIC_MESSAGES, MESSAGES, opening=(MESSAGE_START,))),
            measure(lambda: decode(MESSAGES[0].split(b"data: ")[1])),
        ),
        ("chunk, usage taken out", measure(lambda: remover_feed(EVENT)), measure(lambda: decode(CHUNK))),
        ("unary answer", measure(read_answer), measure(lambda: decode(ANSWER))),
        ("request peeked at", measure(lambda: OPENAI_CHAT.ask(REQUEST, "/v1")), measure(lambda: decode(REQUEST))),
        ("usage asked for", measure(lambda: add_usage_request(REQUEST)), measure(lambda: decode(REQUEST))),
    ]
    print("| what | µs | full decoding alone, µs |\n|---|---|---|")
    for name, spent, baseline in rows:
        print(f"| {name} | {spent:.2f} | {baseline:.2f} |")


if __name__ == "__main__":
    main()
