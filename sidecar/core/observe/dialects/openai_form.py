"""What OpenAI's chat completions, completions and embeddings share, and all who speak like them.

Every event of a stream is parsed, into a struct of the few members that matter: 0.4 µs for an
ordinary chunk. A search for the words "usage", "finish_reason" and "error" that would show that
a chunk needs no parsing costs 0.2 to 0.3 µs each and can be wrong; so there is none.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from sidecar.core.observe.contract import Splitter
from sidecar.core.observe.dialects.deployments import read_deployment
from sidecar.core.observe.dialects.openai_plain import read_plain
from sidecar.core.observe.dialects.openai_request import read_request
from sidecar.core.observe.dialects.openai_shapes import Answer, Choice, Chunk
from sidecar.core.observe.dialects.openai_usage import note_told, note_usage, settle_usage
from sidecar.core.observe.outline import outline_text
from sidecar.core.observe.salvage import UNREADABLE, parse_leniently, salvage
from sidecar.core.observe.sse import EventSplitter
from sidecar.core.observe.text import CODE_CHARS_MAX, OTHER, name_reason, read_code, read_identifier
from sidecar.errors import ErrorKind, Origin
from sidecar.exchange import Asked, Seen

CHOICES_MAX: Final = 128  # of one answer; OpenAI's own limit of `n`

_DONE: Final = b"[DONE]"
_PADDING: Final = (b'"obfuscation":"', b'"obfuscation": "')  # of random length, so that nobody learns from sizes what is said
_ERROR_TYPES: Final = {
    Origin.CLIENT: "invalid_request_error",
    Origin.POLICY: "policy_error",
    Origin.UPSTREAM: "upstream_error",
    Origin.SIDECAR: "sidecar_error",
}


class OpenAIForm:
    """What the dialects of this form have in common.

    An event is read as `opening`, with choices of the type `choice`, until the stream's first token
    and model were seen; from then on as a `Chunk`, which skips the output.
    """

    name: str
    operation: str
    splitters: Mapping[str, Callable[[int], Splitter]] = {"text/event-stream": EventSplitter}
    text_keys: tuple[bytes, ...] = ()  # as they stand in an event, up to the text's opening quote

    def __init__(self, opening: type[Answer], choice: type[Choice]) -> None:
        self._opening = opening
        self._choice = choice
        self._decode_answer = msgspec.json.Decoder(Answer).decode
        self._decode_chunk = msgspec.json.Decoder(Chunk).decode
        self._decode_opening = msgspec.json.Decoder(opening).decode

    def has_token(self, choice: Any) -> bool:
        """Whether a choice of an event carries output. A role, padding or empty text is none."""
        return False

    def ask(self, body: bytes, path: str) -> Asked:
        """Peek at a request body. Azure names what is called in the path. Never raises."""
        asked = read_request(body)
        if asked.model is None and (deployment := read_deployment(path)) is not None:
            return msgspec.structs.replace(asked, model=deployment)
        return asked

    def read_whole(self, body: bytes, seen: Seen) -> None:
        """Note what a complete answer or error body says. Raises ValueError where it is not JSON."""
        if seen.error_type is None and read_plain(body, seen):
            return
        try:
            answer = self._decode_answer(body)
        except UNREADABLE:
            answer = self._salvage(parse_leniently(body))
        choices = (answer.choices or ())[:CHOICES_MAX]
        reasons = sorted((choice.index, name_reason(choice.finish_reason) or "") for choice in choices)
        seen.finish_reasons = [reason for _, reason in reasons if reason]
        seen.terminated = True  # JSON that can be read to its end is whole
        _note_identity(answer, seen)
        note_told(answer.usage, answer.timings, seen)
        _note_rest(answer, seen)
        for choice in choices:
            _note_extras(choice, seen)

    def read_event(self, event: bytes, seen: Seen, now: float) -> None:
        """Note what one event says, and count it if it is a chunk. Never raises."""
        opening = seen.first_token is None or seen.model is None
        chunk: Chunk
        try:
            chunk = self._decode_opening(event) if opening else self._decode_chunk(event)
        except UNREADABLE:
            if event.lstrip().startswith(_DONE):
                seen.terminated = seen.answered = True
                return
            chunk, opening = self._salvage_event(event), True
        seen.chunks += 1
        choices = chunk.choices
        if choices:
            known = seen.choices
            for choice in choices:
                if choice.finish_reason or choice.index not in known:
                    note_choice(choice.index, choice.finish_reason, seen)
                if choice.usage is not None or choice.error is not None:
                    _note_extras(choice, seen)
        usage = chunk.usage
        if opening:
            self._note_opening(chunk, seen, now)
        elif usage is not None:
            if usage.prompt_tokens is not None:
                seen.running = event
        elif chunk.timings is not None and chunk.timings.is_whole:
            seen.running = event
        if (
            chunk.error is not None or chunk.x_groq is not None
            or (chunk.service_tier is not None and chunk.service_tier != seen.service_tier)
        ):  # fmt: skip
            _note_rest(chunk, seen)

    def settle(self, seen: Seen) -> None:
        """Read the last of the running totals. Never raises."""
        settle_usage(seen)

    def text_of(self, choice: Any) -> object:
        """Return the text that a choice of an event carries under one of `text_keys`."""
        return None

    def outline(self, event: bytes) -> tuple[bytes, ...] | None:
        """Return what stands before and after the text of an event that brings nothing but text."""
        try:
            chunk = self._decode_opening(event)
        except UNREADABLE:
            return None
        choices = chunk.choices or ()
        if len(choices) != 1 or chunk.usage is not None or chunk.error is not None:
            return None
        if chunk.x_groq is not None or chunk.timings is not None:
            return None
        choice = choices[0]
        if choice.finish_reason is not None or choice.usage is not None or choice.error is not None:
            return None
        return outline_text(event, self.text_keys, self.text_of(choice), _PADDING)

    def refusal(self, kind: ErrorKind, message: str, asked: Asked) -> bytes:
        """Return the JSON body of an answer of our own."""
        return write_error(kind, message)

    def stream_error(self, kind: ErrorKind, message: str, asked: Asked, media_type: str) -> bytes:
        """Return an event that OpenAI's clients raise as an error.

        The blank line before it ends an event that was broken off, so that ours stands alone.
        """
        return b"\n\ndata: " + write_error(kind, message) + b"\n\n" if media_type in self.splitters else b""

    def _note_opening(self, chunk: Chunk, seen: Seen, now: float) -> None:
        if isinstance(chunk, Answer):
            _note_identity(chunk, seen)
            note_told(chunk.usage, chunk.timings, seen)
        if seen.first_token is None and chunk.choices and any(map(self.has_token, chunk.choices)):
            seen.first_token = now

    def _salvage_event(self, event: bytes) -> Chunk:
        try:
            return self._salvage(parse_leniently(event))
        except ValueError:
            return Chunk()

    def _salvage(self, value: Any) -> Answer:
        if isinstance(value, list) and value:
            value = value[0]  # Gemini wraps its errors so
        answer = salvage(value, self._opening)
        if answer.choices is None and isinstance(value, dict) and isinstance(value.get("choices"), list):
            answer.choices = tuple(salvage(choice, self._choice) for choice in value["choices"][:CHOICES_MAX])
        return answer


def _note_identity(answer: Answer, seen: Seen) -> None:
    # Azure's first chunk has both empty: the first that is not counts.
    if seen.model is None:
        seen.model = read_identifier(answer.model)
    if seen.response_id is None:
        seen.response_id = read_identifier(answer.id)
    if seen.served_by is None and answer.provider is not None:
        seen.served_by = read_identifier(answer.provider)


def note_choice(index: int, finish_reason: object, seen: Seen) -> None:
    """A stream is complete as soon as every choice that it began has its finish reason."""
    known = seen.choices
    reason = name_reason(finish_reason)
    if not 0 <= index < CHOICES_MAX or (reason is None and index in known):
        return
    known[index] = reason
    seen.terminated = None not in known.values()
    seen.finish_reasons = [reason for _, reason in sorted(known.items()) if reason]


def _note_extras(choice: Choice, seen: Seen) -> None:
    if choice.usage is not None:
        note_usage(choice.usage, seen)
    if choice.error:
        seen.error_type = name_error(choice.error)


def _note_rest(chunk: Chunk, seen: Seen) -> None:
    """What may stand on any chunk, beside usage."""
    if isinstance(chunk.x_groq, dict):
        note_usage(chunk.x_groq.get("usage"), seen)
        if chunk.x_groq.get("error"):
            seen.error_type = name_error(chunk.x_groq["error"])
    if chunk.error:
        seen.error_type = name_error(chunk.error)
    if chunk.service_tier is not None:
        seen.service_tier = read_code(chunk.service_tier) or seen.service_tier


def name_error(error: object) -> str:
    """Return a low-cardinality name for the `error` member of an answer or event."""
    if not isinstance(error, dict):
        # A bare string is a message, unless it looks like a code.
        return read_code(error) or OTHER
    metadata, code = error.get("metadata"), error.get("code")
    if isinstance(metadata, dict) and (name := read_code(metadata.get("error_type"))):
        return name
    if isinstance(code, int) and not isinstance(code, bool):
        code = str(code)[:CODE_CHARS_MAX]
    code = read_code(code)
    if code and not code.isdecimal():
        return code
    return read_code(error.get("type")) or read_code(error.get("status")) or code or OTHER


def write_error(kind: ErrorKind, message: str) -> bytes:
    """Return an error body as OpenAI's clients read it."""
    return msgspec.json.encode({"error": describe_error(kind, message)})


def describe_error(kind: ErrorKind, message: str) -> dict[str, str | None]:
    """Return the `error` member of an error body."""
    return {"message": message, "type": _ERROR_TYPES[kind.origin], "param": None, "code": kind.id}
