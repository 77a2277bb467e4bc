"""What the policies come to: one workload with repeats and faults, carried with all of them off, and with them on.

    python tests/bench/before_after.py [--rounds 3] [--calls 1500] [--rate 50] [--prompts 400] [--zipf 1.0] [--json FILE]

Calls come when they come (Poisson), whether or not earlier ones were answered, and a latency counts from the moment at which the
call was due to the last byte of its answer. All are at temperature 0; every other prompt is streamed.

How often prompts repeat decides how many hits there can be, and is an assumption. Assumed is an application that asks the same
things for many: a help desk, a classifier, a nightly job that is run again. It has 400 prompts, and how often each is asked follows
Zipf's law with exponent 1, as words and searches do (requests to the web: 0.64 to 0.83; Breslau et al., INFOCOM 1999). The table
tells how many of the calls repeat an earlier one: there cannot be more hits than that. `--prompts 1000000 --zipf 0` repeats nothing.

The seed is fixed: both sides of all rounds get the same calls at the same moments. A simulated provider, new for each side, fails
some calls, others in each round. Off: one upstream, one attempt. On: a pool of it and its twin, cache, coalescing, stale answers,
retries, breakers. A duplicate is a call that a provider answered well although it had answered the same one before: by the ledgers.
Medians of the rounds, least and greatest. Reported, never asserted. The two cores carry the load, the sidecar and the providers: where
calls were sent late, the machine was too busy, and the latencies are not those of the policies.
"""

import argparse
import asyncio
import json
import random
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import httpx

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.rig.process import run_sidecar, run_simulator

_SEED: Final = 7
_PATIENCE_S: Final = 30.0
_PATH: Final = "/openai/v1/chat/completions"
# Four times as fast as the models that are simulated.
FAULTS: Final = {"server_error": 0.03, "unavailable": 0.03, "reset_before_head": 0.02, "rate_limited": 0.02, "cut": 0.005}  # of calls
_PROFILE: Final[dict[str, Any]] = {"speed": 4, "faults": FAULTS}
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

    late_s: float  # it was sent after it was due
    took_s: float  # since it was due
    is_good: bool
    cache: str  # x-sidecar-cache


