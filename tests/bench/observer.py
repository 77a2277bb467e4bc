"""What observing costs: per ordinary streamed chunk, per unary answer, per request peeked at.

The first table compares the dialects, each beside OpenAI chat, in turns, so that what else happens on the machine
meets all of them. The second has each beside msgspec's full decoding of the same JSON. Run: python tests/bench/observer.py
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
from sidecar.core.observe.dialects import (
    ANTHROPIC_MESSAGES,
    GEMINI_STREAM,
    OLLAMA_CHAT,
    OLLAMA_GENERATE,
    OPENAI_CHAT,
    OPENAI_COMPLETIONS,
    OPENAI_RESPONSES,
)  # fmt: skip
from sidecar.core.observe.observer import observe

EDGES = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
LIMITS = Limits()
TURNS = 100
TURN_CHUNKS = 500
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
RESPONSES_VLLM = [
    b'event: response.output_text.delta\ndata: {"content_index":0,"delta":" the","item_id":"msg_68af40337e58819392e935fb404414d0",'
    b'"logprobs":[],"output_index":0,"sequence_number":%d,"type":"response.output_text.delta"}\n\n' % number for number in range(10, 18)
]  # fmt: skip
# As Google does, with the line ends of its servers: each has other counts.
GEMINI = [
    b'{"candidates": [{"content": {"parts": [{"text": " the"}],"role": "model"},"index": 0}],"usageMetadata": {"promptTokenCount": 412,'
    b'"candidatesTokenCount": %d,"totalTokenCount": %d,"promptTokensDetails": [{"modality": "TEXT","tokenCount": 412}],'
    b'"thoughtsTokenCount": 93,"serviceTier": "standard"},'
    b'"modelVersion": "gemini-2.5-flash","responseId": "q3UfadSBKPyVkdUP5Jn5wQE"}' % (number, number + 505)
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
# Running totals with every chunk: vLLM with continuous_usage_stats, llama.cpp with timings_per_token, Perplexity.
VLLM = [
    b'data: {"id":"chatcmpl-7f3c2a1b0d9e4f58","object":"chat.completion.chunk","created":1763600000,"model":"Qwen/Qwen3-8B","choices":'
    b'[{"index":0,"delta":{"content":" the"},"logprobs":null,"finish_reason":null,"token_ids":null}],"usage":{"prompt_tokens":412,'
    b'"total_tokens":%d,"completion_tokens":%d}}\n\n' % (number + 412, number) for number in range(200, 208)
]  # fmt: skip
LLAMA_CPP = [
    b'data: {"choices":[{"finish_reason":null,"index":0,"delta":{"content":" the"}}],"created":1763600000,"id":"chatcmpl-7f3c2a1b0d9e",'
    b'"model":"gpt-oss-20b","system_fingerprint":"b6500-1234abc","object":"chat.completion.chunk","timings":{"cache_n":236,"prompt_n":1,'
    b'"prompt_ms":30.958,"prompt_per_token_ms":30.958,"prompt_per_second":32.301,"predicted_n":%d,"predicted_ms":661.064,'
    b'"predicted_per_token_ms":18.887,"predicted_per_second":52.944}}\n\n' % number for number in range(200, 208)
]  # fmt: skip
PERPLEXITY = [
    b'data: {"id":"e3b0c442-98fc-4c14","model":"sonar","created":1763600000,"usage":{"prompt_tokens":12,"completion_tokens":%d,'
    b'"total_tokens":%d,"search_context_size":"low","cost":{"input_tokens_cost":0.0,"output_tokens_cost":0.0,"request_cost":0.005,'
    b'"total_cost":0.005}},"object":"chat.completion.chunk","choices":[{"index":0,"finish_reason":null,"delta":{"role":"assistant",'
    b'"content":" the"}}]}\n\n' % (number, number + 12) for number in range(200, 208)
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


def compare() -> dict[str, float]:
    """Microseconds per chunk, one per piece, by dialect: the best of many short turns. The first is what the others are compared to."""
    texts = [OLLAMA_LINE.replace(b"385406455", b"38540645%d" % number) for number in range(8)]
    generated = [text.replace(b'"message":{"role":"assistant","content":" the"}', b'"response":" the"') for text in texts]
    completions = [piece.replace(b'"delta":{"content":" the"}', b'"text":" the"') for piece in PADDED]
    feeds = {
        "OpenAI chat": cycle(OPENAI_CHAT, PADDED),
        "OpenAI chat by vLLM, usage with each chunk": cycle(OPENAI_CHAT, VLLM),
        "OpenAI chat by llama.cpp, timings with each chunk": cycle(OPENAI_CHAT, LLAMA_CPP),
        "OpenAI chat by Perplexity, usage and cost with each chunk": cycle(OPENAI_CHAT, PERPLEXITY),
        "OpenAI completions": cycle(OPENAI_COMPLETIONS, completions),
        "OpenAI responses": cycle(OPENAI_RESPONSES, RESPONSES),
        "OpenAI responses by vLLM, type last": cycle(OPENAI_RESPONSES, RESPONSES_VLLM),
        "Anthropic messages": cycle(ANTHROPIC_MESSAGES, MESSAGES, opening=(MESSAGE_START,)),
        "Gemini, events": cycle(GEMINI_STREAM, [b"data: " + chunk + b"\r\n\r\n" for chunk in GEMINI]),
        "Gemini, array": cycle(GEMINI_STREAM, [b",\r\n" + chunk for chunk in GEMINI], "application/json"),
        "Ollama chat": cycle(OLLAMA_CHAT, texts, "application/x-ndjson"),
        "Ollama generate": cycle(OLLAMA_GENERATE, generated, "application/x-ndjson"),
    }
    best = dict.fromkeys(feeds, float("inf"))
    for _ in range(TURNS):
        for name, feed in feeds.items():
            best[name] = min(best[name], timeit.timeit(feed, number=TURN_CHUNKS) / TURN_CHUNKS * 1e6)
    return best


def main() -> None:
    """Print both tables."""
    compared = compare()
    first = next(iter(compared.values()))
    print("| chunk of | µs | of OpenAI chat's |\n|---|---|---|")
    for name, spent in compared.items():
        print(f"| {name} | {spent:.2f} | {spent / first:.2f} |")
    print()
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
        ("chunk, ten per piece", measure(stream(EVENT * 10), 10), measure(lambda: decode(CHUNK))),
        ("chunk, pieces cut within events", measure(askew_feed), measure(lambda: decode(CHUNK))),
        ("chunk, CRLF", measure(stream(EVENT.replace(b"\n", b"\r\n"))), measure(lambda: decode(CHUNK))),
        ("chunk, gzip, hundred per piece", measure(lambda: read_stream(zipped, "gzip"), 100), measure(lambda: decode(CHUNK))),
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
