"""What stands in for sockets, pools and listeners in tests of the outbound side."""

import asyncio
from typing import Any

from sidecar.core.attempt.answer_head import AnswerHead
from sidecar.edge.outbound.connection import Connection
from sidecar.errors import ErrorKind


class FakeTransport(asyncio.Transport):
    """A transport that remembers what was done to it. A closed one tells its protocol when asked to `settle`."""

    def __init__(self, protocol: asyncio.BaseProtocol | None = None) -> None:
        super().__init__({})
        self.protocol = protocol
        self.written = b""
        self.closing = False
        self.aborted = False
        self.paused = False
        self.unsent_bytes = 0
        self.readable = False
        self.can_end = True  # TLS has no end of sending alone
        self.ended = False
        self.linger: object = None  # the socket option, once it was set
        self._extra["socket"] = self

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol

    def setsockopt(self, level: int, option: int, value: object) -> None:
        self.linger = value

    def fileno(self) -> int:
        return -1

    def can_write_eof(self) -> bool:
        return self.can_end

    def write_eof(self) -> None:
        assert not self.closing
        self.ended = True

    def write(self, data: Any) -> None:
        self.written += bytes(data)

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        self.closing = True

    def abort(self) -> None:
        self.closing = self.aborted = True

    def pause_reading(self) -> None:
        assert not self.paused
        self.paused = True

    def resume_reading(self) -> None:
        assert self.paused
        self.paused = False

    def get_write_buffer_size(self) -> int:
        return self.unsent_bytes


class RecordingKeeper:
    """A pool that notes what comes back to it."""

    def __init__(self) -> None:
        self.taken: list[bool] = []
        self.given_away: list[Connection] = []

    def give_away(self, connection: Connection) -> None:
        self.given_away.append(connection)

    def take_back(self, connection: Connection, *, reusable: bool) -> None:
        self.taken.append(reusable)


class RecordingListener:
    """Notes what a connection tells, in order."""

    def __init__(self) -> None:
        self.heads: list[AnswerHead] = []
        self.body = b""
        self.ends = 0
        self.lost: list[tuple[ErrorKind, str]] = []
        self.pieces = 0

    def on_head(self, head: AnswerHead) -> None:
        assert not self.heads
        assert not self.is_over
        self.heads.append(head)

    def on_body(self, data: bytes) -> None:
        assert self.heads
        assert data
        assert not self.is_over
        self.body += data
        self.pieces += 1

    def on_end(self) -> None:
        assert not self.is_over
        self.ends += 1

    def on_lost(self, kind: ErrorKind, detail: str) -> None:
        assert not self.is_over
        self.lost.append((kind, detail))

    @property
    def is_over(self) -> bool:
        return bool(self.ends or self.lost)

    @property
    def kind(self) -> ErrorKind | None:
        """The kind of loss, if it was lost."""
        return self.lost[0][0] if self.lost else None


class FakeClock:
    """A clock that stands until it is moved."""

    def __init__(self, now: float = 1000.0) -> None:
        self.time = now

    def now(self) -> float:
        return self.time

    def wall_ns(self) -> int:
        return int(self.time * 1e9)
