"""Texts without what must not leave the process: keys, personal data, and what the operator's own patterns find.

Everything is looked for in the one, original text, so that no finding hides another; what overlaps
is taken out together. A text on which a pattern ran out of time is withheld as a whole.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

from sidecar.core.observe.contents.transcript import MARGIN_CHARS
from sidecar.core.observe.findings import FINDERS, SHORTEST_CHARS, Span

_ESCAPE_MARK: Final = "\\u00"
_ESCAPE: Final = re.compile(r"\\u00([2-7][0-9A-Fa-f])")  # printable ASCII
WITHHELD: Final = "[WITHHELD:pattern_timeout]"


class Own(NamedTuple):
    """One of the operator's patterns. `find` raises TimeoutError where it took too long."""

    name: str
    find: Callable[[str], Iterator[Span]]


class Redactor:
    """Replaces findings by `[REDACTED:kind]`.

    `note_withheld`: called with a pattern's name for each text that is withheld because of it.
    """

    def __init__(self, own: Sequence[Own] = (), *, builtin: bool = True, note_withheld: Callable[[str], None] | None = None) -> None:
        self._finders = (*(FINDERS if builtin else ()), *own)
        self._shortest_chars = 1 if own else SHORTEST_CHARS
        self._note_withheld = note_withheld

    def redact(self, text: str, *, is_cut: bool = False) -> str:
        """Return the text without what was found in it.

        `is_cut`: the text went on, so its last MARGIN_CHARS characters may hold half of something;
        they are left out. Raises nothing.
        """
        if len(text) < self._shortest_chars:
            return "" if is_cut else text
        shown = self._redact(text, is_cut=is_cut)
        if _ESCAPE_MARK in shown:
            # JSON within a text, or a part of some: what it spells may be found where its spelling is not.
            spelt = _ESCAPE.sub(_unescape, shown)
            found = self._redact(spelt, is_cut=False)
            if found != spelt:
                return found
        return shown

    def _redact(self, text: str, *, is_cut: bool) -> str:
        end = max(0, len(text) - MARGIN_CHARS) if is_cut else len(text)
        try:
            findings = self._find(text)
        except TimeoutError:
            return WITHHELD
        pieces: list[str] = []
        place = 0
        for start, stop, kind in findings:
            if start >= end:
                break
            pieces += (text[place:start], f"[REDACTED:{kind}]")
            place = stop
        pieces.append(text[place:end])
        return "".join(pieces)

    def _find(self, text: str) -> list[tuple[int, int, str]]:
        """Return what was found, in order, without overlaps. Of what overlaps, the first names the kind."""
        found: list[tuple[int, int, str]] = []
        for kind, find in self._finders:
            try:
                found += ((start, stop, kind) for start, stop in find(text) if stop > start)
            except TimeoutError:
                if self._note_withheld is not None:
                    self._note_withheld(kind)
                raise
        found.sort(key=_place_of)
        merged: list[tuple[int, int, str]] = []
        for start, stop, kind in found:
            if merged and start < merged[-1][1]:
                merged[-1] = (merged[-1][0], max(stop, merged[-1][1]), merged[-1][2])
            else:
                merged.append((start, stop, kind))
        return merged


def _unescape(escape: re.Match[str]) -> str:
    return chr(int(escape[1], 16))


def _place_of(finding: tuple[int, int, str]) -> tuple[int, int]:
    return finding[0], -finding[1]
