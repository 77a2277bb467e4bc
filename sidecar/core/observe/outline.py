"""The parts of an ordinary event that every other like it shares: all but its text."""

from collections.abc import Iterable


def outline_text(event: bytes, keys: Iterable[bytes], text: object) -> tuple[bytes, bytes] | None:
    """Return what stands before and after `text`, which the event has under one of `keys`; None where that is not plain.

    `keys` are written as they stand in an event, up to the text's opening quote.
    """
    for key in keys:
        start = event.find(key) + len(key)
        end = event.find(b'"', start)
        # A quote within a string is escaped: the key can only be a key, and must be the only one. A text with escapes in it
        # is longer on the wire than what is read of it.
        if event.count(key) == 1 and text == event[start:end].decode("utf-8"):
            return event[:start], event[end:]
    return None
