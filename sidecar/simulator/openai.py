"""The OpenAI form on the wire: whole answers, stream events, errors, model lists.

Members, their order and their absence are those of api.openai.com: `usage` is null on the chunks
of a stream that asked for it and missing from one that did not, the role comes in a chunk of its
own, `obfuscation` pads every delta, and the chunk with the usage has no choices.
"""

from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping
from random import Random
from struct import pack
from typing import Any, Final

import msgspec

from sidecar.simulator.contract import Event
from sidecar.simulator.plan import Choice, Plan
from sidecar.simulator.profile import Profile
from sidecar.simulator.request import Ask, Form, read_ask
from sidecar.simulator.script import NEWLINES, Script
from sidecar.simulator.wire import Fields, render_event

DONE: Final = b"[DONE]"
_BAD_KEY: Final = "Bearer sk-bad"
_SUFFIXES: Final = (("/chat/completions", Form.CHAT), ("/completions", Form.COMPLETION), ("/embeddings", Form.EMBEDDING))
_ID_PREFIXES: Final = {Form.CHAT: "chatcmpl-", Form.COMPLETION: "cmpl-"}
_PAD: Final = "q7Zr2LmX0vKd4TnYb8HsWc1Jf"  # deltas are padded so that their length tells nothing


class OpenAI:
    """The dialect of chat completions, completions and embeddings."""

    name = "openai"
    provider = "openai"
    fee = 0.0
    garbage = b'{"choices":[{"index":0,"delta":{"content":"never clo'
    not_utf8 = b'{"choices":[{"index":0,"delta":{"content":"\xc3\x28\xff"},"finish_reason":null}]}'

    def form_of(self, method: str, path: str) -> Form | None:
        """By the path's end."""
        return next((form for suffix, form in _SUFFIXES if path.endswith(suffix)), None) if method == "POST" else None

    def read_ask(self, form: Form, target: str, body: bytes) -> Ask:
        """Read a request body. Raises Rejection."""
        return read_ask(form, body)

    def is_known(self, headers: Mapping[str, str]) -> bool:
        """Every key is good but one."""
        return headers.get("authorization") != _BAD_KEY

    def name_answer(self, plan: Plan) -> str:
        """The answer's id; embeddings have none."""
        prefix = _ID_PREFIXES.get(plan.ask.form)
        return prefix + plan.name if prefix else ""

    def stream_type(self, ask: Ask) -> str:
        """Server-sent events."""
        return "text/event-stream; charset=utf-8"

    def render_whole(self, plan: Plan) -> bytes:
        """The body of an answer that is not streamed."""
        return render_whole(plan)

    def stream_events(self, plan: Plan) -> list[Event]:
        """All events of a complete stream."""
        return stream_events(plan)

    def error_event(self, status: int, message: str) -> Event:
        """An error within a stream has the form of an error answer."""
        return Event(render_error(status, message))

    def frame_event(self, event: Event, script: Script, *, first: bool, last: bool) -> bytes:
        """One server-sent event."""
        return render_event(event.data, NEWLINES[script.newline], commented=script.comments, first=first, bom=script.bom)

    def render_error(self, status: int, message: str, *, param: str | None = None, code: str | None = None) -> bytes:
        """The body of an error answer."""
        return render_error(status, message, param=param, code=code)

    def fields(self, profile: Profile, request_id: str, processing_s: float, prompt_tokens: int, draw: int) -> Fields:
        """The header fields of every answer."""
        requests, tokens = profile.requests_per_minute, profile.tokens_per_minute
        return [
            ("server", "simulator"), ("x-request-id", request_id), ("openai-version", "2020-10-01"),
            ("openai-organization", "simulated"), ("openai-processing-ms", str(round(processing_s * 1000))),
            ("x-ratelimit-limit-requests", str(requests)), ("x-ratelimit-remaining-requests", str(requests - 1 - draw % requests)),
            ("x-ratelimit-reset-requests", "6ms"), ("x-ratelimit-limit-tokens", str(tokens)),
            ("x-ratelimit-remaining-tokens", str(max(0, tokens - 1 - prompt_tokens - draw % tokens))),
            ("x-ratelimit-reset-tokens", "12ms"),
        ]  # fmt: skip