class Side(NamedTuple):
    """What came of all calls."""

    got: Sequence[Got]
    upstream_calls: int
    duplicates: int
    cost_usd: float

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

    @property
    def late_s(self) -> float:
        """How late calls were sent: 99 of 100 were earlier."""
        return sorted(each.late_s for each in self.got)[len(self.got) * 99 // 100]

    def share(self, *statuses: str) -> float:
        """The share of calls that were answered so."""
        counts = Counter(each.cache for each in self.got)
        return sum(counts[status] for status in statuses) / len(self.got)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else float("nan")


def draw_workload(calls: int, rate: float, prompts: int, zipf: float) -> list[Ask]:
    """Return the calls, by their moments. `zipf`: 1 is for the second most frequent prompt to come half as often as the first."""
    chance = random.Random(_SEED)
    ranks = range(1, prompts + 1)
    drawn = chance.choices(ranks, [1 / rank**zipf for rank in ranks], k=calls)
    at_s = 0.0
    workload = []
    for prompt in drawn:
        at_s += chance.expovariate(rate)
        workload.append(Ask(at_s, prompt))
    return workload


async def _call(client: httpx.AsyncClient, ask: Ask, due: float) -> Got:
    late_s = time.perf_counter() - due
    try:
        answer = await client.post(_PATH, json=ask.body, headers={"x-sim-tag": f"p{ask.prompt}"})
        is_good = answer.status_code == 200 and _is_whole(answer.text, streamed=ask.body["stream"])
        cache = answer.headers.get("x-sidecar-cache", "")
    except httpx.HTTPError:
        is_good, cache = False, ""
    return Got(late_s, time.perf_counter() - due, is_good, cache)


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


def carry(workload: Sequence[Ask], settings: Mapping[str, Any], folder: Path, seed: int) -> Side:
    """Carry the workload through a sidecar with these settings, in front of two new providers whose faults follow `seed`."""
    folders = [folder / name for name in ("one", "two", "side")]
    for each in folders:
        each.mkdir(parents=True)
    profiles = [{**_PROFILE, "seed": 2 * seed + number} for number in (0, 1)]
    with run_simulator(folders[0], profiles[0]) as one, run_simulator(folders[1], profiles[1]) as two:
        upstreams = {name: {"url": url, "provider": "openai"} for name, url in (("openai", one), ("twin", two))}
        with run_sidecar(folders[2], one, upstreams=upstreams, **settings) as side:
            got = asyncio.run(_load(side.url, workload))
        return Side(got, *_read_ledgers((one, two)))


class Measure(NamedTuple):
    """One line of the table."""

    what: str
    of: Callable[[Side], float]
    form: str  # of format()
    scale: float = 1.0
    goal: str = ""
    is_reached: Callable[[float, float], bool] | None = None  # of off and on
    is_compared: bool = True


_LATE_MAX_S: Final = 0.05
MEASURES: Final = (
    Measure("mean latency of answers, ms", lambda side: side.latency_s, ".0f", 1000, "-44 %", lambda off, on: on <= 0.56 * off),
    Measure("error ratio", lambda side: side.error_ratio, ".2%", 1, "-86 %", lambda off, on: on <= 0.14 * off),
    Measure("hit ratio", lambda side: side.share("hit", "stale"), ".1%", 1, "≥ 73 %", lambda off, on: on >= 0.73, is_compared=False),
    Measure("duplicate calls", lambda side: side.duplicates, ".0f", 1, "-90 %", lambda off, on: on <= 0.1 * off),
    Measure("calls to providers", lambda side: side.upstream_calls, ".0f"),
    Measure("shared a call in progress", lambda side: side.share("coalesced"), ".1%", is_compared=False),
    Measure("mean latency, failures too, ms", lambda side: side.latency_of_all_s, ".0f", 1000),
    Measure("cost, USD", lambda side: side.cost_usd, ".4f"),
    Measure("sent late, p99, ms", lambda side: side.late_s, ".1f", 1000, is_compared=False),
)


def _show(values: Sequence[float], form: str) -> str:
    median, low, high = statistics.median(values), min(values), max(values)
    shown = format(median, form)
    return shown if low == high else f"{shown} ({format(low, form)} to {format(high, form)})"


def print_table(off: Sequence[Side], on: Sequence[Side]) -> None:
    """One line a measure, of all rounds; the goals are the project's own. A change is that of each round, and the median of those."""
    print("| | policies off | policies on | change | goal | reached |\n|---|---|---|---|---|---|")
    for what, of, form, scale, goal, is_reached, is_compared in MEASURES:
        before, after = ([of(side) * scale for side in sides] for sides in (off, on))
        changes = [new / old - 1 for old, new in zip(before, after, strict=True) if old] if is_compared else []
        verdict = ""
        if is_reached is not None:
            verdict = "yes" if all(map(is_reached, before, after)) else "**no**"
        print(
            f"| {what} | {_show(before, form)} | {_show(after, form)} | {_show(changes, '+.0%') if changes else ''} | {goal} | {verdict} |"
        )


def find_repeated(workload: Sequence[Ask]) -> float:
    """Return the share of calls that repeat an earlier one: there cannot be more hits."""
    return 1 - len({ask.prompt for ask in workload}) / len(workload)


def make_parser() -> argparse.ArgumentParser:
    """Return what reads the arguments."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3, choices=range(1, 11), metavar="1-10")
    parser.add_argument("--calls", type=int, default=1500, choices=range(100, 20_001), metavar="100-20000")
    parser.add_argument("--rate", type=float, default=50.0, help="calls a second [50]")
    parser.add_argument("--prompts", type=int, default=400, choices=range(1, 1_000_001), metavar="1-1000000", help="different ones [400]")
    parser.add_argument("--zipf", type=float, default=1.0, help="how unequally often they come [1.0]; 0 is all alike")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure here too")
    return parser


def main() -> int:
    """Carry the workload off and on in each round, and print the table."""
    arguments = make_parser().parse_args()
    workload = draw_workload(arguments.calls, arguments.rate, arguments.prompts, arguments.zipf)
    sides: dict[str, list[Side]] = {"off": [], "on": []}
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        for number in range(arguments.rounds):
            both = [("off", _OFF), ("on", _ON)]
            for side, settings in both if number % 2 == 0 else reversed(both):
                print(f"round {number + 1} of {arguments.rounds}, policies {side}", file=sys.stderr, flush=True)
                sides[side].append(carry(workload, settings, Path(name) / f"{side}-{number}", _SEED + number))
    print(f"{arguments.rounds} rounds of {len(workload)} calls, {arguments.rate:g} a second; {find_repeated(workload):.1%} repeat an "
          f"earlier one ({arguments.prompts} prompts, Zipf {arguments.zipf:g}); faults in {sum(FAULTS.values()):.1%}; "
          f"{time.perf_counter() - begun:.0f} s\n")  # fmt: skip
    print_table(sides["off"], sides["on"])
    if max(side.late_s for side in (*sides["off"], *sides["on"])) > _LATE_MAX_S:
        print("\n**Calls were sent late: the machine was too busy, repeat the run.**")
    if arguments.json:
        arguments.json.write_text(json.dumps({name: [side._asdict() for side in told] for name, told in sides.items()}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
