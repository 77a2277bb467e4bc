"""What the policies come to: one workload with repeats and faults, carried with all of them off, and with them on.

    python tests/bench/before_after.py [--calls 2000] [--rate 80] [--json FILE]

Calls come when they come (Poisson), whether or not earlier ones were answered, and a latency counts from the moment at which the
call was due to the last byte of its answer. Prompts repeat as questions do (Zipf), at temperature 0; every other one is streamed.
The seed is fixed: both sides get the same calls at the same moments. A simulated provider, new for each side, fails some
calls. Off: one upstream, one attempt. On: a pool of it and its twin, cache, coalescing, stale answers, retries, breakers.
A duplicate is a call that a provider answered well although it had answered the same one before: by the ledgers. Reported, never asserted.
"""

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import httpx

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.rig.process import run_sidecar, run_simulator

_SEED: Final = 7
_PROMPTS: Final = 400
_ZIPF: Final = 1.0  # the exponent: the second most frequent prompt comes half as often as the first
_PATIENCE_S: Final = 30.0
_PATH: Final = "/openai/v1/chat/completions"
# Four times as fast as the models that are simulated.
_PROFILE: Final[dict[str, Any]] = {
    "seed": _SEED, "speed": 4,
    "faults": {"server_error": 0.03, "unavailable": 0.03, "reset_before_head": 0.02, "rate_limited": 0.02, "cut": 0.005},
}  # fmt: skip
_OFF: Final = {"features": {"breakers": False, "failover": False, "probes": False}, "retries": {"attempts": 1}}
_ON: Final = {
    "pools": {"chat": {"upstreams": ["openai", "twin"]}},
    "routes": [{"prefix": "/openai/", "pool": "chat", "idempotent": True}],
    "features": {"cache": True, "coalescing": True, "stale": True, "retries": True},
}


class Ask(NamedTuple):
    """One call of the workload."""

    at_s: float  # since the beginning
    prompt: int

    @property
    def body(self) -> dict[str, Any]:
        """What is asked: for the same prompt always the same."""
        content = f"Question {self.prompt}: what is worth knowing about the number {self.prompt}?"
        return {
            "model": "sim-small", "temperature": 0, "stream": self.prompt % 2 == 1, "messages": [{"role": "user", "content": content}],
        }  # fmt: skip


class Got(NamedTuple):
    """What came of one call."""

    took_s: float
    is_good: bool
    cache: str  # x-sidecar-cache


class Side(NamedTuple):
    """What came of all calls."""

    got: Sequence[Got]
    upstream_calls: int
    duplicates: int
    cost_usd: float
    took_s: float

    @property
    def latency_s(self) -> float:
        """Mean, of calls that were answered well: a failure may be quick, and is no answer."""
        return _mean([each.took_s for each in self.got if each.is_good])

    @property
    def latency_of_all_s(self) -> float:
        """Mean, failures too."""
        return _mean([each.took_s for each in self.got])

    @property
    def error_ratio(self) -> float:
        """The share of calls that got no whole answer."""
        return _mean([float(not each.is_good) for each in self.got])

    def share(self, *statuses: str) -> float:
        """The share of calls that were answered so."""
        counts = Counter(each.cache for each in self.got)
        return sum(counts[status] for status in statuses) / len(self.got)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else float("nan")


def draw_workload(calls: int, rate: float) -> list[Ask]:
    """Return the calls, by their moments."""
    chance = random.Random(_SEED)
    ranks = range(1, _PROMPTS + 1)
    prompts = chance.choices(ranks, [1 / rank**_ZIPF for rank in ranks], k=calls)
    at_s = 0.0
    workload = []
    for prompt in prompts:
        at_s += chance.expovariate(rate)
        workload.append(Ask(at_s, prompt))
    return workload


async def _call(client: httpx.AsyncClient, ask: Ask, due: float) -> Got:
    try:
        answer = await client.post(_PATH, json=ask.body, headers={"x-sim-tag": f"p{ask.prompt}"})
        is_good = answer.status_code == 200 and _is_whole(answer.text, streamed=ask.body["stream"])
        cache = answer.headers.get("x-sidecar-cache", "")
    except httpx.HTTPError:
        is_good, cache = False, ""
    return Got(time.perf_counter() - due, is_good, cache)


def _is_whole(text: str, *, streamed: bool) -> bool:
    if streamed:
        return text.rstrip().endswith("data: [DONE]") and '"error"' not in text
    try:
        return bool(json.loads(text)["choices"][0]["finish_reason"])
    except (ValueError, LookupError, TypeError):
        return False


