"""A sidecar as a process: how it starts, stops and ends. With real signals it is seen in the end-to-end tests."""

import asyncio
from typing import Any

import pytest

from sidecar import process
from sidecar.core.settings.resolution import Loaded
from sidecar.process import run, serve
from tests.test_app import settings_for


class Signals:
    """The signals that somebody sends."""

    def __init__(self, *, at_once: bool = False) -> None:
        self.limits: list[float] = []
        self.ends: list[float] = []
        self.stop = asyncio.Event()
        self._at_once = at_once

    def attend(self, limit_s: Any) -> asyncio.Event:
        self.limits.append(limit_s())
        if self._at_once:
            self.stop.set()
        else:
            asyncio.get_running_loop().call_later(0.3, self._tell, limit_s)
        return self.stop

    def attend_hangups(self) -> asyncio.Event:
        return asyncio.Event()

    def end_within(self, seconds: float) -> None:
        self.ends.append(seconds)

    def _tell(self, limit_s: Any) -> None:
        self.limits.append(limit_s())
        self.stop.set()


def test_running_returns_what_main_returns() -> None:
    """The exit code goes through."""

    async def main() -> int:
        return 7

    assert run(main()) == 7


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the memory and the log of this process as they are."""
    monkeypatch.setattr(process, "_settle_memory", lambda: None)
    monkeypatch.setattr(process, "set_up", lambda log, stream: process.EventLog(log.level))


@pytest.mark.usefixtures("quiet")
def test_it_serves_until_it_is_told_to_stop() -> None:
    """Then it has its grace and less than three seconds; before it was ready only those; at the end nothing is waited for."""
    signals: Any = Signals()
    assert serve(Loaded(settings_for(), {}, "a test"), signals) == 0
    starting_s, running_s = signals.limits
    assert 0.2 <= running_s - starting_s < 0.21
    assert starting_s < 3.0 and len(signals.ends) == 1


@pytest.mark.usefixtures("quiet")
def test_it_is_told_to_stop_while_it_starts() -> None:
    """What it has opened is closed, and that is a good end."""
    signals: Any = Signals(at_once=True)
    assert serve(Loaded(settings_for(), {}, "a test"), signals) == 0
