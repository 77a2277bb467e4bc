"""What the simulated provider says over a WebSocket: OpenAI's realtime, its responses mode, and Gemini Live.

Each is a small script: a message that asks for an answer gets one of a few words, with usage. What
was said before is the next prompt, and is cached from the second answer on.
"""

from typing import Any, Final, Protocol

import msgspec

from sidecar.simulator.request import count_tokens
from sidecar.simulator.tokens import NOTHING, Tokens

_WORDS: Final = ("The", " answer", " comes", " piece", " by", " piece", ".")
_MODEL_PREFIX: Final = "models/"


class Talk(Protocol):
    """One session's script."""

    provider: str  # whose interface it is
    model: str
    spent: Tokens  # by all answers so far, as told
    is_binary: bool  # messages go out in binary frames

    def greet(self) -> list[dict[str, Any]]:
        """What the server says first."""
        ...

    def answer(self, message: dict[str, Any]) -> list[dict[str, Any]]:
        """What it says to a message."""
        ...


class _Counted:
    """A conversation whose tokens are counted."""

    provider = "openai"

    def __init__(self, model: str) -> None:
        self.model = model
        self.spent = NOTHING
        self.is_binary = False
        self._heard = 0  # tokens since the last answer
        self._before = 0  # tokens of the conversation up to it
        self._answers = 0

    def hear(self, text: object) -> None:
        """Take text of the client's."""
        if isinstance(text, str):
            self._heard += count_tokens(text)

    def count_answer(self) -> Tokens:
        """Count one answer."""
        told = Tokens(self._before + self._heard, len(_WORDS), self._before)
        self._before, self._heard = told.prompt + told.completion, 0
        self._answers += 1
        self.spent = self.spent.plus(told)
        return told


class Realtime(_Counted):
    """OpenAI's realtime interface; the model stands in the query."""

    def greet(self) -> list[dict[str, Any]]:
        """The session as it was made."""
        return [{"type": "session.created", "event_id": "event_0", "session": {"type": "realtime", "id": "sess_1", "model": self.model}}]

    def answer(self, message: dict[str, Any]) -> list[dict[str, Any]]:
        """Items are kept, `response.create` is answered, and everything else that is known is passed over."""
        match message.get("type"):
            case "response.create":
                return self._respond()
            case "conversation.item.create":
                for part in _list(_dict(message.get("item")).get("content")):
                    self.hear(_dict(part).get("text"))
                return []
            case "session.update":
                return [{"type": "session.updated", "event_id": "event_u", "session": {"type": "realtime", "model": self.model}}]
            case "input_audio_buffer.append":
                return []
            case kind:
                error = {"type": "invalid_request_error", "code": "invalid_value", "message": f"Unknown event {kind}.", "param": "type"}
                return [{"type": "error", "event_id": "event_e", "error": error}]

    def _respond(self) -> list[dict[str, Any]]:
        told = self.count_answer()
        name = f"resp_{self._answers}"
        begun = {"id": name, "object": "realtime.response", "status": "in_progress", "output": []}
        place = {"response_id": name, "item_id": f"item_{self._answers}", "output_index": 0, "content_index": 0}
        usage = {
            "total_tokens": told.prompt + told.completion, "input_tokens": told.prompt, "output_tokens": told.completion,
            "input_token_details": {"text_tokens": told.prompt, "audio_tokens": 0, "cached_tokens": told.cached},
            "output_token_details": {"text_tokens": told.completion, "audio_tokens": 0},
        }  # fmt: skip
        deltas = [{"type": "response.output_text.delta", "event_id": f"event_d{number}", **place, "delta": word}
                  for number, word in enumerate(_WORDS)]  # fmt: skip
        return [
            {"type": "response.created", "event_id": "event_c", "response": begun}, *deltas,
            {"type": "response.done", "event_id": "event_f", "response": {**begun, "status": "completed", "usage": usage}},
        ]  # fmt: skip


class Responses(_Counted):
    """OpenAI's responses in WebSocket mode; the model stands in each request."""

    def greet(self) -> list[dict[str, Any]]:
        """Nothing: the client begins."""
        return []

    def answer(self, message: dict[str, Any]) -> list[dict[str, Any]]:
        """`response.create` is answered with the events of a stream."""
        if message.get("type") != "response.create":
            return [{"type": "error", "code": "invalid_value", "message": "Unknown event.", "param": "type", "sequence_number": 0}]
        self.model = str(message.get("model"))
        self.hear(message.get("input"))
        told = self.count_answer()
        begun = {
            "id": f"resp_{self._answers}", "object": "response", "created_at": 0, "status": "in_progress", "model": self.model,
            "output": [], "parallel_tool_calls": True, "tool_choice": "auto", "tools": [],
        }  # fmt: skip
        usage = {
            "input_tokens": told.prompt, "input_tokens_details": {"cached_tokens": told.cached}, "output_tokens": told.completion,
            "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": told.prompt + told.completion,
        }  # fmt: skip
        place = {"item_id": "msg_1", "output_index": 0, "content_index": 0, "logprobs": []}
        events: list[dict[str, Any]] = [{"type": "response.created", "response": begun}]
        events += [{"type": "response.output_text.delta", **place, "delta": word} for word in _WORDS]
        events.append({"type": "response.completed", "response": {**begun, "status": "completed", "usage": usage}})
        return [{**event, "sequence_number": number} for number, event in enumerate(events)]


class Live(_Counted):
    """Gemini Live: the model stands in the first message, and the server speaks in binary frames."""

    provider = "gcp.gemini"

    def __init__(self, model: str) -> None:
        super().__init__(model)
        self.is_binary = True

    def greet(self) -> list[dict[str, Any]]:
        """Nothing: the client begins."""
        return []

    def answer(self, message: dict[str, Any]) -> list[dict[str, Any]]:
        """`setup` is confirmed; a turn of the client that is complete is answered."""
        if "setup" in message:
            self.model = str(_dict(message["setup"]).get("model")).removeprefix(_MODEL_PREFIX)
            return [{"setupComplete": {}}]
        content = _dict(message.get("clientContent") or message.get("client_content"))
        for turn in _list(content.get("turns")):
            for part in _list(_dict(turn).get("parts")):
                self.hear(_dict(part).get("text"))
        if not (content.get("turnComplete") or content.get("turn_complete")):
            return []
        told = self.count_answer()
        usage = {
            "promptTokenCount": told.prompt, "cachedContentTokenCount": told.cached, "responseTokenCount": told.completion,
            "totalTokenCount": told.prompt + told.completion, "promptTokensDetails": [{"modality": "TEXT", "tokenCount": told.prompt}],
        }  # fmt: skip
        pieces: list[dict[str, Any]] = [{"serverContent": {"modelTurn": {"parts": [{"text": word}]}}} for word in _WORDS]
        return [*pieces, {"serverContent": {"generationComplete": True}}, {"serverContent": {"turnComplete": True}, "usageMetadata": usage}]


def begin_talk(path: str, model: str) -> Talk | None:
    """Return the script of a path; None where there is no such interface. `model`: as the query names it."""
    if path.endswith("/realtime"):
        return Realtime(model)
    if path.endswith("/responses"):
        return Responses(model)
    return Live(model) if path.endswith(".GenerativeService.BidiGenerateContent") else None


def read_message(data: bytes) -> dict[str, Any]:
    """Return a message as JSON types; what is none is an empty one."""
    try:
        return _dict(msgspec.json.decode(data))
    except (msgspec.DecodeError, UnicodeDecodeError):
        return {}


def _dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
