"""What observing a streamed chunk costs as OpenAI sends it, and as those send it who speak its form with additions.

Each chunk has another text, padding or count, as in life. Interleaved, the best of many rounds: compare within the run.
Run: python tests/bench/compatible.py
"""

import json
import sys
import timeit
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from sidecar.catalogue import GAP_EDGES
from sidecar.config import Limits
from sidecar.core.observe.dialects import OPENAI_CHAT
from sidecar.core.observe.observer import observe

ROUNDS, CHUNKS, TURNS = 40, 64, 20
STEM = {"id": "gen-1763600000-aB3dE6gH9jK2mN5pQ8", "object": "chat.completion.chunk", "created": 1763600000, "model": "qwen/qwen3-8b"}
VERDICTS = {kind: {"filtered": False, "severity": "safe"} for kind in ("hate", "self_harm", "sexual", "violence")}
NAMES = ("openai", "openrouter", "azure", "vllm", "vllm, running usage")


def make_chunk(name: str, number: int) -> bytes:
    """The n-th ordinary event of a stream."""
    choice: dict[str, object] = {"index": 0, "delta": {"content": f" t{number}"}, "logprobs": None, "finish_reason": None}
    added: dict[str, object] = {"service_tier": "default", "usage": None, "obfuscation": "aZ3kQ9xwPl"[: 1 + number % 10]}
    match name:
        case "openrouter":
            choice["native_finish_reason"], added = None, {"provider": "DeepInfra"}
        case "azure":
            choice["content_filter_results"] = VERDICTS
        case "vllm":
            added = {}
        case "vllm, running usage":
            added = {"usage": {"prompt_tokens": 90, "total_tokens": 90 + number, "completion_tokens": number}}
    return b"data: " + json.dumps(STEM | added | {"choices": [choice]}, separators=(",", ":")).encode() + b"\n\n"


def make_stream(name: str) -> Callable[[], None]:
    """A call that feeds all chunks, one per piece, to an observer in the middle of a stream."""
    pieces = [make_chunk(name, number) for number in range(CHUNKS)]
    observer = observe(OPENAI_CHAT, status=200, media_type="text/event-stream", content_encoding="", limits=Limits(), gap_edges=GAP_EDGES)
    clock = iter(range(1 << 30))

    def feed() -> None:
        for piece in pieces:
            observer.feed(piece, next(clock) * 0.02)

    return feed


def main() -> None:
    """Print the table."""
    streams = {name: make_stream(name) for name in NAMES}
    best = dict.fromkeys(NAMES, float("inf"))
    for _ in range(ROUNDS):
        for name, feed in streams.items():
            best[name] = min(best[name], timeit.timeit(feed, number=TURNS) / TURNS / CHUNKS * 1e6)
    print("| chunk as of | µs | times OpenAI's |\n|---|---|---|")
    for name, spent in best.items():
        print(f"| {name} | {spent:.2f} | {spent / best['openai']:.2f} |")


if __name__ == "__main__":
    main()
