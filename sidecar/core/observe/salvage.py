"""What can still be read of JSON that the strict, fast way does not take.

Wire formats are read with typed, partial structs, which fail as a whole on one surprising value.
Then each field is tried by itself, and what does not fit counts as absent. The standard library's
parser also takes what some servers emit and the fast one refuses: lone surrogates (half an emoji
per chunk), NaN, and, once replaced as browsers do, bytes that are not UTF-8.
"""

import json
from typing import Any, TypeVar

import msgspec

UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)  # what the fast way raises

# The slow parser takes about 10 ms per MiB on the event loop: what is larger is given up.
BYTES_MAX = 1024 * 1024

_Struct = TypeVar("_Struct", bound=msgspec.Struct)


def parse_leniently(data: bytes) -> Any:
    """Return the JSON value. Raises ValueError where there is none."""
    if len(data) > BYTES_MAX:
        raise ValueError("too large to be read a second time")
    try:
        return json.loads(data.decode("utf-8", "replace"), strict=False)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def salvage(value: object, kind: type[_Struct]) -> _Struct:
    """Return a `kind` with the members of `value` that fit; empty where `value` is no object."""
    kept: dict[str, Any] = {}
    if isinstance(value, dict):
        for field in msgspec.structs.fields(kind):
            if field.encode_name in value:
                try:
                    kept[field.name] = msgspec.convert(value[field.encode_name], field.type)
                except (msgspec.ValidationError, RecursionError):
                    pass
    return kind(**kept)
