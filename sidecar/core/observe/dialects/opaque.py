"""Traffic whose form is not known: it is carried and timed, and not read."""

from collections.abc import Callable, Mapping

from sidecar.core.observe.contract import Splitter
from sidecar.core.observe.dialects.openai_form import write_error
from sidecar.errors import ErrorKind
from sidecar.exchange import Asked, Seen


class Opaque:
    """The dialect of everything that no other dialect takes."""

    name = "opaque"
    operation = "http"
    splitters: Mapping[str, Callable[[int], Splitter]] = {}

    def ask(self, body: bytes, path: str) -> Asked:
        """Return nothing: a body of an unknown form is not looked at."""
        return Asked()

    def read_whole(self, body: bytes, seen: Seen) -> None:
        """Do nothing."""

    def read_event(self, event: bytes, seen: Seen, now: float) -> None:
        """Do nothing."""

    def settle(self, seen: Seen) -> None:
        """Do nothing."""

    def outline(self, event: bytes) -> tuple[bytes, ...] | None:
        """Nothing is known of events."""
        return None

    def refusal(self, kind: ErrorKind, message: str, asked: Asked) -> bytes:
        """Return an error body in the form most widely understood."""
        return write_error(kind, message)

    def stream_error(self, kind: ErrorKind, message: str, asked: Asked, media_type: str) -> bytes:
        """Return nothing: what would be taken for content is worse than a broken connection."""
        return b""
