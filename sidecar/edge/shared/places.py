"""Which server is asked for a key: the one there is, or that of a cluster which has the key's slot.

A cluster's table of slots is fetched anew, in the background and at most once a second, whenever a server says that a slot has
moved, or does not answer: after a failover its slots are somewhere else. Until then MOVED and ASK lead the way.
Source: Redis cluster specification.
"""

import asyncio
from binascii import crc_hqx
from collections.abc import Callable, Sequence
from typing import Any, Final

from sidecar.edge.shared.node import Node
from sidecar.edge.shared.wire import ASK, CLUSTER_DOWN, LATE, MOVED, READ_ONLY, REFUSED, Address, Failure
from sidecar.edge.tasks import spawn
from sidecar.ports import Clock

SLOTS: Final = 16384
_REFRESH_S: Final = 1.0  # between two looks at the table, and for one server to tell it
_NODES_MAX: Final = 1000  # the specification's own bound; what claims more is no cluster
_STALE: Final = frozenset({MOVED, LATE, REFUSED, CLUSTER_DOWN, READ_ONLY})  # after these the table may be wrong


def find_slot(key: str) -> int:
    """Return the slot of a key: of what stands in its first pair of braces, where that is not empty."""
    data = key.encode()
    start = data.find(b"{")
    end = data.find(b"}", start + 1) if start >= 0 else -1
    return crc_hqx(data[start + 1 : end] if end > start + 1 else data, 0) % SLOTS


class Places:
    """The servers that are known, and who of them has what."""

    def __init__(self, seed: Address, make: Callable[[Address], Node], clock: Clock, *, is_cluster: bool) -> None:
        self._seed = seed
        self._make = make
        self._clock = clock
        self._is_cluster = is_cluster
        self._first = make(seed)
        self._nodes: dict[Address, Node] = {seed: self._first}
        self._table: list[Node] = []
        self._refresh_at = float("-inf")
        self._refreshing: asyncio.Task[None] | None = None

    @property
    def nodes(self) -> Sequence[Node]:
        """Return every server that is known."""
        return list(self._nodes.values())

    def place(self, key: str) -> Node:
        """Return who is asked for a key."""
        return self._table[find_slot(key)] if self._table else self._first

    def redirect(self, failure: Failure, asked: Node) -> Node | None:
        """Return whom to ask instead after a failure of `asked`; None where there is nobody else."""
        if not self._is_cluster:
            return None
        if failure.problem in _STALE:
            self.refresh()
        if failure.target is None or failure.problem not in (MOVED, ASK):
            return None
        node = self._find(Address(failure.target.host or asked.address.host, failure.target.port))
        if failure.problem == MOVED and self._table and 0 <= failure.slot < SLOTS:
            self._table[failure.slot] = node
        return node

    def refresh(self) -> None:
        """Fetch a cluster's table of slots, in the background, unless that was done just now."""
        now = self._clock.now()
        if self._is_cluster and now >= self._refresh_at and self._refreshing is None:
            self._refresh_at = now + _REFRESH_S
            self._refreshing = spawn(self._refresh(), name="shared")

    async def close(self) -> None:
        """Close all connections."""
        if self._refreshing is not None:
            self._refreshing.cancel()
        for node in self.nodes:
            await node.close()

    def _find(self, address: Address) -> Node:
        node = self._nodes.get(address)
        if node is None:
            node = self._nodes[address] = self._make(address)
        return node

    async def _refresh(self) -> None:
        try:
            for node in sorted(self.nodes, key=lambda node: node.is_up is not True):
                answer = await node.ask(("CLUSTER", "SLOTS"), self._clock.now() + _REFRESH_S)
                ranges = read_table(answer, node.address.host)
                if ranges is not None:
                    await self._take(ranges)
                    return
            if self._seed not in self._nodes:  # all that are known are gone: begin again
                self._first = self._find(self._seed)
        finally:
            self._refreshing = None

    async def _take(self, ranges: Sequence[tuple[int, int, Address]]) -> None:
        """Take over a table; servers that are in it no more are let go."""
        table = [self._find(ranges[0][2])] * SLOTS
        for first, last, address in ranges:
            table[first : last + 1] = [self._find(address)] * (last + 1 - first)
        self._table = table
        self._first = table[0]
        named = {address for _, _, address in ranges}
        for address in self._nodes.keys() - named:
            await self._nodes.pop(address).close()


def read_table(answer: Any, host: str) -> list[tuple[int, int, Address]] | None:
    """Return (first slot, last slot, primary) of each range that CLUSTER SLOTS tells of; None where it is none.

    `host`: of who tells; that is what an empty or unknown one stands for.
    """
    if not isinstance(answer, list) or not 0 < len(answer) <= SLOTS:
        return None
    found = []
    try:
        for first, last, (name, port, *_), *_ in answer:
            text = (name or b"").decode("ascii")
            if not (0 <= first <= last < SLOTS and 0 < port < 65536):
                return None
            found.append((int(first), int(last), Address(host if text in ("", "?") else text, int(port))))
    except (TypeError, ValueError, AttributeError):
        return None
    return found if len({address for _, _, address in found}) <= _NODES_MAX else None
