"""Everything that can be seen, at once: four sidecars with everything switched on, callers and faults, and a real Prometheus that watches.

`front` carries what callers of models, an agent and its tools do, odd ones among them; its content goes to a file. `storm` goes through
an outage and out of it. The two of `regulars` share what they keep, and hold limits and budgets; their collector refuses for a while.
"""

import asyncio
import contextlib
import json
import re
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import yaml

from sidecar.simulator.sight import Sight
from sidecar.simulator.traffic import Traffic, run_traffic
from tests.edge.telemetry.receiver import Receiver, receive
from tests.rig.agent import list_routes, run_agent
from tests.rig.pools import Scrape
from tests.rig.process import RunningSidecar, find_port, run_sidecar, run_simulator
from tests.rig.prometheus import Prometheus, scraping_jobs
from tests.rig.redis import run_redis
from tests.rig.regulars import Regulars
from tests.rig.storm import Storm

ALERTS: Final = Path(__file__).resolve().parents[2] / "alerts"
STORM_S: Final = 11.5
CALM_S: Final = 14.5
WINDOW: Final = "10s"  # in place of minutes, hours and days
REGULARS: Final = ("regulars-1", "regulars-2")
LABELS: Final = {"namespace": "llm", "pod": "app-1", "container": "sidecar", "endpoint": "admin"}  # as in Kubernetes
_EARLIER: Final = "5s"  # in place of a day ago
_WAITS: Final = "2s"  # of alerts, in place of minutes
_SCRAPED_S: Final = 1.5  # one more scrape
_SETTLE_S: Final = 2.5  # two more scrapes and evaluations
_TROUBLE_S: Final = 6.0  # after the beginning
_PATIENCE_S: Final = 20.0
_REDACT: Final = {"patterns": [{"name": "order", "pattern": r"order \d+"}]}


class Phase(NamedTuple):
    """What there was to see at the end of a phase of the storm. Times are Unix seconds."""

    began_s: float
    ended_s: float
    scrape: Scrape
    seen: Counter[tuple[str, str]]


class Everything(NamedTuple):
    """A Prometheus that has seen all of it, from `began_s` to `ended_s` (Unix time), and what callers saw. Nothing else runs any more.

    `scrapes` and `logs`: the last of each sidecar, and all it wrote.
    """

    prometheus: Prometheus
    began_s: float
    ended_s: float
    scrapes: dict[str, str]
    logs: dict[str, str]
    sights: list[Sight]  # of `front`, but for the agent's
    storm: Phase
    calm: Phase
    regulars: Regulars

    def query_range(self, text: str, phase: Phase | None = None) -> list[dict[str, Any]]:
        """Return the series of a query over all of it, or over a phase of the storm."""
        began_s, ended_s = (self.began_s, self.ended_s) if phase is None else (phase.began_s, phase.ended_s)
        return self.prometheus.query_range(text, began_s, ended_s)

    def query_end(self, text: str, phase: Phase | None = None) -> list[dict[str, Any]]:
        """Return the result of a query as of the end of it."""
        ended_s = self.ended_s if phase is None else phase.ended_s
        found: list[dict[str, Any]] = self.prometheus.get("query", query=text, time=str(ended_s))["result"]
        return found

    def count(self, text: str) -> float:
        """Return the sum of a query's values as of the end."""
        return sum(float(series["value"][1]) for series in self.query_end(text))

    def read_log(self, side: str) -> list[dict[str, Any]]:
        """Return the lines of a sidecar's log."""
        return [json.loads(line) for line in self.logs[side].splitlines() if line.startswith("{")]


@contextlib.contextmanager
def watching_everything(folder: Path) -> Iterator[Everything]:
    """Run all of it until everything has happened; Prometheus answers until the block ends."""
    with contextlib.ExitStack() as staying:
        with asyncio.Runner() as runner, contextlib.ExitStack() as stack:
            storm, regulars = Storm(), Regulars(folder, stack.enter_context(run_redis(folder)))
            for upstreams in (storm, regulars.house):
                runner.run(upstreams.start())
                stack.callback(lambda stop: runner.run(stop()), upstreams.stop)
            tools_port, refusing = find_port(), stack.enter_context(receive())
            refusing.answers = [(400, {}, b"")]
            sides = _run_sides(stack, folder, storm, regulars, f"http://127.0.0.1:{tools_port}", refusing)
            jobs: dict[str, list[str]] = {}
            for name, side in sides.items():
                jobs.setdefault(name.partition("-")[0], []).append(side.admin_url.removeprefix("http://"))
            prometheus = staying.enter_context(scraping_jobs(folder, jobs, list(hasten_rules(folder)), LABELS))
            _await_scrapes(prometheus, len(sides))
            watched = runner.run(_Play(sides, storm, regulars, refusing, tools_port).perform(prometheus))
            prometheus.stop_scraping()  # it stays for the whole session, and others get the ports
        yield watched


