"""Events that applications tell of: what happened there, beside what happened to their calls."""

from collections import Counter, deque
from typing import Annotated, Any, Final

import msgspec

from sidecar.core.reckon.moments import show_wall

KEPT_MAX: Final = 200
NAMES_MAX: Final = 200  # that are counted by themselves
OTHER: Final = "other"
LABELS_MAX: Final = 8
NAME_CHARACTERS_MAX: Final = 64
VALUE_CHARACTERS_MAX: Final = 200
_MUST: Final = (
    f'The body must be {{"name": NAME}}, a name of 1 to {NAME_CHARACTERS_MAX} characters out of a-z, 0-9, "_", "." and "-"; it may have '
    f'"labels": at most {LABELS_MAX} of such names, each with a text of at most {VALUE_CHARACTERS_MAX} characters; and nothing else.'
)

Name = Annotated[str, msgspec.Meta(pattern=rf"\A[a-z0-9_.-]{{1,{NAME_CHARACTERS_MAX}}}\Z")]
Text = Annotated[str, msgspec.Meta(max_length=VALUE_CHARACTERS_MAX)]


class Event(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One event as it was told."""

    name: Name
    labels: Annotated[dict[Name, Text], msgspec.Meta(max_length=LABELS_MAX)] = {}


class Events:
    """How often each was told of, and the last ones."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._last: deque[tuple[int, Event]] = deque(maxlen=KEPT_MAX)

    def note(self, event: Event, wall_ns: int) -> None:
        """Take one more in, told at a time of the wall clock."""
        name = event.name if event.name in self._counts or len(self._counts) < NAMES_MAX else OTHER
        self._counts[name] += 1
        self._last.append((wall_ns, event))

    def show(self) -> dict[str, Any]:
        """Return counts by name since the start, and the last ones, the newest first, as JSON has it."""
        last = [{"at": show_wall(wall_ns), "name": event.name, "labels": event.labels} for wall_ns, event in reversed(self._last)]
        return {"counts": dict(self._counts), "events": last}


def read_event(body: bytes) -> Event:
    """Return what a body tells. Raises ValueError with a sentence that says what is allowed, and nothing of the body."""
    try:
        return msgspec.json.decode(body, type=Event)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise ValueError(_MUST) from None
