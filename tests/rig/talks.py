"""One small exchange in each interface, whole and streamed, cut into the pieces between which an upstream may fail.

The upstream's own word stands in every token, so that an answer tells whose it is, and whether any of it came twice.
"""

import json
from collections.abc import Callable
from typing import Any, Final, NamedTuple

Tree = dict[str, Any]
MODEL: Final = "sim-small"
INPUT_TOKENS: Final = 7
OUTPUT_TOKENS: Final = 3
_ASKED: Final = [{"role": "user", "content": "Why was order 7 late?"}]


class Spoken(NamedTuple):
    """The body of a good answer."""

    opening: bytes  # before the first token; of a whole answer nothing
    tokens: tuple[bytes, ...]
    ending: bytes  # finish reason, usage, end mark

    @property
    def body(self) -> bytes:
        """All of it."""
        return self.opening + b"".join(self.tokens) + self.ending


class Talk(NamedTuple):
    """How one interface is asked, and answers."""

    name: str
    provider: str
    streamed: bool
    path: str
    request: bytes
    media_type: str
    speak: Callable[[str], Spoken]  # the upstream's word -> its answer
    error: Callable[[int], bytes]  # status -> the body of its error
    in_band: bytes  # an error within an answer that began as a success


def _dump(told: Tree) -> bytes:
    return json.dumps(told, separators=(",", ":")).encode()


def _event(told: Tree, name: str = "") -> bytes:
    return (f"event: {name}\n".encode() if name else b"") + b"data: " + _dump(told) + b"\n\n"


def _line(told: Tree) -> bytes:
    return _dump({"model": MODEL, "created_at": "2026-01-01T00:00:00Z", **told}) + b"\n"


def _whole(told: Tree) -> Spoken:
    body = _dump(told)
    third = len(body) // 3
    return Spoken(b"", (body[:third], body[third : 2 * third]), body[2 * third :])


def _say(word: str) -> list[str]:
    return [f"{word} {number}" for number in range(OUTPUT_TOKENS)]


# -- OpenAI chat ---------------------------------------------------------------------------

_OPENAI_USAGE: Final = {"prompt_tokens": INPUT_TOKENS, "completion_tokens": OUTPUT_TOKENS, "total_tokens": INPUT_TOKENS + OUTPUT_TOKENS}


def _openai_stream(word: str) -> Spoken:
    stem: Tree = {"id": f"chatcmpl-{word}", "object": "chat.completion.chunk", "created": 1, "model": MODEL}

    def chunk(delta: Tree, reason: str | None = None) -> bytes:
        return _event({**stem, "choices": [{"index": 0, "delta": delta, "finish_reason": reason}], "usage": None})

    told = chunk({}, "stop") + _event({**stem, "choices": [], "usage": _OPENAI_USAGE}) + b"data: [DONE]\n\n"
    return Spoken(chunk({"role": "assistant", "content": ""}), tuple(chunk({"content": text}) for text in _say(word)), told)


def _openai_whole(word: str) -> Spoken:
    message = {"role": "assistant", "content": " ".join(_say(word))}
    return _whole({
        "id": f"chatcmpl-{word}", "object": "chat.completion", "created": 1, "model": MODEL,
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "usage": _OPENAI_USAGE,
    })  # fmt: skip


def _openai_error(status: int) -> bytes:
    return _dump({"error": {"message": f"It failed with {status}.", "type": "server_error", "param": None, "code": None}})


# -- Anthropic messages --------------------------------------------------------------------


