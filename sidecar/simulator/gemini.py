"""Gemini's form on the wire: whole answers, streams as events and as an array, embeddings, errors.

Members, their order and the white space between them are those of generativelanguage.googleapis.com:
counts that are zero are missing, totals run along on every event, and lines end with CRLF.
"""

import json
from collections.abc import Iterator, Mapping
from itertools import zip_longest
from random import Random
from typing import Any, Final, NamedTuple

import msgspec

from sidecar.simulator.contract import Event
from sidecar.simulator.gemini_request import BAD_KEY, find_form, read_gemini_ask
from sidecar.simulator.plan import Choice, Plan
from sidecar.simulator.profile import Profile
from sidecar.simulator.request import Ask, Form
from sidecar.simulator.script import Newline, Script
from sidecar.simulator.tokens import Tokens
from sidecar.simulator.wire import Fields, render_event

_BARE: Final = "bare"  # the name of what stands in a stream without being an event
_CRLF: Final = b"\r\n"
_REASONS: Final = {"stop": "STOP", "length": "MAX_TOKENS", "tool_calls": "STOP"}
_SIGNATURE: Final = "CpUCAdHtim9hc2lnbmF0dXJl"  # of thoughts that are not shown
_STATUSES: Final = {
    400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 402: "FAILED_PRECONDITION", 403: "PERMISSION_DENIED", 404: "NOT_FOUND", 409: "ABORTED",
    429: "RESOURCE_EXHAUSTED", 499: "CANCELLED", 500: "INTERNAL", 501: "UNIMPLEMENTED", 503: "UNAVAILABLE", 504: "DEADLINE_EXCEEDED",
}  # fmt: skip


class Gemini:
    """The dialect of generateContent, streamGenerateContent with `alt=sse`, embedContent and batchEmbedContents."""

    name = "gemini"
    provider = "gcp.gemini"
    fee = 0.0
    # Its braces and quotes are balanced: in an array, where nothing else tells where an element ends, only it is lost.
    garbage = b'{"candidates": [{"content": {"parts": [{"text": never quoted}]}}]}'
    not_utf8 = b'{"candidates": [{"content": {"parts": [{"text": "\xc3\x28\xff"}],"role": "model"},"index": 0}]}'

    def form_of(self, method: str, path: str) -> Form | None:
        """By the method behind the model's name."""
        return find_form(path) if method == "POST" else None

    def read_ask(self, form: Form, target: str, body: bytes) -> Ask:
        """Read a request. Raises Rejection."""
        return read_gemini_ask(form, target, body)

    def is_known(self, headers: Mapping[str, str]) -> bool:
        """Every key is good but one."""
        return headers.get("x-goog-api-key") != BAD_KEY

    def name_answer(self, plan: Plan) -> str:
        """The answer's id; embeddings have none."""
        return "" if plan.ask.form is Form.EMBEDDING else _name(plan)

    def stream_type(self, ask: Ask) -> str:
        """Server-sent events."""
        return "text/event-stream"

    def render_whole(self, plan: Plan) -> bytes:
        """The body of an answer that is not streamed."""
        tree = _describe_embeddings(plan) if plan.ask.form is Form.EMBEDDING else _describe_whole(plan)
        return _print(tree)

    def stream_events(self, plan: Plan) -> list[Event]:
        """All events of a complete stream."""
        return stream_events(plan)

    def error_event(self, status: int, message: str) -> Event:
        """An error comes as it would alone, between the events and not as one."""
        return Event(render_error(status, message), name=_BARE)

    def frame_event(self, event: Event, script: Script, *, first: bool, last: bool) -> bytes:
        """One server-sent event. Lines end as Google's do unless the script wants a bare CR."""
        newline = b"\r" if script.newline is Newline.CR else _CRLF
        if event.name == _BARE:
            return event.data.replace(b"\n", newline) + newline
        return render_event(event.data, newline, commented=script.comments, first=first, bom=script.bom)

    def render_error(self, status: int, message: str, *, param: str | None = None, code: str | None = None) -> bytes:
        """The body of an error answer."""
        return render_error(status, message, reason=code)

    def fields(self, profile: Profile, request_id: str, processing_s: float, prompt_tokens: int, draw: int) -> Fields:
        """The header fields of every answer: nothing is told of limits."""
        return [
            ("vary", "Origin"), ("vary", "X-Origin"), ("vary", "Referer"), ("server", "scaffolding on HTTPServer2"),
            ("x-xss-protection", "0"), ("x-frame-options", "SAMEORIGIN"), ("x-content-type-options", "nosniff"),
            ("server-timing", f"gfet4t7; dur={round(processing_s * 1000)}"),
        ]  # fmt: skip


class GeminiArray(Gemini):
    """The dialect of streamGenerateContent without `alt=sse`: one JSON array, sent element by element."""

    name = "gemini_array"

    def stream_type(self, ask: Ask) -> str:
        """JSON."""
        return "application/json; charset=UTF-8"

    def frame_event(self, event: Event, script: Script, *, first: bool, last: bool) -> bytes:
        """One element, with the brackets of the array before the first and after the last."""
        return (b"[" if first else b"," + _CRLF) + event.data.rstrip() + _CRLF + (b"]" + _CRLF if last else b"")

    def render_error(self, status: int, message: str, *, param: str | None = None, code: str | None = None) -> bytes:
        """The body of an error answer: an array, too."""
        return b"[" + render_error(status, message, reason=code).rstrip() + b"\n]\n"


class _Step(NamedTuple):
    """What the model does next for one candidate."""

    part: dict[str, Any] | None  # None: nothing that is shown
    tokens: int = 0
    reasoning: int = 0
    reason: str | None = None


