"""What is asked of an MCP server, and what it answers."""

import json
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.config import Limits
from sidecar.core.observe.contract import Observer
from sidecar.core.observe.dialects.mcp import REQUESTS_MAX, Mcp, is_endless, name_error
from sidecar.core.observe.observer import observe
from sidecar.errors import BAD_REQUEST, IDLE_TIMEOUT, STREAM_CUT
from sidecar.exchange import Asked, Seen

SSE, JSON = "text/event-stream", "application/json"


def request(id_: Any = 1, method: str = "tools/call", **params: Any) -> dict[str, Any]:
    """Return a request."""
    return {"jsonrpc": "2.0", "id": id_, "method": method, "params": params or {"name": "echo", "arguments": {"text": "secret"}}}


def reply(id_: Any = 1, **members: Any) -> dict[str, Any]:
    """Return a response."""
    return {"jsonrpc": "2.0", "id": id_, **(members or {"result": {"content": []}})}


NOTE = {"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progress": 1}}
FAILED = {"result": {"content": [], "isError": True}}
UNKNOWN_METHOD = {"error": {"code": -32601, "message": "no"}}


def ask(value: Any) -> tuple[Mcp, Asked]:
    """Return the dialect of an exchange that begins with `value`."""
    mcp = Mcp()
    return mcp, mcp.ask(value if isinstance(value, bytes) else json.dumps(value).encode(), "/mcp")


def watch(mcp: Mcp, media_type: str = SSE, status: int = 200) -> Observer:
    """Return the observer of an answer to it."""
    return observe(mcp, status=status, media_type=media_type, content_encoding="", limits=Limits(), gap_edges=(1.0,))


def event(*messages: Any, id_: str = "") -> bytes:
    """Return messages as events."""
    head = f"id: {id_}\n" if id_ else ""
    return b"".join(f"event: message\n{head}data: {json.dumps(message)}\n\n".encode() for message in messages)


@pytest.mark.parametrize(
    ("asked", "tool", "method", "awaits"),
    [
        (request(), "echo", "tools/call", True),
        (request("a", name="other"), "other", "tools/call", True),
        (request(method="tools/list"), None, "tools/list", True),
        (request(method="initialize"), None, "initialize", True),
        ({"jsonrpc": "2.0", "method": "notifications/initialized"}, None, "notifications/initialized", False),
        ([request(1), request(2)], "echo", "tools/call", True),
        ([request(1), request(2, name="other")], "_several", "tools/call", True),
        ([request(1), request(2, "ping")], "echo", "_several", True),
        ([NOTE, NOTE], None, "notifications/progress", False),
        (request(name=7), "_OTHER", "tools/call", True),
        ({**request(), "params": None}, "_OTHER", "tools/call", True),
        ({**request(), "params": [1]}, "_OTHER", "tools/call", True),
        (request(name="a\nb" + "c" * 999), "a\N{REPLACEMENT CHARACTER}b" + "c" * 253, "tools/call", True),
        (request(None), "echo", "tools/call", False),
        (request(True), "echo", "tools/call", False),
        (request("i" * 999), "echo", "tools/call", False),
        ([request(number) for number in range(REQUESTS_MAX + 1)], "echo", "tools/call", False),
        (json.dumps(request()).replace("echo", "\\ud83d").encode(), "\N{REPLACEMENT CHARACTER}", "tools/call", True),
    ],
)
def test_what_is_asked(asked: Any, tool: str | None, method: str, awaits: bool) -> None:
    """The tool's name, the method, and whether there is an answer that can be told."""
    mcp, found = ask(asked)
    assert (found.tool, found.mcp_method, mcp.is_spoken, mcp.awaits) == (tool, method, True, awaits)
    assert "secret" not in repr(found)


