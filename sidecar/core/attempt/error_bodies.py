"""What an error's body says, whatever the form: the names it gives the failure, and its messages.

Providers put names in different members: `code` and `type` (OpenAI, Anthropic, vLLM), `status` and `details[].reason`
(Google), `innererror.code` (Azure), `metadata.error_type` (OpenRouter), `details.error_code` (Anthropic). A broker may hand
on the error of whoever it asked, as text (`metadata.raw`). Only these members are read: other parts of a body may repeat
what the caller has said. Nothing here raises, whatever the bytes are.
"""

from collections.abc import Iterator
from itertools import islice
from typing import Any, Final, NamedTuple

from sidecar.core.observe.salvage import parse_leniently

_LINES_MAX: Final = 16  # of a stream, that may hold an error
_MESSAGE_CHARS_MAX: Final = 4096
_NAME_CHARS_MAX: Final = 64
_NUMBER_MAX: Final = 99_999  # of a code
_RAW_CHARS_MAX: Final = 16 * 1024
_DETAILS_MAX: Final = 16
_NAMING: Final = ("code", "type", "status", "error_type", "error_code", "reason")
_TELLING: Final = ("message", "detail")
_NESTED: Final = ("error", "innererror", "metadata", "details")


class ErrorBody(NamedTuple):
    """What is told of a failure."""

    names: frozenset[str]  # in lower case
    messages: str  # in lower case, one per line


NOTHING_TOLD: Final = ErrorBody(frozenset(), "")


def read_error_body(body: bytes, *, is_error: bool) -> ErrorBody:
    """Return what `body` tells of a failure.

    `is_error`: by its status the whole body is about the failure; otherwise only an `error` within it is.
    """
    if not body:
        return NOTHING_TOLD
    names: set[str] = set()
    messages: list[str] = []
    for value in _find_errors(body, is_error):
        _gather(value, names, messages, depth=0)
    return ErrorBody(frozenset(names), "\n".join(messages))


def _find_errors(body: bytes, is_error: bool) -> Iterator[Any]:
    try:
        value = parse_leniently(body)
    except ValueError:
        # Not one JSON value: a stream of events or of lines, or no JSON at all.
        for line in islice((line for line in body.splitlines() if b'"error"' in line), _LINES_MAX):
            try:
                value = parse_leniently(line.removeprefix(b"data:"))
            except ValueError:
                continue
            yield from _pick(value, is_error=False)
    else:
        yield from _pick(value, is_error)


def _pick(value: Any, is_error: bool) -> Iterator[Any]:
    if isinstance(value, list):  # Google wraps the error of a stream in a list
        value = value[0] if value else None
    if not isinstance(value, dict):
        return
    answer = value.get("response")  # of an event that tells that a response has failed (OpenAI)
    for holder in (value, answer):
        if isinstance(holder, dict) and holder.get("error"):
            yield holder["error"]
            return
    if is_error or value.get("type") == "error":
        yield value


def _gather(value: Any, names: set[str], messages: list[str], depth: int) -> None:
    """Collect from an error, and from what it holds three levels down."""
    if isinstance(value, str):  # Ollama: the error is its message
        messages.append(value[:_MESSAGE_CHARS_MAX].lower())
        return
    if not isinstance(value, dict):
        return
    for member in _NAMING:
        name = value.get(member)
        if type(name) is str and len(name) <= _NAME_CHARS_MAX:
            names.add(name.lower())
        elif type(name) is int and abs(name) <= _NUMBER_MAX:
            names.add(str(name))
    messages += [text[:_MESSAGE_CHARS_MAX].lower() for text in map(value.get, _TELLING) if isinstance(text, str)]
    if "flagged_input" in value:  # OpenRouter, of a moderation: the member itself is the sign, its value is what the caller said
        names.add("flagged_input")
    if depth < 3:
        _descend(value, names, messages, depth + 1)


def _descend(value: dict[str, Any], names: set[str], messages: list[str], depth: int) -> None:
    for member in _NESTED:
        inner = value.get(member)
        if isinstance(inner, list):
            for each in inner[:_DETAILS_MAX]:
                _gather(each, names, messages, depth)
        elif isinstance(inner, dict):
            _gather(inner, names, messages, depth)
    raw = value.get("raw")
    if isinstance(raw, str):
        try:
            told = parse_leniently(raw[:_RAW_CHARS_MAX].encode("utf-8", "replace"))
        except ValueError:
            return
        for error in _pick(told, is_error=True):
            _gather(error, names, messages, depth)
