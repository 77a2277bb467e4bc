"""OpenAI over a WebSocket: realtime, and responses in WebSocket mode. Messages are JSON events with a `type`.

Both answer within `response.created` and an event that ends the response and holds its usage; a
session has as many as it likes. In realtime most `error` events are no end of anything; in
responses mode one ends the response in progress, as in a stream of events.
"""

from typing import Any, Final
from urllib.parse import parse_qs

import msgspec

from sidecar.core.observe.dialects.opaque import Opaque
from sidecar.core.observe.dialects.openai_form import name_error
from sidecar.core.observe.salvage import UNREADABLE, parse_leniently, salvage
from sidecar.core.observe.tally import Tally
from sidecar.core.observe.text import read_code, read_identifier
from sidecar.core.observe.usage import read_count, read_totals, split_usage
from sidecar.exchange import Seen, Usage

_ENDS: Final = frozenset({"response.done", "response.completed", "response.incomplete", "response.failed"})
_MODALITIES: Final = ("audio_tokens", "image_tokens")
# The lenient parser is slow: a session has many messages, and a peer could make each of them garbage.
_SECOND_READING_BYTES_MAX: Final = 16 * 1024
_QUERY_FIELDS_MAX: Final = 32
_CLIENTS_OWN: Final = "invalid_request_error"  # the caller's mistake, and no failure of the session


class _Event(msgspec.Struct, gc=False):
    """The members that matter; of an event with audio or text all else is skipped."""

    type: Any = None
    response: Any = None
    session: Any = None
    error: Any = None
    code: Any = None
    model: Any = None  # of response.create in responses mode


_decode = msgspec.json.Decoder(_Event).decode


class OpenAISession(Opaque):
    """Realtime, or responses mode, by what its errors end."""

    reads_binary = False

    def __init__(self, name: str, operation: str, *, error_ends_answer: bool) -> None:
        self.name = name
        self.operation = operation
        self._error_ends_answer = error_ends_answer

    def read_query(self, query: str) -> str | None:
        """Return the model or, at Azure, the deployment."""
        return read_parameter(query, "model", "deployment")

    def read_whole(self, body: bytes, seen: Seen) -> None:
        """Note the code of a handshake that was answered with an error. Raises ValueError where it is not JSON."""
        event = salvage(parse_leniently(body), _Event)
        if event.error:
            seen.error_type = name_error(event.error)

    def read_client(self, message: bytes, tally: Tally) -> None:
        """Note that an answer is asked for, and the model where the client names one."""
        event = _read(message)
        if event.type == "response.create":
            tally.awaited = True
            model = read_identifier(event.model)
        elif event.type == "session.update":
            model = read_identifier(_member(event.session, "model"))
        else:
            return
        if tally.model is None:
            tally.model = model

    def read_server(self, message: bytes, tally: Tally) -> None:
        """Note a response's beginning and end, and errors."""
        event = _read(message)
        seen, kind = tally.seen, event.type if isinstance(event.type, str) else ""
        if kind == "response.created":
            tally.awaited = False
            tally.answering += 1
            _note_model(event.response, tally)
        elif kind in _ENDS:
            tally.answering = max(tally.answering - 1, 0)
            _note_model(event.response, tally)
            _note_end(event.response, tally)
        elif kind == "session.created" or kind == "session.updated":
            _note_model(event.session, tally)
        elif kind == "error":
            tally.awaited = False
            error = event.error if isinstance(event.error, dict) else {"code": event.code}
            if self._error_ends_answer:
                tally.answering = max(tally.answering - 1, 0)
            if error.get("type") != _CLIENTS_OWN:
                seen.error_type = name_error(error)


def read_parameter(query: str, *names: str) -> str | None:
    """Return the first of these parameters of a query that is there, as an identifier."""
    try:
        found = parse_qs(query, max_num_fields=_QUERY_FIELDS_MAX)
    except ValueError:
        return None
    return next((model for name in names if (model := read_identifier(found.get(name, [""])[0]))), None)


def _read(message: bytes) -> _Event:
    try:
        return _decode(message)
    except UNREADABLE:
        if len(message) > _SECOND_READING_BYTES_MAX:
            return _Event()
        try:
            return salvage(parse_leniently(message), _Event)
        except ValueError:
            return _Event()


def _member(value: object, name: str) -> Any:
    return value.get(name) if isinstance(value, dict) else None


def _note_model(holder: object, tally: Tally) -> None:
    model = read_identifier(_member(holder, "model"))
    if model is not None:
        tally.seen.model = model


def _note_end(response: object, tally: Tally) -> None:
    """A response that ended well takes back an error before it: what counts is how the last one went."""
    tally.seen.error_type = None
    if _member(response, "status") == "failed":
        error = _member(response, "error") or _member(_member(response, "status_details"), "error")
        tally.seen.error_type = name_error(error)
    value = _member(response, "usage")
    usage = _read_usage(value)
    if usage is not None:
        other = any(read_count(_member(value[name], kind)) for name in value if name.endswith("_details") for kind in _MODALITIES)
        tally.add(usage, is_text=not other, service_tier=read_code(_member(response, "service_tier")))


def _read_usage(value: object) -> Usage | None:
    """Return a usage object as disjoint kinds; None where it holds no counts. Realtime says `token_details`, responses `tokens_details`."""
    if not isinstance(value, dict):
        return None
    totals = read_totals(value.get("input_tokens"), value.get("output_tokens"))
    if totals is None:
        return None
    given, made = totals
    inputs = value.get("input_token_details") or value.get("input_tokens_details")
    outputs = value.get("output_token_details") or value.get("output_tokens_details")
    return split_usage(
        given, read_count(_member(inputs, "cached_tokens")) or 0, read_count(_member(inputs, "cache_write_tokens")) or 0,
        made, read_count(_member(outputs, "reasoning_tokens")) or 0,
    )  # fmt: skip
