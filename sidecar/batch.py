"""What happens to a batch on the path: each entry is a call of its own, whose caller is played and its answer collected."""

from asyncio import current_task, gather
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from msgspec import Raw

from sidecar.config import Limits
from sidecar.core.attempt.answers import EntryAnswer, describe_answer, describe_refusal, write_batch
from sidecar.core.attempt.compose import compose_answer
from sidecar.core.identify.batch import BATCH_PATH, OWN_PATHS, read_batch, read_entry
from sidecar.core.identify.router import Match
from sidecar.core.identify.wishes import read_timeout
from sidecar.core.observe.dialects import OPAQUE
from sidecar.errands import HeldClient
from sidecar.errors import BATCH_OVERFLOW, NO_ROUTE, STREAM_CUT, TOO_LARGE, ClientFault, Fault, SidecarFault
from sidecar.exchange import Call, Ending
from sidecar.ports import Client, Clock
from sidecar.progress import Exchange

Carry = Callable[[Client], Awaitable[None]]

# An entry that is too late from the start is refused as such.
_TIMEOUT_S_MIN: Final = 0.001
# What the batch itself shows as its route; its entries show theirs.
_MATCH: Final = Match(BATCH_PATH.strip("/"), (), BATCH_PATH, OPAQUE, BATCH_PATH)


class Room:
    """How many bytes the answers of one batch may still take, together."""

    __slots__ = ("left_bytes",)

    def __init__(self, bytes_max: int) -> None:
        self.left_bytes = bytes_max


class EntryClient(HeldClient):
    """The caller's side of one entry: its body came with the batch, which was no longer than one may be (ports.Client)."""

    __slots__ = ("_cancel", "_finished", "_left_bytes", "_outer", "_pieces", "_room", "fault")

    def __init__(self, call: Call, body: bytes, outer: Client, room: Room, bytes_max: int) -> None:
        """`outer`: who sent the batch. `bytes_max`: of this answer; `room`: of all the batch's."""
        super().__init__(call, body)
        self._outer = outer
        self._room = room
        self._left_bytes = bytes_max
        self._pieces: list[bytes] = []
        self._cancel: Callable[[], object] | None = None
        self._finished = False
        self.fault: Fault | None = None  # one piece too many came (ports.Client)

    async def carried(self, carry: Carry) -> None:
        """Have this call carried to its end."""
        task = current_task()
        self._cancel = None if task is None else task.cancel
        await carry(self)

    def answer(self) -> EntryAnswer:
        """Return what came, once the call has ended."""
        if self.fault is not None:
            return describe_refusal(BATCH_OVERFLOW, BATCH_OVERFLOW.summary)
        if not self._finished:  # what came is a part, and would be taken for the whole
            return describe_refusal(STREAM_CUT, STREAM_CUT.summary)
        return describe_answer(b"".join(self._pieces))

    @property
    def gone(self) -> bool:
        """Whether the batch's caller has left (ports.Client)."""
        return self._outer.gone

    def write(self, data: bytes) -> None:
        """Keep a piece of the answer; one piece too many ends the call (ports.Client)."""
        if self.fault is not None:
            return
        self._left_bytes -= len(data)
        self._room.left_bytes -= len(data)
        if self._left_bytes >= 0 and self._room.left_bytes >= 0:
            self._pieces.append(data)
            return
        self.fault = SidecarFault(BATCH_OVERFLOW)
        self._room.left_bytes += sum(map(len, self._pieces)) + len(data)
        self._pieces.clear()
        if self._cancel is not None:
            self._cancel()

    def finish(self, *, keep: bool) -> None:
        """Note that the answer is whole (ports.Client)."""
        self._finished = True


async def carry_together(exchange: Exchange, carry: Carry, clock: Clock, limits: Limits, *, own: Sequence[bytes]) -> None:
    """Carry the entries of a batch side by side, each as a call of its own, and answer with what each of them got, in order.

    Raises Fault for what is no batch. `own`: our own response fields.
    """
    client, call = exchange.client, exchange.call
    if call.method != "POST" or call.target != BATCH_PATH:
        raise ClientFault(NO_ROUTE, f"{OWN_PATHS} is the sidecar's own; all there is is POST {BATCH_PATH}.")
    exchange.path, exchange.match = BATCH_PATH, _MATCH
    body, exchange.whole = await client.read_body(limits.body)
    exchange.request_bytes = len(body)
    if not exchange.whole:
        raise ClientFault(TOO_LARGE)
    entries = read_batch(call.headers, body, limits.batch)
    timeout_s = read_timeout(call.wanted.own)
    if timeout_s is not None:  # it began with the batch
        timeout_s = max(timeout_s - (clock.now() - call.accepted), _TIMEOUT_S_MIN)
    room = Room(limits.body)
    members = [
        _admit(entry, index, exchange, clock, timeout_s, room, limits.observed) for index, entry in enumerate(entries)
    ]  # fmt: skip
    clients = [member for member in members if isinstance(member, EntryClient)]
    # One that had to be ended in the middle must not end the others.
    await gather(*(each.carried(carry) for each in clients), return_exceptions=True)
    answers = [member.answer() if isinstance(member, EntryClient) else member for member in members]
    data, keeps = compose_answer(call, write_batch(answers), own=own)
    exchange.status, exchange.committed = 200, True
    # All at once: it is bounded by `room`, and its connection carries nothing else until the caller has taken it.
    client.write(data)
    client.finish(keep=keeps)
    exchange.ending = Ending.COMPLETED


def _admit(
    entry: Raw, index: int, exchange: Exchange, clock: Clock, timeout_s: float | None, room: Room, bytes_max: int
) -> EntryClient | EntryAnswer:
    try:
        call, body = read_entry(
            entry, index, exchange.call, exchange.trace, timeout_s, now=clock.now(), now_ns=clock.wall_ns()
        )  # fmt: skip
    except ClientFault as fault:
        return describe_refusal(fault.kind, fault.detail)
    return EntryClient(call, body, exchange.client, room, bytes_max)
