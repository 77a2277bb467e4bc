"""Gemini's own form, as Google AI and Vertex AI speak it: content, whole and streamed, and embeddings.

Every event of a stream has running totals of tokens, so that each is parsed and none is ordinary. On Vertex AI
only the last has them: there, most events differ in nothing but their text.
"""

from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from sidecar.core.observe.array import END, ArraySplitter
from sidecar.core.observe.contract import Splitter
from sidecar.core.observe.dialects.gemini_answer import (
    Answer,
    Chunk,
    Feedback,
    Opening,
    decode_answer,
    decode_chunk,
    decode_opening,
    has_token,
    read_reason,
    read_tier,
    read_usage,
    salvage_answer,
    salvage_event,
)
from sidecar.core.observe.dialects.gemini_request import read_embedding, read_generation
from sidecar.core.observe.dialects.openai_form import CHOICES_MAX, name_error, note_choice
from sidecar.core.observe.outline import outline_text
from sidecar.core.observe.salvage import UNREADABLE
from sidecar.core.observe.sse import LooseEventSplitter
from sidecar.core.observe.text import read_identifier
from sidecar.errors import ErrorKind
from sidecar.exchange import Asked, Seen

_TEXT_KEYS: Final = (b'"text": "', b'"text":"')
_DOMAIN: Final = "llm-sidecar"
# google.rpc.Code by HTTP status (google/rpc/code.proto).
_STATUSES: Final = {
    400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND", 409: "ABORTED",
    429: "RESOURCE_EXHAUSTED", 499: "CANCELLED", 500: "INTERNAL", 501: "UNIMPLEMENTED", 503: "UNAVAILABLE", 504: "DEADLINE_EXCEEDED",
}  # fmt: skip


class _Gemini:
    """What the dialects of this form have in common."""

    splitters: Mapping[str, Callable[[int], Splitter]] = {}

    def read_whole(self, body: bytes, seen: Seen) -> None:
        """Note what a complete answer or error body says. Raises ValueError where it is not JSON."""
        try:
            answer = decode_answer(body)
        except UNREADABLE:
            answer = salvage_answer(body)
        candidates = (answer.candidates or ())[:CHOICES_MAX]
        reasons = sorted((candidate.index, read_reason(candidate.finishReason) or "") for candidate in candidates)
        seen.finish_reasons = [reason for _, reason in reasons if reason]
        if not candidates and answer.promptFeedback is not None:
            seen.finish_reasons = [reason for reason in (read_reason(answer.promptFeedback.blockReason),) if reason]
        seen.terminated = True  # JSON that can be read to its end is whole
        _note_identity(answer, seen)
        if answer.usageMetadata is not None:
            seen.running = answer.usageMetadata
            self.settle(seen)
            seen.running = None
        if answer.error is not None:
            seen.error_type = name_error(answer.error)

    def read_event(self, event: bytes, seen: Seen, now: float) -> None:
        """Note what one event says, and count it if it is a chunk; an error is none. Never raises."""
        opening = seen.first_token is None or seen.model is None
        chunk: Chunk
        try:
            chunk = decode_opening(event) if opening else decode_chunk(event)
        except UNREADABLE:
            if event == END:
                seen.terminated = seen.answered = True
                return
            chunk = salvage_event(event)
        tokens = chunk.usageMetadata
        if tokens is not None and (tokens.promptTokenCount or tokens.candidatesTokenCount or tokens.thoughtsTokenCount):
            seen.running = tokens
        if chunk.error is not None:
            seen.error_type = name_error(chunk.error)
            return
        seen.chunks += 1
        candidates = chunk.candidates
        if candidates:
            known = seen.choices
            for candidate in candidates:
                if candidate.finishReason is not None or candidate.index not in known:
                    note_choice(candidate.index, read_reason(candidate.finishReason), seen)
        elif chunk.promptFeedback is not None and not seen.choices:
            _note_block(chunk.promptFeedback, seen)
        if opening and isinstance(chunk, Opening):
            _note_identity(chunk, seen)
            if seen.first_token is None and has_token(chunk):
                seen.first_token = now

    def settle(self, seen: Seen) -> None:
        """Read the last of the running totals."""
        seen.usage = read_usage(seen.running)
        seen.service_tier = read_tier(seen.running)

    def outline(self, event: bytes) -> tuple[bytes, ...] | None:
        """Return what stands before and after the text of an event that brings nothing but text."""
        try:
            chunk = decode_opening(event)
        except UNREADABLE:
            return None
        candidates = chunk.candidates or ()
        if len(candidates) != 1 or candidates[0].finishReason is not None or chunk.error is not None or chunk.promptFeedback is not None:
            return None
        content = candidates[0].content
        parts = content.parts if content is not None else None
        if parts is None or len(parts) != 1 or (chunk.usageMetadata is not None and read_usage(chunk.usageMetadata)):
            return None
        return outline_text(event, _TEXT_KEYS, parts[0].text)

    def refusal(self, kind: ErrorKind, message: str, asked: Asked) -> bytes:
        """Return the JSON body of an answer of our own."""
        return write_error(kind, message)

    def stream_error(self, kind: ErrorKind, message: str, asked: Asked, media_type: str) -> bytes:
        """Return what Google's own servers put in such a place: a bare object between events, a last element in an array.

        The blank lines end an event that was broken off.
        """
        if media_type not in self.splitters:
            return b""
        error = write_error(kind, message)
        return b"\n\n" + error + b"\n\n" if media_type == "text/event-stream" else b",\n" + error + b"\n]"


class GeminiGenerate(_Gemini):
    """The dialect of :generateContent."""

    name = "gemini_generate"
    operation = "generate_content"

    def ask(self, body: bytes, path: str) -> Asked:
        """Peek at a request. Never raises."""
        return read_generation(body, path, stream=False)


class GeminiStream(_Gemini):
    """The dialect of :streamGenerateContent: events with `alt=sse`, else a JSON array that arrives bit by bit."""

    name = "gemini_stream"
    operation = "generate_content"
    splitters: Mapping[str, Callable[[int], Splitter]] = {"text/event-stream": LooseEventSplitter, "application/json": ArraySplitter}

    def ask(self, body: bytes, path: str) -> Asked:
        """Peek at a request. Never raises."""
        return read_generation(body, path, stream=True)


class GeminiEmbed(_Gemini):
    """The dialect of :embedContent and :batchEmbedContents. The vectors are skipped and not decoded."""

    name = "gemini_embed"
    operation = "embeddings"

    def ask(self, body: bytes, path: str) -> Asked:
        """Peek at a request. Never raises."""
        return read_embedding(body, path)


def write_error(kind: ErrorKind, message: str) -> bytes:
    """Return an error body as Google's clients read it (google.rpc.Status); its reason is our error id."""
    status = _STATUSES.get(kind.status, "UNAVAILABLE" if kind.status >= 500 else "FAILED_PRECONDITION")
    detail = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": kind.id, "domain": _DOMAIN}
    return msgspec.json.encode({"error": {"code": kind.status, "message": message, "status": status, "details": [detail]}})


def _note_identity(answer: Answer, seen: Seen) -> None:
    if seen.model is None:
        seen.model = read_identifier(answer.modelVersion)
    if seen.response_id is None:
        seen.response_id = read_identifier(answer.responseId)


def _note_block(feedback: Feedback, seen: Seen) -> None:
    """A prompt that is blocked gets no candidate: the reason is the end of the only one that there would have been."""
    reason = read_reason(feedback.blockReason)
    if reason is not None:
        note_choice(0, reason, seen)
