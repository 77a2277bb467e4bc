"""The simulated provider on a port: in this process (`start`) or as a process of its own (`serve`)."""

import asyncio
import signal
import sys
from asyncio import AbstractEventLoop
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec

from sidecar.simulator.connection import Connection
from sidecar.simulator.ledger import Ledger
from sidecar.simulator.profile import Profile, ProfileError, read_profile
from sidecar.simulator.provider import Provider

_BACKLOG: Final = 4096


class Simulator:
    """A listening simulated provider."""

    def __init__(self, profile: Profile, *, ledger: Ledger | None = None, name: str = "") -> None:
        """`ledger`: one that is kept together with other providers. `name`: of this one, in there."""
        self._connections: set[Connection] = set()
        self._provider = Provider(profile, self._tell_connections, ledger=ledger, name=name)
        self._server: asyncio.Server | None = None
        self.url = ""  # without a trailing slash; the interface is under /v1/

    @property
    def ledger(self) -> Ledger:
        """What was done so far."""
        return self._provider.ledger

    @property
    def connection_count(self) -> int:
        """Connections open now."""
        return len(self._connections)

    async def listen(self, host: str, port: int) -> None:
        """Begin to serve. Raises OSError where the address cannot be had."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Connection(self._provider, self), host, port, backlog=_BACKLOG)
        bound = self._server.sockets[0].getsockname()
        shown = f"[{bound[0]}]" if ":" in bound[0] else bound[0]
        self.url = f"http://{shown}:{bound[1]}"

    async def stop(self) -> None:
        """Close the port and break off what is under way."""
        if self._server:
            self._server.close()
        for connection in tuple(self._connections):
            connection.abort()
        if self._server:
            await self._server.wait_closed()

    def entered(self, connection: Connection) -> None:
        """A connection was made."""
        self._connections.add(connection)

    def left(self, connection: Connection) -> None:
        """A connection is gone."""
        self._connections.discard(connection)

    def _tell_connections(self) -> list[dict[str, Any]]:
        return [connection.tell() for connection in self._connections]


async def start(
    host: str = "127.0.0.1", port: int = 0, profile: Profile | None = None, seed: int | None = None, *,
    ledger: Ledger | None = None, name: str = "",
) -> Simulator:  # fmt: skip
    """Start a simulated provider within the running loop.

    Port 0 takes a free one; `seed` outranks the profile's; `ledger` and `name`: as of Simulator.
    Raises OSError where the address cannot be had.
    """
    chosen = profile or Profile()
    if seed is not None:
        chosen = msgspec.structs.replace(chosen, seed=seed)
    simulator = Simulator(chosen, ledger=ledger, name=name)
    await simulator.listen(host, port)
    return simulator


def serve(listen: str, profile: str | None) -> int:
    """Serve at `host:port` until SIGTERM or SIGINT; the profile is a file. Returns the exit code."""
    host, _, port = listen.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        print(f"simulate: {listen!r} is not host:port", file=sys.stderr)
        return 1
    try:
        chosen = read_profile(Path(profile).read_text(encoding="utf-8")) if profile else Profile()
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(_serve_until_told(host.strip("[]"), int(port), chosen))
    except (OSError, UnicodeDecodeError, ProfileError) as error:
        print(f"simulate: {f'{profile}: ' if isinstance(error, ProfileError) else ''}{error}", file=sys.stderr)
        return 1
    return 0


async def _serve_until_told(host: str, port: int, profile: Profile) -> None:
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    for each in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(each, told.set)
    simulator = await start(host, port, profile)
    print(f"simulated provider at {simulator.url}/v1 (what it did: {simulator.url}/_sim/ledger)", flush=True)
    await told.wait()
    await simulator.stop()


def _loop_factory() -> Callable[[], AbstractEventLoop]:
    """uvloop's where it is installed: half the CPU of asyncio's own."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop
    return uvloop.new_event_loop
