"""Names to addresses, remembered for a while (P5).

One lookup per name is under way at a time, and belongs to nobody: a caller that leaves does not
take it along. When a name is due again and cannot be resolved, or not soon, its last addresses stay
in use (RFC 8767): a dead resolver must not take a running service down.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any, Final, NamedTuple

from sidecar.config import Dns
from sidecar.edge.tasks import spawn
from sidecar.errors import UNRESOLVED, UpstreamFault

# For so long a new answer is waited for where there is an old one (RFC 8767 section 5 suggests 1.8 s).
_STALE_AFTER_S: Final = 1.0

AddressInfo = tuple[socket.AddressFamily, socket.SocketKind, int, str, Any]
Lookup = Callable[[str, int], Awaitable[list[AddressInfo]]]


class _Entry(NamedTuple):
    addresses: list[AddressInfo]
    due: float


async def look_up(host: str, port: int) -> list[AddressInfo]:
    """Ask the system's resolver (getaddrinfo)."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(found)


class Resolver:
    """A bounded cache in front of the system's resolver."""

    def __init__(self, settings: Dns, lookup: Lookup = look_up) -> None:
        self._settings = settings
        self._lookup = lookup
        self._entries: dict[tuple[str, int], _Entry] = {}
        self._under_way: dict[tuple[str, int], asyncio.Task[list[AddressInfo]]] = {}

    def adopt(self, settings: Dns, now: float) -> None:
        """Remember so many names for so long from now on: what is known already, too."""
        self._settings = settings
        latest = now + settings.ttl
        kept = list(self._entries.items())[max(0, len(self._entries) - settings.names) :]
        self._entries = {key: entry._replace(due=min(entry.due, latest)) for key, entry in kept}

    async def resolve(self, host: str, port: int, now: float) -> list[AddressInfo]:
        """Return the addresses of `host`. Raises UpstreamFault(upstream_unresolved)."""
        key = (host, port)
        entry = self._entries.get(key)
        if entry is not None and now < entry.due:
            return entry.addresses
        task = self._under_way.get(key)
        if task is None:
            task = spawn(self._ask(host, port, now), name=f"resolve {host}")
            self._under_way[key] = task
            task.add_done_callback(lambda _: self._under_way.pop(key, None))
        try:
            if entry is None:
                return await asyncio.shield(task)
            done, _ = await asyncio.wait((task,), timeout=_STALE_AFTER_S)
            return task.result() if done else entry.addresses
        except OSError as error:
            raise UpstreamFault(UNRESOLVED, f"{host}: {error.strerror or 'name resolution failed'}") from None

    async def _ask(self, host: str, port: int, now: float) -> list[AddressInfo]:
        key = (host, port)
        try:
            addresses = await self._lookup(host, port)
        except (OSError, UnicodeError) as error:
            stale = self._entries.get(key)
            if stale is None:
                raise error if isinstance(error, OSError) else OSError(0, "not a valid host name") from None
            addresses = stale.addresses
        if key not in self._entries and len(self._entries) >= self._settings.names:
            self._entries.pop(next(iter(self._entries)))
        self._entries[key] = _Entry(addresses, now + self._settings.ttl)
        return addresses