def usage_of(plan: Plan) -> dict[str, Any]:
    """The usage member of a whole answer."""
    if plan.ask.form is Form.EMBEDDING:
        return {"prompt_tokens": plan.prompt_tokens, "total_tokens": plan.prompt_tokens}
    return {
        "prompt_tokens": plan.prompt_tokens,
        "completion_tokens": plan.completion_tokens,
        "total_tokens": plan.prompt_tokens + plan.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": plan.cached_tokens, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": plan.reasoning_tokens, "audio_tokens": 0,
            "accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0,
        },
    }  # fmt: skip


def render_whole(plan: Plan) -> bytes:
    """The body of an answer that is not streamed."""
    if plan.ask.form is Form.EMBEDDING:
        return _render_embeddings(plan)
    if plan.ask.form is Form.COMPLETION:
        choices = [
            {"text": choice.text, "index": index, "logprobs": None, "finish_reason": choice.finish_reason}
            for index, choice in enumerate(plan.choices)
        ]
        return msgspec.json.encode({**_stem(plan, "text_completion"), "choices": choices, "usage": usage_of(plan)})
    tree = {
        **_stem(plan, "chat.completion"),
        "choices": [_whole_choice(index, choice) for index, choice in enumerate(plan.choices)],
        "usage": usage_of(plan), "service_tier": plan.ask.service_tier, "system_fingerprint": plan.fingerprint,
    }  # fmt: skip
    return msgspec.json.encode(tree)


def _stem(plan: Plan, kind: str) -> dict[str, Any]:
    return {"id": f"{_ID_PREFIXES[plan.ask.form]}{plan.name}", "object": kind, "created": plan.created_s, "model": plan.ask.model}


def _whole_choice(index: int, choice: Choice) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": None, "refusal": None, "annotations": []}
    if choice.reasoning:
        message["reasoning_content"] = "".join(choice.reasoning)
    if choice.member == "tool_calls":
        message["tool_calls"] = [
            {"id": choice.tool_call_id, "type": "function", "function": {"name": choice.tool_name, "arguments": choice.text}}
        ]
    else:
        message[choice.member] = choice.text
    return {"index": index, "message": message, "logprobs": None, "finish_reason": choice.finish_reason}


def _render_embeddings(plan: Plan) -> bytes:
    data: list[dict[str, Any]] = []
    for index, text in enumerate(plan.ask.prompt):
        random = Random(f"{plan.ask.model}/{text}")
        vector = [random.uniform(-0.1, 0.1) for _ in range(plan.dimensions)]
        packed = pack(f"<{len(vector)}f", *vector)
        shown: Any = b64encode(packed).decode() if plan.ask.base64_asked else [round(each, 7) for each in vector]
        data.append({"object": "embedding", "index": index, "embedding": shown})
    return msgspec.json.encode({"object": "list", "data": data, "model": plan.ask.model, "usage": usage_of(plan)})


def stream_events(plan: Plan) -> list[Event]:
    """All events of a complete stream, [DONE] the last."""
    chat = plan.ask.form is Form.CHAT
    pace = iter(plan.gaps_s)
    events = [_delta(plan, index, {"role": "assistant", "content": "", "refusal": None}) for index in range(len(plan.choices)) if chat]
    wait_s = plan.first_token_s - plan.first_byte_s
    for index, choice, place in _in_turns(plan.choices):
        thinks = place < len(choice.reasoning)
        if place == len(choice.reasoning) + len(choice.pieces):
            events.append(_delta(plan, index, {}, choice.finish_reason) if chat else _text(plan, index, "", choice.finish_reason))
            continue
        piece = choice.reasoning[place] if thinks else choice.pieces[place - len(choice.reasoning)]
        event = _delta(plan, index, _delta_of(choice, place, piece)) if chat else _text(plan, index, piece)
        events.append(event._replace(delay_s=wait_s, tokens=1, reasoning=int(thinks)))
        wait_s = next(pace, 0.0)
    if plan.ask.usage_asked:
        tree = {**_chunk_stem(plan), "choices": [], "usage": usage_of(plan)}
        if plan.ask.obfuscated and chat:
            tree["obfuscation"] = ""
        events.append(Event(msgspec.json.encode(tree), tells=plan.tokens))
    return [*events, Event(DONE, is_optional=True)]


