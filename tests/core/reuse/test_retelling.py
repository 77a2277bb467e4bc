"""An answer told to another caller: its own id, and every other byte as it was."""

import json
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.observe.sse import EventSplitter
from sidecar.core.reuse.retelling import can_retell, needs_retelling, retell

ANSWER = b'{"jsonrpc": "2.0", "id": 7, "result": {"content": [{"type": "text", "id": 7, "text": "\\"id\\": 7"}]}}'
NOTE = b'{"jsonrpc":"2.0","method":"notifications/message","params":{"id":7,"level":"info"}}'
PING = b'{"jsonrpc":"2.0","id":7,"method":"ping"}'
IDS = st.integers(-(2**70), 2**70) | st.text(st.characters(exclude_categories=("Cs",)), max_size=12)


def ask(own_id: Any) -> bytes:
    """Return the request of a caller."""
    return json.dumps(
        {"params": {"name": "find", "arguments": {"id": "x"}}, "id": own_id, "method": "tools/call", "jsonrpc": "2.0"}
    ).encode()


def cut(body: bytes, chance: random.Random) -> list[bytes]:
    """Return a body in pieces, some of them empty."""
    places = sorted(chance.randrange(len(body) + 1) for _ in range(chance.randrange(8)))
    return [body[start:end] for start, end in zip([0, *places], [*places, len(body)], strict=True)]


def stream(*messages: bytes, end: bytes = b"\n") -> bytes:
    """Return messages as events."""
    return b"".join(b"event: message" + end + b"data: " + message + end + end for message in messages)


def read_messages(body: bytes) -> list[Any]:
    """Return what a reader of a stream gets."""
    splitter = EventSplitter(2**20)
    return [json.loads(event) for event in [*splitter.feed(body), *splitter.flush()]]


@given(IDS, st.randoms(use_true_random=False))
def test_whole_answers(own_id: Any, chance: random.Random) -> None:
    """The caller's own id takes the place of the other's, in as many pieces as there were."""
    pieces = cut(ANSWER, chance)
    told = retell("mcp", pieces, ask(own_id), streamed=False)
    assert len(told) == len(pieces)
    before, _, after = ANSWER.partition(b'"id": 7')
    assert b"".join(told) == before + b'"id": ' + json.dumps(own_id).encode() + after


@given(IDS, st.randoms(use_true_random=False), st.sampled_from([b"\n", b"\r\n", b"\r"]))
def test_streams(own_id: Any, chance: random.Random, end: bytes) -> None:
    """In a stream, too, and in the response alone."""
    body = b": hello" + end + end + stream(NOTE, ANSWER, end=end)
    pieces = cut(body, chance)
    told = retell("mcp", pieces, ask(own_id), streamed=True)
    assert len(told) == len(pieces)
    note, answer = read_messages(b"".join(told))
    assert note == json.loads(NOTE)
    assert answer == {**json.loads(ANSWER), "id": own_id}
    assert len(b"".join(told)) == len(body) + len(json.dumps(own_id)) - 1
    assert b"".join(retell("mcp", told, ask(7), streamed=True)) == body  # and back


def test_pieces_that_hold_nothing_stay() -> None:
    """An id that is spread over pieces is told in the first, and pieces keep their pace."""
    body = ANSWER.replace(b'"id": 7,', b'"id": "abcdef",')
    at = body.index(b"abc")
    pieces = [body[: at + 1], body[at + 1 : at + 3], b"", body[at + 3 :]]
    told = retell("mcp", pieces, ask("z"), streamed=False)
    assert told[0].endswith(b'"id": "z"') and told[1:3] == (b"", b"") and told[3].startswith(b', "result"')


def test_only_the_response_gets_the_id() -> None:
    """What the server itself asks has an id of its own."""
    told = b"".join(retell("mcp", [stream(PING, ANSWER)], ask(8), streamed=True))
    assert told == stream(PING, ANSWER.replace(b'"id": 7, "result"', b'"id": 8, "result"'))


def test_an_event_of_several_lines() -> None:
    """The lines of an event are one text."""
    body = b'data: {"jsonrpc":\ndata:"2.0", "id":\nid2: 9\ndata:  7, "result":\ndata: {"id": 7}}\n\n'
    assert can_retell("mcp", body, streamed=True)
    told = b"".join(retell("mcp", [body], ask("new"), streamed=True))
    assert told == body.replace(b" 7, ", b' "new", ')


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ([ANSWER], True),
        ([NOTE, ANSWER], True),
        ([NOTE, NOTE, ANSWER, NOTE], True),
        ([NOTE], False),
        ([], False),
        ([ANSWER, ANSWER], False),
        ([PING], False),
        ([PING, ANSWER], False),  # it asks the caller something
        ([b"[" + ANSWER + b"]"], False),
        ([b"nonsense"], False),
        ([b"{", ANSWER], True),
    ],
)
def test_what_can_be_told_again(messages: list[bytes], expected: bool) -> None:
    """One response, and nothing that wants an answer."""
    assert can_retell("mcp", stream(*messages), streamed=True) is expected
    if len(messages) == 1:
        assert can_retell("mcp", messages[0], streamed=False) is expected


@pytest.mark.parametrize("event_id", [b"id: 5\n", b"id\n", b"id:\r\n"])
def test_a_stream_that_can_be_resumed_is_its_sessions(event_id: bytes) -> None:
    """Events with ids name places in a stream of one session; fields that only begin alike do not."""
    assert not can_retell("mcp", event_id + stream(ANSWER), streamed=True)
    assert not can_retell("mcp", stream(NOTE) + event_id + stream(ANSWER), streamed=True)
    assert can_retell("mcp", b"ident: 5\n" + stream(ANSWER), streamed=True)


def test_other_forms_are_left_alone() -> None:
    """No other form has anything of one caller's in its answers."""
    assert needs_retelling("mcp")
    for name in ("openai_chat", "openai_responses", "anthropic_messages", "gemini_stream", "ollama_chat", "opaque"):
        assert not needs_retelling(name)
        assert can_retell(name, ANSWER, streamed=False)
        assert retell(name, [ANSWER[:20], ANSWER[20:]], ask(8), streamed=False) == (ANSWER[:20], ANSWER[20:])


@given(st.lists(st.binary(max_size=20), max_size=4), st.binary(max_size=20), st.booleans())
def test_nothing_raises(pieces: list[bytes], asked: bytes, streamed: bool) -> None:
    """Whatever was kept and whoever asks."""
    told = retell("mcp", pieces, asked, streamed=streamed)
    assert len(told) == len(pieces)
    can_retell("mcp", b"".join(pieces), streamed=streamed)
    if not asked.startswith(b"{"):
        assert told == tuple(pieces)
