"""Traffic that is not understood."""

import json

from sidecar.core.observe.dialects import OPAQUE
from sidecar.errors import NO_ROUTE, STREAM_CUT
from sidecar.exchange import Asked, Seen


def test_nothing_is_read() -> None:
    """Bodies of unknown form are not looked at, so nothing can be wrong with them."""
    seen = Seen()
    OPAQUE.read_whole(b'{"model":"m","error":"x"}', seen)
    OPAQUE.read_event(b'{"model":"m"}', seen, 1.0)
    assert (seen.model, seen.error_type, seen.chunks) == (None, None, 0)
    assert OPAQUE.ask(b"not json", "/") == Asked()


def test_own_answers() -> None:
    """We answer in JSON, and add nothing to a stream whose form we do not know."""
    assert json.loads(OPAQUE.refusal(NO_ROUTE, "none", Asked()))["error"]["code"] == "no_route"
    assert OPAQUE.stream_error(STREAM_CUT, "x", Asked(), "text/event-stream") == b""
