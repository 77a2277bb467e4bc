"""The OpenAI form as OpenRouter speaks it, under `/api/v1/`.

Usage comes unasked and with what it cost, which is more than the model's own price; comments come
while nothing else does; an error stands in an ordinary chunk; the true provider is named, and the
reason for which it finished.
"""

from typing import Any, Final

import msgspec

from sidecar.simulator.contract import Event
from sidecar.simulator.openai import OpenAI, render_whole, stream_events
from sidecar.simulator.plan import Plan
from sidecar.simulator.profile import Profile
from sidecar.simulator.request import Form
from sidecar.simulator.script import NEWLINES, Script
from sidecar.simulator.wire import Fields

PREFIX: Final = "/api/v1/"
_PROVIDER: Final = "Simulated"
_NATIVE: Final = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use"}
_ERROR_TYPES: Final = {
    400: "invalid_request", 401: "authentication", 402: "payment_required", 403: "permission_denied", 404: "not_found", 408: "timeout",
    429: "rate_limit_exceeded", 500: "server", 502: "provider_unavailable", 503: "provider_overloaded", 529: "provider_overloaded",
}  # fmt: skip


class OpenRouter(OpenAI):
    """The dialect of OpenRouter's chat completions, completions and embeddings."""

    name = "openrouter"
    provider = "openrouter"
    fee = 0.05

    def form_of(self, method: str, path: str) -> Form | None:
        """As OpenAI's, under a prefix."""
        return super().form_of(method, path) if path.startswith(PREFIX) else None

    def name_answer(self, plan: Plan) -> str:
        """Every answer is a generation."""
        return f"gen-{plan.name}"

    def render_whole(self, plan: Plan) -> bytes:
        """The body of an answer that is not streamed."""
        return msgspec.json.encode(self._adorn(msgspec.json.decode(render_whole(plan)), plan))

    def stream_events(self, plan: Plan) -> list[Event]:
        """All events of a complete stream: usage is always told."""
        *events, done = stream_events(plan._replace(ask=plan.ask._replace(usage_asked=True, obfuscated=False)))
        adorned = [
            event._replace(data=msgspec.json.encode(self._adorn(msgspec.json.decode(event.data), plan))) for event in events
        ]  # fmt: skip
        return [*adorned, done]

    def error_event(self, status: int, message: str) -> Event:
        """An ordinary chunk that ends its choice and tells why."""
        choice = {"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": "error", "native_finish_reason": "error"}
        stem = {"id": "gen-error", "provider": _PROVIDER, "model": "simulated", "object": "chat.completion.chunk", "created": 0}
        return Event(msgspec.json.encode({**stem, "choices": [choice], "error": _describe(status, message)}))

    def frame_event(self, event: Event, script: Script, *, first: bool, last: bool) -> bytes:
        """One server-sent event; a comment stands before the first, as if it had been waited for."""
        end = NEWLINES[script.newline]
        waiting = b": OPENROUTER PROCESSING" + end * 2 if first and not script.bom else b""
        return waiting + super().frame_event(event, script, first=first, last=last)

    def render_error(self, status: int, message: str, *, param: str | None = None, code: str | None = None) -> bytes:
        """The body of an error answer: the code is the status."""
        return msgspec.json.encode({"error": _describe(status, message), "user_id": "user_simulated"})

    def fields(self, profile: Profile, request_id: str, processing_s: float, prompt_tokens: int, draw: int) -> Fields:
        """The header fields of every answer: rate limits are told of platform errors only."""
        return [("server", "simulator"), ("x-generation-id", "gen-" + request_id.removeprefix("req_"))]

    def _adorn(self, tree: dict[str, Any], plan: Plan) -> dict[str, Any]:
        """An OpenAI answer or chunk with OpenRouter's members, and without those it does not have."""
        for member in ("service_tier", "system_fingerprint"):
            tree.pop(member, None)
        tree["id"] = self.name_answer(plan)
        choices = tree.get("choices", [])
        for choice in choices:
            choice["native_finish_reason"] = _NATIVE.get(choice["finish_reason"], choice["finish_reason"])
            told = choice.get("delta") or choice.get("message") or {}
            thought = told.pop("reasoning_content", None)
            if thought is not None:
                told |= {"reasoning": thought, "reasoning_details": [{"type": "reasoning.text", "text": thought, "index": 0}]}
        usage = tree.pop("usage", None)
        if usage is not None:
            cost_usd = plan.tokens.cost_usd(plan.prices)
            details = {"upstream_inference_cost": None, "upstream_inference_prompt_cost": None, "upstream_inference_completions_cost": None}
            tree["usage"] = {**usage, "cost": cost_usd, "is_byok": False, "cost_details": details}
        return {"id": tree.pop("id"), "provider": _PROVIDER, **tree}


def _describe(status: int, message: str) -> dict[str, Any]:
    metadata = {"error_type": _ERROR_TYPES.get(status, "unknown"), "provider_name": _PROVIDER}
    return {"code": status, "message": message, "metadata": metadata}
