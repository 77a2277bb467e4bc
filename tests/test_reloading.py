"""Loading anew: whole or not at all, one time after the other, and never half of an old and half of a new volume."""

import asyncio
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sidecar import reloading
from sidecar.config import Reload, Settings
from sidecar.core.settings.changes import Outcome
from sidecar.core.settings.resolution import Loaded
from sidecar.edge.clock import SystemClock
from sidecar.edge.files import load
from sidecar.edge.sources import look_at
from sidecar.edge.tasks import spawn
from sidecar.edge.telemetry.logs import EventLog
from sidecar.edge.telemetry.meter import Meter
from sidecar.edge.telemetry.reload_announcements import ReloadAnnouncements
from sidecar.errors import ConfigError, ConfigProblem
from sidecar.generation import Material
from sidecar.reloading import Reloading

GOOD = "timeouts: {{total: {total}s}}\nupstreams: {{a: {{url: 'http://a.test', api_key_file: {key}}}}}\nreload: {reload}\n"


class Side:
    """A configuration on disk, and what of it is in force."""

    def __init__(self, folder: Path, watch: bool = False) -> None:
        self.folder = folder
        self.file, self.key = folder / "sidecar.yaml", folder / "key"
        self.reload = f"{{watch: {str(watch).lower()}, interval: 100ms, debounce: 20ms}}"
        self.key.write_text("sk-1")
        self.write(1)
        loaded = load(str(self.file), {})
        self.in_force: list[tuple[Settings, str]] = []
        self.hooks: list[Callable[[], Any]] = []  # done while something is being prepared
        self.meter = Meter(loaded.settings.limits, loaded.settings.upstreams, version="1", python="3")
        self.reloading = Reloading(
            str(self.file), str(self.file), self.load, loaded.settings, look_at(str(self.file), loaded.settings), self.prepare,
            SystemClock(), ReloadAnnouncements(self.meter, EventLog("info")),
        )  # fmt: skip
        self.loads = 0

    def load(self, file: str | None) -> Loaded:
        self.loads += 1
        return load(file, {})

    async def prepare(self, settings: Settings, material: Material) -> Callable[[], None]:
        for hook in self.hooks:
            done = hook()
            if done is not None:
                await done
        return lambda: self.in_force.append((settings, material.keys["a"]))

    def write(self, total: int, key: Path | None = None, more: str = "") -> None:
        text = GOOD.format(total=total, key=key or self.key, reload=self.reload) + more
        beside = self.folder / "beside"
        beside.write_text(text)
        beside.replace(self.file)

    @property
    def totals(self) -> list[tuple[float, str]]:
        """What was put in force, one after the other."""
        return [(settings.timeouts.total, key) for settings, key in self.in_force]

    @property
    def is_good(self) -> bool:
        """What the gauge says."""
        return bool(self.meter.families.reload_successful.child().value)

    async def until(self, is_so: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not is_so():
                await asyncio.sleep(0.01)


async def test_good_ones_are_put_in_force_and_bad_ones_are_told(tmp_path: Path) -> None:
    """Each with what it changed; a bad one leaves all as it was, and names every problem there is."""
    side = Side(tmp_path)
    await side.reloading.start()
    side.write(2)
    assert await side.reloading.ask("test") == Outcome(str(side.file), ("timeouts.total",))
    side.key.write_text("sk-2")
    assert await side.reloading.ask("test") == Outcome(str(side.file), files=("upstreams.a.api_key_file",))
    side.file.write_text("timeouts: {total: x}\nlisten: y\n")
    outcome = await side.reloading.ask("test")
    assert [(problem.path, problem.line) for problem in outcome.problems] == [("timeouts.total", 1), ("listen", 2)]
    view = side.reloading.describe()
    assert (view.problems, view.is_stale, side.is_good) == (outcome.problems, True, False)
    side.file.write_text("timeouts: {total: 3s}\nadmin: {tok")
    assert len((await side.reloading.ask("test")).problems) == 1
    side.write(2, tmp_path / "none", "admin: {token_file: /nowhere/token}\nprices: {file: /nowhere/prices}\n")
    assert [problem.path for problem in (await side.reloading.ask("test")).problems] == [
        "upstreams.a.api_key_file", "admin.token_file", "prices.file",
    ]  # fmt: skip
    side.file.unlink()
    (gone,) = (await side.reloading.ask("test")).problems
    assert gone.path == str(side.file) and "No such file" in gone.found
    assert side.totals == [(2.0, "sk-1"), (2.0, "sk-2")]
    side.write(2)
    assert await side.reloading.ask("test") == Outcome(str(side.file))
    view = side.reloading.describe()
    assert (view.problems, view.is_stale, view.source, side.is_good) == ((), False, str(side.file), True)
    await side.reloading.stop()


async def test_what_waits_for_a_restart_is_told_until_it_is_put_back(tmp_path: Path) -> None:
    """The value in force stays, also where only the content of a file is another."""
    side = Side(tmp_path)
    await side.reloading.start()
    side.write(2, more="listen: 127.0.0.1:1\nlimits: {labels: 7}\n")
    for changed in (("timeouts.total",), ()):
        assert await side.reloading.ask("test") == Outcome(str(side.file), changed, held=("listen", "limits.labels"))
        assert side.reloading.describe().held == ("listen", "limits.labels")
    assert side.in_force[-1][0].listen == Settings().listen and side.is_good
    side.write(2)
    assert (await side.reloading.ask("test")).held == side.reloading.describe().held == ()
    await side.reloading.stop()


async def test_the_files_of_held_settings_are_compared_with_those_at_the_start(tmp_path: Path) -> None:
    """A password of Redis that was changed waits as its path would."""
    side = Side(tmp_path)
    password = tmp_path / "password"
    password.write_text("one")
    side.write(1, more=f"redis: {{url: 'redis://r', password_file: {password}}}\n")
    settings = load(str(side.file), {}).settings
    parts = side.reloading
    side.reloading = Reloading(
        str(side.file), str(side.file), side.load, settings, look_at(str(side.file), settings), side.prepare, SystemClock(),
        ReloadAnnouncements(side.meter, EventLog("info")),
    )  # fmt: skip
    await parts.stop()
    await side.reloading.start()
    for text, held in (("two", ("redis.password_file",)), ("two", ("redis.password_file",)), ("one", ())):
        password.write_text(text)
        assert await side.reloading.ask("test") == Outcome(str(side.file), held=held)
    await side.reloading.stop()


async def test_a_volume_that_is_turned_while_it_is_read_is_read_again(tmp_path: Path) -> None:
    """Never the settings of one and the key of the other, whenever the link is turned."""
    side = Side(tmp_path)
    for name, total in (("one", 2), ("two", 3)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "key").write_text(f"sk-{name}")
        (tmp_path / name / "sidecar.yaml").write_text(GOOD.format(total=total, key=tmp_path / "key", reload=side.reload))
    for name in ("sidecar.yaml", "key"):
        (tmp_path / name).unlink()
        (tmp_path / name).symlink_to(f"..data/{name}")

    def turn(name: str) -> None:
        (tmp_path / "..tmp").symlink_to(name)
        (tmp_path / "..tmp").rename(tmp_path / "..data")

    turn("one")
    await side.reloading.start()
    turned: list[str] = []

    def turn_once() -> None:
        if not turned:
            turned.append("two")
            turn("two")

    side.hooks.append(turn_once)
    assert (await side.reloading.ask("test")).changed == ("timeouts.total",)
    assert side.totals == [(3.0, "sk-two")]
    load_as_ever = side.load

    def load_and_turn(file: str | None) -> Loaded:
        loaded = load_as_ever(file)
        if len(turned) == 1:
            turned.append("one")
            turn("one")
        return loaded

    side.reloading._load = load_and_turn  # between the settings and the key
    await side.reloading.ask("test")
    assert side.totals[1:] == [(2.0, "sk-one")]
    await side.reloading.stop()


async def test_files_that_never_stand_still_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a few tries, with nothing put in force; a bad one that was only being written is read again."""
    monkeypatch.setattr(reloading, "_PAUSE_S", 0.001)
    side = Side(tmp_path)
    await side.reloading.start()
    side.hooks.append(lambda: side.key.write_text(f"sk-{os.urandom(4).hex()}") and None)
    (problem,) = (await side.reloading.ask("test")).problems
    assert "change while they are read" in problem.found and side.totals == []
    side.hooks.clear()
    half = [True]

    def load_half(file: str | None) -> Loaded:
        if half:
            half.clear()
            side.write(5)
            raise ConfigError("x", [ConfigProblem("x", "half a file", "a whole one")])
        return load(file, {})

    side.reloading._load = load_half
    assert (await side.reloading.ask("test")).problems == () and side.totals[-1][0] == 5.0
    await side.reloading.stop()


async def test_requests_meanwhile_share_the_next_one(tmp_path: Path) -> None:
    """It may read what the one in progress has not; they never overlap."""
    side = Side(tmp_path)
    await side.reloading.start()
    go, busy = asyncio.Event(), [0, 0]

    async def hold() -> None:
        busy[0] += 1
        busy[1] = max(busy)
        await go.wait()
        busy[0] -= 1

    side.hooks.append(hold)
    side.write(2)
    first = spawn(side.reloading.ask("test"), name="test")
    await side.until(lambda: busy[0] == 1)
    side.hooks[:] = [lambda: None]
    side.write(3)
    others = [spawn(side.reloading.ask("test"), name="test") for _ in range(5)]
    await asyncio.sleep(0.05)
    others[0].cancel()
    go.set()
    assert (await first).changed == ("timeouts.total",)
    assert {(await other).changed for other in others[1:]} <= {("timeouts.total",), ()}
    assert side.totals[-1] == (3.0, "sk-1") and len(side.totals) == 2 and busy == [0, 1]
    await side.reloading.stop()


async def test_changes_of_files_are_taken(tmp_path: Path) -> None:
    """Once they have settled, of the configuration and of what it names; what is bad is tried once, and again when its files are there."""
    side = Side(tmp_path, watch=True)
    await side.reloading.start()
    side.write(2)
    await side.until(lambda: side.totals == [(2.0, "sk-1")])
    side.key.write_text("sk-2")
    await side.until(lambda: side.totals[-1] == (2.0, "sk-2"))
    side.write(3, tmp_path / "later")
    await side.until(lambda: not side.is_good)
    tried = side.loads
    await asyncio.sleep(0.4)
    assert side.loads == tried and side.reloading.describe().problems[0].path == "upstreams.a.api_key_file"
    (tmp_path / "later").write_text("sk-3")
    await side.until(lambda: side.totals[-1] == (3.0, "sk-3"))
    assert side.is_good and side.reloading.describe().problems == ()
    side.file.unlink()
    await side.until(lambda: not side.is_good)
    side.write(3, tmp_path / "later")
    await side.until(lambda: side.is_good)
    await side.reloading.stop()


async def test_what_changed_while_it_started_is_taken(tmp_path: Path) -> None:
    """Between reading and watching nothing is lost."""
    side = Side(tmp_path, watch=True)
    side.write(2)
    await side.reloading.start()
    await side.until(lambda: side.totals == [(2.0, "sk-1")])
    await side.reloading.stop()


async def test_without_watching_files_are_judged_and_not_taken(tmp_path: Path) -> None:
    """What is on disk is told to be good, or not, or another; in force is what was."""
    side = Side(tmp_path)
    await side.reloading.start()
    side.write(2)
    await side.until(lambda: side.reloading.describe().is_stale)
    side.key.unlink()
    await side.until(lambda: bool(side.reloading.describe().problems))
    assert not side.reloading.describe().is_watched and side.is_good
    side.key.write_text("sk-1")
    await side.until(lambda: not side.reloading.describe().problems)
    side.write(1)
    await side.until(lambda: not side.reloading.describe().is_stale)
    assert side.totals == []
    await side.reloading.stop()


async def test_a_fault_of_our_own_harms_nothing(tmp_path: Path) -> None:
    """It is told by its kind; whatever is asked for afterwards works as ever."""
    side = Side(tmp_path)
    await side.reloading.start()
    side.hooks.append(lambda: {}["sk-secret"])
    (problem,) = (await side.reloading.ask("test")).problems
    assert "KeyError" in problem.found and "secret" not in str(problem) and not side.is_good
    side.hooks.clear()
    assert (await side.reloading.ask("test")).problems == () and side.is_good
    await side.reloading.stop()


async def test_a_pipe_is_read_once(tmp_path: Path) -> None:
    """What is left in it would be taken for a configuration with nothing in it."""
    side = Side(tmp_path)
    await side.reloading.start()
    side.file.unlink()
    os.mkfifo(side.file)
    (problem,) = (await asyncio.wait_for(side.reloading.ask("test"), 5)).problems
    assert "pipe" in problem.found and side.totals == []
    await side.reloading.stop()


async def test_without_a_file_what_settings_name_is_read_anew(tmp_path: Path) -> None:
    """And a file that has come is the configuration from then on."""
    side = Side(tmp_path)
    settings = replace(load(str(side.file), {}).settings, reload=Reload(watch=False))
    loaded = [Loaded(settings, {}, "nothing")]
    made = Reloading(
        None, "nothing", lambda file: loaded[0] if file is None else load(file, {}), settings, look_at(None, settings), side.prepare,
        SystemClock(), ReloadAnnouncements(side.meter, EventLog("info")),
    )  # fmt: skip
    await made.start()
    side.key.write_text("sk-2")
    assert await made.ask("test") == Outcome("nothing", files=("upstreams.a.api_key_file",))
    assert side.totals[-1][1] == "sk-2"
    loaded[0] = load(str(side.file), {})
    assert (await made.ask("test")).source == str(side.file)
    side.write(9)
    assert (await made.ask("test")).changed == ("timeouts.total",)
    await made.stop()


async def test_a_stop_ends_what_is_being_prepared(tmp_path: Path) -> None:
    """Whoever asked is told; nothing is put in force any more."""
    side = Side(tmp_path)
    await side.reloading.start()
    side.hooks.append(lambda: asyncio.sleep(60))
    asking = spawn(side.reloading.ask("test"), name="test")
    await side.until(lambda: side.loads > 1)
    await asyncio.sleep(0.05)
    await asyncio.wait_for(side.reloading.stop(), 5)
    for outcome in (await asking, await side.reloading.ask("test")):
        assert "stops" in outcome.problems[0].found
    assert side.totals == []
