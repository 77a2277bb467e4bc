"""A look at a request's body: which model, streamed or not, and with which parameters."""

from typing import Final

from sidecar.core.observe.contract import Dialect
from sidecar.core.observe.inflate import CODINGS, Inflater
from sidecar.exchange import Asked

_UNREAD: Final = Asked()


def peek(dialect: Dialect, body: bytes, path: str, content_encoding: bytes, bytes_max: int) -> Asked:
    """Return what `body`, sent to `path`, asks for. A compressed one is decoded for reading, up to `bytes_max` bytes.

    Never raises. A coding we do not know leaves everything unknown; it is the provider's to judge.
    """
    coding = content_encoding.strip().lower().decode("latin-1")
    if coding in ("", "identity"):
        return dialect.ask(body, path)
    if coding not in CODINGS:
        return _UNREAD
    inflater = Inflater(coding, bytes_max)
    decoded = b"".join(inflater.feed(body))
    return _UNREAD if inflater.failure else dialect.ask(decoded, path)
