"""Ollama's own form: one JSON object, or a line of them per token and one more at the end.

`created_at` differs in every line, so there is no outline to go by: each line is decoded, as far as
needed to see that it is not the last (0.2 µs). Names of members are those of Ollama's API
(docs/api.md in its repository).
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from sidecar.core.observe.contract import Splitter
from sidecar.core.observe.dialects.ollama_request import read_request
from sidecar.core.observe.dialects.openai_form import name_error
from sidecar.core.observe.ndjson import LineSplitter
from sidecar.core.observe.salvage import UNREADABLE, parse_leniently, salvage
from sidecar.core.observe.text import OTHER, name_reason, read_identifier
from sidecar.core.observe.usage import read_count
from sidecar.errors import ErrorKind
from sidecar.exchange import Asked, Seen, Usage

# Replies to a request without a prompt, which only puts a model into memory or out of it: no inference.
_ERRANDS: Final = frozenset({"load", "unload"})


class _Line(msgspec.Struct, gc=False):
    """A line of a stream, once its beginning is known."""

    done: bool = False
    error: Any = None


class _End(msgspec.Struct, gc=False):
    """The last line of a stream, or a whole answer."""

    model: Any = None
    done_reason: Any = None
    prompt_eval_count: Any = None
    eval_count: Any = None
    error: Any = None


class _Output(_Line, gc=False):
    """A line near the beginning of a stream. Each interface has members of its own for what the model puts out."""

    model: Any = None


class _ChatOutput(_Output, gc=False):
    message: Any = None


class _GenerateOutput(_Output, gc=False):
    response: Any = None
    thinking: Any = None
    tool_calls: Any = None
    image: Any = None


_decode_line: Final = msgspec.json.Decoder(_Line).decode
_decode_end: Final = msgspec.json.Decoder(_End).decode


class OllamaForm:
    """What the dialects of this form have in common; `output` is the type of a line that may bring output."""

    name: str
    operation: str
    splitters: Mapping[str, Callable[[int], Splitter]] = {"application/x-ndjson": LineSplitter}

    def __init__(self, output: type[_Output]) -> None:
        self._output = output
        self._decode_output = msgspec.json.Decoder(output).decode

    def has_output(self, line: Any) -> bool:
        """Whether a line brings text, thinking, a call or an image."""
        return False

    def ask(self, body: bytes, path: str) -> Asked:
        """Peek at a request body. Never raises."""
        return read_request(body, can_stream=bool(self.splitters))

    def read_whole(self, body: bytes, seen: Seen) -> None:
        """Note what a complete answer or error body says. Raises ValueError where it is not JSON."""
        try:
            end = _decode_end(body)
        except UNREADABLE:
            end = salvage(parse_leniently(body), _End)
        seen.model = read_identifier(end.model)
        seen.terminated = True  # JSON that can be read to its end is whole
        if end.error:
            _note_error(end.error, seen)
            return
        reason = name_reason(end.done_reason)
        seen.finish_reasons = [reason] if reason else []
        # The text is only decoded where it decides what a missing count means.
        has_output = end.eval_count is None and self.has_output(_read(body, self._decode_output, self._output))
        seen.usage = read_usage(end.prompt_eval_count, end.eval_count, has_output=has_output)

    def read_event(self, event: bytes, seen: Seen, now: float) -> None:
        """Note what one line says, and count it if it is a chunk. What is no JSON object is none. Never raises."""
        opening = seen.first_token is None or seen.model is None
        line: _Line | None
        try:
            line = self._decode_output(event) if opening else _decode_line(event)
        except UNREADABLE:
            line = self._salvage_line(event)
            if line is None:
                return
        if opening and isinstance(line, self._output):
            if seen.model is None:
                seen.model = read_identifier(line.model)
            if seen.first_token is None and self.has_output(line):
                seen.first_token = now
        if line.error:
            seen.chunks += 1
            _note_error(line.error, seen)
        elif line.done:
            _note_end(_read(event, _decode_end, _End), seen)
        else:
            seen.chunks += 1
            if not seen.choices:
                seen.choices[0] = None

    def settle(self, seen: Seen) -> None:
        """Do nothing: usage is told once, at the end."""

    def outline(self, event: bytes) -> tuple[bytes, ...] | None:
        """Return nothing: each line has a time of its own."""
        return None

    def refusal(self, kind: ErrorKind, message: str, asked: Asked) -> bytes:
        """Return the JSON body of an answer of our own. Clients show its one member and nothing else, so the id stands in it."""
        return msgspec.json.encode({"error": f"{kind.id}: {message}"})

    def stream_error(self, kind: ErrorKind, message: str, asked: Asked, media_type: str) -> bytes:
        """Return a line that Ollama's clients raise as an error.

        No line feed before it, as they take an empty line for a broken one; after half a line that
        was broken off it makes a line that they cannot read, which is an error too.
        """
        return self.refusal(kind, message, asked) + b"\n" if media_type in self.splitters else b""

    def _salvage_line(self, event: bytes) -> _Output | None:
        try:
            tree = parse_leniently(event)
        except ValueError:
            return None
        return salvage(tree, self._output) if isinstance(tree, dict) else None


class OllamaChat(OllamaForm):
    """The dialect of /api/chat."""

    name = "ollama_chat"
    operation = "chat"

    def __init__(self) -> None:
        super().__init__(_ChatOutput)

    def has_output(self, line: Any) -> bool:
        """Whether the message has text, thinking or calls."""
        message = line.message
        return isinstance(message, dict) and bool(message.get("content") or message.get("thinking") or message.get("tool_calls"))


class OllamaGenerate(OllamaForm):
    """The dialect of /api/generate."""

    name = "ollama_generate"
    operation = "text_completion"

    def __init__(self) -> None:
        super().__init__(_GenerateOutput)

    def has_output(self, line: Any) -> bool:
        """Whether the line has text, thinking, calls or an image."""
        return bool(line.response or line.thinking or line.tool_calls or line.image)


class OllamaEmbed(OllamaForm):
    """The dialect of /api/embed and of /api/embeddings before it, which tells no usage. Neither has a streamed form."""

    name = "ollama_embed"
    operation = "embeddings"
    splitters: Mapping[str, Callable[[int], Splitter]] = {}

    def __init__(self) -> None:
        super().__init__(_Output)


def _read(event: bytes, decode: Callable[[bytes], Any], kind: type[msgspec.Struct]) -> Any:
    """Return a `kind` with what can be read, empty where that is nothing. Never raises."""
    try:
        return decode(event)
    except UNREADABLE:
        pass
    try:
        return salvage(parse_leniently(event), kind)
    except ValueError:
        return kind()


def _note_end(end: _End, seen: Seen) -> None:
    """The last line. Older servers give no reason; such a stream is whole all the same."""
    reason = name_reason(end.done_reason)
    if reason not in _ERRANDS:
        seen.chunks += 1
    seen.terminated = seen.answered = True
    if reason is None:
        seen.choices.clear()
    else:
        seen.choices[0] = reason
        seen.finish_reasons = [reason]
    usage = read_usage(end.prompt_eval_count, end.eval_count, has_output=seen.first_token is not None)
    if usage is not None:
        seen.usage = usage


def _note_error(error: object, seen: Seen) -> None:
    """An error is a message, which is never recorded: a status tells more than that there was one."""
    name = name_error(error) if isinstance(error, dict) else OTHER
    if name != OTHER or seen.error_type is None:
        seen.error_type = name


def read_usage(prompt: object, made: object, *, has_output: bool) -> Usage | None:
    """Return `prompt_eval_count` and `eval_count` as usage; None where one of them is unknown.

    Ollama leaves out what is 0. There is no prompt without tokens, so a missing prompt count is
    unknown (some versions leave it out for a prompt that is still in memory); so is a missing
    count of output where there was output.
    """
    prompt_count = read_count(prompt)
    if prompt_count is None:
        return None
    made_count = read_count(made)
    if made_count is None:
        if made is not None or has_output:
            return None
        made_count = 0
    return Usage(input=prompt_count, output=made_count)