async def _load(url: str, workload: Sequence[Ask]) -> list[Got]:
    limits = httpx.Limits(max_connections=1000, max_keepalive_connections=200)
    async with httpx.AsyncClient(base_url=url, timeout=_PATIENCE_S, limits=limits) as client:
        begun = time.perf_counter()
        tasks = []
        for ask in workload:
            due = begun + ask.at_s
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            tasks.append(asyncio.ensure_future(_call(client, ask, due)))
        return await asyncio.gather(*tasks)


def _read_ledgers(providers: Sequence[str]) -> tuple[int, int, float]:
    """Return calls, duplicates among them, and what they cost."""
    told = [entry for each in providers for entry in httpx.get(f"{each}/_sim/ledger", timeout=_PATIENCE_S).json()]
    entries = [entry for entry in told if entry["tag"]]  # without the first look whether the provider is there
    good = Counter(entry["tag"] for entry in entries if entry["outcome"] == "complete" and entry["fault"] is None)
    return len(entries), sum(good.values()) - len(good), sum(entry["cost_usd"] for entry in entries)


def carry(workload: Sequence[Ask], settings: Mapping[str, Any], folder: Path) -> Side:
    """Carry the workload through a sidecar with these settings, in front of two new providers."""
    folders = [folder / name for name in ("one", "two", "side")]
    for each in folders:
        each.mkdir(parents=True)
    with run_simulator(folders[0], _PROFILE) as one, run_simulator(folders[1], {**_PROFILE, "seed": _SEED + 1}) as two:
        upstreams = {name: {"url": url, "provider": "openai"} for name, url in (("openai", one), ("twin", two))}
        with run_sidecar(folders[2], one, upstreams=upstreams, **settings) as side:
            begun = time.perf_counter()
            got = asyncio.run(_load(side.url, workload))
            took_s = time.perf_counter() - begun
        return Side(got, *_read_ledgers((one, two)), took_s)


def _change(before: float, after: float) -> str:
    return f"{(after - before) / before:+.0%}" if before else "n/a"


def print_table(off: Side, on: Side) -> None:
    """One line a measure; the goals are the project's own."""
    hits = on.share("hit", "stale")
    rows = [
        ("mean latency of answers, ms", f"{off.latency_s * 1000:.0f}", f"{on.latency_s * 1000:.0f}", _change(off.latency_s, on.latency_s),
         "-44 %", on.latency_s <= 0.56 * off.latency_s),
        ("error ratio", f"{off.error_ratio:.2%}", f"{on.error_ratio:.2%}", _change(off.error_ratio, on.error_ratio),
         "-86 %", on.error_ratio <= 0.14 * off.error_ratio),
        ("hit ratio", f"{off.share('hit', 'stale'):.1%}", f"{hits:.1%}", "", "≥ 73 %", hits >= 0.73),
        ("duplicate calls", str(off.duplicates), str(on.duplicates), _change(off.duplicates, on.duplicates),
         "-90 %", on.duplicates <= 0.1 * off.duplicates),
        ("calls to providers", str(off.upstream_calls), str(on.upstream_calls), _change(off.upstream_calls, on.upstream_calls), "", None),
        ("shared calls in progress", f"{off.share('coalesced'):.1%}", f"{on.share('coalesced'):.1%}", "", "", None),
        ("mean latency, failures too, ms", f"{off.latency_of_all_s * 1000:.0f}", f"{on.latency_of_all_s * 1000:.0f}",
         _change(off.latency_of_all_s, on.latency_of_all_s), "", None),
        ("cost, USD", f"{off.cost_usd:.4f}", f"{on.cost_usd:.4f}", _change(off.cost_usd, on.cost_usd), "", None),
    ]  # fmt: skip
    print("| | policies off | policies on | change | goal | reached |\n|---|---|---|---|---|---|")
    for what, before, after, change, goal, is_reached in rows:
        print(f"| {what} | {before} | {after} | {change} | {goal} | {'' if is_reached is None else 'yes' if is_reached else '**no**'} |")


def main() -> int:
    """Carry the workload twice and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--calls", type=int, default=2000, choices=range(100, 20_001), metavar="100-20000")
    parser.add_argument("--rate", type=float, default=80.0, help="calls a second [80]")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure here too")
    arguments = parser.parse_args()
    workload = draw_workload(arguments.calls, arguments.rate)
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        sides = {side: carry(workload, settings, Path(name) / side) for side, settings in (("off", _OFF), ("on", _ON))}
    distinct = len({ask.prompt for ask in workload})
    print(f"{len(workload)} calls of {distinct} different ones, {arguments.rate:g} a second, seed {_SEED}; "
          f"faults {sum(_PROFILE['faults'].values()):.1%}; {sum(side.took_s for side in sides.values()):.0f} s\n")  # fmt: skip
    print_table(sides["off"], sides["on"])
    if arguments.json:
        arguments.json.write_text(json.dumps({name: side._asdict() for name, side in sides.items()}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