def _run_sides(
    stack: contextlib.ExitStack, folder: Path, storm: Storm, regulars: Regulars, tools: str, refusing: Receiver
) -> dict[str, RunningSidecar]:  # fmt: skip
    receiver, provider = stack.enter_context(receive()), stack.enter_context(run_simulator(folder, {"speed": 20, "seed": 3}))
    collected, refused = ({"OTEL_EXPORTER_OTLP_ENDPOINT": each.url} for each in (receiver, refusing))
    sides = {
        "front": run_sidecar(folder, provider, collected, **_configure_front(provider, tools)),
        "storm": run_sidecar(folder, "", **storm.configure()),
        **{name: run_sidecar(folder, "", refused, **regulars.configure(name, tools)) for name in REGULARS},
    }
    return {name: stack.enter_context(side) for name, side in sides.items()}


def hasten(expression: str) -> str:
    """Return a query with seconds in place of the minutes, hours and days it looks back."""
    text = re.sub(r"\[\w+\]", f"[{WINDOW}]", expression)
    text = re.sub(r"\[\w+:\w*\]", f"[{WINDOW}:1s]", text)
    return re.sub(r"\boffset \w+", f"offset {_EARLIER}", text)


def list_rule_files() -> list[Path]:
    """Return the files of rules for Prometheus: not those of tests, of Alertmanager or of operators."""
    return [file for file in sorted(ALERTS.glob("*.yml")) if "groups" in yaml.safe_load(file.read_text(encoding="utf-8"))]


def hasten_rules(folder: Path) -> Iterator[Path]:
    """Write the rules with seconds in place of all that takes longer; yield where."""
    for file in list_rule_files():
        tree = yaml.safe_load(file.read_text(encoding="utf-8"))
        for group in tree["groups"]:
            group.pop("interval", None)
            for rule in group["rules"]:
                rule["expr"] = hasten(rule["expr"])
                rule.update({name: _WAITS for name in ("for", "keep_firing_for") if name in rule})
        path = folder / file.name
        path.write_text(yaml.safe_dump(tree), encoding="utf-8")
        yield path


class _Play:
    """Callers, faults and recoveries, in their order."""

    def __init__(
        self, sides: dict[str, RunningSidecar], storm: Storm, regulars: Regulars, refusing: Receiver, tools_port: int
    ) -> None:  # fmt: skip
        self._sides = sides
        self._storm = storm
        self._regulars = regulars
        self._refusing = refusing
        self._tools_port = tools_port
        self._sights: list[Sight] = []

    async def perform(self, prometheus: Prometheus) -> Everything:
        """Let everything happen, and wait until Prometheus has seen it."""
        began_s, lasts_s = time.time(), STORM_S + CALM_S + _SCRAPED_S
        sides = self._sides
        front = sides["front"].url
        traffic, stop = Traffic(f"{front}/openai", seed=3, callers=8, odd_every=4, think_s=0.1, patience_s=4), asyncio.Event()
        async with asyncio.TaskGroup() as group:
            group.create_task(run_traffic(traffic, self._sights.append, stop))
            group.create_task(run_agent(front, sides["front"].admin_url, self._tools_port, lasts_s))
            group.create_task(self._regulars.call_on([sides[name].url for name in REGULARS], lasts_s))
            group.create_task(self._be_troubled(REGULARS[1]))
            raging = await self._watch(STORM_S)
            self._storm.recover()
            calm = await self._watch(CALM_S)
            stop.set()
        await asyncio.sleep(_SETTLE_S)
        ended_s = time.time()
        scrapes = {name: await asyncio.to_thread(side.scrape) for name, side in sides.items()}
        logs = {name: side.program.output for name, side in sides.items()}
        return Everything(prometheus, began_s, ended_s, scrapes, logs, self._sights, raging, calm, self._regulars)

    async def _watch(self, seconds: float) -> Phase:
        """Let callers call in the storm, until Prometheus has seen what came of it."""
        began_s, side = time.time(), self._sides["storm"]
        await self._storm.rage(side.url, seconds)
        ended_s = time.time()
        await asyncio.sleep(_SCRAPED_S)
        return Phase(began_s, ended_s, Scrape(await asyncio.to_thread(side.scrape)), Counter(self._storm.seen))

    async def _be_troubled(self, name: str) -> None:
        """One stop, one trouble, and the end of the collector's refusals."""
        await self._regulars.halt(self._sides[name])
        await self._regulars.stall(self._sides[name].url)
        await asyncio.sleep(_TROUBLE_S)
        await self._regulars.make_trouble(self._sides[name], name)
        self._refusing.answers = [(200, {}, b"")]


def _configure_front(provider: str, tools: str) -> dict[str, Any]:
    return {
        **list_routes(provider, tools), "timeouts": {"idle": "2s"}, "usage": {"estimate": True},
        "content": {"capture": "file", "file": "content.jsonl", "redact": _REDACT},
        "pools": {"both": {"upstreams": ["openai", "openrouter"]}}, "breaker": {"groups": {"large": {"models": ["*-large"]}}},
    }  # fmt: skip


def _await_scrapes(prometheus: Prometheus, targets: int) -> None:
    """Wait until there are two of each target: what has never been scraped cannot be seen to grow."""
    deadline_s = time.monotonic() + _PATIENCE_S
    while len(prometheus.query("count_over_time(up[1m]) >= 2")) < targets:
        assert time.monotonic() < deadline_s
        time.sleep(0.1)
