"""What applications say of the answers they got, by the ids of their calls."""

from collections import deque
from typing import Annotated, Final, NamedTuple

import msgspec

from sidecar.exchange import Ending, Record

CALLS_MAX: Final = 10_000  # that can be rated
AGE_S_MAX: Final = 3600.0
COMMENT_CHARACTERS_MAX: Final = 500
_ID_CHARACTERS_MAX: Final = 64
_ANSWERED: Final = frozenset((Ending.COMPLETED, Ending.CLIENT_GONE))
_MUST: Final = (
    'The body must be {"request_id": ID, "quality": NUMBER}, with the id that x-sidecar-request-id told and a number from 0 to 1; '
    f'it may have a "comment" of at most {COMMENT_CHARACTERS_MAX} characters, and nothing else.'
)


class Feedback(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One answer rated."""

    request_id: Annotated[str, msgspec.Meta(min_length=1, max_length=_ID_CHARACTERS_MAX)]
    quality: Annotated[float, msgspec.Meta(ge=0, le=1)]
    comment: Annotated[str, msgspec.Meta(max_length=COMMENT_CHARACTERS_MAX)] | None = None  # may hold what was said: nobody reads it


class Answer(NamedTuple):
    """Whose answer it was. "" where it is not known, or where it was a kept one."""

    upstream: str
    provider: str
    model: str
    at: float  # when the call ended


class Answers:
    """The last calls that were answered: so many, for so long, and each can be rated once."""

    def __init__(self) -> None:
        self._answers: dict[str, Answer] = {}  # by the call's id
        self._order: deque[str] = deque()  # the oldest first; a dictionary that loses its first again and again looks for it ever longer

    def observe(self, record: Record) -> None:
        """Take note of one exchange that has ended (ports.Sink)."""
        if record.ending in _ANSWERED:
            call, order = record.id, self._order
            self._answers[call] = Answer(record.upstream, record.provider, record.asked.model or "", record.ended)
            order.append(call)
            if len(order) > CALLS_MAX:
                self._answers.pop(order.popleft(), None)

    def take(self, request_id: str, now: float) -> Answer | None:
        """Return whose answer a call got; None where there was none, it is too long ago, or it was asked for before."""
        answer = self._answers.pop(request_id, None)
        return answer if answer is not None and now - answer.at <= AGE_S_MAX else None


def read_feedback(body: bytes) -> Feedback:
    """Return what a body says. Raises ValueError with a sentence that says what is allowed, and nothing of the body."""
    try:
        return msgspec.json.decode(body, type=Feedback)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise ValueError(_MUST) from None
