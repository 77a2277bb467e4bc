"""Strings from outside, made fit for labels, attributes and logs."""

import re

IDENTIFIER_CHARS_MAX = 256
CODE_CHARS_MAX = 64
OTHER = "_OTHER"  # OpenTelemetry's value of error.type where no better is known

_CODE = re.compile(r"[A-Za-z0-9_.:/-]*[A-Za-z0-9][A-Za-z0-9_.:/-]*")


def read_identifier(value: object, chars_max: int = IDENTIFIER_CHARS_MAX) -> str | None:
    """Return a bounded, printable string, or None where `value` is no string or empty."""
    if type(value) is not str or not value:
        return None
    value = value[:chars_max]
    if value.isprintable():
        return value
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in value)


def read_code(value: object) -> str | None:
    """Return a code, at most 64 ASCII letters, digits and `_.:/-`; None for all else.

    What is longer or holds anything else is no code but prose, and prose may quote a prompt or a key.
    """
    if type(value) is not str or len(value) > CODE_CHARS_MAX:
        return None
    if value.isascii() and value.isidentifier():
        return value  # nearly always: "stop", "tool_calls", "rate_limit_exceeded"
    return value if _CODE.fullmatch(value) else None


def name_reason(value: object) -> str | None:
    """Return why an answer ended: a code, OTHER for what is none, for an end is one whatever it is called; None where nothing is told."""
    return read_code(value) or (OTHER if type(value) is str and value else None)
