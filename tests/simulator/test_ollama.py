"""sidecar/simulator/ollama.py"""

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from sidecar.simulator import Profile, Simulator
from sidecar.simulator.ollama import Ollama
from sidecar.simulator.plan import Plan, plan_reply
from sidecar.simulator.request import Form, Rejection
from sidecar.simulator.script import Script
from sidecar.simulator.tokens import Tokens

OLLAMA = Ollama()
TOOLS = [{"type": "function", "function": {"name": "f", "parameters": {"properties": {"a": {}, "b": {}}}}}]
Planner = Callable[..., Plan]


@pytest.fixture
def plan() -> Planner:
    """Plan the reply to a request: members of the body by name."""

    def make(form: Form = Form.CHAT, script: Script | None = None, *, cached: int = 0, **members: Any) -> Plan:
        body: dict[str, Any] = {"model": "sim-small", "messages": [{"role": "user", "content": "hello"}], "prompt": "hello"} | members
        told = script or Script()
        return plan_reply(OLLAMA.read_ask(form, "", json.dumps(body).encode()), told, told.fault, Profile(), "1", cached)

    return make


def read_lines(plan: Plan) -> list[dict[str, Any]]:
    """The lines of a stream."""
    return [json.loads(event.data) for event in OLLAMA.stream_events(plan)]


@pytest.mark.parametrize(
    ("method", "path", "form"),
    [
        ("POST", "/api/chat", Form.CHAT),
        ("POST", "/api/generate", Form.COMPLETION),
        ("POST", "/api/embed", Form.EMBEDDING),
        ("GET", "/api/chat", None),
        ("POST", "/api/pull", None),
        ("POST", "/v1/chat/completions", None),
    ],
)
def test_form(method: str, path: str, form: Form | None) -> None:
    """Method and path name the interface."""
    assert OLLAMA.form_of(method, path) is form


def test_whole_chat(plan: Planner) -> None:
    """A whole answer has text, thinking, a reason and counts, reasoning and cached tokens among them."""
    made = plan(model="sim-reasoning", stream=False, think=True, cached=1)
    tree = json.loads(OLLAMA.render_whole(made))
    (choice,) = made.choices
    assert list(tree)[:4] == ["model", "created_at", "message", "done"]
    assert tree["message"] == {"role": "assistant", "content": choice.text, "thinking": "".join(choice.reasoning)}
    assert (tree["done"], tree["done_reason"]) == (True, "stop")
    assert tree["prompt_eval_count"] == made.prompt_tokens
    assert tree["eval_count"] == made.completion_tokens > made.reasoning_tokens > 0
    assert made.told_tokens == Tokens(made.prompt_tokens, made.completion_tokens)
    assert tree["total_duration"] == tree["load_duration"] + tree["prompt_eval_duration"] + tree["eval_duration"]


@pytest.mark.parametrize("form", [Form.CHAT, Form.COMPLETION])
@pytest.mark.parametrize("script", [Script(), Script(refusal=True), Script(tokens=0)])
def test_stream_equals_whole(plan: Planner, form: Form, script: Script) -> None:
    """The lines add up to the whole answer; only the last is done and has what the whole one has."""
    made = plan(form, script, model="sim-reasoning")
    *lines, last = read_lines(made)
    whole = json.loads(OLLAMA.render_whole(made))
    assert [line["done"] for line in lines] == [False] * len(lines)
    parts = [line["message"] if form is Form.CHAT else line for line in lines]
    member = "content" if form is Form.CHAT else "response"
    told = whole["message"] if form is Form.CHAT else whole
    assert "".join(part[member] for part in parts) == told[member]
    assert "".join(part.get("thinking", "") for part in parts) == told.get("thinking", "")
    shared = whole.keys() - {"created_at", "message", "response"}
    assert {name: last[name] for name in shared} == {name: whole[name] for name in shared}
    assert ("context" in last) == (form is Form.COMPLETION)


def test_times_differ(plan: Planner) -> None:
    """Each line has a later time than the one before, with nanoseconds, as Ollama writes it."""
    times = [line["created_at"] for line in read_lines(plan())]
    assert times == sorted(set(times))
    assert all(len(time) == len("2026-03-02T09:15:04.118204417Z") for time in times)


def test_tool_call(plan: Planner) -> None:
    """A call comes whole in one line, which holds all its tokens."""
    made = plan(tools=TOOLS)
    events = OLLAMA.stream_events(made)
    (call,) = json.loads(events[0].data)["message"]["tool_calls"]
    assert call["function"]["name"] == "f"
    assert call["function"]["arguments"].keys() == {"a", "b"}
    assert [event.tokens for event in events] == [made.completion_tokens, 0]
    assert json.loads(OLLAMA.render_whole(made))["message"]["tool_calls"] == [call]
    assert sum(event.delay_s for event in events) == pytest.approx(made.duration_s - made.first_byte_s)


