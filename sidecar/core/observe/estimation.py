"""Tokens by a rule of thumb, four characters each, where the provider reported none and the operator asked for it.

An estimate leaves out what has no characters: images, audio, files, and reasoning that is not shown.
"""

from typing import Any, Final

from sidecar.core.observe.contents import find_reader
from sidecar.core.observe.contents.contract import Message
from sidecar.core.observe.contents.transcript import Transcript
from sidecar.core.observe.inflate import decode_body
from sidecar.exchange import Usage

CHARS_PER_TOKEN: Final = 4
# A body is read on the event loop, 3 ms at most; longer ones get no estimate.
BYTES_MAX: Final = 1024 * 1024
_DEPTH_MAX: Final = 64


def count_tokens(chars: int) -> int:
    """Return the tokens that so many characters are likely to be, rounded up."""
    return -(-chars // CHARS_PER_TOKEN)


def estimate(dialect: str, body: bytes, coding: bytes, transcript: Transcript) -> Usage | None:
    """Return the likely usage of a call from its request and what has come of its answer. None where it cannot be told."""
    reader = find_reader(dialect)
    if reader is None or len(body) > BYTES_MAX or len(transcript.answer) > BYTES_MAX or transcript.broken:
        return None
    try:
        prompt = reader.read_request(decode_body(body, coding, BYTES_MAX))
        answered = reader.read_whole(transcript.answer) if transcript.answer else []
    except ValueError:
        return None
    asked = sum(map(_count_chars, (*prompt.system, *prompt.tools))) + sum(map(_count_message, prompt.messages))
    if not asked:
        return None
    reasoned = sum(_count_chars(part) for one in answered for part in one["parts"] if part["type"] == "reasoning")
    said = sum(map(_count_message, answered)) - reasoned
    return Usage(
        input=count_tokens(asked),
        output=count_tokens(said + transcript.output_chars),
        reasoning=count_tokens(reasoned + transcript.reasoning_chars),
    )


def _count_message(message: Message) -> int:
    return sum(map(_count_chars, message["parts"]))


def _count_chars(value: Any, depth: int = 0) -> int:
    """Return the characters of a part's content: not those of its type, which are ours."""
    if isinstance(value, str):
        return len(value)
    if depth > _DEPTH_MAX:
        return 0
    if isinstance(value, list):
        return sum(_count_chars(inner, depth + 1) for inner in value)
    if not isinstance(value, dict):
        return len(str(value))
    if depth == 0 and value.get("type") == "tokens" and isinstance(value.get("count"), int):
        return int(value["count"]) * CHARS_PER_TOKEN
    if depth == 0 and value.get("type") in ("blob", "file", "uri"):
        return 0
    # Of a part of ours its members' names are ours too; in what a caller wrote, such as a tool's parameters, they count.
    return sum((len(name) if depth else 0) + _count_chars(inner, depth + 1) for name, inner in value.items() if depth or name != "type")