def test_an_answer_to_the_server_is_spoken_and_asks_nothing() -> None:
    """Responses to what a server asked of its caller go the same way."""
    mcp, found = ask(reply())
    assert (found, mcp.is_spoken, mcp.awaits) == (Asked(), True, False)


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"[]", b"7", b"not json", b'{"jsonrpc": "1.0", "method": "x", "id": 1}', b'["jsonrpc"]', b'{"jsonrpc"', b"\xff"]
)
def test_what_is_not_json_rpc(body: bytes) -> None:
    """Anything else is no MCP."""
    mcp, found = ask(body)
    assert (found, mcp.is_spoken) == (Asked(), False)


@pytest.mark.parametrize(
    ("asked", "answer", "error_type"),
    [
        (request(), reply(), None),
        (request(), reply(**FAILED), "tool_error"),
        (request(), reply(result={"isError": "yes"}), None),
        (request(method="tools/list"), reply(**FAILED), None),
        (request(method="tools/list"), reply(**UNKNOWN_METHOD), "jsonrpc_-32601"),
        (request(), reply(error={"code": 7, "message": "secret"}), "jsonrpc_other"),
        (request(), reply(error={"code": "-32601"}), "jsonrpc_other"),
        (request(), reply(error="secret"), "jsonrpc_other"),
        (request(), reply(error=[1]), "jsonrpc_other"),
        (request(), reply(result=[1]), None),
        (request(), reply(result=None), None),
        (request(), reply(None, error={"code": -32700}), "jsonrpc_-32700"),
        (request(), reply("1", **UNKNOWN_METHOD), None),
        (request("1"), reply(1, **UNKNOWN_METHOD), None),
        ([request(1), request(2)], [reply(2), reply(1, **FAILED)], "tool_error"),
        (request("é"), reply("é", **FAILED), "tool_error"),
    ],
)
def test_an_answer_is_read_the_same_whole_and_as_events(asked: Any, answer: Any, error_type: str | None) -> None:
    """Errors of the protocol and failures of a tool, of the response that belongs to the request."""
    whole = watch(ask(asked)[0], JSON)
    whole.feed(json.dumps(answer).encode(), 1.0)
    whole.finish(1.0)
    assert whole.seen.error_type == error_type
    stream = watch(ask(asked)[0])
    data = event(NOTE, {**NOTE, "id": 1}, *(answer if isinstance(answer, list) else [answer]))
    for offset in range(0, len(data), 7):
        stream.feed(data[offset : offset + 7], 1.0)
    stream.finish(1.0)
    assert stream.seen.error_type == error_type


def test_a_stream_is_complete_with_its_last_response() -> None:
    """Notifications, requests of the server and the responses to others end nothing."""
    mcp, _ = ask([request(1), request(2)])
    stream = watch(mcp)
    stream.feed(event(NOTE, {**request(1, "ping")}, reply(3), reply(1)), 1.0)
    assert (stream.ended_well, stream.seen.answered) == (False, False)
    stream.feed(event(reply(2)), 2.0)
    assert (stream.ended_well, stream.seen.answered) == (True, True)


def test_a_stream_with_event_ids_need_not_be_whole() -> None:
    """The rest may be asked for by another call: what is missing here says nothing, and nothing is put in its place."""
    mcp, asked = ask(request())
    stream = watch(mcp)
    stream.feed(event(NOTE), 1.0)
    assert (stream.ended_well, bool(mcp.stream_error(STREAM_CUT, "cut", asked, SSE))) == (False, True)
    stream.feed(b"id: 1\nretry: 50\ndata: \n\n", 1.0)
    assert (stream.ended_well, mcp.stream_error(STREAM_CUT, "cut", asked, SSE)) == (None, b"")
    stream.feed(event(reply()), 1.0)
    assert stream.ended_well is True


