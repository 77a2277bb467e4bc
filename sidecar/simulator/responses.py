"""OpenAI responses on the wire: whole, streamed, in the background, and stored ones told again.

Members, their order and the order of events are those of api.openai.com: the response comes whole in
the first events and in the last, items and parts are opened before their deltas and closed after them,
each event has a number, and `obfuscation` pads every delta. The model thinks in one summary part.
"""

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from sidecar.simulator.contract import Event
from sidecar.simulator.openai import OpenAI, render_error
from sidecar.simulator.plan import Choice, Plan
from sidecar.simulator.request import Form
from sidecar.simulator.script import NEWLINES, Script
from sidecar.simulator.wire import render_event

_PAD: Final = "q7Zr2LmX0vKd4TnYb8HsWc1Jf"
_FAILURE: Final = {"code": "server_error", "message": "Simulated failure of the model."}


class OpenAIResponses(OpenAI):
    """The dialect of responses."""

    name = "openai_responses"
    garbage = b'{"type":"response.output_text.delta","sequence_number":4,"delta":"never clo'
    not_utf8 = b'{"type":"response.output_text.delta","sequence_number":4,"output_index":9,"delta":"\xc3\x28\xff"}'

    def form_of(self, method: str, path: str) -> Form | None:
        """By the path's end; a stored response takes no prompt."""
        return Form.RESPONSE if method == "POST" and path.endswith("/responses") else None

    def name_answer(self, plan: Plan) -> str:
        """The response's id."""
        return f"resp_{plan.name}"

    def render_whole(self, plan: Plan) -> bytes:
        """The body of an answer that is not streamed: of one in the background, what is known at once."""
        return render_response(plan, "queued" if plan.ask.background else status_of(plan))

    def stream_events(self, plan: Plan) -> list[Event]:
        """All events of a complete stream."""
        return list(_number(_tell_all(plan), padded=plan.ask.obfuscated))

    def error_event(self, status: int, message: str) -> Event:
        """An error within a stream is an event of its own type."""
        error = msgspec.json.decode(render_error(status, message))["error"]
        tree = {"type": "error", "sequence_number": 0, "code": error["code"] or error["type"], "message": message, "param": None}
        return Event(msgspec.json.encode(tree), name="error")

    def frame_event(self, event: Event, script: Script, *, first: bool, last: bool) -> bytes:
        """One server-sent event with its name."""
        return render_event(
            event.data, NEWLINES[script.newline], commented=script.comments, first=first, bom=script.bom, name=event.name
        )  # fmt: skip


class Replay(OpenAIResponses):
    """A stored response, told again: at once, from an event on, and in the state that it has by now."""

    def __init__(self, status: str | None, starting_after: int) -> None:
        """`status`: of a response that is not ready. `starting_after`: the number of the last event that the caller has, or -1."""
        self._status = status
        self._starting_after = starting_after

    def render_whole(self, plan: Plan) -> bytes:
        """The response as it is now."""
        return render_response(plan, self._status or status_of(plan))

    def stream_events(self, plan: Plan) -> list[Event]:
        """The events that the caller does not have yet."""
        return super().stream_events(plan)[self._starting_after + 1 :]


def status_of(plan: Plan) -> str:
    """What a response has become when it is ready."""
    if plan.is_failed:
        return "failed"
    return "incomplete" if plan.choices[0].finish_reason == "length" else "completed"


def render_response(plan: Plan, status: str) -> bytes:
    """The response object as a body."""
    return msgspec.json.encode(_response(plan, status))


def _response(plan: Plan, status: str) -> dict[str, Any]:
    ask, is_ready = plan.ask, status in ("completed", "incomplete")
    return {
        "id": f"resp_{plan.name}", "object": "response", "created_at": plan.created_s, "status": status, "background": ask.background,
        "error": _FAILURE if status == "failed" else None,
        "incomplete_details": {"reason": "max_output_tokens"} if status == "incomplete" else None,
        "instructions": None, "max_output_tokens": ask.tokens_max, "max_tool_calls": None, "model": ask.model,
        "output": _items(plan) if is_ready else [], "parallel_tool_calls": True, "previous_response_id": None,
        "prompt_cache_key": None, "reasoning": {"effort": None, "summary": None}, "safety_identifier": None,
        "service_tier": ask.service_tier if is_ready else "auto", "store": ask.stored, "temperature": 1.0,
        "text": {"format": {"type": "text"}, "verbosity": "medium"}, "tool_choice": "auto", "tools": [], "top_logprobs": 0, "top_p": 1.0,
        "truncation": "disabled", "usage": usage_of(plan) if is_ready else None, "user": None, "metadata": {},
    }  # fmt: skip


def usage_of(plan: Plan) -> dict[str, Any]:
    """The usage member of a response that is ready."""
    return {
        "input_tokens": plan.prompt_tokens,
        "input_tokens_details": {"cached_tokens": plan.cached_tokens, "cache_write_tokens": plan.written_tokens},
        "output_tokens": plan.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": plan.reasoning_tokens},
        "total_tokens": plan.prompt_tokens + plan.completion_tokens,
    }


def _items(plan: Plan) -> list[dict[str, Any]]:
    """The output: what was thought, then a message or a call."""
    choice = plan.choices[0]
    thought = [_reasoning(plan, "".join(choice.reasoning))] if choice.reasoning else []
    if not choice.pieces and choice.reasoning:
        return thought  # cut short before it said anything
    status = "incomplete" if choice.finish_reason == "length" else "completed"
    return [*thought, _outcome(plan, choice, status, choice.text)]


