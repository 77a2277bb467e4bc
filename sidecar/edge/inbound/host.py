"""What a caller's connection needs of whoever serves it."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Protocol

from sidecar.edge.inbound.client import HttpClient

if TYPE_CHECKING:
    from sidecar.edge.inbound.connection import ClientConnection


class Host(Protocol):
    """Whoever serves the connection."""

    carry: Callable[[HttpClient], Awaitable[None]]
    refuse_malformed: Callable[[], bytes]  # notes a request that never became a call; returns a whole answer
    idle_s: float
    is_draining: bool  # each answer says that no more requests are taken on its connection
    is_dismissing: bool  # what has no end is ended
    called_at: float  # since it drains: when a call came last

    def draw_id(self) -> str:
        """Return a new request id."""
        ...

    def now(self) -> float:
        """Return seconds on the monotonic clock."""
        ...

    def wall_ns(self) -> int:
        """Return nanoseconds since the epoch."""
        ...

    def opened(self, connection: "ClientConnection") -> None:
        """A connection is there."""
        ...

    def closed(self, connection: "ClientConnection") -> None:
        """A connection is gone."""
        ...
