"""sidecar/simulator/gemini.py"""

import json
from collections.abc import Callable
from typing import Any

import pytest

from sidecar.simulator.contract import Event
from sidecar.simulator.gemini import Gemini, GeminiArray, render_error, stream_events
from sidecar.simulator.gemini_request import read_gemini_ask
from sidecar.simulator.plan import Plan, plan_reply
from sidecar.simulator.profile import Profile
from sidecar.simulator.provider import Provider, Received
from sidecar.simulator.request import Form
from sidecar.simulator.script import Newline, Script
from sidecar.simulator.tokens import Tokens

_TOOLS = [{"functionDeclarations": [{"name": "f", "parameters": {"properties": {"a": {}, "b": {}}}}]}]
_THOUGHTS = {"thinkingConfig": {"includeThoughts": True}}


@pytest.fixture
def plan_content() -> Callable[..., Plan]:
    """Plan the reply to a request: members of the body by name."""

    def make(script: Script | None = None, *, model: str = "sim-small", cached: int = 0, stream: bool = True, **members: Any) -> Plan:
        body = {"contents": [{"role": "user", "parts": [{"text": "hello"}]}], **members}
        method = "streamGenerateContent" if stream else "generateContent"
        ask = read_gemini_ask(Form.CHAT, f"/v1beta/models/{model}:{method}", json.dumps(body).encode())
        return plan_reply(ask, script or Script(), None, Profile(), "1", cached)

    return make


def _chunks(plan: Plan) -> list[dict[str, Any]]:
    return [json.loads(event.data) for event in stream_events(plan)]


def _texts(chunks: list[dict[str, Any]], *, thought: bool, index: int = 0) -> str:
    return "".join(
        part["text"]
        for chunk in chunks
        for candidate in chunk["candidates"]
        for part in candidate["content"]["parts"]
        if candidate["index"] == index and "text" in part and part.get("thought", False) is thought
    )


def test_whole(plan_content: Callable[..., Plan]) -> None:
    """A whole answer has thoughts, text, reason, and counts that add up; zeros are left out."""
    plan = plan_content(model="sim-reasoning", stream=False, cached=128, generationConfig=_THOUGHTS)
    tree = json.loads(Gemini().render_whole(plan))
    thought, text = tree["candidates"][0]["content"]["parts"]
    assert (thought["text"], thought["thought"]) == ("".join(plan.choices[0].reasoning), True)
    assert (text["text"], tree["candidates"][0]["finishReason"], tree["modelVersion"]) == (plan.choices[0].text, "STOP", "sim-reasoning")
    counts = tree["usageMetadata"]
    assert (counts["thoughtsTokenCount"], counts["cachedContentTokenCount"]) == (plan.reasoning_tokens, 128)
    assert counts["totalTokenCount"] == counts["promptTokenCount"] + counts["candidatesTokenCount"] + counts["thoughtsTokenCount"]
    plain = json.loads(Gemini().render_whole(plan_content(stream=False)))["usageMetadata"]
    assert "thoughtsTokenCount" not in plain
    assert "cachedContentTokenCount" not in plain


@pytest.mark.parametrize("script", [Script(), Script(refusal=True)])
def test_stream_equals_whole(plan_content: Callable[..., Plan], script: Script) -> None:
    """The pieces of each candidate add up to the whole answer, and each finishes once, at its end."""
    plan = plan_content(script, model="sim-reasoning", generationConfig={"candidateCount": 2, **_THOUGHTS})
    chunks, whole = _chunks(plan), json.loads(Gemini().render_whole(plan))
    for index, candidate in enumerate(whole["candidates"]):
        thought, text = candidate["content"]["parts"]
        assert (_texts(chunks, thought=True, index=index), _texts(chunks, thought=False, index=index)) == (thought["text"], text["text"])
        mine = [each for chunk in chunks for each in chunk["candidates"] if each["index"] == index]
        reasons = [each.get("finishReason") for each in mine]
        assert reasons == [None] * (len(mine) - 1) + ["SAFETY" if script.refusal else "STOP"]


@pytest.mark.parametrize("config", [{}, _THOUGHTS])
def test_counts_run_along(plan_content: Callable[..., Plan], config: dict[str, Any]) -> None:
    """Each event tells all until then; events hold all tokens, hidden thoughts in the first after them."""
    plan = plan_content(model="sim-reasoning", cached=1, generationConfig=config)
    events = stream_events(plan)
    assert (sum(event.tokens for event in events), sum(event.reasoning for event in events)) == (
        plan.completion_tokens,
        plan.reasoning_tokens,
    )
    assert sum(event.delay_s for event in events) == pytest.approx(plan.duration_s - plan.first_byte_s)
    sent = 0
    for event in events:
        sent += event.tokens
        counts = json.loads(event.data)["usageMetadata"]
        assert event.tells == Tokens(plan.prompt_tokens, sent, 1, counts["thoughtsTokenCount"])
        assert counts.get("candidatesTokenCount", 0) + counts["thoughtsTokenCount"] == sent
    assert events[-1].tells == plan.tokens
    assert (_texts(_chunks(plan), thought=True) != "") is bool(config)


