"""Active probes, on a clock that passes by itself."""

import asyncio
import random
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import pytest

from sidecar.config import Dns, Features, Probing, Settings, Upstream
from sidecar.config import Probes as ProbeSettings
from sidecar.core.choose.places import read_places
from sidecar.edge.clock import SystemClock
from sidecar.edge.outbound.probes import Probes
from sidecar.edge.outbound.upstreams import Upstreams
from sidecar.errors import FIRST_BYTE_TIMEOUT, UpstreamFault
from tests.edge.sockets import serving
from tests.edge.virtual import VirtualLoop

Answer = int | None | Exception


class Neighbourhood:
    """Upstreams that answer as they are told, and what came of it. Times are those since the beginning."""

    def __init__(self, *names: str, draw: Callable[[], float] = lambda: 0.5, **probes: float) -> None:
        self.loop = VirtualLoop()
        self.began = self.loop.now()
        self.answers: dict[str, Answer] = {}
        self.takes_s = 0.0
        self.knocks: list[tuple[str, float]] = []
        self.under_way = 0
        self.requests: dict[str, bytes] = {}
        self.notes: list[tuple[str, bool, float]] = []
        self.counts: list[tuple[str, str]] = []
        upstreams = {name: Upstream(f"http://{name}.test", provider="vllm") for name in names}
        upstreams["paid"] = Upstream("https://api.openai.com")
        settings = Settings(upstreams=upstreams, probes=ProbeSettings(**probes))
        places = read_places(upstreams, {})
        self.probes = Probes(settings, places, self, self.loop, draw, self.note, lambda *count: self.counts.append(count))

    def adopt(self, settings: Settings, kept: str, keys: dict[str, str] | None = None) -> frozenset[str]:
        """Let other settings come."""
        with self.loop.entered():
            return self.probes.adopt(settings, read_places(settings.upstreams, keys or {}), self, frozenset(kept))

    async def knock(self, name: str, request: bytes, timeout_s: float) -> int | None:
        """Answer after a while, or not in time."""
        self.knocks.append((name, self.loop.now() - self.began))
        self.requests[name] = request
        self.under_way += 1
        try:
            await asyncio.sleep(min(self.takes_s, timeout_s))
        finally:
            self.under_way -= 1
        if self.takes_s > timeout_s:
            raise UpstreamFault(FIRST_BYTE_TIMEOUT)
        answer = self.answers.get(name, 200)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def note(self, name: str, healthy: bool, now: float) -> None:
        """Note a verdict."""
        self.notes.append((name, healthy, now - self.began))

    def pass_by(self, seconds: float) -> None:
        """Let time pass."""
        self.loop.run_until_complete(asyncio.sleep(seconds))

    def start(self) -> None:
        """Begin to probe."""
        with self.loop.entered():
            self.probes.start()

    async def stop_probing(self) -> None:
        """Stop; when that is done, no probe is under way any more."""
        await self.probes.stop()
        assert self.under_way == 0

    def stop(self) -> None:
        """Stop, and see that nothing is left."""
        self.loop.run_until_complete(self.stop_probing())
        assert asyncio.all_tasks(self.loop) == set()
        self.loop.close()


def test_each_is_asked_once_an_interval() -> None:
    """At the given path; the first time spread over an interval, later ones a little early, never late."""
    draws = random.Random(4)
    town = Neighbourhood("a", "b", "c", draw=draws.random)
    town.start()
    town.pass_by(3000)
    town.stop()
    assert town.probes.names == ("a", "b", "c")
    for name in town.probes.names:
        times = [at for who, at in town.knocks if who == name]
        gaps = [later - earlier for earlier, later in pairwise(times)]
        assert 0 <= times[0] <= 30
        assert all(27 <= gap <= 30.001 for gap in gaps)
        assert max(gaps) - min(gaps) > 1
    first = dict(reversed(town.knocks))
    assert len({round(at) for at in first.values()}) == 3
    assert town.requests["a"].startswith(b"GET /health HTTP/1.1\r\nHost: a.test\r\n")


def test_a_slow_answer_does_not_put_the_next_one_off() -> None:
    """The interval counts from beginning to beginning: a recovery is noticed within one."""
    town = Neighbourhood("a", draw=lambda: 0.0)
    town.takes_s = 4.0
    town.start()
    town.pass_by(95)
    town.stop()
    assert [at for _, at in town.knocks] == pytest.approx([0, 30, 60, 90], abs=0.01)
    assert town.notes[0] == ("a", True, pytest.approx(4, abs=0.01))


