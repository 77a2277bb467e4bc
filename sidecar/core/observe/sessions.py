"""What is read of a WebSocket session as it passes: both directions, until one of them closes."""

from typing import Final

from sidecar.core.observe.contract import SessionDialect
from sidecar.core.observe.frames import FrameReader, Message, write_close
from sidecar.core.observe.tally import Tally
from sidecar.exchange import Seen

# Of what a client sends only small messages are of interest, and unmasking costs.
_CLIENT_BYTES_MAX: Final = 256 * 1024


class SessionObserver:
    """Reads the frames of both directions for a dialect; without one, only how the session closes.

    Holds two messages at most, the server's of `message_bytes_max` bytes. Alters nothing, raises on no input.
    """

    __slots__ = ("_dialect", "_from_client", "_from_server", "closed_by_server", "tally")

    def __init__(self, dialect: SessionDialect | None, query: str, message_bytes_max: int) -> None:
        self._dialect = dialect
        bytes_max = message_bytes_max if dialect is not None else 0
        binary = dialect is not None and dialect.reads_binary
        self._from_client = FrameReader(min(bytes_max, _CLIENT_BYTES_MAX), binary=binary)
        self._from_server = FrameReader(bytes_max, binary=binary)
        self.closed_by_server: bool | None = None  # whose Close frame was first; None: there was none
        self.tally = Tally()
        if dialect is not None:
            self.tally.model = dialect.read_query(query)

    def read_client(self, data: bytes) -> None:
        """Read the next piece of what the client sends."""
        messages = self._from_client.feed(data)
        if self._dialect is not None:
            for message in messages:
                if _may_be_event(message):
                    self._dialect.read_client(message.payload, self.tally)
        if self._from_client.close_code is not None and self.closed_by_server is None:
            self.closed_by_server = False

    def read_server(self, data: bytes) -> None:
        """Read the next piece of what the server sends."""
        messages = self._from_server.feed(data)
        if self._dialect is not None:
            for message in messages:
                if _may_be_event(message):
                    self._dialect.read_server(message.payload, self.tally)
        if self._from_server.close_code is not None and self.closed_by_server is None:
            self.closed_by_server = True

    def finish(self) -> None:
        """Note that the session has ended, however it did."""
        self.tally.settle()

    @property
    def seen(self) -> Seen:
        """The sum of all answers."""
        return self.tally.seen

    @property
    def close_code(self) -> int | None:
        """The code of the first Close frame (RFC 6455 section 7.1.5), None where there was none."""
        if self.closed_by_server is None:
            return None
        return (self._from_server if self.closed_by_server else self._from_client).close_code

    @property
    def is_quiet(self) -> bool:
        """Whether no answer is in progress, as far as the form of the messages tells; False where it does not."""
        return self._dialect is not None and not self.tally.is_answering and self._from_server.is_between_frames

    @property
    def client_said_goodbye(self) -> bool:
        """Whether the client has sent its Close frame."""
        return self._from_client.close_code is not None

    @property
    def server_said_goodbye(self) -> bool:
        """Whether the server has sent its Close frame."""
        return self._from_server.close_code is not None

    @property
    def messages(self) -> tuple[int, int]:
        """Whole messages from the client and from the server."""
        return self._from_client.messages, self._from_server.messages

    @property
    def skipped(self) -> str | None:
        """Why something of what the server sent passed unread: "too_large", "corrupt"; None where nothing was to be read."""
        if self._dialect is None:
            return None
        if self._from_server.corrupt:
            return "corrupt"
        return "too_large" if self._from_server.skipped else None

    def compose_close(self, code: int, reason: str, *, key: bytes | None) -> bytes:
        """Return a Close frame of our own for the client, or with a mask's `key` for the server.

        Empty where that side has got one already, or where one would stand within another frame.
        """
        reader = self._from_server if key is None else self._from_client
        if reader.close_code is not None or not reader.is_between_frames:
            return b""
        return write_close(code, reason.encode("ascii"), key)


def _may_be_event(message: Message) -> bool:
    """Whether it may be a JSON object, as all events are: to try anything else costs much more, and a peer may send nothing else."""
    return message.payload.lstrip()[:1] == b"{"