def test_call(plan_content: Callable[..., Plan]) -> None:
    """A call comes whole in one event, however many tokens it has; one that was cut short does not come."""
    plan = plan_content(tools=_TOOLS)
    events = stream_events(plan)
    (part,) = json.loads(events[0].data)["candidates"][0]["content"]["parts"]
    assert part["functionCall"] == {"name": "f", "args": json.loads(plan.choices[0].text)}
    assert [event.tokens for event in events] == [len(plan.choices[0].pieces), 0]
    short = stream_events(plan_content(tools=_TOOLS, generationConfig={"maxOutputTokens": 2}))
    assert [json.loads(event.data)["candidates"][0].get("finishReason") for event in short] == ["MAX_TOKENS"]
    assert short[0].tokens == 2


def test_embeddings() -> None:
    """One content gets one vector, several a list; the same text has the same vector."""
    answers = []
    one = {"content": {"parts": [{"text": "a"}]}, "outputDimensionality": 4}
    for method, body in (("embedContent", one), ("batchEmbedContents", {"requests": [one, {"content": {"parts": [{"text": "b"}]}}]})):
        ask = read_gemini_ask(Form.EMBEDDING, f"/v1beta/models/sim-embed:{method}", json.dumps(body).encode())
        answers.append(json.loads(Gemini().render_whole(plan_reply(ask, Script(), None, Profile(), "1", 0))))
    single, batch = answers
    assert single["embedding"] == batch["embeddings"][0] != batch["embeddings"][1]
    assert len(single["embedding"]["values"]) == 4
    assert (single["usageMetadata"]["promptTokenCount"], batch["usageMetadata"]["promptTokenCount"]) == (1, 2)


def test_framing() -> None:
    """Events end with CRLF, bare errors stand between them, an array has its brackets at both ends."""
    events, array = Gemini(), GeminiArray()
    error = events.error_event(503, "x")
    assert events.frame_event(Event(b"{}"), Script(), first=True, last=True) == b"data: {}\r\n\r\n"
    assert events.frame_event(Event(b"{}"), Script(newline=Newline.CR), first=True, last=True) == b"data: {}\r\r"
    assert events.frame_event(error, Script(), first=False, last=True).startswith(b'{\r\n  "error"')
    sent = [
        array.frame_event(Event(b'{"a": 1}'), Script(), first=True, last=False),
        array.frame_event(error, Script(), first=False, last=True),
    ]
    assert [list(each) for each in json.loads(b"".join(sent))] == [["a"], ["error"]]


def test_errors() -> None:
    """A limit tells when to come back, a bad key its reason; where an array was to come the error is in one."""
    details = json.loads(render_error(429, "slow"))["error"]["details"]
    assert details[1] == {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "1s"}
    error = json.loads(render_error(400, "bad", reason="API_KEY_INVALID"))["error"]
    assert (error["code"], error["status"], error["details"][0]["reason"]) == (400, "INVALID_ARGUMENT", "API_KEY_INVALID")
    assert "details" not in json.loads(render_error(404, "gone", reason="model_not_found"))["error"]
    assert json.loads(GeminiArray().render_error(503, "x"))[0]["error"]["status"] == "UNAVAILABLE"


@pytest.mark.parametrize(
    ("method", "query", "headers", "status", "type_"),
    [
        ("generateContent", "?key=sk-x", {}, 200, b"application/json"),
        ("generateContent", "?key=sk-bad", {}, 400, b"application/json"),
        ("generateContent", "", {"x-goog-api-key": "sk-bad"}, 401, b"application/json"),
        ("streamGenerateContent", "?alt=sse", {}, 200, b"text/event-stream"),
        ("streamGenerateContent", "", {}, 200, b"application/json; charset=UTF-8"),
        ("streamGenerateContent", "", {"x-goog-api-key": "sk-bad"}, 401, b"application/json"),
    ],
)
def test_through_the_provider(method: str, query: str, headers: dict[str, str], status: int, type_: bytes) -> None:
    """The key is in the query or in a header, and the ledger has the path alone."""
    body = b'{"contents": [{"parts": [{"text": "hello"}]}]}'
    target = f"/v1beta/models/sim-small:{method}{query}"
    entry, reply = Provider(Profile(speed=0)).receive(Received("POST", target, headers, body), 1.0)
    assert entry is not None
    assert (reply.status, entry.path) == (status, target.partition("?")[0])
    assert b"content-type: " + type_ + b"\r\n" in reply.steps[0].wire
