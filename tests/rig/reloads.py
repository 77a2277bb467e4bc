"""A sidecar whose configuration is changed again and again under load, and what must hold all the while."""

import asyncio
import contextlib
import json
import re
import signal
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Final

import httpx

from tests.rig.caller import Answer, Caller, compose
from tests.rig.faults import script_good
from tests.rig.pools import Scrape, upstreams_of
from tests.rig.process import Program, RunningSidecar, find_port
from tests.rig.streams import write_chunk
from tests.rig.talks import BY_NAME, INPUT_TOKENS, OUTPUT_TOKENS
from tests.rig.upstream import Script, Upstream, Visit
from tests.rig.volume import Volume

WHOLE: Final = BY_NAME["openai_whole"]
STREAM: Final = BY_NAME["openai_stream"]
PRICES: Final = json.dumps({"prices": [{
    "model": "sim-*", "input": 1000.0, "output": 1000.0, "date": "2026-01-31", "source": "the rig",
}]})  # fmt: skip
COST_USD: Final = (INPUT_TOKENS + OUTPUT_TOKENS) * 1000.0 / 1e6
BAD: Final = ("unknown", "wrong_type", "no_key", "half", "not_text", "bad_prices", "bad_route")
_WORD: Final = re.compile(rb"chatcmpl-([ABS])-(sk-[ABS]-\d+|own)")
_PAUSE_S: Final = 0.03  # of a stream, between two pieces
_REST_S: Final = 0.01  # of a caller, between two calls
_PATIENCE_S: Final = 20.0