def test_bounded_tool_call(plan: Planner) -> None:
    """A call that is cut short has no arguments, and says that it was."""
    made = plan(tools=TOOLS, options={"num_predict": 1})
    tree = json.loads(OLLAMA.render_whole(made))
    assert tree["message"]["tool_calls"][0]["function"]["arguments"] == {}
    assert (tree["done_reason"], tree["eval_count"]) == ("length", 1)


def test_tokens_of_lines(plan: Planner) -> None:
    """Lines know how many tokens they hold, and the last one tells the usage."""
    made = plan(model="sim-reasoning")
    events = OLLAMA.stream_events(made)
    assert sum(event.tokens for event in events) == made.completion_tokens
    assert sum(event.reasoning for event in events) == made.reasoning_tokens
    assert [event.tells for event in events] == [None] * (len(events) - 1) + [made.told_tokens]
    assert [event.finishes for event in events] == [False] * (len(events) - 1) + [True]


@pytest.mark.parametrize("members", [{"messages": []}, {"messages": None}])
def test_load(plan: Planner, members: dict[str, Any]) -> None:
    """A request without a prompt loads the model: no counts, and never a stream."""
    made = plan(**members)
    tree = json.loads(OLLAMA.render_whole(made))
    assert not made.ask.stream
    assert (tree["done_reason"], tree["message"]["content"]) == ("load", "")
    assert "eval_count" not in tree
    assert made.told_tokens == Tokens()


def test_what_is_asked(plan: Planner) -> None:
    """A stream is the default; options bound the answer; thinking can be declined; after a tool's result comes text."""
    assert plan().ask.stream
    assert not plan(stream=False).ask.stream
    assert plan(options={"num_predict": 3}).completion_tokens == 3
    assert plan(options={"num_predict": -1}).ask.tokens_max is None
    assert plan(options={"stop": "x"}).ask.stops == ("x",)
    assert plan(model="sim-reasoning", think=False).reasoning_tokens == 0
    assert plan(format="json").ask.json_asked
    answered = [{"role": "user", "content": "q"}, {"role": "tool", "content": "r"}]
    assert plan(messages=answered, tools=TOOLS).choices[0].member == "content"


@pytest.mark.parametrize(
    ("form", "members"),
    [
        (Form.CHAT, {"model": ""}),
        (Form.CHAT, {"messages": "hello"}),
        (Form.COMPLETION, {"prompt": ["a"]}),
        (Form.EMBEDDING, {"input": None}),
        (Form.EMBEDDING, {"input": [1, 2]}),
        (Form.CHAT, {"options": {"num_predict": "many"}}),
    ],
)
def test_rejections(plan: Planner, form: Form, members: dict[str, Any]) -> None:
    """What Ollama declines is declined with 400."""
    with pytest.raises(Rejection) as raised:
        plan(form, **members)
    assert raised.value.status == 400


def test_embeddings(plan: Planner) -> None:
    """One vector per input, the same for the same text; a count of the prompt and none of output."""
    tree = json.loads(OLLAMA.render_whole(plan(Form.EMBEDDING, model="sim-embed", input=["one", "two", "one"], dimensions=8)))
    first, second, third = tree["embeddings"]
    assert first == third != second
    assert len(first) == 8
    assert tree["prompt_eval_count"] == 3
    assert "eval_count" not in tree


async def test_over_the_wire(simulator: Simulator, client: httpx.AsyncClient) -> None:
    """A stream's media type, an error's one member, and what the ledger says was told."""
    body = {"model": "sim-reasoning", "messages": [{"role": "user", "content": "hello"}]}
    answer = await client.post("/api/chat", json=body)
    assert answer.headers["content-type"] == "application/x-ndjson"
    last = json.loads(answer.text.splitlines()[-1])
    (entry,) = (await client.get("/_sim/ledger")).json()
    assert entry["told"] == Tokens(last["prompt_eval_count"], last["eval_count"])._asdict()
    assert entry["usage"]["completion"] == last["eval_count"]
    answer = await client.post("/api/chat", json={**body, "model": "sim-small", "tools": TOOLS})
    entry = (await client.get("/_sim/ledger")).json()[-1]
    assert entry["usage"]["completion"] == entry["told"]["completion"] > 1 == answer.text.count("tool_calls")
    for headers, model, status in (({"authorization": "Bearer sk-bad"}, "sim-small", 401), ({}, "none", 404)):
        answer = await client.post("/api/chat", json={**body, "model": model}, headers=headers)
        assert answer.status_code == status
        assert answer.json().keys() == {"error"}
    answer = await client.post("/api/chat", json=body, headers={"x-sim-script": '{"newline": "cr", "fault": "garbage_event"}'})
    assert answer.content.count(b"\r\n") == answer.content.count(b"\n") > 2
    assert Ollama.garbage in answer.content
