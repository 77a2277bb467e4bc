"""Content made fit to leave the process: redacted, and at most so many bytes of valid JSON."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from sidecar.core.observe.contents.characters import cut, join_surrogates, json_bytes
from sidecar.core.observe.contents.contract import Message
from sidecar.core.observe.contents.transcript import MARGIN_CHARS
from sidecar.core.observe.redaction import Redactor

TRUNCATED: Final = "truncated"
_MARK_BYTES: Final = len(',"truncated":true')
_LEFT_BYTES_MIN: Final = 48  # what fits in less says nothing
# The conventions' own words, which say nothing.
_NAMES: Final = frozenset({"type", "content", "id", "name", "arguments", "response", "mime_type", "bytes", "uri", "file_id", "count"})
_KINDS: Final = frozenset(
    {"", "user", "assistant", "system", "tool", "text", "reasoning", "tool_call", "tool_call_response", "blob", "uri"}
)
_VALUE_BYTES_MIN: Final = len(",false")
_DEPTH_MAX: Final = 32
_INTEGER_MAX: Final = 2**63 - 1

_encode = msgspec.json.Encoder().encode


def bound_messages(messages: Sequence[Message], redactor: Redactor, bytes_max: int, *, newest_first: bool) -> str:
    """Return messages as JSON. Where not all fit, the last (`newest_first`) or the first are kept.

    What was cut carries `"truncated": true`: the part whose text ends early, the message that lost
    parts, or that stands where others are missing.
    """
    bounds = Bounds(redactor, bytes_max)
    kept: list[Message] = []
    for message in reversed(messages) if newest_first else messages:
        fitted = bounds.fit_message(message)
        if fitted is None:
            if kept:
                kept[-1][TRUNCATED] = True
            break
        kept.append(fitted)
    return _encode(kept[::-1] if newest_first else kept).decode()


def bound_parts(parts: Sequence[Any], redactor: Redactor, bytes_max: int) -> str:
    """Return parts, or tool definitions, as JSON; the first are kept where not all fit."""
    bounds = Bounds(redactor, bytes_max)
    return _encode(bounds.fit_parts(parts)[0]).decode()


class Bounds:
    """Takes JSON values, and gives them back redacted, until `bytes_max` bytes are used up."""

    def __init__(self, redactor: Redactor, bytes_max: int) -> None:
        self._redactor = redactor
        self._left_bytes = bytes_max - 2  # the outer brackets
        self._is_truncated = False

    def fit_message(self, message: Message) -> Message | None:
        """Return a message, or None where there is no room for one."""
        self._left_bytes -= len('{"role":,"parts":[]},') + _MARK_BYTES
        if self._left_bytes < _LEFT_BYTES_MIN:
            return None
        fitted: Message = {"role": self._fit(message["role"], 0)}
        fitted["parts"], is_whole = self.fit_parts(message["parts"])
        if not is_whole:
            fitted[TRUNCATED] = True
        return fitted

    def fit_parts(self, parts: Sequence[Any]) -> tuple[list[Any], bool]:
        """Return what there is room for of the parts, and whether that is all of them."""
        kept: list[Any] = []
        for part in parts:
            self._left_bytes -= _MARK_BYTES + 1
            if self._left_bytes < _LEFT_BYTES_MIN:
                if kept and isinstance(kept[-1], dict):
                    kept[-1][TRUNCATED] = True
                return kept, False
            self._is_truncated = False
            fitted = self._fit(part, 0, is_cut=isinstance(part, dict) and part.get(TRUNCATED) is True)
            if self._is_truncated and isinstance(fitted, dict):
                fitted[TRUNCATED] = True
            kept.append(fitted)
        return kept, True

    def _fit(self, value: Any, depth: int, *, is_cut: bool = False) -> Any:
        if isinstance(value, str):
            return self._fit_text(value, is_cut=is_cut)
        if isinstance(value, dict | list):
            if depth >= _DEPTH_MAX:
                self._is_truncated = True
                return self._fit_text("")
            self._left_bytes -= 2
            return self._fit_object(value, depth + 1, is_cut) if isinstance(value, dict) else self._fit_list(value, depth + 1, is_cut)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return self._fit_number(value)
        self._left_bytes -= len("false")
        return value

    def _fit_object(self, value: dict[str, Any], depth: int, is_cut: bool) -> dict[str, Any]:
        fitted: dict[str, Any] = {}
        for key, inner in value.items():
            shown = key if key in _NAMES else self._redactor.redact(join_surrogates(key))
            size_bytes = json_bytes(shown) + 2  # a colon and a comma
            if size_bytes > self._left_bytes - _VALUE_BYTES_MIN:
                self._is_truncated = True
                break
            self._left_bytes -= size_bytes
            fitted[shown] = self._fit(inner, depth, is_cut=is_cut)
        return fitted

    def _fit_list(self, value: list[Any], depth: int, is_cut: bool) -> list[Any]:
        fitted: list[Any] = []
        for inner in value:
            if self._left_bytes < _VALUE_BYTES_MIN:
                self._is_truncated = True
                break
            self._left_bytes -= 1
            fitted.append(self._fit(inner, depth, is_cut=is_cut))
        return fitted

    def _fit_number(self, number: int | float) -> Any:
        """A card's number may be written as a number: then it becomes text."""
        spelt = repr(number)
        shown = self._redactor.redact(spelt)
        if shown != spelt or abs(number) > _INTEGER_MAX:
            return self._fit_text(spelt)
        size_bytes = len(_encode(number))
        if size_bytes > self._left_bytes:
            self._is_truncated = True
            self._left_bytes -= len("null")
            return None
        self._left_bytes -= size_bytes
        return number

    def _fit_text(self, text: str, *, is_cut: bool = False) -> str:
        chars_max = max(0, self._left_bytes) + MARGIN_CHARS
        if len(text) > chars_max:
            text, is_cut = text[:chars_max], True
        shown = text if text in _KINDS else self._redactor.redact(join_surrogates(text), is_cut=is_cut)
        size_bytes = json_bytes(shown)
        if size_bytes > self._left_bytes:
            shown, is_cut = cut(shown, self._left_bytes), True
            size_bytes = json_bytes(shown)
        self._left_bytes -= size_bytes
        self._is_truncated = self._is_truncated or is_cut
        return shown
