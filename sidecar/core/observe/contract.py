"""What reads traffic: a dialect knows a wire format, an observer reads one answer with it."""

from collections.abc import Callable, Mapping
from typing import Protocol

from sidecar.core.observe.tally import Tally
from sidecar.errors import ErrorKind
from sidecar.exchange import Asked, Seen


class Splitter(Protocol):
    """Takes a stream apart into events, however it was cut into pieces. Holds a bounded amount."""

    skipped: int  # events that were too long and passed unread

    @property
    def is_idle(self) -> bool:
        """Whether the next piece begins a new event, with nothing held of any other."""
        ...

    def feed(self, piece: bytes) -> list[bytes]:
        """Return the data of the events that `piece` completes. Never raises."""
        ...

    def flush(self) -> list[bytes]:
        """Return the data of a last event that only the stream's end completes. Never raises."""
        ...


class Reading(Protocol):
    """How answers of one wire format are read."""

    operation: str  # gen_ai.operation.name; "http" for traffic that is not understood
    # By media type, the streamed forms that `read_event` reads and whose proper end is known; each is made with the most
    # bytes that one event may have.
    splitters: Mapping[str, Callable[[int], Splitter]]

    def read_whole(self, body: bytes, seen: Seen) -> None:
        """Note what a complete, decoded, unstreamed answer says. May raise on garbage."""
        ...

    def read_event(self, event: bytes, seen: Seen, now: float) -> None:
        """Note what the data of one stream event says, arrived at `now`. May raise on garbage."""
        ...

    def settle(self, seen: Seen) -> None:
        """Read what `seen.running` holds: the stream is over. Never raises."""
        ...

    def outline(self, event: bytes) -> tuple[bytes, ...] | None:
        """Return what stands before and after the text of an ordinary event; None where it is not one.

        Three parts where another string after it only pads it. An event that differs from it only in those,
        each within one JSON string, says nothing that is not known already.
        """
        ...


class Dialect(Reading, Protocol):
    """One wire format: how to read it, and how to speak it when we must answer ourselves."""

    name: str

    def ask(self, body: bytes, path: str) -> Asked:
        """Peek at a whole request body; `path` is the one received, without query. Never raises."""
        ...

    def refusal(self, kind: ErrorKind, message: str, asked: Asked) -> bytes:
        """Return the JSON body of an answer of our own."""
        ...

    def stream_error(self, kind: ErrorKind, message: str, asked: Asked, media_type: str) -> bytes:
        """Return bytes that tell a client within a stream that it broke off; b"" where the form has none."""
        ...


class SessionDialect(Dialect, Protocol):
    """One form of messages over a WebSocket, both ways."""

    reads_binary: bool  # events come in binary messages, too

    def read_query(self, query: str) -> str | None:
        """Return the model that a handshake's query asks for. It may hold secrets: nothing else of it is kept."""
        ...

    def read_client(self, message: bytes, tally: Tally) -> None:
        """Note what a message of the client says. Never raises."""
        ...

    def read_server(self, message: bytes, tally: Tally) -> None:
        """Note what a message of the server says. Never raises."""
        ...


class Observer(Protocol):
    """Reads one answer's body as it passes, in whatever pieces it comes."""

    seen: Seen

    @property
    def skipped(self) -> str | None:
        """Why the answer, or a part of it, passed unread: "encoding", "too_large", "corrupt", "not_json"."""
        ...

    @property
    def ended_well(self) -> bool | None:
        """Whether the form's own end was seen; None where the form, or what was read of it, cannot tell."""
        ...

    def feed(self, data: bytes, now: float) -> None:
        """Read the next piece, arrived at `now`. May raise: the relay then switches it off."""
        ...

    def finish(self, now: float) -> None:
        """Note that the body ended, wholly or not."""
        ...


class BodyFilter(Protocol):
    """Takes out of an answer what is in it only because we asked for it."""

    def feed(self, data: bytes) -> bytes:
        """Return what may be sent on after `data`."""
        ...

    def flush(self) -> bytes:
        """Return what is still held back, at the end."""
        ...