def stream_events(plan: Plan) -> list[Event]:
    """All events of a complete stream; the last of each candidate has its finish reason."""
    pace = iter((plan.first_token_s - plan.first_byte_s, *plan.gaps_s))
    events: list[Event] = []
    told = Tokens(plan.prompt_tokens, 0, plan.cached_tokens)
    tokens, reasoning, wait_s = 0, 0, 0.0
    for index, step in _in_turns(plan):
        tokens, reasoning = tokens + step.tokens, reasoning + step.reasoning
        wait_s += sum(next(pace, 0.0) for _ in range(step.tokens))
        if step.part is None:
            continue
        told = told._replace(completion=told.completion + tokens, reasoning=told.reasoning + reasoning)
        tree = _describe(plan, [_describe_candidate([step.part], index, step.reason)], told)
        data = json.dumps(tree, separators=(",", ": "), ensure_ascii=False).encode("utf-8", "surrogatepass")
        events.append(Event(data, wait_s, tokens, reasoning, finishes=step.reason is not None, tells=told))
        tokens, reasoning, wait_s = 0, 0, 0.0
    return events


def _in_turns(plan: Plan) -> Iterator[tuple[int, _Step]]:
    """The steps of all candidates, which take turns."""
    for turn in zip_longest(*(list(_walk(plan, choice)) for choice in plan.choices)):
        yield from ((index, step) for index, step in enumerate(turn) if step is not None)


def _walk(plan: Plan, choice: Choice) -> Iterator[_Step]:
    thoughts = len(choice.reasoning)
    if plan.ask.thoughts_asked:
        yield from (_Step({"text": piece, "thought": True}, 1, 1) for piece in choice.reasoning)
    elif thoughts:
        yield _Step(None, thoughts, thoughts)
    if choice.member == "tool_calls":
        yield _Step(_describe_call(choice), len(choice.pieces))
    else:
        yield from (_Step({"text": piece}, 1) for piece in choice.pieces)
    last = {"text": "", "thoughtSignature": _SIGNATURE} if thoughts else {"text": ""}
    yield _Step(last, reason=_name_reason(choice))


def _describe_call(choice: Choice) -> dict[str, Any] | None:
    """The part with the call; None where it was cut short, as its arguments are only shown whole."""
    try:
        return {"functionCall": {"name": choice.tool_name, "args": msgspec.json.decode(choice.text)}}
    except msgspec.DecodeError:
        return None


def _name_reason(choice: Choice) -> str:
    return "SAFETY" if choice.member == "refusal" and choice.finish_reason == "stop" else _REASONS[choice.finish_reason]


def _name(plan: Plan) -> str:
    return plan.name[:23]


def _describe_whole(plan: Plan) -> dict[str, Any]:
    candidates = []
    for index, choice in enumerate(plan.choices):
        parts: list[dict[str, Any]] = []
        if choice.reasoning and plan.ask.thoughts_asked:
            parts.append({"text": "".join(choice.reasoning), "thought": True})
        part = _describe_call(choice) if choice.member == "tool_calls" else {"text": choice.text}
        if part is not None:
            parts.append(part | ({"thoughtSignature": _SIGNATURE} if choice.reasoning else {}))
        candidates.append(_describe_candidate(parts, index, _name_reason(choice)))
    return _describe(plan, candidates, plan.tokens)


def _describe_candidate(parts: list[dict[str, Any]], index: int, reason: str | None) -> dict[str, Any]:
    finish = {} if reason is None else {"finishReason": reason}
    return {"content": {"parts": parts, "role": "model"}, **finish, "index": index}


def _describe(plan: Plan, candidates: list[dict[str, Any]], tokens: Tokens) -> dict[str, Any]:
    return {"candidates": candidates, "usageMetadata": _count(tokens), "modelVersion": plan.ask.model, "responseId": _name(plan)}


def _count(tokens: Tokens) -> dict[str, Any]:
    """The usage metadata: candidates and thoughts apart, their sum and the prompt's the total; zeros are left out."""
    counts = {
        "promptTokenCount": tokens.prompt, "candidatesTokenCount": tokens.completion - tokens.reasoning,
        "totalTokenCount": tokens.prompt + tokens.completion, "cachedContentTokenCount": tokens.cached,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": tokens.prompt}],
        "cacheTokensDetails": [{"modality": "TEXT", "tokenCount": tokens.cached}] if tokens.cached else 0,
        "thoughtsTokenCount": tokens.reasoning,
    }  # fmt: skip
    return {name: count for name, count in counts.items() if count}


def _describe_embeddings(plan: Plan) -> dict[str, Any]:
    vectors = []
    for text in plan.ask.prompt:
        random = Random(f"{plan.ask.model}/{text}")
        vectors.append({"values": [round(random.uniform(-0.1, 0.1), 9) for _ in range(plan.dimensions)]})
    answer = {"embeddings": vectors} if plan.ask.batched else {"embedding": vectors[0]}
    return {**answer, "usageMetadata": _count(plan.tokens)}


def render_error(status: int, message: str, *, reason: str | None = None) -> bytes:
    """The body of an error answer (google.rpc.Status): a limit tells when to come back, a refusal its reason."""
    error: dict[str, Any] = {
        "code": status, "message": message, "status": _STATUSES.get(status, "UNAVAILABLE" if status >= 500 else "FAILED_PRECONDITION"),
    }  # fmt: skip
    if status == 429:
        violation = {"quotaMetric": "generativelanguage.googleapis.com/generate_content_requests", "quotaValue": "10"}
        error["details"] = [
            {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [violation]},
            {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "1s"},
        ]
    elif reason is not None and reason.isupper():
        info = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason, "domain": "googleapis.com"}
        error["details"] = [info]
    return _print({"error": error})


def _print(tree: dict[str, Any]) -> bytes:
    return json.dumps(tree, indent=2, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n"
