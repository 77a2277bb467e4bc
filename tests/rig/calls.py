"""Calls of the OpenAI form that the simulated provider answers by their seed and script alone."""

import json
from typing import Any, NamedTuple

from tests.rig.process import RunningSidecar

MESSAGES: Any = [{"role": "user", "content": "Why was order 7 late?"}]
TOOLS: Any = [
    {
        "type": "function",
        "function": {
            "name": "look_up",
            "parameters": {"type": "object", "properties": {"place": {"type": "string"}, "days": {"type": "integer"}}},
        },
    }
]
SCRIPT = {"tokens": 12}


class Bases(NamedTuple):
    """Two ways to the same provider."""

    direct: str
    through: str
    sidecar: RunningSidecar


def chat(**more: Any) -> dict[str, Any]:
    """Return the arguments of a chat completion with a seed and a script of its own."""
    script = {**SCRIPT, **more.pop("script", {})}
    headers = {"x-sim-seed": json.dumps([more, script], sort_keys=True), "x-sim-script": json.dumps(script)}
    return {"model": "sim-small", "messages": MESSAGES, "extra_headers": headers, **more}


CHATS = {
    "whole": chat(),
    "tools": chat(tools=TOOLS),
    "two choices": chat(n=2),
    "json": chat(response_format={"type": "json_object"}),
    "reasoning": chat(model="sim-reasoning"),
    "refusal": chat(script={"refusal": True}),
    "bounded": chat(max_completion_tokens=3),
    "gzip": chat(script={"gzip": True}),
    "close-delimited": chat(script={"fault": "close_delimited"}),
    "interim answers": chat(script={"fault": "informational"}),
}
STREAMS = {
    **CHATS,
    "usage asked": chat(stream_options={"include_usage": True}),
    "usage refused": chat(stream_options={"include_usage": False}),
    "crlf": chat(script={"newline": "crlf", "bom": True}),
    "comments": chat(script={"comments": True}, stream_options={"include_usage": True}),
    "byte by byte": chat(script={"chunk_bytes": 1, "tokens": 4}),
    "no done": chat(script={"fault": "no_done"}),
}
