"""What a kept answer takes: the sidecar's hits beside direct calls, and beside the hits of LiteLLM's proxy, in one run.

    python -m venv litellm && litellm/bin/pip install 'litellm[proxy]'
    python tests/bench/hits.py [--litellm litellm/bin/litellm] [--rounds 5] [--json FILE]

Each has one core to itself, in turn, and the load the other. Direct is the upstream of the other benchmarks, which answers from
a constant, and streams as fast as it can: less than that no provider takes. The sidecar has everything on that is from the start,
traces too, and keeps answers in its memory; LiteLLM has one worker, its cache in memory (`cache_params: {type: local}`), no keys,
no database, no callbacks. One and the same question is asked again and again; an answer is right that says what the upstream said
and is marked as kept. In the sidecar's last row as many questions take turns that each answer has become a compressed one.
"""

import argparse
import asyncio
import gc
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

import uvloop
import wire
from load import Asker, LoadRun, run_load
from measure import spread
from peers import Recipe, Site
from processes import NotStarted
from rounds import THROUGHPUT_CONNECTIONS, Peer, start_peer
from surroundings import Surroundings
from variants import find_variant

_CHUNKS: Final = 64
_MANY: Final = 400  # questions in turn: beyond the hundred answers that the hot level holds
_WARM_S: Final = 0.2
_SINGLE_WINDOW_S: Final = 1.0
_WINDOW_S: Final = 1.0
_START_S: Final = 120.0
_FIRST_S: Final = 2.0  # until all questions have been asked once, and what is kept in the background is
_PATIENCE_S: Final = 10.0
_GOAL_MS: Final = 0.2
_SAID: Final = b"How can I assist you today?"
_STREAMED_SAID: Final = b"data: [DONE]\n\n"  # LiteLLM cuts what it repeats into other pieces
_STREAM_MODEL: Final = "streamed"  # as LiteLLM calls it, which passes on no header that asks for a stream's length

_LITELLM: Final = """\
model_list:
  - {{model_name: gpt-4o-mini, litellm_params: {{model: openai/gpt-4o-mini, api_base: "{upstream}/v1", api_key: sk-bench}}}}
  - model_name: streamed
    litellm_params:
      model: openai/gpt-4o-mini
      api_base: "{upstream}/v1"
      api_key: sk-bench
      extra_headers: {{x-bench-stream: "{chunks}/0"}}
general_settings: {{dangerously_permit_weak_or_unset_master_key: true}}
litellm_settings: {{cache: true, cache_params: {{type: local, ttl: 3600}}}}
"""


class Kind(NamedTuple):
    """What is asked, and what says that an answer is right."""

    name: str
    is_streamed: bool
    questions: int
    said: bytes


class Contender(NamedTuple):
    """One that is measured: how it is started, and how it marks what was kept."""

    name: str
    find: Callable[[Site], Recipe]
    mark: bytes
    kinds: tuple[Kind, ...]
    stream_model: str = "gpt-4o-mini"
    times: float = 1.0  # as long a window, and before it: a slow one needs it for as many answers


_WHOLE: Final = Kind("whole", False, 1, _SAID)
_STREAMED: Final = Kind(f"streamed, {_CHUNKS} chunks", True, 1, _STREAMED_SAID)
_BY_TURNS: Final = Kind(f"whole, {_MANY} questions by turns", False, _MANY, _SAID)


