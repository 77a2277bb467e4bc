"""The OpenAI form as Azure OpenAI speaks it: deployments in the path, a key of its own, annotations by a content filter."""

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import unquote

import msgspec

from sidecar.simulator.contract import Event
from sidecar.simulator.openai import OpenAI, render_error, render_whole, stream_events
from sidecar.simulator.plan import Plan
from sidecar.simulator.profile import Profile
from sidecar.simulator.request import Ask, Form
from sidecar.simulator.wire import Fields

_PATH: Final = re.compile(r"/openai/deployments/([^/?]+)/.*")
_BAD_KEY: Final = "sk-bad"
_VERSION: Final = "-2026-01-01"  # a deployment has a name of its own; answers tell what stands behind it
_SAFE: Final = {kind: {"filtered": False, "severity": "safe"} for kind in ("hate", "self_harm", "sexual", "violence")}
_CODES: Final = {401: "401", 404: "DeploymentNotFound", 429: "429", 500: "InternalServerError", 503: "ServiceUnavailable"}


class Azure(OpenAI):
    """The dialect of Azure OpenAI's deployments."""

    name = "azure"
    provider = "azure.ai.openai"

    def form_of(self, method: str, path: str) -> Form | None:
        """As OpenAI's, of a deployment."""
        return super().form_of(method, path) if _PATH.match(path) else None

    def read_ask(self, form: Form, target: str, body: bytes) -> Ask:
        """Read a request; what answers is what the path says, whatever the body does. Raises Rejection."""
        found = _PATH.match(target)
        try:
            tree = msgspec.json.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return super().read_ask(form, target, body)
        if isinstance(tree, dict) and found is not None:
            tree["model"] = unquote(found[1])
        return super().read_ask(form, target, msgspec.json.encode(tree))

    def is_known(self, headers: Mapping[str, str]) -> bool:
        """Every key is good but one, in either place."""
        return headers.get("api-key") != _BAD_KEY and super().is_known(headers)

    def render_whole(self, plan: Plan) -> bytes:
        """The body of an answer that is not streamed."""
        tree = _rename(msgspec.json.decode(render_whole(plan)))
        if "choices" in tree:
            tree["choices"] = [{"content_filter_results": _SAFE, **choice} for choice in tree["choices"]]
            tree["prompt_filter_results"] = [{"prompt_index": 0, "content_filter_results": _SAFE}]
        return msgspec.json.encode(tree)

    def stream_events(self, plan: Plan) -> list[Event]:
        """All events of a complete stream: first what the filter says of the prompt, last what it says of the answer."""
        *events, done = stream_events(plan)
        blank: dict[str, Any] = {"choices": [], "created": 0, "id": "", "model": "", "object": ""}
        prompt = {**blank, "prompt_filter_results": [{"prompt_index": 0, "content_filter_results": _SAFE}]}
        offsets = {"check_offset": 0, "start_offset": 0, "end_offset": len(plan.choices[0].text) if plan.choices else 0}
        verdict = {"index": 0, "finish_reason": None, "content_filter_results": _SAFE, "content_filter_offsets": offsets}
        renamed = [event._replace(data=msgspec.json.encode(_rename(msgspec.json.decode(event.data)))) for event in events]
        return [
            Event(msgspec.json.encode(prompt)), *renamed, Event(msgspec.json.encode({**blank, "choices": [verdict]})), done,
        ]  # fmt: skip

    def render_error(self, status: int, message: str, *, param: str | None = None, code: str | None = None) -> bytes:
        """The body of an error answer: OpenAI's where the request was wrong, else the service's own."""
        if status not in _CODES:
            return render_error(status, message, param=param, code=code)
        return msgspec.json.encode({"error": {"code": _CODES[status], "message": message}})

    def fields(self, profile: Profile, request_id: str, processing_s: float, prompt_tokens: int, draw: int) -> Fields:
        """The header fields of every answer. -1: no limit of that kind is kept."""
        requests = profile.requests_per_minute
        return [
            ("apim-request-id", request_id), ("x-request-id", request_id), ("x-ms-region", "Simulated"),
            ("x-ms-deployment-name", "simulated"), ("x-ratelimit-limit-requests", str(requests)),
            ("x-ratelimit-remaining-requests", str(requests - 1 - draw % requests)), ("x-ratelimit-limit-tokens", "-1"),
            ("x-ratelimit-remaining-tokens", "-1"),
        ]  # fmt: skip


def _rename(tree: dict[str, Any]) -> dict[str, Any]:
    return {**tree, "model": tree["model"] + _VERSION}
