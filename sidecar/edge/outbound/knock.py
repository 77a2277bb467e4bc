"""One request to an upstream outside of its pool: is anybody there, and what is the status of the answer."""

import asyncio
from collections.abc import Callable

from sidecar.core.attempt.answer_head import AnswerHead
from sidecar.edge.outbound.connection import Connection
from sidecar.edge.outbound.dial import Dialler
from sidecar.errors import FIRST_BYTE_TIMEOUT, UPSTREAM_RESET, ErrorKind, UpstreamFault


async def knock(dialler: Dialler, request: bytes, now: Callable[[], float], *, head_bytes_max: int, timeout_s: float) -> int | None:
    """Return the status of the answer to `request`, a whole GET, or None after connecting where it is empty.

    Raises UpstreamFault within `timeout_s` seconds. The connection is closed in any case, the answer's body unread.
    """
    visitor = _Visitor()
    began = now()
    connection = await dialler.dial(lambda: Connection(visitor, head_bytes_max, now()), began, timeout_s)
    try:
        if connection.lost:
            raise UpstreamFault(UPSTREAM_RESET, "the new connection was closed at once")
        if not request:
            return None
        connection.send("GET", request, visitor, whole=True)
        async with asyncio.timeout(timeout_s - (now() - began)):
            return await visitor.until_head()
    except TimeoutError:
        raise UpstreamFault(FIRST_BYTE_TIMEOUT, f"no answer within {timeout_s:g} s") from None
    finally:
        connection.abort()


class _Visitor:
    """Waits for a head (telling.Listener); nobody keeps its connection (telling.Keeper)."""

    def __init__(self) -> None:
        self._status: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def until_head(self) -> int:
        return await self._status

    def on_head(self, head: AnswerHead) -> None:
        if not self._status.done():
            self._status.set_result(head.status)

    def on_body(self, data: bytes) -> None:
        """Nobody reads it."""

    def on_end(self) -> None:
        """The head has come before."""

    def on_lost(self, kind: ErrorKind, detail: str) -> None:
        if not self._status.done():
            self._status.set_exception(UpstreamFault(kind, detail))

    def take_back(self, connection: Connection, *, reusable: bool) -> None:
        """It is closed by whoever knocked."""

    def give_away(self, connection: Connection) -> None:
        """It is never asked to become anything else."""