def _find_litellm(site: Site, *, program: str) -> Recipe:
    file = site.directory / "litellm.yaml"
    file.write_text(_LITELLM.format(upstream=f"http://127.0.0.1:{site.upstream_port}", chunks=_CHUNKS))
    argv = (program, "--config", str(file), "--host", "127.0.0.1", "--port", str(site.port), "--num_workers", "1", "--telemetry", "False")
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    environment = kept | {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR", "LITELLM_MODE": "PRODUCTION"}
    return Recipe(argv, "", environment)


def _read_version(program: str) -> str:
    """The version of the LiteLLM that a program belongs to, told by the Python beside it."""
    command = (str(Path(program).resolve().parent / "python"), "-c", "from importlib.metadata import version; print(version('litellm'))")
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def list_contenders(litellm: str | None) -> list[Contender]:
    """Direct calls, the sidecar, and LiteLLM where it is there."""
    from peers import RECIPES

    found = [
        Contender("direct", RECIPES["direct"], b"HTTP/1.1", (_WHOLE, _STREAMED)),
        Contender("llm-sidecar", partial(find_variant, name="cache"), b"x-sidecar-cache: hit", (_WHOLE, _STREAMED, _BY_TURNS)),
    ]
    if litellm is not None:
        name = f"LiteLLM {_read_version(litellm)}"
        find = partial(_find_litellm, program=litellm)
        found.append(Contender(name, find, b"x-litellm-cache-key:", (_WHOLE, _STREAMED), _STREAM_MODEL, 4.0))
    return found


class Hits:
    """The contenders under load."""

    def __init__(self, stack: ExitStack, contenders: list[Contender]) -> None:
        self.around = Surroundings(stack)
        self.contenders = contenders
        self.peers: list[Peer] = []
        for number, contender in enumerate(contenders):
            print(f"starting {contender.name}", file=sys.stderr, flush=True)
            peer = start_peer(f"peer-{number}", self.around, 1, find=contender.find, body=b"}", patience_s=_START_S)
            stack.enter_context(peer.process)
            self.peers.append(peer)
        self.found: dict[tuple[str, str], dict[str, list[float]]] = {}

    async def round(self) -> None:
        """Measure each kind of each contender once."""
        for contender, peer in zip(self.contenders, self.peers, strict=True):
            for kind in contender.kinds:
                figures = self.found.setdefault((kind.name, contender.name), {})
                if not figures:
                    await self._load(contender, peer, kind, 1, 0.0, is_first=True)
                single = await self._load(contender, peer, kind, 1, _SINGLE_WINDOW_S)
                many = await self._load(contender, peer, kind, THROUGHPUT_CONNECTIONS, _WINDOW_S)
                for measure, figure in (
                    ("p50_ms", single.p50_us / 1e3), ("p99_ms", single.p99_us / 1e3), ("rate", many.rate), ("cpu_us", many.cpu_us),
                    ("failed", single.failed + many.failed), ("answers", single.answers + many.answers),
                ):  # fmt: skip
                    figures.setdefault(measure, []).append(figure)

    async def _load(
        self, contender: Contender, peer: Peer, kind: Kind, connections: int, window_s: float, *, is_first: bool = False
    ) -> LoadRun:  # fmt: skip
        """`is_first`: nothing is kept yet; every question is asked, and the mark is not expected."""
        marks = (kind.said,) if is_first else (kind.said, contender.mark)
        requests = _ask(contender, peer.prefix, kind)
        if is_first:
            window_s = _FIRST_S
        return await run_load(
            peer.site.port, requests, connections=connections, warm_s=_WARM_S * contender.times,
            window_s=window_s * contender.times, peer_pid=peer.pid, load_pids=self.around.load_pids,
            make=partial(Asker, marks=marks), patience_s=_PATIENCE_S,
        )  # fmt: skip


def _ask(contender: Contender, prefix: str, kind: Kind) -> Iterator[bytes]:
    if kind.is_streamed:
        return itertools.repeat(wire.question(prefix, 0, chunks=_CHUNKS, model=contender.stream_model))
    return itertools.cycle([wire.question(prefix, number) for number in range(kind.questions)])


def print_table(found: Mapping[tuple[str, str], Mapping[str, list[float]]]) -> None:
    """A row for each kind of each contender: medians, least and greatest."""
    print("| answer | from | one connection: p50, ms | p99, ms | 64 connections: answers/s, one core | CPU, µs | answers | failed |")
    print("|---|---|---|---|---|---|---|---|")
    for (kind, name), figures in sorted(found.items(), key=lambda row: row[0][0]):
        cells = [kind, name]
        for measure, digits in (("p50_ms", 3), ("p99_ms", 3), ("rate", 0), ("cpu_us", 0)):
            told = spread(figures[measure])
            cells.append(f"{told.median:,.{digits}f} ({told.low:,.{digits}f}–{told.high:,.{digits}f})")
        cells += [f"{sum(figures['answers']):,.0f}", f"{sum(figures['failed']):.0f}"]
        print(f"| {' | '.join(cells)} |")
    for kind in (_WHOLE, _STREAMED):
        p50_ms = spread(found[kind.name, "llm-sidecar"]["p50_ms"]).median
        print(f"\nA hit, {kind.name}: {p50_ms:.3f} ms of {_GOAL_MS} ms, {'reached' if p50_ms <= _GOAL_MS else '**not reached**'}")


def main() -> int:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(prog="hits.py", description="What a kept answer takes.")
    parser.add_argument("--litellm", default=shutil.which("litellm"), metavar="PROGRAM", help="its proxy [the one on the PATH]")
    parser.add_argument("--rounds", type=int, default=5, choices=range(1, 51), metavar="1-50")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure here too")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    begun = time.perf_counter()
    try:
        with ExitStack() as stack, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            hits = Hits(stack, list_contenders(arguments.litellm))
            gc.freeze()
            gc.disable()  # the load must not pause
            for number in range(arguments.rounds):
                print(f"round {number + 1} of {arguments.rounds}", file=sys.stderr, flush=True)
                runner.run(hits.round())
    except NotStarted as reason:
        print(reason, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    print(f"{arguments.rounds} rounds, medians (least to greatest); load average {os.getloadavg()[0]:.1f}; "
          f"{time.perf_counter() - begun:.0f} s{'' if arguments.litellm else '; LiteLLM is not installed'}\n")  # fmt: skip
    print_table(hits.found)
    if arguments.json:
        arguments.json.write_text(
            json.dumps([{"answer": kind, "from": name, **told} for (kind, name), told in hits.found.items()], indent=1)
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
