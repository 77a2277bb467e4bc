"""What the path needs from outside, as Protocols. The edge provides them; `app` introduces both."""

from typing import Protocol

from sidecar.config import Upstream
from sidecar.errors import ErrorKind
from sidecar.exchange import Asked, Call, Header, Headers, Record, Seen


class Clock(Protocol):
    """The only source of time. Everything in core takes what these return as an argument."""

    def now(self) -> float:
        """Seconds on the monotonic clock of the event loop."""
        ...

    def wall_ns(self) -> int:
        """Nanoseconds since the epoch."""
        ...


class Sink(Protocol):
    """One reader of sealed records. Synchronous; must not raise; what is slow it queues itself."""

    def observe(self, record: Record) -> None:
        """Take note of one exchange that has ended."""
        ...


class Dialect(Protocol):
    """One wire format: how to read it, and how to speak it when we must answer ourselves."""

    name: str
    operation: str  # gen_ai.operation.name; "http" for traffic that is not understood

    def ask(self, body: bytes) -> Asked:
        """Peek at a whole request body. Never raises."""
        ...

    def read_whole(self, body: bytes, seen: Seen) -> None:
        """Note what a complete, decoded, unstreamed answer says. May raise on garbage."""
        ...

    def read_event(self, event: bytes, seen: Seen, now: float) -> None:
        """Note what the data of one stream event says, arrived at `now`. May raise on garbage."""
        ...

    def refusal(self, kind: ErrorKind, message: str) -> bytes:
        """The JSON body of an answer of our own."""
        ...

    def stream_error(self, kind: ErrorKind, message: str) -> bytes:
        """Bytes that tell a client within a stream that it broke off; b"" where the form has none."""
        ...


class Observer(Protocol):
    """Reads one answer's body as it passes, in whatever pieces it comes."""

    seen: Seen

    def feed(self, data: bytes, now: float) -> None:
        """Read the next piece, arrived at `now`. May raise: the relay then switches it off."""
        ...

    def finish(self, now: float) -> None:
        """The body ended, wholly or not."""
        ...


class Head(Protocol):
    """A response head as it came from the upstream."""

    status: int
    reason: bytes
    headers: list[Header]


__all__ = ["Asked", "Call", "Clock", "Dialect", "Head", "Header", "Headers", "Observer", "Sink", "Upstream"]