class World:
    """Upstreams A and B, between which one name is moved to and fro, each time with another key; S, which stays; and one that must
    never be asked, as only bad configurations name it.
    """

    def __init__(self, folder: Path, upstreams: list[Upstream]) -> None:
        self.a, self.b, self.steady, self.forbidden = upstreams
        for letter, upstream in (("A", self.a), ("B", self.b), ("S", self.steady)):
            upstream.otherwise = lambda visit, letter=letter: _answer(visit, letter)  # type: ignore[misc]
        self.data_port, self.admin_port, self.dead_port = find_port(), find_port(), find_port()
        self.folder = folder / "volume"
        self.volume = Volume(self.folder, self.write(0))
        self.failures: list[str] = []
        self.carried: Counter[str] = Counter()

    def settle(self, number: int) -> dict[str, Any]:
        """Return the configuration of that number."""
        upstream = self.a if number % 2 == 0 else self.b
        return {
            "listen": f"127.0.0.1:{self.data_port}",
            "admin": {"listen": f"127.0.0.1:{self.admin_port}"},
            "upstreams": {
                "main": {"url": upstream.url, "provider": "openai", "api_key_file": str(self.folder / "key"), "weight": 1 + number % 3},
                "steady": {"url": self.steady.url, "provider": "openai", "connections": 50 + number % 7},
                "dead": {"url": f"http://127.0.0.1:{self.dead_port}", "provider": "openai"},
                **({f"extra-{number % 7}": {"url": self.steady.url}} if number % 3 else {}),
            },
            "pools": {"both": {"upstreams": ["main", "steady"], "strategy": "weighted" if number % 4 else "adaptive"}},
            "routes": [
                {"prefix": "/main/", "upstream": "main"}, {"prefix": "/steady/", "upstream": "steady"},
                {"prefix": "/dead/", "upstream": "dead"}, {"prefix": "/pool/", "pool": "both"},
                {"prefix": f"/only-{number % 4}/", "upstream": "main"},
            ],
            "tenants": {"names": ["few", *(["many"] if number % 5 else [])]},
            "limits": {"rates": {"tenants": {"few": {"requests": {"per_day": 2 + number % 2}}}}},
            "budgets": {"all": {"day": 1000000 + number}},
            "breaker": {"consecutive": 3, "open": "1h", "open_max": "1h", "calls_min": 20 + number % 9},
            "cache": {"expiry": {"answers": "1h"}, "warm": {"entries": 100 + number % 11}},
            "features": {
                "cache": True, "limits": True, "budgets": True, "probes": False, "hedging": number % 6 == 0, "batches": number % 2 == 0,
            },
            "timeouts": {"total": 60 + number % 10},
            "prices": {"file": str(self.folder / "prices.json")},
            "reload": {"interval": "100ms", "debounce": "40ms"},
        }  # fmt: skip

    def write(self, number: int) -> dict[str, str]:
        """Return the files of that number."""
        key = f"sk-{'A' if number % 2 == 0 else 'B'}-{number}"
        return {"sidecar.yaml": json.dumps(self.settle(number)), "key": key, "prices.json": PRICES}

    def spoil(self, number: int, how: str) -> dict[str, str]:
        """Return files that must not be taken; each would send calls where none may go. `number` stands in what is told of them."""
        tree, files = self.settle(number), self.write(number)
        tree["upstreams"]["main"]["url"] = tree["upstreams"]["steady"]["url"] = self.forbidden.url
        if how == "unknown":
            tree[f"bogus_{number}"] = True
        elif how == "wrong_type":
            tree["timeouts"][f"total_{number}"] = "soon"
        elif how == "no_key":
            tree["upstreams"][f"keyless-{number}"] = {"url": self.forbidden.url, "api_key_file": str(self.folder / "none")}
        elif how == "bad_route":
            tree["routes"].append({"prefix": f"/bad-{number}/", "upstream": f"nobody-{number}"})
        text = json.dumps(tree)
        if how == "half":
            text = text[: len(text) * (1 + number % 8) // 9]
        elif how == "not_text":
            text = text.replace("main", "m\0in")
        elif how == "bad_prices":
            files["prices.json"] = json.dumps({"prices": [{"model": f"m-{number}"}]})
        return {**files, "sidecar.yaml": text}

    async def load(self, url: str, stop: asyncio.Event) -> None:
        """Make calls of every kind until told to stop; note each that was dropped or wrong."""
        kinds = [self._ask_main, self._ask_main, self._stream, self._stream, self._ask_pool, self._ask_kept, self._ask_dead, self._ask_few]
        await asyncio.gather(*(self._repeat(url, kind, stop) for kind in kinds))

    async def _repeat(self, url: str, kind: "Callable[[Caller], Awaitable[str]]", stop: asyncio.Event) -> None:
        caller = await Caller.connect(url)
        name = kind.__name__.removeprefix("_")
        while not stop.is_set():
            try:
                wrong = await kind(caller)
            except TimeoutError:
                wrong = "no end"
            self.carried[name] += 1
            if wrong:
                self.failures.append(f"{name} {self.carried[name]}: {wrong}")
            if caller.answer.ended is not None or wrong:
                caller.leave()
                caller = await Caller.connect(url)
            await asyncio.sleep(_REST_S)
        caller.leave()

    async def _ask_main(self, caller: Caller) -> str:
        return tell_wrong(await caller.ask(compose("/main/v1/chat/completions", WHOLE.request)), "AB")

    async def _ask_pool(self, caller: Caller) -> str:
        return tell_wrong(await caller.ask(compose("/pool/v1/chat/completions", WHOLE.request)), "ABS")

    async def _stream(self, caller: Caller) -> str:
        answer = await caller.ask(compose("/main/v1/chat/completions", STREAM.request))
        return tell_wrong(answer, "AB") or ("" if b"[DONE]" in answer.body else "no end mark")

    async def _ask_kept(self, caller: Caller) -> str:
        answer = await caller.ask(compose_kept())
        return tell_wrong(answer, "S") or ("" if answer.field("x-sidecar-cache") == "hit" else f"{answer.field('x-sidecar-cache')}, no hit")

    async def _ask_dead(self, caller: Caller) -> str:
        answer = await caller.ask(compose("/dead/v1/chat/completions", WHOLE.request))
        return "" if (answer.status, answer.field("x-sidecar-error")) == (503, "circuit_open") else f"{answer.status}, not held back"

    async def _ask_few(self, caller: Caller) -> str:
        answer = await caller.ask(compose_few())
        return "" if answer.status == 429 else f"{answer.status}, not limited"


def compose_kept() -> bytes:
    """Return a call whose answer is kept."""
    return compose("/steady/v1/chat/completions", {**json.loads(WHOLE.request), "temperature": 0})


def compose_few() -> bytes:
    """Return a call of the tenant that may make few."""
    return compose("/steady/v1/chat/completions", WHOLE.request, fields=[("x-sidecar-tenant", "few")])


def read_word(answer: Answer) -> tuple[str, str]:
    """Return who answered, and the key that it was given."""
    found = set(_WORD.findall(bytes(answer.body)))
    if len(found) != 1:
        return "", ""
    ((letter, key),) = found
    return letter.decode(), key.decode()


def tell_wrong(answer: Answer, letters: str) -> str:
    """Return what is wrong with an answer: who may answer is one of `letters`, and must have been given its own key; "" for nothing."""
    letter, key = read_word(answer)
    if answer.status != 200 or not answer.whole:
        return f"{answer.status}, {'whole' if answer.whole else 'cut'}: {bytes(answer.body)[:200]!r}"
    if letter not in letters or (key != "own" and key.split("-")[1] != letter):
        return f"{letter} was given {key}"
    return ""


class Reloaded:
    """A running sidecar of that world, and its admin port."""

    def __init__(self, world: World, side: RunningSidecar, admin: httpx.AsyncClient) -> None:
        self.world = world
        self.side = side
        self.admin = admin
        self._read_bytes = 0  # of the log
        self.gauges = (0.0, 0.0)  # as they were last read

    async def ask(self) -> httpx.Response:
        """Ask for a reload by the endpoint."""
        return await self.admin.post("/-/reload", json={})

    def hang_up(self) -> None:
        """Ask for a reload by the signal."""
        self.side.program.signal(signal.SIGHUP)

    async def read_gauges(self) -> tuple[float, float]:
        """Return whether the last one succeeded, and when the last one that did was."""
        scrape = Scrape((await self.admin.get("/metrics", headers={"accept": "text/plain;version=0.0.4"})).text)
        self.gauges = scrape.sum("config_last_reload_successful"), scrape.sum("config_last_reload_success_timestamp_seconds")
        return self.gauges

    async def read_configuration(self) -> Mapping[str, Any]:
        """Return how the configuration stands."""
        return dict((await self.admin.get("/health")).json()["checks"]["configuration"])

    def has_told(self, trigger: str) -> bool:
        """Whether the log tells, since this was last asked, what came of a reload for which there was this reason."""
        with self.side.program.log.open("rb") as file:
            file.seek(self._read_bytes)
            text = file.read()
        self._read_bytes += len(text)
        return re.search(rb'"event":\s?"configuration_re(?:loaded|fused)".*"trigger":\s?"%b"' % trigger.encode(), text) is not None

    async def until_told(self, trigger: str, *, is_good: bool) -> None:
        """Wait until the log tells of a reload, and the gauge whether it was good."""
        async with asyncio.timeout(_PATIENCE_S):
            while not self.has_told(trigger):
                await asyncio.sleep(0.01)
            while (await self.read_gauges())[0] != is_good:
                await asyncio.sleep(0.01)

    async def fetch(self, request: bytes) -> Answer:
        """Make a call."""
        caller = await Caller.connect(self.side.url)
        try:
            return await caller.ask(request)
        finally:
            caller.leave()

    async def read_spent(self) -> float:
        """Return what was spent today, by everybody."""
        budgets = (await self.admin.get("/api/budgets")).json()["budgets"]
        return float(next(each["spent_usd"] for each in budgets if each["tenant"] is None and each["window"] == "day"))

    def count_files(self) -> int:
        """Return how many descriptors the process has open, without sockets: those come and go with calls."""
        kinds = [str(_read_link(path)) for path in Path(f"/proc/{self.side.program.process.pid}/fd").iterdir()]
        return sum(not kind.startswith("socket:") for kind in kinds)


def _read_link(path: Path) -> str:
    try:
        return str(path.readlink())
    except OSError:
        return "socket: gone"


@contextlib.asynccontextmanager
async def running_world(folder: Path) -> AsyncIterator[Reloaded]:
    """Run the world and the sidecar in it."""
    async with upstreams_of(4) as upstreams:
        world = World(folder, upstreams)
        program = Program(["run", "--config", world.volume.path("sidecar.yaml")], folder)
        try:
            side = RunningSidecar(program, world.data_port, world.admin_port)
            await asyncio.to_thread(program.await_url, f"{side.admin_url}/-/ready")
            async with httpx.AsyncClient(base_url=side.admin_url, trust_env=False, timeout=_PATIENCE_S) as admin:
                yield Reloaded(world, side, admin)
        finally:
            await asyncio.to_thread(program.stop)


def _answer(visit: Visit, letter: str) -> Script:
    """Return an answer that tells whose it is, and the key it was asked with."""
    told = {name.lower(): value for name, value in visit.headers}.get(b"authorization", b"").decode()
    word = f"{letter}-{told.removeprefix('Bearer ') or 'own'}"
    if b'"stream": true' not in visit.body and b'"stream":true' not in visit.body:
        return script_good(WHOLE, word)
    spoken = STREAM.speak(word)
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    steps: list[bytes | float] = [head + write_chunk(spoken.opening)]
    for token in spoken.tokens:
        steps += [_PAUSE_S, write_chunk(token)]
    return Script([*steps, _PAUSE_S, write_chunk(spoken.ending) + b"0\r\n\r\n"])
