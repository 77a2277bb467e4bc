"""What a connection tells, and to whom: the head, pieces and end of an answer, and its own end."""

from typing import TYPE_CHECKING, Protocol

from sidecar.core.attempt.answer_head import AnswerHead
from sidecar.errors import ErrorKind

if TYPE_CHECKING:
    from sidecar.edge.outbound.connection import Connection


class Listener(Protocol):
    """Whoever waits for an answer on a connection."""

    def on_head(self, head: AnswerHead) -> None:
        """Take the head of the final response."""
        ...

    def on_body(self, data: bytes) -> None:
        """Take the next piece of the body, transfer coding removed."""
        ...

    def on_end(self) -> None:
        """The answer is whole. The connection has been let go of already."""
        ...

    def on_lost(self, kind: ErrorKind, detail: str) -> None:
        """The answer will not be whole. The connection is closed already."""
        ...


class Keeper(Protocol):
    """Whoever owns the connections: a pool."""

    def take_back(self, connection: "Connection", *, reusable: bool) -> None:
        """Take back a connection whose answer ended, or that was lost."""
        ...

    def give_away(self, connection: "Connection") -> None:
        """Count a connection no more: it lives on, and belongs to somebody else."""
        ...
