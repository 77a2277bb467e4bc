"""The event loop a sidecar runs on."""

import asyncio
import sys

import pytest

from sidecar.edge import loop


async def name_loop() -> str:
    """Return where the running loop comes from."""
    return type(asyncio.get_running_loop()).__module__.partition(".")[0]


def test_it_is_uvloop_where_that_is_installed() -> None:
    """What `main` returns is returned."""
    pytest.importorskip("uvloop")
    assert loop.run(name_loop()) == "uvloop"


def test_without_uvloop_asyncio_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    """A platform without uvloop is served all the same."""
    monkeypatch.setitem(sys.modules, "uvloop", None)
    assert loop.run(name_loop()) == "asyncio"


def test_what_main_raises_comes_out() -> None:
    """A failure to start is not swallowed."""

    async def fail() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        loop.run(fail())
