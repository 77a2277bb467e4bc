"""Connections to a Redis that is not there, and what the shared place tells of itself."""

import asyncio
from collections.abc import Callable
from typing import Any

from sidecar.edge.shared.node import Node
from sidecar.edge.shared.wire import Address, Command, Failure

_HERE = Address("a", 1)


class Notes:
    """What the place told of itself."""

    def __init__(self) -> None:
        self.outcomes: list[str] = []
        self.states: list[bool] = []
        self.damaged = 0
        self.dropped = 0

    def note_shared(self, outcome: str) -> None:
        """Take note."""
        self.outcomes.append(outcome)

    def note_damaged(self) -> None:
        """Take note."""
        self.damaged += 1

    def note_put_dropped(self) -> None:
        """Take note."""
        self.dropped += 1

    def note_state(self, is_up: bool) -> None:
        """Take note."""
        self.states.append(is_up)


class FakeLink:
    """A connection to a server that answers with what it is asked, as it is told to."""

    def __init__(self, server: "FakeServer", address: Address) -> None:
        self.server = server
        self.address = address
        self.is_closed = False
        self.is_stale = False

    async def open(self) -> Failure | None:
        """Connect."""
        self.server.opened.append(self)
        await asyncio.sleep(self.server.connect_s)
        return self.server.refusal

    async def is_usable(self) -> bool:
        """Whether it is open."""
        return not self.is_closed and not self.is_stale

    async def ask(self, command: Command, *, asking: bool) -> Any:
        """Answer."""
        assert not self.is_closed and not self.is_stale
        self.server.asked.append((*command, "ASKING") if asking else tuple(command))
        await asyncio.sleep(self.server.delay_s)
        return self.server.answer(command)

    async def close(self) -> None:
        """Close."""
        self.is_closed = True


class FakeServer:
    """One server, or all of a cluster."""

    def __init__(self) -> None:
        self.opened: list[FakeLink] = []
        self.asked: list[tuple[Any, ...]] = []
        self.connect_s = 0.0
        self.delay_s = 0.0
        self.refusal: Failure | None = None
        self.answer: Callable[[Command], Any] = lambda command: command[1]

    def make_node(self, clock: Any, *, address: Address = _HERE, lanes_max: int = 4, note: Callable[[], None] = list) -> Node:
        """Return a node that asks it."""

        def make(at: Address) -> Any:
            return FakeLink(self, at)

        return Node(address, make, lanes_max, clock, lambda: 0.0, note)
