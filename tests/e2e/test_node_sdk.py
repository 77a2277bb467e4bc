"""OpenAI's official SDK for Node, through the sidecar and direct: the same answers, the same errors.

It reads streams by code of its own, not by httpx as the Python SDKs do.
"""

import json
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.rig.calls import CHATS, MESSAGES, SCRIPT, STREAMS, TOOLS, Bases
from tests.rig.node import make_calls, needs_node

pytestmark = needs_node

STATUSES = {
    400: "BadRequestError",
    401: "AuthenticationError",
    403: "PermissionDeniedError",
    404: "NotFoundError",
    409: "ConflictError",
    422: "UnprocessableEntityError",
    429: "RateLimitError",
    500: "InternalServerError",
    503: "InternalServerError",
}
INTERIM = ": interim answers"  # which Node's fetch takes for a broken answer where it has not asked for one
CUTS = ("cut", "drop", "reset")
Call = dict[str, Any]


def tell(name: str, call: str, *, script: dict[str, Any] | None = None, timeout: int = 30_000, **body: Any) -> Call:
    """Return a call with a seed and a script of its own; `timeout` in milliseconds."""
    headers = {"x-sim-seed": name, "x-sim-script": json.dumps({**SCRIPT, **(script or {})})}
    return {"name": name, "call": call, "body": {"model": "sim-small", **body}, "headers": headers, "timeout": timeout}


def list_shared(name: str, arguments: dict[str, Any], **more: Any) -> Call:
    """Return a call that the Python SDK makes too."""
    body = {member: value for member, value in arguments.items() if member != "extra_headers"}
    return {"name": name, "call": "chat", "body": {**body, **more}, "headers": arguments["extra_headers"], "timeout": 30_000}


def list_calls() -> list[Call]:
    """Return what an application does, and what goes wrong."""
    chat: dict[str, Any] = {"messages": MESSAGES}
    calls = [
        *(list_shared(f"chat: {name}", arguments) for name, arguments in CHATS.items()),
        *(list_shared(f"stream: {name}", arguments, stream=True) for name, arguments in STREAMS.items()),
        tell("tools, accumulated", "accumulated", **chat, tools=TOOLS),
        tell("completion", "completions", prompt="Once"),
        tell("streamed completion", "completions", prompt="Once", stream=True),
        tell("embedding", "embeddings", model="sim-embed", input="one"),
        tell("embeddings", "embeddings", model="sim-embed", input=["one", "two"], encoding_format="float"),
        tell("response", "responses", input="Once"),
        tell("streamed response", "responses", input="Once", stream=True),
        tell("response, failed", "responses", input="Once", stream=True, script={"failed": True}),
        tell("response, error in a stream", "responses", input="Once", stream=True, script={"fault": "error_event", "after_chunks": 5}),
        tell("error in a stream", "chat", **chat, stream=True, script={"fault": "error_event", "after_chunks": 5}),
        tell("client timeout", "chat", **chat, script={"ttft_ms": 30_000}, timeout=300),
        tell("no such model", "chat", **chat, model="none"),
    ]
    for stream in (False, True):
        calls += [tell(f"{status}, {stream}", "chat", **chat, stream=stream, script={"status": status}) for status in STATUSES]
    return calls


class Both(NamedTuple):
    """What an application sees of each call, direct and through the sidecar."""

    direct: dict[str, dict[str, Any]]
    through: dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def both(bases: Bases, tmp_path_factory: pytest.TempPathFactory) -> Both:
    """Every call made both ways."""
    folder = tmp_path_factory.mktemp("node")
    seen = (make_calls(folder / name, base, list_calls()) for name, base in (("direct", bases.direct), ("through", bases.through)))
    return Both(*({each["name"]: each for each in side} for side in seen))


@pytest.mark.parametrize("name", [call["name"] for call in list_calls()])
def test_a_call_is_the_same(both: Both, name: str) -> None:
    """Answers, part for part, and errors with their class and content; an interim answer makes it stumble only direct."""
    direct, through = both.direct[name], both.through[name]
    if name.endswith(INTERIM):
        assert direct["error"]["class"] == "APIConnectionError"
        assert through["error"] is None
    else:
        assert through == direct
    assert through["parts"] or through["error"]


def test_what_is_seen(both: Both) -> None:
    """The calls are what they are meant to be: whole, streamed, with tools, and with errors of their kind."""
    seen = both.through
    for name in (
        "chat: whole",
        "chat: reasoning",
        "stream: whole",
        "stream: byte by byte",
        "completion",
        "embeddings",
        "response",
        "streamed response",
    ):
        assert seen[name]["error"] is None
    assert seen["streamed response"]["parts"][-1]["type"] == "response.completed"
    assert len(seen["stream: whole"]["parts"]) > 2
    (accumulated,) = seen["tools, accumulated"]["parts"]
    assert json.loads(accumulated["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"]).keys() == {"place", "days"}
    assert len(seen["embeddings"]["parts"][0]["data"]) == 2
    for status, kind in STATUSES.items():
        for stream in (False, True):
            error = seen[f"{status}, {stream}"]["error"]
            assert (error["class"], error["status"]) == (kind, status)
    assert seen["client timeout"]["error"]["class"] == "APIConnectionTimeoutError"
    assert len(seen["error in a stream"]["parts"]) == 5
    assert seen["error in a stream"]["error"]["isAPIError"]


@pytest.mark.parametrize(("call", "asked"), [("chat", {"messages": MESSAGES}), ("responses", {"input": "Once"})])
def test_a_cut_stream_is_raised(bases: Bases, tmp_path: Path, call: str, asked: dict[str, Any]) -> None:
    """A stream that breaks off raises the SDK's own error, which names ours, after the chunks that came.

    Direct, one whose framing ends properly looks like a short answer.
    """
    calls = [
        tell(fault, call, **asked, stream=True, script={"fault": fault, "after_chunks": 5}) for fault in CUTS
    ]  # fmt: skip
    direct, through = [make_calls(tmp_path / name, base, calls) for name, base in zip(("a", "b"), bases[:2], strict=True)]
    for seen in through:
        assert len(seen["parts"]) == 5
        assert seen["error"]["isAPIError"]
        assert seen["error"]["code"] == "stream_cut"
    assert direct[0]["error"] is None
    assert direct[0]["parts"] == through[0]["parts"]
