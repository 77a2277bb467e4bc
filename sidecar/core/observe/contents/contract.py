"""What a reader of content is: one wire format, read for what was said and not for how it went."""

from typing import Any, NamedTuple, Protocol

from sidecar.core.observe.contents.transcript import Transcript

# A part of a message in the form of the GenAI conventions: {"type": …, …}. What is not text, such as
# an image, is described and not kept.
Part = dict[str, Any]
Message = dict[str, Any]  # {"role": …, "parts": [Part, …]}


class Prompt(NamedTuple):
    """What a request says, in the conventions' form, whole and unredacted."""

    system: list[Part]  # instructions that stand apart from the messages
    messages: list[Message]
    tools: list[Any]  # definitions as they came


class Content(NamedTuple):
    """JSON by the GenAI conventions; None for what was not said."""

    system_instructions: str | None
    input_messages: str | None
    tool_definitions: str | None
    output_messages: str | None
    is_unreadable: bool  # the request, the answer or both could not be read


class ContentReader(Protocol):
    """One wire format. Nothing here raises anything but ValueError, and that only where it is not JSON."""

    def read_request(self, body: bytes) -> Prompt:
        """Return what a whole request body says. Raises ValueError where it is not JSON."""
        ...

    def read_whole(self, body: bytes) -> list[Message]:
        """Return what a complete answer says, one message per choice. Raises ValueError where it is not JSON."""
        ...

    def read_event(self, event: bytes, transcript: Transcript) -> None:
        """Add what one event of a stream says. Raises ValueError where it is not JSON."""
        ...
