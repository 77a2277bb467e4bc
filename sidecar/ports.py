"""What the path needs from outside, as Protocols. The edge provides them; `app` introduces both."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

from sidecar.core.admit.rates import Verdict
from sidecar.core.attempt.answer_head import AnswerHead, Framing
from sidecar.core.attempt.deadlines import Deadlines
from sidecar.core.observe.contract import BodyFilter, Observer
from sidecar.core.observe.contract import Dialect as Dialect
from sidecar.core.observe.sessions import SessionObserver
from sidecar.errors import ErrorKind, Fault
from sidecar.exchange import Call, Departure, Record


class Clock(Protocol):
    """The only source of time. Everything in core takes what these return as an argument."""

    def now(self) -> float:
        """Return seconds on the monotonic clock of the event loop."""
        ...

    def wall_ns(self) -> int:
        """Return nanoseconds since the epoch."""
        ...


class Sink(Protocol):
    """One reader of sealed records. Synchronous; must not raise; what is slow it queues itself."""

    def observe(self, record: Record) -> None:
        """Take note of one exchange that has ended."""
        ...


class Witness(Protocol):
    """Who is told of what no record tells, or not before its end."""

    def note_rejected(self, upstream: str) -> None:
        """A call was not let through by the circuit breaker of `upstream`."""
        ...

    def note_retry_after(self, problem: str) -> None:
        """A pause that an upstream asked for was not given."""
        ...

    def note_budget_exhausted(self) -> None:
        """A failure was passed on because the retry budget is spent."""
        ...

    def note_hedge_refused(self) -> None:
        """A hedge was due and not made."""
        ...


class Level(Protocol):
    """A number that goes up and down: calls in flight."""

    value: float

    def inc(self) -> None:
        """Add one."""
        ...

    def dec(self) -> None:
        """Take one away."""
        ...


class Receiver(asyncio.Protocol):
    """Whoever takes what a connection brings that is HTTP no more."""

    heard_at: float = 0.0  # when something came last, from whichever side; on the monotonic clock

    def drain(self) -> None:
        """We are stopping: end as soon as nothing is lost by it."""


class Handover(NamedTuple):
    """A connection that is HTTP no more: bytes pass to a receiver of its own from here on."""

    transport: asyncio.Transport
    rest: bytes  # what had come already
    is_full: bool  # its write buffer is: the receiver was not told
    told: asyncio.Protocol  # who must be told when the connection is gone


class Client(Protocol):
    """The caller's side of one exchange."""

    @property
    def call(self) -> Call:
        """What came in."""
        ...

    @property
    def gone(self) -> bool:
        """Whether the caller has closed its connection."""
        ...

    @property
    def fault(self) -> Fault | None:
        """Why no more of the answer can be taken, where that is our doing; whoever carries the call is cancelled then."""
        ...

    def take_body(self, bytes_max: int) -> bytes | None:
        """Return the request's body if all of it is here already and no longer than `bytes_max`."""
        ...

    async def read_body(self, bytes_max: int) -> tuple[bytes, bool]:
        """Return the request's body and whether it is whole: False if there is more than `bytes_max`."""
        ...

    async def read_more(self) -> bytes:
        """Return the next piece of a body that was not whole, b"" at its end."""
        ...

    @property
    def write(self) -> Callable[[bytes], None]:
        """Send bytes to the caller."""
        ...

    def watch(self, pause: Callable[[], None] | None, go_on: Callable[[], None] | None) -> None:
        """Call `pause` when the caller reads too slowly and `go_on` when it has caught up."""
        ...

    def outlast(self) -> None:
        """This call has no end of its own: when the sidecar stops, nothing waits for it."""
        ...

    def finish(self, *, keep: bool) -> None:
        """The answer has been written to its end; `keep`: the connection may carry another call."""
        ...

    def break_off(self, *, unmistakably: bool) -> None:
        """Close without an end. `unmistakably`: a plain close would look like one, so reset."""
        ...


@runtime_checkable
class Upgradable(Protocol):
    """A caller's side that has a connection of its own, which can become something else: an entry of a batch has none."""

    def hand_over(self, receiver: Receiver) -> Handover:
        """Give the connection away: HTTP ends here."""
        ...


