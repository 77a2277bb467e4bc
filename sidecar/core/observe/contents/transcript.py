"""What a streamed answer has said so far: parts that grow piece by piece, within bounds."""

import json
from collections.abc import Hashable
from typing import Final

from sidecar.exchange import Spoken

PARTS_MAX: Final = 256  # of one answer; pieces of further ones are only counted
# What is cut off a text may be the second half of a secret: so many characters before a cut are
# looked at and not shown. Nothing that is looked for is longer, but for keys that reach to the end.
MARGIN_CHARS: Final = 4096
NAME_CHARS_MAX: Final = 256  # of a tool's name and of a call's id

_TEXT: Final = "text"
_REASONING: Final = "reasoning"
_JOINED_AT: Final = 512  # pieces: a text of four letters takes 53 bytes, so they are joined now and then


class _Growing:
    """One part under way."""

    __slots__ = ("blocks", "choice", "id", "is_cut", "kind", "name", "pieces")

    def __init__(self, choice: int, kind: str) -> None:
        self.choice = choice
        self.kind = kind
        self.id = self.name = ""
        self.pieces: list[str] = []
        self.blocks: list[str] = []
        self.is_cut = False

    def add(self, text: str) -> None:
        self.pieces.append(text)
        if len(self.pieces) >= _JOINED_AT:
            self.blocks.append("".join(self.pieces))
            self.pieces.clear()

    def close(self) -> Spoken:
        return Spoken(self.choice, self.kind, "".join((*self.blocks, *self.pieces)), self.id, self.name, self.is_cut)


class Transcript:
    """Collects a streamed answer's parts, at most `chars_max` characters of text in all.

    What is beyond that is counted and not kept. A whole answer is kept as it came, for a later reading.
    """

    __slots__ = ("_chars_left", "_last", "_parts", "answer", "broken", "output_chars", "reasoning_chars")

    def __init__(self, chars_max: int) -> None:
        self.answer = b""
        self.broken = False  # reading failed: nothing more is read
        self.output_chars = 0
        self.reasoning_chars = 0
        self._chars_left = chars_max
        self._parts: dict[Hashable, _Growing] = {}
        self._last: dict[int, _Growing] = {}  # by choice

    def add(self, text: object, kind: str = _TEXT, choice: int = 0, slot: Hashable = 0) -> None:
        """Add a piece to the part of this kind and slot, a new one if there is none. Not text: nothing."""
        if not isinstance(text, str) or not text:
            return
        self._count(text, kind)
        part = self._find(choice, kind, slot)
        if part is not None:
            self._grow(part, text)

    def extend(self, text: object, kind: str = _TEXT, choice: int = 0) -> None:
        """Add a piece to the choice's last part if that is of this kind, else begin one."""
        if not isinstance(text, str) or not text:
            return
        self._count(text, kind)
        part = self._last.get(choice)
        if part is None or part.kind != kind:
            part = self._find(choice, kind, len(self._parts))
        if part is not None:
            self._grow(part, text)

    def begin(self, kind: str, choice: int = 0, slot: Hashable = None, *, id_: object = None, name: object = None) -> None:
        """Begin a part, or add id and name to the one that is there. Without a slot it is a new one."""
        part = self._find(choice, kind, len(self._parts) if slot is None else slot)
        if isinstance(name, str):
            self.output_chars += len(name)
        if part is None:
            return
        if isinstance(id_, str) and id_ and not part.id:
            part.id = id_[:NAME_CHARS_MAX]
        if isinstance(name, str) and name and len(part.name) < NAME_CHARS_MAX:
            part.name = (part.name + name)[:NAME_CHARS_MAX]

    def tell(self, kind: str, value: object, choice: int = 0, *, id_: object = None, name: object = None) -> None:
        """Add a part that came whole, such as a tool call, with its JSON value or text."""
        slot = len(self._parts)
        self.begin(kind, choice, slot, id_=id_, name=name)
        if value is not None:
            self.add(value if isinstance(value, str) else _spell(value), kind, choice, slot)

    def close(self) -> tuple[Spoken, ...]:
        """Return the parts in the order in which they began, choice by choice."""
        return tuple(sorted((part.close() for part in self._parts.values()), key=_choice_of))

    @property
    def is_empty(self) -> bool:
        """Whether nothing has been said."""
        return not self._parts

    def _count(self, text: str, kind: str) -> None:
        if kind == _REASONING:
            self.reasoning_chars += len(text)
        else:
            self.output_chars += len(text)

    def _find(self, choice: int, kind: str, slot: Hashable) -> _Growing | None:
        key = (choice, kind, slot)
        part = self._parts.get(key)
        if part is None and len(self._parts) < PARTS_MAX:
            part = self._parts[key] = self._last[choice] = _Growing(choice, kind)
        return part

    def _grow(self, part: _Growing, text: str) -> None:
        if len(text) > self._chars_left:
            part.is_cut = True
            text = text[: self._chars_left]
        if text and not (part.is_cut and self._chars_left == 0):
            part.add(text)
        self._chars_left -= len(text)


def _choice_of(part: Spoken) -> int:
    return part.choice


def _spell(value: object) -> str:
    try:
        return json.dumps(value, ensure_ascii=False)
    except (ValueError, RecursionError):
        return ""  # nested beyond reading