def test_who_is_silent_is_given_up_and_asked_again() -> None:
    """A timeout longer than the interval never makes two probes at once."""
    town = Neighbourhood("a", draw=lambda: 0.0, interval=2.0, timeout=5.0)
    town.takes_s = 60.0
    town.start()
    town.pass_by(4.5)
    assert town.under_way == 1
    town.pass_by(7)
    town.stop()
    assert [at for _, at in town.knocks] == pytest.approx([0, 5, 10], abs=0.01)
    last = town.probes.describe()["a"]
    assert last is not None and (last.problem, last.failures, last.healthy) == ("first_byte_timeout", 2, False)
    assert last.took_s == pytest.approx(5, abs=0.01)


@pytest.mark.parametrize(
    ("answer", "problem"),
    [(200, None), (404, None), (401, None), (429, None), (499, None), (None, None), (500, "status_500"), (503, "status_503"),
     (UpstreamFault(FIRST_BYTE_TIMEOUT), "first_byte_timeout"), (UnicodeError("label too long"), "internal")],
)  # fmt: skip
def test_an_answer_below_500_is_life(answer: Answer, problem: str | None) -> None:
    """Who wants a key is there; whatever else goes wrong is a failure, and probing goes on."""
    town = Neighbourhood("a", draw=lambda: 0.0)
    town.answers["a"] = answer
    town.start()
    town.pass_by(31)
    last = town.probes.describe()["a"]
    town.stop()
    assert last is not None and last.problem == problem
    assert [healthy for _, healthy, _ in town.notes] == ([True, True] if problem is None else [False])
    assert town.counts == [("a", "succeeded" if problem is None else "failed")] * 2


def test_one_failure_tells_nobody() -> None:
    """Two in a row do, as does each further one; one success takes it back."""
    town = Neighbourhood("a", "b")
    town.start()
    for answer in (200, 503, 200, 503, 503, 503, 200):
        town.answers["a"] = answer
        town.pass_by(30)
    town.stop()
    assert [healthy for name, healthy, _ in town.notes if name == "a"] == [True, True, False, False, True]
    assert all(healthy for name, healthy, _ in town.notes if name == "b")
    assert [outcome for name, outcome in town.counts if name == "a"].count("failed") == 4


def test_before_its_turn_nothing_is_known() -> None:
    """And who is not probed is not among them."""
    town = Neighbourhood("a")
    town.start()
    town.pass_by(14)
    assert town.probes.describe() == {"a": None}
    town.pass_by(2)
    assert set(town.probes.describe()) == {"a"}
    assert town.probes.describe()["a"] is not None
    town.stop()


def test_stopping_ends_a_probe_under_way() -> None:
    """And what it would have found is told nobody; stopping twice, or before starting, does no harm."""
    town = Neighbourhood("a", "b", draw=lambda: 0.0)
    town.loop.run_until_complete(town.probes.stop())
    town.takes_s = 3.0
    town.start()
    town.pass_by(1)
    assert town.under_way == 2
    town.loop.run_until_complete(town.stop_probing())
    town.pass_by(100)
    town.stop()
    assert (town.notes, town.counts, len(town.knocks)) == ([], [], 2)


def test_all_of_it_can_be_switched_off() -> None:
    """No task, no knock; and what is metered is probed where somebody asks for it."""
    loop = VirtualLoop()
    upstreams = {"paid": Upstream("https://api.openai.com", probe=Probing.ON)}
    settings = Settings(upstreams=upstreams)
    town = Neighbourhood()
    for features, names in ((Features(), ("paid",)), (Features(probes=False), ())):
        changed = replace(settings, features=features)
        probes = Probes(changed, read_places(upstreams, {}), town, loop, random.random, town.note)
        assert probes.names == names
    town.loop.close()
    loop.close()


async def test_a_recovery_is_noticed_over_real_sockets() -> None:
    """An upstream that is ill and gets well again; its pool has no connection for it, before and after."""
    status = 503

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n" % status)

    notes: asyncio.Queue[tuple[str, bool]] = asyncio.Queue()
    clock = SystemClock()
    async with serving(serve) as port, asyncio.timeout(10):
        upstreams = {"a": Upstream(f"http://127.0.0.1:{port}", provider="vllm", connections=1)}
        settings = Settings(upstreams=upstreams, probes=ProbeSettings(interval=0.02, timeout=5.0))
        places = read_places(upstreams, {})
        way = Upstreams(upstreams, places, Dns(), clock, {}, head_bytes_max=4096)
        probes = Probes(settings, places, way, clock, random.random, lambda name, healthy, now: notes.put_nowait((name, healthy)))
        probes.start()
        assert await notes.get() == ("a", False)
        status = 200
        while not (await notes.get())[1]:
            pass
        assert way.count_connections() == {"a": (0, 0)}
        await probes.stop()
        way.close()