def _in_turns(choices: tuple[Choice, ...]) -> Iterator[tuple[int, Choice, int]]:
    """Index, choice and place of each token, the choices taking turns; one place more for its end."""
    for place in range(max((len(choice.reasoning) + len(choice.pieces) for choice in choices), default=0) + 1):
        for index, choice in enumerate(choices):
            if place <= len(choice.reasoning) + len(choice.pieces):
                yield index, choice, place


def _delta_of(choice: Choice, place: int, piece: str) -> dict[str, Any]:
    if place < len(choice.reasoning):
        return {"reasoning_content": piece}
    if choice.member != "tool_calls":
        return {choice.member: piece}
    call: dict[str, Any] = {"index": 0, "function": {"arguments": piece}}
    if place == len(choice.reasoning):
        call = {"index": 0, "id": choice.tool_call_id, "type": "function", "function": {"name": choice.tool_name, "arguments": piece}}
    return {"tool_calls": [call]}


def _chunk_stem(plan: Plan) -> dict[str, Any]:
    if plan.ask.form is Form.COMPLETION:
        return _stem(plan, "text_completion")
    return {
        **_stem(plan, "chat.completion.chunk"), "service_tier": plan.ask.service_tier, "system_fingerprint": plan.fingerprint,
    }  # fmt: skip


def _delta(plan: Plan, index: int, delta: dict[str, Any], finish_reason: str | None = None) -> Event:
    tree = {**_chunk_stem(plan), "choices": [{"index": index, "delta": delta, "logprobs": None, "finish_reason": finish_reason}]}
    if plan.ask.usage_asked:
        tree["usage"] = None
    if plan.ask.obfuscated:
        tree["obfuscation"] = _PAD[: max(1, len(_PAD) - len(str(delta.get("content") or "")))]
    return Event(msgspec.json.encode(tree), finishes=finish_reason is not None)


def _text(plan: Plan, index: int, text: str, finish_reason: str | None = None) -> Event:
    choice = {"text": text, "index": index, "logprobs": None, "finish_reason": finish_reason}
    tree = {**_chunk_stem(plan), "choices": [choice]}
    if plan.ask.usage_asked:
        tree["usage"] = None
    return Event(msgspec.json.encode(tree), finishes=finish_reason is not None)


_TYPES: Final = {
    400: ("invalid_request_error", None), 401: ("invalid_request_error", "invalid_api_key"), 403: ("insufficient_permissions", None),
    404: ("invalid_request_error", "model_not_found"), 429: ("requests", "rate_limit_exceeded"), 500: ("server_error", None),
    503: ("server_error", "slow_down"), 529: ("overloaded_error", None),
}  # fmt: skip


def render_error(status: int, message: str, *, param: str | None = None, code: str | None = None) -> bytes:
    """The body of an error answer; type and code are those that go with the status."""
    kind, usual_code = _TYPES.get(status, ("invalid_request_error" if status < 500 else "server_error", None))
    return msgspec.json.encode({"error": {"message": message, "type": kind, "param": param, "code": code or usual_code}})


def render_models(names: Iterable[str]) -> bytes:
    """The list of models."""
    return msgspec.json.encode({"object": "list", "data": [_model(name) for name in names]})


def render_model(name: str) -> bytes:
    """One model of the list."""
    return msgspec.json.encode(_model(name))


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 1_700_000_000, "owned_by": "simulator"}