def _reasoning(plan: Plan, text: str) -> dict[str, Any]:
    return {"id": f"rs_{plan.name}", "type": "reasoning", "summary": [_summary(text)] if text else []}


def _summary(text: str) -> dict[str, Any]:
    return {"type": "summary_text", "text": text}


def _outcome(plan: Plan, choice: Choice, status: str, text: str) -> dict[str, Any]:
    """The item that is not reasoning, with as much of its text as there is by now."""
    if choice.member == "tool_calls":
        return {
            "id": f"fc_{plan.name}", "type": "function_call", "status": status, "arguments": text, "call_id": choice.tool_call_id,
            "name": choice.tool_name,
        }  # fmt: skip
    content = [] if status == "in_progress" else [_part(choice, text)]
    return {"id": f"msg_{plan.name}", "type": "message", "status": status, "content": content, "role": "assistant"}


def _part(choice: Choice, text: str) -> dict[str, Any]:
    if choice.member == "refusal":
        return {"type": "refusal", "refusal": text}
    return {"type": "output_text", "annotations": [], "logprobs": [], "text": text}


class _Draft(msgspec.Struct):
    """An event before it has its number."""

    kind: str
    members: dict[str, Any]
    delay_s: float = 0.0
    tokens: int = 0
    reasoning: int = 0


def _number(drafts: Iterator[tuple[_Draft, Plan | None]], *, padded: bool) -> Iterator[Event]:
    """Number and encode events; with the plan comes the last one, which tells usage."""
    for number, (draft, plan) in enumerate(drafts):
        tree = {"type": draft.kind, "sequence_number": number, **draft.members}
        if padded and draft.kind.endswith(".delta"):
            tree["obfuscation"] = _PAD[: max(1, len(_PAD) - len(draft.members["delta"]))]
        yield Event(
            msgspec.json.encode(tree), draft.delay_s, draft.tokens, draft.reasoning, finishes=plan is not None,
            tells=plan.tokens if plan is not None and plan.is_told else None, name=draft.kind,
        )  # fmt: skip


def _tell_all(plan: Plan) -> Iterator[tuple[_Draft, Plan | None]]:
    """Every event; a failed response breaks off half way through its output."""
    first = ("created", "queued", "in_progress") if plan.ask.background else ("created", "in_progress")
    for kind in first:
        status = "queued" if plan.ask.background and kind != "in_progress" else "in_progress"
        yield _Draft(f"response.{kind}", {"response": _response(plan, status)}), None
    output = list(_tell_output(plan))
    for draft in output[: len(output) // 2] if plan.is_failed else output:
        yield draft, None
    status = status_of(plan)
    yield _Draft(f"response.{status}", {"response": _response(plan, status)}), plan


def _tell_output(plan: Plan) -> Iterator[_Draft]:
    """The events of the items, each delta with the pause before it."""
    choice = plan.choices[0]
    waits_s = iter((plan.first_token_s - plan.first_byte_s, *plan.gaps_s))
    if choice.reasoning:
        yield from _tell_reasoning(plan, choice, waits_s)
    if not choice.pieces and choice.reasoning:
        return
    place = 1 if choice.reasoning else 0
    item = {"output_index": place}
    yield _Draft("response.output_item.added", {**item, "item": _outcome(plan, choice, "in_progress", "")})
    if choice.member == "tool_calls":
        where: dict[str, Any] = {"item_id": f"fc_{plan.name}", **item}
        for piece in choice.pieces:
            yield _Draft("response.function_call_arguments.delta", {**where, "delta": piece}, next(waits_s, 0.0), 1)
        yield _Draft("response.function_call_arguments.done", {**where, "arguments": choice.text})
    else:
        yield from _tell_text(plan, choice, {"item_id": f"msg_{plan.name}", **item, "content_index": 0}, waits_s)
    yield _Draft("response.output_item.done", {**item, "item": _items(plan)[-1]})


def _tell_reasoning(plan: Plan, choice: Choice, waits_s: Iterator[float]) -> Iterator[_Draft]:
    text = "".join(choice.reasoning)
    where = {"item_id": f"rs_{plan.name}", "output_index": 0, "summary_index": 0}
    yield _Draft("response.output_item.added", {"output_index": 0, "item": _reasoning(plan, "")})
    yield _Draft("response.reasoning_summary_part.added", {**where, "part": _summary("")})
    for piece in choice.reasoning:
        yield _Draft("response.reasoning_summary_text.delta", {**where, "delta": piece}, next(waits_s, 0.0), 1, 1)
    yield _Draft("response.reasoning_summary_text.done", {**where, "text": text})
    yield _Draft("response.reasoning_summary_part.done", {**where, "part": _summary(text)})
    yield _Draft("response.output_item.done", {"output_index": 0, "item": _reasoning(plan, text)})


def _tell_text(plan: Plan, choice: Choice, where: dict[str, Any], waits_s: Iterator[float]) -> Iterator[_Draft]:
    kind, member = ("refusal", "refusal") if choice.member == "refusal" else ("output_text", "text")
    more: dict[str, Any] = {} if kind == "refusal" else {"logprobs": []}
    yield _Draft("response.content_part.added", {**where, "part": _part(choice, "")})
    for piece in choice.pieces:
        yield _Draft(f"response.{kind}.delta", {**where, "delta": piece, **more}, next(waits_s, 0.0), 1)
    yield _Draft(f"response.{kind}.done", {**where, member: choice.text, **more})
    yield _Draft("response.content_part.done", {**where, "part": _part(choice, choice.text)})