class Tunnel(Protocol):
    """Two connections joined to one: each gets every byte of the other."""

    observer_failed: bool

    @property
    def request_bytes(self) -> int:
        """Bytes from the client."""
        ...

    @property
    def sent_bytes(self) -> int:
        """Bytes to the client."""
        ...

    def until_closed(self) -> Awaitable[Departure]:
        """Wait until both connections are closed; return who left first."""
        ...

    def dismiss(self, departure: Departure, kind: ErrorKind) -> None:
        """Tell both ends that we leave, and why, and close."""
        ...


class Answer(Protocol):
    """One attempt: a request on a connection, and the answer on its way to the client."""

    connected_at: float
    sent_at: float | None
    head_at: float | None
    first_byte_at: float | None
    last_at: float
    sent_bytes: int
    reused: bool
    observer_failed: bool

    @property
    def ended(self) -> bool:
        """Whether the answer is whole."""
        ...

    @property
    def answering(self) -> bool:
        """Whether a head has come, or never will."""
        ...

    def start(self, method: str, data: bytes, *, whole: bool, upgrades: bool = False) -> None:
        """Send the request, or its beginning if it is not `whole`. `upgrades`: it may be answered with 101."""
        ...

    async def send_more(self, data: bytes) -> None:
        """Send another piece of the request's body."""
        ...

    def end_request(self, data: bytes) -> None:
        """Send the last bytes of a streamed request body."""
        ...

    async def until_head(self) -> AnswerHead:
        """Wait for the response head. Raises UpstreamFault."""
        ...

    async def preview(self, observer: Observer, bytes_max: int, due: float, *, whole: bool) -> bytes:
        """Wait until what has come tells what the answer is worth, and return it; nothing is sent on yet.

        That is its end, `bytes_max` of it, or unless it is wanted `whole` a first token, an error or the form's own end.
        `observer` sees it, and is the one to commit with. At `due`, seconds on the clock, it is given up. Raises UpstreamFault.
        """
        ...

    def commit(
        self, client: Client, head: bytes, framing: Framing, observer: Observer | None, body_filter: BodyFilter | None, *, ends_itself: bool
    ) -> None:
        """Send the head on, and from now on each piece of the body as it comes.

        `ends_itself`: the end too; otherwise whoever judges the answer writes it.
        """
        ...

    def open_tunnel(self, client: Upgradable, head: bytes, observer: SessionObserver, idle_s: float) -> Tunnel:
        """Send the head of a 101 on, and from now on all bytes in both directions. Raises UpstreamFault."""
        ...

    def until_end(self) -> Awaitable[None]:
        """Wait until the answer is whole. Raises UpstreamFault if it broke off."""
        ...

    def release(self) -> None:
        """Let go of the connection; close it if the answer is not whole."""
        ...


class Reach(Protocol):
    """The way to the upstreams."""

    async def reach(self, name: str, deadlines: Deadlines, *, fresh: bool) -> Answer:
        """Return an attempt on a connection to the upstream `name`; nothing is sent yet. Raises Fault."""
        ...


class Script(NamedTuple):
    """A program that the shared place runs as one step, undivided."""

    name: str
    text: str  # Lua; reads KEYS and ARGV


class SharedRunner(Protocol):
    """The place where several sidecars agree: they count there what is counted for all of them."""

    @property
    def is_away(self) -> bool:
        """Whether it is left alone for now because it did not answer: `run` would return None at once."""
        ...

    async def run(self, script: Script, keys: Sequence[str], args: Sequence[str | int | float]) -> list[Any] | None:
        """Run `script` on `keys` and return its answer; None where it is away, fails, or is late. Raises nothing but CancelledError.

        An answer that is no list comes as the only item of one. Text comes as bytes. In a cluster all `keys` must be in one slot:
        give them the same {hash tag}. None does not say that the script did not run.
        """
        ...


class SharedRates(Protocol):
    """Limits that several sidecars keep together."""

    async def admit(self, account: str, tokens: int) -> Verdict | None:
        """Take one call and so many tokens from all limits, or nothing from any; None where it is away, or late: it may have counted."""
        ...

    def correct(self, account: str, estimated: int, actual: int, admitted_at: float) -> None:
        """Put right how many tokens a call used, in the background. `admitted_at`: the verdict's, on the clock of the shared place."""
        ...