@pytest.mark.parametrize(("kind", "code"), [(STREAM_CUT, -32000), (IDLE_TIMEOUT, -32001), (BAD_REQUEST, -32600)])
def test_our_own_errors_are_json_rpc(kind: Any, code: int) -> None:
    """With the request's id, whatever its type, and our error id as data."""
    for id_ in (0, 1.5, "é"):
        mcp, asked = ask(request(id_))
        error = {"jsonrpc": "2.0", "id": id_, "error": {"code": code, "message": "why", "data": {"id": kind.id}}}
        assert json.loads(mcp.refusal(kind, "why", asked)) == error
        told = mcp.stream_error(kind, "why", asked, SSE)
        assert told.startswith(b"\n\nevent: message\ndata: ")
        assert json.loads(told.split(b"data: ")[1]) == error


def test_only_what_has_no_answer_yet_is_told() -> None:
    """In a batch each open request gets its error; those that were answered get none."""
    mcp, asked = ask([request(1), request("b")])
    assert [error["id"] for error in json.loads(mcp.refusal(STREAM_CUT, "", asked))] == [1, "b"]
    watch(mcp).feed(event(reply(1)), 1.0)
    assert mcp.stream_error(STREAM_CUT, "", asked, SSE).count(b"data: ") == 1
    watch(mcp).feed(event(reply("b")), 1.0)
    assert mcp.stream_error(STREAM_CUT, "", asked, SSE) == b""
    assert json.loads(Mcp().refusal(STREAM_CUT, "", asked))["id"] is None


def test_an_error_status_is_named_by_its_body() -> None:
    """A JSON-RPC error says more than the status it comes with."""
    observer = watch(ask(request())[0], JSON, 404)
    assert observer.seen.error_type == "404"
    observer.feed(json.dumps(reply(**UNKNOWN_METHOD)).encode(), 1.0)
    observer.finish(1.0)
    assert observer.seen.error_type == "jsonrpc_-32601"


def test_what_has_no_end_is_told_by_its_method() -> None:
    """A subscription is a stream of what may happen some time."""
    assert is_endless(ask(request(method="subscriptions/listen"))[1])
    assert not is_endless(ask(request())[1])
    assert name_error(None) == "jsonrpc_other"


MESSAGES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5) | st.just("2.0") | st.just("tools/call"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["jsonrpc", "id", "method", "params", "name", "result", "isError", "error", "code"]), inner, max_size=6),
    max_leaves=12,
)  # fmt: skip


@given(MESSAGES, MESSAGES, st.binary(max_size=20))
def test_nothing_makes_it_raise(asked: Any, answer: Any, noise: bytes) -> None:
    """Whatever is asked and answered, and in whatever pieces."""
    body = json.dumps(asked).encode()
    mcp, found = ask(body)
    stream, whole = watch(mcp), watch(ask(body)[0], JSON)
    data = event(answer, NOTE, reply()) + b"data: " + noise + b"\n\n" + event(answer, id_="7")
    for offset in range(0, len(data), 11):
        stream.feed(data[offset : offset + 11], 1.0)
    stream.finish(1.0)
    whole.feed(json.dumps(answer).encode() + noise, 1.0)
    whole.finish(1.0)
    json.loads(mcp.refusal(STREAM_CUT, "why", found))
    mcp.stream_error(STREAM_CUT, "why", found, SSE)
    again = watch(ask(body)[0])
    again.feed(data, 1.0)
    assert (again.seen.error_type, again.seen.terminated, again.ended_well) == (
        stream.seen.error_type, stream.seen.terminated, stream.ended_well,
    )  # fmt: skip


def test_a_list_of_countless_messages_is_not_read() -> None:
    """Each would be an object, however small: what comes with them is bounded, in both directions."""
    many = b'[{"jsonrpc":"2.0"},' + b"{}," * 1_000_000 + b"{}]"
    tracemalloc.start()
    try:
        mcp, asked = ask(many)
        assert (mcp.is_spoken, asked) == (False, Asked())
        mcp, _ = ask([request(1)])
        seen = Seen()
        mcp.read_whole(many, seen)
        _, most_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert seen.error_type is None
    assert most_bytes < 2 * len(many)
