"""Gemini Live: JSON messages over a WebSocket, in frames of text or binary.

The client's first message holds `setup` with the model. `usageMetadata` stands on messages of the
server: within a turn the last one counts, for totals run; at `turnComplete` it is added up. One
that comes right behind the end of a turn that had none still belongs to that turn.
"""

from typing import Any, Final

import msgspec

from sidecar.core.observe.dialects.opaque import Opaque
from sidecar.core.observe.dialects.openai_form import name_error
from sidecar.core.observe.salvage import UNREADABLE, parse_leniently, salvage
from sidecar.core.observe.tally import Tally
from sidecar.core.observe.text import read_identifier
from sidecar.core.observe.usage import read_count, split_usage
from sidecar.exchange import Seen, Usage

_MODEL_PREFIX: Final = "models/"
_TURNS: Final = (b'"clientContent"', b'"client_content"')
_DETAILS: Final = ("promptTokensDetails", "responseTokensDetails", "cacheTokensDetails", "toolUsePromptTokensDetails")


class _ClientMessage(msgspec.Struct, gc=False):
    setup: Any = None
    content: Any = msgspec.field(default=None, name="clientContent")
    snake_content: Any = msgspec.field(default=None, name="client_content")  # both spellings are taken


class _ServerMessage(msgspec.Struct, gc=False):
    usage_metadata: Any = msgspec.field(default=None, name="usageMetadata")
    server_content: Any = msgspec.field(default=None, name="serverContent")
    error: Any = None


_decode_client = msgspec.json.Decoder(_ClientMessage).decode
_decode_message = msgspec.json.Decoder(_ServerMessage).decode


class GeminiSession(Opaque):
    """BidiGenerateContent, of Gemini and of Vertex AI."""

    name = "gemini_live"
    operation = "generate_content"
    reads_binary = True

    def read_query(self, query: str) -> str | None:
        """The query holds no model, and may hold a key."""
        return None

    def read_whole(self, body: bytes, seen: Seen) -> None:
        """Note the code of a handshake that was answered with an error. Raises ValueError where it is not JSON."""
        value = parse_leniently(body)
        message = salvage(value[0] if isinstance(value, list) and value else value, _ServerMessage)
        if message.error:
            seen.error_type = name_error(message.error)

    def read_client(self, message: bytes, tally: Tally) -> None:
        """Note the model of the first message, and that a turn which is complete asks for an answer."""
        if tally.model is not None and not any(name in message for name in _TURNS):
            return  # audio, mostly: not worth parsing
        try:
            read = _decode_client(message)
        except UNREADABLE:
            return
        content = read.content or read.snake_content
        if isinstance(content, dict) and (content.get("turnComplete") or content.get("turn_complete")):
            tally.awaited = True
        model = read_identifier(read.setup.get("model")) if isinstance(read.setup, dict) and tally.model is None else None
        if model is not None:
            tally.model = model.rpartition(_MODEL_PREFIX)[2] or model

    def read_server(self, message: bytes, tally: Tally) -> None:
        """Note usage, and where a turn begins and ends."""
        try:
            read = _decode_message(message)
        except UNREADABLE:
            return
        content = read.server_content if isinstance(read.server_content, dict) else {}
        if content.get("modelTurn"):
            tally.answering = 1
            tally.awaited = tally.owed = False
        if read.error:
            tally.seen.error_type = name_error(read.error)
        usage = _read_usage(read.usage_metadata)
        if usage is not None:
            tally.open_usage = usage
            if _has_media(read.usage_metadata):
                tally.open_is_text = False
        if content.get("turnComplete") or (usage is not None and tally.owed):
            tally.owed = tally.open_usage is None
            tally.answering, tally.awaited = 0, False
            tally.settle()


def _read_usage(value: object) -> Usage | None:
    if not isinstance(value, dict):
        return None
    names = ("promptTokenCount", "toolUsePromptTokenCount", "responseTokenCount", "thoughtsTokenCount", "cachedContentTokenCount")
    prompt, tools, made, thought, cached = (read_count(value.get(name)) for name in names)
    if prompt is None and made is None:
        return None
    return split_usage((prompt or 0) + (tools or 0), cached or 0, 0, (made or 0) + (thought or 0), thought or 0)


def _has_media(value: dict[str, Any]) -> bool:
    """Whether any counted token is not of text."""
    for name in _DETAILS:
        details = value.get(name)
        for detail in details if isinstance(details, list) else ():
            if isinstance(detail, dict) and detail.get("modality") != "TEXT" and read_count(detail.get("tokenCount")):
                return True
    return False
