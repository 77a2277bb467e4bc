"""The OpenAI form as vLLM speaks it, under `/vllm/`.

Any `stream_options` at all mean that usage is wanted, running totals come on request with every
chunk, reasoning has a member of its own, and the role is told only once there is something to say.
"""

from typing import Any, Final

import msgspec

from sidecar.simulator.contract import Event
from sidecar.simulator.openai import OpenAI, render_whole, stream_events
from sidecar.simulator.plan import Plan
from sidecar.simulator.profile import Profile
from sidecar.simulator.request import Ask, Form
from sidecar.simulator.wire import Fields

PREFIX: Final = "/vllm/"
_ERROR_TYPES: Final = {400: "BadRequestError", 401: "Unauthorized", 404: "NotFoundError", 503: "ServiceUnavailableError"}


class Vllm(OpenAI):
    """The dialect of a vLLM server."""

    name = "vllm"
    provider = "vllm"

    def form_of(self, method: str, path: str) -> Form | None:
        """As OpenAI's, under a prefix."""
        return super().form_of(method, path) if path.startswith(PREFIX) else None

    def read_ask(self, form: Form, target: str, body: bytes) -> Ask:
        """Read a request body. Raises Rejection."""
        ask = super().read_ask(form, target, body)
        options = msgspec.json.decode(body).get("stream_options")
        if not isinstance(options, dict):
            return ask
        return ask._replace(
            usage_asked=options.get("include_usage") is not False, usage_running=options.get("continuous_usage_stats") is True
        )  # fmt: skip

    def render_whole(self, plan: Plan) -> bytes:
        """The body of an answer that is not streamed."""
        tree = msgspec.json.decode(render_whole(plan))
        if "choices" in tree:
            tree["choices"] = [_adorn(choice) for choice in tree["choices"]]
            tree |= {"service_tier": None, "system_fingerprint": None, "prompt_logprobs": None, "kv_transfer_params": None}
        tree["usage"] = _shorten(tree["usage"])
        return msgspec.json.encode(tree)

    def stream_events(self, plan: Plan) -> list[Event]:
        """All events of a complete stream."""
        *events, done = stream_events(plan._replace(ask=plan.ask._replace(obfuscated=False)))
        made: list[Event] = []
        sent = thought = 0
        for event in events:
            sent, thought = sent + event.tokens, thought + event.reasoning
            made.append(self._convert(event, plan, sent, thought))
        return [*_delay_role(made), done]

    def render_error(self, status: int, message: str, *, param: str | None = None, code: str | None = None) -> bytes:
        """The body of an error answer: the code is the status, as a number."""
        kind = _ERROR_TYPES.get(status, "BadRequestError" if status < 500 else "InternalServerError")
        return msgspec.json.encode({"error": {"message": message, "type": kind, "param": param, "code": status}})

    def error_event(self, status: int, message: str) -> Event:
        """An error within a stream has the form of an error answer."""
        return Event(self.render_error(status, message))

    def fields(self, profile: Profile, request_id: str, processing_s: float, prompt_tokens: int, draw: int) -> Fields:
        """A server of one's own has no limits to tell of."""
        return [("server", "uvicorn"), ("x-request-id", request_id)]

    def _convert(self, event: Event, plan: Plan, sent: int, thought: int) -> Event:
        """An OpenAI chunk as vLLM's, after `sent` output tokens of which `thought` are reasoning."""
        tree = msgspec.json.decode(event.data)
        for member in ("service_tier", "system_fingerprint"):
            tree.pop(member, None)
        tree["choices"] = [_adorn(choice) for choice in tree["choices"]]
        usage = tree.pop("usage", None)
        if usage is not None:
            tree["usage"] = _shorten(usage)
        elif plan.ask.usage_asked and plan.ask.usage_running:
            tree["usage"] = {"prompt_tokens": plan.prompt_tokens, "total_tokens": plan.prompt_tokens + sent, "completion_tokens": sent}
            tree["usage"]["prompt_tokens_details"] = {"cached_tokens": plan.cached_tokens}
            tree["usage"]["completion_tokens_details"] = {"reasoning_tokens": thought}
            event = event._replace(tells=plan.tokens._replace(completion=sent, reasoning=thought))
        return event._replace(data=msgspec.json.encode(tree))


def _adorn(choice: dict[str, Any]) -> dict[str, Any]:
    told = choice.get("delta") or choice.get("message") or {}
    if "reasoning_content" in told:
        told["reasoning"] = told.pop("reasoning_content")
    return {**choice, "stop_reason": None} if choice["finish_reason"] else choice


def _shorten(usage: dict[str, Any]) -> dict[str, Any]:
    """Usage with the details that a server started with all of them tells."""
    details = {"prompt_tokens_details": ("cached_tokens",), "completion_tokens_details": ("reasoning_tokens",)}
    return usage | {name: {member: usage[name][member] for member in members} for name, members in details.items() if name in usage}


def _delay_role(events: list[Event]) -> list[Event]:
    """The first event comes when the first token is there, and the token right after it."""
    first = next((place for place, event in enumerate(events) if event.tokens), 0)
    if not first:
        return events
    wait_s = events[first].delay_s
    return [
        event._replace(delay_s=wait_s if place == 0 else 0.0) if place in (0, first) else event for place, event in enumerate(events)
    ]  # fmt: skip
