"""The Anthropic form on the wire: whole messages, stream events, errors.

Members, their order and their absence are those of api.anthropic.com: each event has a name, a
ping comes after the first block's beginning, events are padded with spaces before their last
brace, usage comes twice, and nothing but `message_stop` is the end.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from sidecar.simulator.anthropic_request import read_ask
from sidecar.simulator.contract import Event
from sidecar.simulator.plan import Choice, Plan
from sidecar.simulator.profile import Profile
from sidecar.simulator.request import Ask, Form
from sidecar.simulator.script import NEWLINES, Script
from sidecar.simulator.tokens import Tokens
from sidecar.simulator.wire import Fields, render_event

_BAD_KEY: Final = "sk-bad"
_RESET: Final = "2026-01-01T00:00:00Z"  # of limits; a clock would not be reproducible
_FIRST_TOKENS: Final = 1  # of output, as told at a stream's beginning
_PAD_MAX: Final = 13
_STOP_REASONS: Final = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use"}
_SIGNATURE: Final = "EqQBCkYIBRgCKkDsim"
_TYPES: Final = {
    401: "authentication_error", 402: "billing_error", 403: "permission_error", 404: "not_found_error", 409: "conflict_error",
    413: "request_too_large", 429: "rate_limit_error", 504: "timeout_error", 529: "overloaded_error",
}  # fmt: skip


class Anthropic:
    """The dialect of messages."""

    name = "anthropic"
    provider = "anthropic"
    fee = 0.0
    garbage = b'{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"never clo'
    not_utf8 = b'{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"\xc3\x28\xff"}}'

    def form_of(self, method: str, path: str) -> Form | None:
        """By the path's end."""
        return Form.CHAT if method == "POST" and path.endswith("/messages") else None

    def read_ask(self, form: Form, target: str, body: bytes) -> Ask:
        """Read a request body. Raises Rejection."""
        return read_ask(body)

    def is_known(self, headers: Mapping[str, str]) -> bool:
        """Every key is good but one, in either of the two places for it."""
        return headers.get("x-api-key") != _BAD_KEY and headers.get("authorization") != f"Bearer {_BAD_KEY}"

    def name_answer(self, plan: Plan) -> str:
        """The message's id."""
        return f"msg_{plan.name}"

    def stream_type(self, ask: Ask) -> str:
        """Server-sent events."""
        return "text/event-stream; charset=utf-8"

    def render_whole(self, plan: Plan) -> bytes:
        """The body of an answer that is not streamed."""
        choice = plan.choices[0]
        content = [block for block, _, _ in _list_blocks(choice)]
        tree = {**_stem(self.name_answer(plan), plan, content), **_ending(choice), "usage": _usage_of(plan, plan.tokens)}
        return msgspec.json.encode(tree)

    def stream_events(self, plan: Plan) -> list[Event]:
        """All events of a complete stream, message_stop the last."""
        return _stream_events(self.name_answer(plan), plan)

    def error_event(self, status: int, message: str) -> Event:
        """An error within a stream has the form of an error answer."""
        return Event(self.render_error(status, message), name="error")

    def frame_event(self, event: Event, script: Script, *, first: bool, last: bool) -> bytes:
        """One server-sent event with its name."""
        name = event.name or "content_block_delta"  # what is no event by itself, garbage, is sent as the usual one
        return render_event(event.data, NEWLINES[script.newline], commented=script.comments, first=first, bom=script.bom, name=name)

    def render_error(self, status: int, message: str, *, param: str | None = None, code: str | None = None) -> bytes:
        """The body of an error answer; its type is the one that goes with the status."""
        kind = _TYPES.get(status, "invalid_request_error" if status < 500 else "api_error")
        return msgspec.json.encode({"type": "error", "error": {"type": kind, "message": message}, "request_id": None})

    def fields(self, profile: Profile, request_id: str, processing_s: float, prompt_tokens: int, draw: int) -> Fields:
        """The header fields of every answer."""
        requests, tokens = profile.requests_per_minute, profile.tokens_per_minute
        left = max(0, tokens - 1 - prompt_tokens - draw % tokens)
        limits = (("requests", requests, requests - 1 - draw % requests), ("tokens", tokens, left),
                  ("input-tokens", tokens, left), ("output-tokens", tokens, tokens))  # fmt: skip
        told: list[tuple[str, str]] = [("server", "simulator"), ("request-id", request_id), ("anthropic-organization-id", "simulated")]
        for name, limit, remaining in limits:
            stem = f"anthropic-ratelimit-{name}"
            told += [(f"{stem}-limit", str(limit)), (f"{stem}-remaining", str(remaining)), (f"{stem}-reset", _RESET)]
        return told


def render_count(tokens: int) -> bytes:
    """How many tokens a prompt has, for a caller who only asks that."""
    return msgspec.json.encode({"input_tokens": tokens})


