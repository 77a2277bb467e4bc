"""Strings from outside, made fit for labels, attributes and logs."""

import re

IDENTIFIER_CHARS_MAX = 256
CODE_CHARS_MAX = 64
OTHER = "_OTHER"  # OpenTelemetry's value of error.type where no better is known

_NOT_CODE = re.compile(r"[^A-Za-z0-9_.:/-]+")


def read_identifier(value: object, chars_max: int = IDENTIFIER_CHARS_MAX) -> str | None:
    """Return a bounded, printable string, or None where `value` is no string or empty."""
    if type(value) is not str or not value:
        return None
    value = value[:chars_max]
    if value.isprintable():
        return value
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in value)


def read_code(value: object) -> str | None:
    """Return a short code of ASCII letters, digits and `_.:/-`, or None where `value` holds none."""
    if type(value) is not str:
        return None
    if len(value) <= CODE_CHARS_MAX and value.isascii() and value.isidentifier():
        return value  # nearly always: "stop", "tool_calls", "rate_limit_exceeded"
    return _NOT_CODE.sub("_", value[: 4 * CODE_CHARS_MAX]).strip("_")[:CODE_CHARS_MAX] or None
