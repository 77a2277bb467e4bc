"""What kept answers take in the memory of a sidecar that runs, beside what it counts for them.

    python tests/bench/kept_memory.py [--mib 50]

Each row is a sidecar of its own, in front of an upstream that answers every question differently. First a thousand calls whose
answers are not kept, so that what calls take by themselves is there already; then calls until the levels hold as many bytes as
they may, and twice as many again, so that most answers have made room for others. What the process has grown by is compared to
`llm_sidecar_cache_bytes`. `cache_memory.py` measures the levels alone.
"""

import argparse
import asyncio
import base64
import json
import random
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

import wire
from load import is_whole

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from sidecar.simulator.accounts import read_samples
from tests.rig.process import RunningSidecar, run_sidecar

_RATIO_MAX: Final = 1.3
_SETTLED_CALLS: Final = 1000
_STEP: Final = 250  # calls between looks at what is counted
_CONNECTIONS: Final = 8
_TURNS: Final = 3
_MANY: Final = 10_000_000
_STEMS: Final = ("answer", "call", "token", "model", "cache", "price", "stream", "retry")
_WORDS: Final = tuple(f"{stem}{end}" for stem in _STEMS for end in ("", "s", "ed", "ing"))
_NOT_KEPT: Final = b"x-sidecar-cache: ttl=0\r\n"
_QUESTION: Final = b"This is question "


def _compose(content: str, number: int) -> bytes:
    message = {"role": "assistant", "content": content, "refusal": None}
    body = {
        "id": f"chatcmpl-{number}", "object": "chat.completion", "created": 1741569952, "model": "gpt-4o-mini",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 19, "completion_tokens": 10, "total_tokens": 29},
    }  # fmt: skip
    text = json.dumps(body).encode()
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(text), text)


def _make_small(number: int) -> list[bytes]:
    """A chat's answer of 1 kB."""
    return [_compose(" ".join(random.Random(number).choices(_WORDS, k=110)), number)]


def _make_noise(number: int) -> list[bytes]:
    """20 kB that hardly get smaller."""
    return [_compose(base64.b64encode(random.Random(number).randbytes(15_000)).decode(), number)]


def _make_stream(number: int) -> list[bytes]:
    """A stream of about 20 kB in a hundred pieces."""
    pieces = [wire.STREAM_HEAD + wire.stamped(wire.ROLE, number)]
    for word in random.Random(number).choices(_WORDS, k=100):
        pieces.append(wire.stamped(wire.content(f" {word}".encode()), number))
    return [*pieces, wire.stream_end(number)]


KINDS: Final[dict[str, Callable[[int], list[bytes]]]] = {
    "1 kB answers": _make_small, "20 kB streams": _make_stream, "20 kB of noise": _make_noise,
}  # fmt: skip


class Filled(NamedTuple):
    """A sidecar's memory when its levels were full, or had been for long."""

    kept: int
    counted: int  # bytes
    grown: int


class Filler:
    """An upstream and the calls to it, on one loop."""

    def __init__(self, make: Callable[[int], list[bytes]], *, is_streamed: bool) -> None:
        self._make = make
        self._is_streamed = is_streamed
        self._server: asyncio.Server | None = None
        self.number = 0

    async def start(self) -> str:
        """Listen; return the URL."""
        self._server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def stop(self) -> None:
        """Listen no more."""
        if self._server is not None:
            self._server.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                at = head.find(b"content-length:")
                body = await reader.readexactly(int(head[at + 15 : head.find(b"\r\n", at)]) if at >= 0 else 0)
                at = body.find(_QUESTION) + len(_QUESTION)
                for piece in self._make(int(body[at : at + 8])):  # each in a packet of its own
                    writer.write(piece)
                    await asyncio.sleep(0)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def call(self, side: RunningSidecar, count: int, *, is_kept: bool) -> None:
        """Make so many calls, each with a question that is new."""
        numbers = iter(range(self.number, self.number + count))
        self.number += count
        port = int(side.url.rpartition(":")[2])

        async def ask() -> None:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            for number in numbers:
                request = wire.question("/openai", number, chunks=int(self._is_streamed))
                writer.write(request if is_kept else request.replace(b"\r\n", b"\r\n" + _NOT_KEPT, 1))
                data = b""
                while not is_whole(data):
                    piece = await reader.read(1 << 16)
                    if not piece:
                        raise ConnectionError(f"cut: {data[:200]!r}")
                    data += piece
                if not data.startswith(b"HTTP/1.1 200 "):
                    raise ConnectionError(f"refused: {data[:200]!r}")
            writer.close()

        await asyncio.gather(*(ask() for _ in range(_CONNECTIONS)))