def settings_of(names: str, *, interval: float = 30.0, **upstreams: dict[str, str]) -> Settings:
    """Return settings with these upstreams, and what is special of some."""
    made = {name: Upstream(**{"url": f"http://{name}.test", "provider": "vllm", **upstreams.get(name, {})}) for name in names}  # type: ignore[arg-type]
    return Settings(upstreams=made, probes=ProbeSettings(interval=interval))


def test_probes_follow_the_upstreams() -> None:
    """Who is gone is asked no more, who is new is asked; who stays is asked as often as before, with what was known."""
    town = Neighbourhood("a", "b")
    town.answers["a"] = 503
    town.start()
    town.pass_by(40)
    for number in range(100):
        assert town.adopt(settings_of("ac"), "ac" if number else "a") == frozenset()
        town.pass_by(0.3)
    town.pass_by(60)
    town.stop()
    times = {name: [at for who, at in town.knocks if who == name] for name in "abc"}
    assert all(27 <= later - earlier <= 30.001 for name in "ac" for earlier, later in pairwise(times[name]))
    assert len(times["a"]) == 5 and times["b"][-1] < 40 < times["c"][0] < 70
    assert town.probes.names == ("a", "c")
    last = town.probes.describe()["a"]
    assert last is not None and last.failures == 5


def test_a_probe_under_way_tells_nothing_of_another_place() -> None:
    """Neither of one that is gone; and what was known of the one before is not known of the one that has its name now."""
    town = Neighbourhood("a", "b", draw=lambda: 0.0)
    town.answers = {"a": 503, "b": 503}
    town.takes_s = 2.0
    town.start()
    town.pass_by(33)
    assert [(name, healthy) for name, healthy, _ in town.notes] == [("a", False), ("b", False)]
    town.pass_by(28)
    assert town.under_way == 2
    moved = settings_of("a", a={"url": "http://elsewhere.test"})
    assert town.adopt(moved, "") == frozenset()
    town.answers["a"] = 200
    assert town.probes.describe() == {"a": None}
    town.pass_by(5)
    town.stop()
    assert [(name, healthy) for name, healthy, _ in town.notes[2:]] == [("a", True)]
    assert [name for name, _ in town.knocks] == ["a", "b"] * 3 + ["a"]
    assert b"Host: elsewhere.test" in town.requests["a"]


def test_the_next_probe_has_the_new_key() -> None:
    """And comes when it would have come."""
    town = Neighbourhood("a", draw=lambda: 0.5)
    town.start()
    town.pass_by(16)
    with_key = settings_of("a", a={"api_key_file": "/run/key"})
    town.adopt(with_key, "a", {"a": "sk-2"})
    town.pass_by(29)
    town.stop()
    assert len(town.knocks) == 2 and b"sk-2" in town.requests["a"]


def test_another_interval_holds_at_once() -> None:
    """Nobody waits for the end of a long one."""
    town = Neighbourhood("a", interval=600.0)
    town.start()
    town.pass_by(301)
    town.adopt(settings_of("a", interval=2.0), "a")
    town.pass_by(20)
    town.stop()
    assert len(town.knocks) >= 10


def test_who_is_probed_no_longer_is_told() -> None:
    """Who is there still: of who is gone, or is another place, there is nothing to tell."""
    town = Neighbourhood("a", "b", "c")
    town.start()
    off = settings_of("abc", a={"probe": Probing.OFF}, b={"probe": Probing.OFF}, c={"probe": Probing.OFF})  # type: ignore[dict-item]
    assert town.adopt(off, "ab") == {"a", "b"}
    town.pass_by(100)
    assert town.knocks == []
    town.stop()


def test_before_they_start_and_after_they_stop_nobody_is_asked() -> None:
    """Whatever settings come."""
    town = Neighbourhood("a")
    town.adopt(settings_of("ab"), "a")
    town.pass_by(100)
    assert town.knocks == []
    town.start()
    town.pass_by(40)
    count = len(town.knocks)
    town.loop.run_until_complete(town.stop_probing())
    town.adopt(settings_of("abc"), "ab")
    town.pass_by(100)
    assert count and len(town.knocks) == count
    town.stop()
