"""What each of the simulator's wire formats must know: to be asked, to answer, to fail."""

from collections.abc import Mapping
from typing import NamedTuple, Protocol

from sidecar.simulator.plan import Plan
from sidecar.simulator.profile import Profile
from sidecar.simulator.request import Ask, Form
from sidecar.simulator.script import Script
from sidecar.simulator.tokens import Tokens
from sidecar.simulator.wire import Fields


class Event(NamedTuple):
    """One event of a stream: its data, when it comes after the one before, and what it holds."""

    data: bytes
    delay_s: float = 0.0
    tokens: int = 0  # of output that it brings
    reasoning: int = 0  # of them, those of reasoning
    finishes: bool = False  # a stream that ends before it was cut
    tells: Tokens | None = None  # usage as told by it; of several the last told counts
    name: str = ""  # of a server-sent event
    is_optional: bool = False  # a terminator that some servers leave out


class Dialect(Protocol):
    """One wire format, as a provider speaks it."""

    name: str
    provider: str  # whose interface it is (GenAI semantic conventions, `gen_ai.provider.name`)
    fee: float  # what a broker adds to the price of a model, as a share of it
    garbage: bytes  # an event's data, or a body, that is not JSON
    not_utf8: bytes  # an event whose text is not UTF-8

    def form_of(self, method: str, path: str) -> Form | None:
        """Which interface a request names; None for one that is not of this format or takes no prompt."""
        ...

    def read_ask(self, form: Form, target: str, body: bytes) -> Ask:
        """Read a request; `target` is its path and query. Raises Rejection where the provider would decline it."""
        ...

    def is_known(self, headers: Mapping[str, str]) -> bool:
        """Whether the caller's credential is good; header names are lower-case."""
        ...

    def name_answer(self, plan: Plan) -> str:
        """The answer's id, "" where the format has none."""
        ...

    def stream_type(self, ask: Ask) -> str:
        """Content-Type of a streamed answer."""
        ...

    def render_whole(self, plan: Plan) -> bytes:
        """The body of an answer that is not streamed."""
        ...

    def stream_events(self, plan: Plan) -> list[Event]:
        """All events of a complete stream."""
        ...

    def error_event(self, status: int, message: str) -> Event:
        """An error within a stream."""
        ...

    def frame_event(self, event: Event, script: Script, *, first: bool, last: bool) -> bytes:
        """The event as it goes out, by its place in the stream."""
        ...

    def render_error(self, status: int, message: str, *, param: str | None = None, code: str | None = None) -> bytes:
        """The body of an error answer."""
        ...

    def fields(self, profile: Profile, request_id: str, processing_s: float, prompt_tokens: int, draw: int) -> Fields:
        """The header fields of every answer. `draw` is a number to vary remaining limits by."""
        ...