async def _count(side: RunningSidecar) -> tuple[int, int, int]:
    """Return entries, bytes and evictions, as the metrics tell."""
    sums: dict[str, float] = {}
    for name, _, value in read_samples(await asyncio.to_thread(side.scrape)):
        sums[name] = sums.get(name, 0.0) + value
    return (
        int(sums["llm_sidecar_cache_entries"]), int(sums["llm_sidecar_cache_bytes"]), int(sums["llm_sidecar_cache_evictions_total"]),
    )  # fmt: skip


async def fill(kind: str, mib: int, *, is_hot: bool) -> tuple[Filled, Filled]:
    """Fill a sidecar; return what it held when it was full, and after twice as many more."""
    filler = Filler(KINDS[kind], is_streamed="stream" in kind)
    url = await filler.start()
    cache: dict[str, Any] = {
        "hot": {"entries": _MANY if is_hot else 100, "age": "1h"}, "warm": {"entries": _MANY, "bytes": mib << 20, "age": "1h"},
        "expiry": {"answers": "1h"},
    }  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        context = run_sidecar(Path(folder), url, features={"cache": True, "probes": False}, cache=cache)
        side = await asyncio.to_thread(context.__enter__)
        try:
            await filler.call(side, _SETTLED_CALLS, is_kept=False)
            entries, _, _ = await _count(side)
            if entries:
                raise ConnectionError("kept what was not to be kept")
            before, first = side.rss_bytes, filler.number
            found = []
            evicted = 0
            while not evicted:
                await filler.call(side, _STEP, is_kept=True)
                kept, counted, evicted = await _count(side)
            found.append(Filled(kept, counted, side.rss_bytes - before))
            await filler.call(side, (filler.number - first) * (_TURNS - 1), is_kept=True)
            kept, counted, _ = await _count(side)
            found.append(Filled(kept, counted, side.rss_bytes - before))
        finally:
            await asyncio.to_thread(context.__exit__, None, None, None)
            await filler.stop()
    return found[0], found[1]


def main() -> int:
    """Fill, print, and fail where memory is more than counted."""
    parser = argparse.ArgumentParser(prog="kept_memory.py", description="What kept answers take in a sidecar's memory.")
    parser.add_argument("--mib", type=int, default=50, choices=range(1, 201), metavar="1-200")
    arguments = parser.parse_args()
    print("| kept | level | answers | counted, MiB | process grew by, MiB | ratio | after three times as many |")
    print("|---|---|---|---|---|---|---|", flush=True)
    is_good = True
    for kind in KINDS:
        for is_hot in (False, True):
            full, refilled = asyncio.run(fill(kind, arguments.mib, is_hot=is_hot))
            ratios = full.grown / full.counted, refilled.grown / refilled.counted
            is_good = is_good and max(ratios) <= _RATIO_MAX
            print(
                f"| {kind} | {'as sent' if is_hot else 'compressed'} | {full.kept:,} | {full.counted / 2**20:.1f} "
                f"| {full.grown / 2**20:.1f} | {ratios[0]:.2f} | {ratios[1]:.2f} |", flush=True,
            )  # fmt: skip
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())
