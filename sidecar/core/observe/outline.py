"""The parts of an ordinary event that every other like it shares: all but its text, and what pads it."""

from collections.abc import Iterable


def outline_text(event: bytes, keys: Iterable[bytes], text: object, padding_keys: Iterable[bytes] = ()) -> tuple[bytes, ...] | None:
    """Return what stands before and after `text`, which the event has under one of `keys`; None where that is not plain.

    Three parts where padding comes after the text, under one of `padding_keys`. Keys are written as they stand in an event,
    up to the opening quote of their value.
    """
    for key in keys:
        start = event.find(key) + len(key)
        end = event.find(b'"', start)
        # A quote within a string is escaped: the key can only be a key, and must be the only one. A text with escapes in it
        # is longer on the wire than what is read of it.
        if event.count(key) == 1 and text == event[start:end].decode("utf-8"):
            return (event[:start], *_outline_padding(event[end:], padding_keys))
    return None


def _outline_padding(rest: bytes, keys: Iterable[bytes]) -> tuple[bytes, ...]:
    for key in keys:
        start = rest.find(key) + len(key)
        end = rest.find(b'"', start)
        if rest.count(key) == 1 and end > 0 and b"\\" not in rest[start:end]:
            return rest[:start], rest[end:]
    return (rest,)