def _anthropic_stream(word: str) -> Spoken:
    message = {
        "id": f"msg_{word}", "type": "message", "role": "assistant", "model": MODEL, "content": [], "stop_reason": None,
        "stop_sequence": None, "usage": {"input_tokens": INPUT_TOKENS, "output_tokens": 1},
    }  # fmt: skip
    opening = [
        {"type": "message_start", "message": message}, {"type": "ping"},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    ]  # fmt: skip
    deltas = [{"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}} for text in _say(word)]
    ending = [
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": {"output_tokens": OUTPUT_TOKENS}},
        {"type": "message_stop"},
    ]  # fmt: skip
    first, tokens, last = ([_event(each, str(each["type"])) for each in told] for told in (opening, deltas, ending))
    return Spoken(b"".join(first), tuple(tokens), b"".join(last))


def _anthropic_whole(word: str) -> Spoken:
    return _whole({
        "id": f"msg_{word}", "type": "message", "role": "assistant", "model": MODEL, "stop_reason": "end_turn", "stop_sequence": None,
        "content": [{"type": "text", "text": " ".join(_say(word))}],
        "usage": {"input_tokens": INPUT_TOKENS, "output_tokens": OUTPUT_TOKENS},
    })  # fmt: skip


def _anthropic_error(status: int) -> bytes:
    kind = {401: "authentication_error", 429: "rate_limit_error", 529: "overloaded_error"}.get(status, "api_error")
    return _dump({"type": "error", "error": {"type": kind, "message": f"It failed with {status}."}})


# -- Gemini --------------------------------------------------------------------------------

_GEMINI_USAGE: Final = {
    "promptTokenCount": INPUT_TOKENS, "candidatesTokenCount": OUTPUT_TOKENS, "totalTokenCount": INPUT_TOKENS + OUTPUT_TOKENS,
}  # fmt: skip


def _gemini(word: str, text: str, **more: Any) -> Tree:
    candidate = {"index": 0, "content": {"role": "model", "parts": [{"text": text}]}, **more}
    return {"candidates": [candidate], "modelVersion": MODEL, "responseId": word}


def _gemini_stream(word: str) -> Spoken:
    tokens = tuple(_event(_gemini(word, text)) for text in _say(word))
    last = {**_gemini(word, "", finishReason="STOP"), "usageMetadata": _GEMINI_USAGE}
    return Spoken(_event(_gemini(word, "")), tokens, _event(last))


def _gemini_whole(word: str) -> Spoken:
    return _whole({**_gemini(word, " ".join(_say(word)), finishReason="STOP"), "usageMetadata": _GEMINI_USAGE})


def _gemini_error(status: int) -> bytes:
    name = {401: "UNAUTHENTICATED", 429: "RESOURCE_EXHAUSTED", 503: "UNAVAILABLE"}.get(status, "INTERNAL")
    return _dump({"error": {"code": status, "message": f"It failed with {status}.", "status": name}})


# -- Ollama --------------------------------------------------------------------------------

_OLLAMA_USAGE: Final = {"done": True, "done_reason": "stop", "prompt_eval_count": INPUT_TOKENS, "eval_count": OUTPUT_TOKENS}


def _ollama_stream(word: str) -> Spoken:
    def line(text: str) -> bytes:
        return _line({"message": {"role": "assistant", "content": text}, "done": False})

    return Spoken(line(""), tuple(map(line, _say(word))), _line({"message": {"role": "assistant", "content": ""}, **_OLLAMA_USAGE}))


def _ollama_whole(word: str) -> Spoken:
    message = {"role": "assistant", "content": " ".join(_say(word))}
    return _whole({"model": MODEL, "created_at": "2026-01-01T00:00:00Z", "message": message, **_OLLAMA_USAGE})


def _ollama_error(status: int) -> bytes:
    return _dump({"error": f"It failed with {status}."})


# ------------------------------------------------------------------------------------------

_SSE: Final = "text/event-stream"
_JSON: Final = "application/json"
_GEMINI_ASK: Final = _dump({"contents": [{"role": "user", "parts": [{"text": "Why was order 7 late?"}]}]})
_OVERLOADED: Final = {"message": "The model is overloaded.", "type": "server_error", "param": None, "code": None}
_IN_BAND: Final = {
    "openai": _event({"error": _OVERLOADED}),
    "anthropic": _event({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}, "error"),
    "gemini": _event({"error": {"code": 503, "message": "The model is overloaded.", "status": "UNAVAILABLE"}}),
    "ollama": _dump({"error": "an error was encountered while running the model"}) + b"\n",
}


def _ask(**more: Any) -> bytes:
    return _dump({"model": MODEL, "messages": _ASKED, **more})


TALKS: Final = (
    Talk(
        "openai_stream", "openai", True, "/v1/chat/completions",
        _ask(stream=True, stream_options={"include_usage": True}), _SSE, _openai_stream, _openai_error, _IN_BAND["openai"],
    ),
    Talk("openai_whole", "openai", False, "/v1/chat/completions", _ask(), _JSON, _openai_whole, _openai_error, _IN_BAND["openai"]),
    Talk(
        "anthropic_stream", "anthropic", True, "/v1/messages", _ask(max_tokens=50, stream=True), _SSE, _anthropic_stream,
        _anthropic_error, _IN_BAND["anthropic"],
    ),
    Talk(
        "anthropic_whole", "anthropic", False, "/v1/messages", _ask(max_tokens=50), _JSON, _anthropic_whole, _anthropic_error,
        _IN_BAND["anthropic"],
    ),
    Talk(
        "gemini_stream", "gcp.gemini", True, f"/v1beta/models/{MODEL}:streamGenerateContent?alt=sse", _GEMINI_ASK, _SSE, _gemini_stream,
        _gemini_error, _IN_BAND["gemini"],
    ),
    Talk(
        "gemini_whole", "gcp.gemini", False, f"/v1beta/models/{MODEL}:generateContent", _GEMINI_ASK, _JSON, _gemini_whole, _gemini_error,
        _IN_BAND["gemini"],
    ),
    Talk(
        "ollama_stream", "ollama", True, "/api/chat", _ask(stream=True), "application/x-ndjson", _ollama_stream, _ollama_error,
        _IN_BAND["ollama"],
    ),
    Talk("ollama_whole", "ollama", False, "/api/chat", _ask(stream=False), _JSON, _ollama_whole, _ollama_error, _IN_BAND["ollama"]),
)  # fmt: skip
BY_NAME: Final = {talk.name: talk for talk in TALKS}
STREAMS: Final = tuple(talk for talk in TALKS if talk.streamed)
WHOLES: Final = tuple(talk for talk in TALKS if not talk.streamed)