def _stem(name: str, plan: Plan, content: list[dict[str, Any]]) -> dict[str, Any]:
    return {"model": plan.ask.model, "id": name, "type": "message", "role": "assistant", "content": content}


def _ending(choice: Choice) -> dict[str, Any]:
    if choice.member == "refusal":
        details = {"type": "refusal", "category": "general_harms", "explanation": None}
        return {"stop_reason": "refusal", "stop_sequence": None, "stop_details": details}
    reason = "stop_sequence" if choice.stop else _STOP_REASONS[choice.finish_reason]
    return {"stop_reason": reason, "stop_sequence": choice.stop or None, "stop_details": None}


def _usage_of(plan: Plan, tokens: Tokens) -> dict[str, Any]:
    """The usage of a message, whole or at its beginning: input without what was cached."""
    return {
        "input_tokens": tokens.prompt - tokens.cached - tokens.written, "cache_creation_input_tokens": tokens.written,
        "cache_read_input_tokens": tokens.cached,
        "cache_creation": {"ephemeral_5m_input_tokens": tokens.written - tokens.written_1h, "ephemeral_1h_input_tokens": tokens.written_1h},
        "output_tokens": tokens.completion, **_details_of(tokens), "service_tier": plan.ask.service_tier, "inference_geo": "not_available",
    }  # fmt: skip


def _details_of(tokens: Tokens) -> dict[str, Any]:
    return {"output_tokens_details": {"thinking_tokens": tokens.reasoning}} if tokens.reasoning else {}


_Block = tuple[dict[str, Any], dict[str, Any], list[dict[str, Any]]]


def _list_blocks(choice: Choice) -> Iterator[_Block]:
    """Each block of the message: whole, as it begins, and its deltas."""
    if choice.reasoning:
        deltas = [{"type": "thinking_delta", "thinking": piece} for piece in choice.reasoning]
        thought = {"type": "thinking", "thinking": "".join(choice.reasoning), "signature": _SIGNATURE}
        yield thought, thought | {"thinking": "", "signature": ""}, [*deltas, {"type": "signature_delta", "signature": _SIGNATURE}]
    if choice.member == "tool_calls":
        call = {"type": "tool_use", "id": f"toolu_{choice.tool_call_id.removeprefix('call_')}", "name": choice.tool_name, "input": {}}
        pieces = ("", *choice.pieces)
        deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in pieces]
        yield call | {"input": _arguments_of(choice)}, call, deltas
    elif choice.pieces:
        deltas = [{"type": "text_delta", "text": piece} for piece in choice.pieces]
        yield {"type": "text", "text": choice.text}, {"type": "text", "text": ""}, deltas


def _arguments_of(choice: Choice) -> Any:
    """A call that was cut short by max_tokens has no arguments that could be read."""
    try:
        return msgspec.json.decode(choice.text)
    except msgspec.DecodeError:
        return {}


def _stream_events(name: str, plan: Plan) -> list[Event]:
    choice, pace = plan.choices[0], iter(plan.gaps_s)
    begun = plan.tokens._replace(completion=_FIRST_TOKENS, reasoning=0)
    start = _stem(name, plan, []) | {"stop_reason": None, "stop_sequence": None, "stop_details": None, "usage": _usage_of(plan, begun)}
    events = [_event({"type": "message_start", "message": start})._replace(tells=begun)]
    wait_s = plan.first_token_s - plan.first_byte_s
    for index, (_, block, deltas) in enumerate(_list_blocks(choice)):
        if index == 0:
            # The block begins with its first token: a tool's name is output already.
            events += [_event({"type": "content_block_start", "index": 0, "content_block": block})._replace(delay_s=wait_s)]
            events += [_event({"type": "ping"})]
            wait_s = 0.0
        else:
            events += [_event({"type": "content_block_start", "index": index, "content_block": block})]
        for delta in deltas:
            event = _event({"type": "content_block_delta", "index": index, "delta": delta})
            text = delta.get("text") or delta.get("thinking") or delta.get("partial_json")
            if text:
                event = event._replace(delay_s=wait_s, tokens=1, reasoning=int(delta["type"] == "thinking_delta"))
                wait_s = next(pace, 0.0)
            events.append(event)
        events.append(_event({"type": "content_block_stop", "index": index}))
    usage = _usage_of(plan, plan.tokens)
    told = {member: usage[member] for member in usage if member.endswith(("_tokens", "_details"))}
    return [
        *events, _event({"type": "message_delta", "delta": _ending(choice), "usage": told})._replace(tells=plan.tokens),
        _event({"type": "message_stop"})._replace(finishes=True),
    ]  # fmt: skip


def _event(tree: dict[str, Any]) -> Event:
    data = msgspec.json.encode(tree)
    padding = b"" if tree["type"] == "ping" else b" " * (len(data) % _PAD_MAX)
    return Event(data[:-1] + padding + data[-1:], name=tree["type"])
