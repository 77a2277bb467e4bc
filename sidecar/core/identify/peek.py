"""A look at a request's body: which model, streamed or not, and with which parameters."""

from typing import Final

from msgspec.structs import replace

from sidecar.core.observe.contract import Dialect
from sidecar.core.observe.inflate import CODINGS, Inflater
from sidecar.exchange import Asked

_UNREAD: Final = Asked()
_MODEL_CHARS_MAX: Final = 256  # the longest in use have about 70


def peek(dialect: Dialect, body: bytes, path: str, content_encoding: bytes, bytes_max: int) -> Asked:
    """Return what `body`, sent to `path`, asks for. A compressed one is decoded for reading, up to `bytes_max` bytes.

    Never raises. A coding we do not know leaves everything unknown; it is the provider's to judge.
    """
    coding = content_encoding.strip().lower().decode("latin-1")
    if coding in ("", "identity"):
        asked = dialect.ask(body, path)
        return asked if asked.model is None or len(asked.model) <= _MODEL_CHARS_MAX else _shorten(asked)
    if coding not in CODINGS:
        return _UNREAD
    inflater = Inflater(coding, bytes_max)
    decoded = b"".join(inflater.feed(body))
    return _UNREAD if inflater.failure else _shorten(dialect.ask(decoded, path))


def _shorten(asked: Asked) -> Asked:
    """Cut a name that no model has: what calls leave behind (limits met, times measured, records) is kept by it."""
    model = asked.model
    return asked if model is None or len(model) <= _MODEL_CHARS_MAX else replace(asked, model=model[:_MODEL_CHARS_MAX])
