"""A session read in both directions."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.observe.dialects.session_endpoints import SESSION_DIALECTS, session_dialect_for
from sidecar.core.observe.sessions import SessionObserver
from sidecar.exchange import Usage
from tests.core.observe.test_frames import KEY, frame

LIMIT = 64 * 1024


def observer_of(path: str = "/v1/realtime", query: str = "", limit: int = LIMIT) -> SessionObserver:
    """An observer of a session on a path."""
    found = session_dialect_for(path)
    return SessionObserver(None if found is None else found[0], query, limit)


def say(event: Any, key: bytes | None = None) -> bytes:
    """A frame with JSON in it."""
    return frame(json.dumps(event).encode(), key=key)


CREATED = say({"type": "session.created", "session": {"model": "gpt-realtime"}})
BEGUN = say({"type": "response.created", "response": {"id": "r"}})
DONE = say({"type": "response.done", "response": {"status": "completed", "usage": {"input_tokens": 7, "output_tokens": 2}}})


def test_both_directions_are_read() -> None:
    """Frames of the client are masked, those of the server are not."""
    observer = observer_of()
    observer.read_client(say({"type": "session.update", "session": {"model": "asked"}}, KEY))
    observer.read_server(CREATED + BEGUN + DONE)
    observer.read_client(frame(b"\x03\xe8", 0x8, key=KEY))
    observer.read_server(frame(b"\x03\xe9", 0x8))
    observer.finish()
    assert (observer.tally.model, observer.seen.model, observer.seen.usage) == ("asked", "gpt-realtime", Usage(7, 0, 0, 2, 0))
    assert (observer.closed_by_server, observer.close_code) == (False, 1000)
    assert (observer.client_said_goodbye, observer.server_said_goodbye) == (True, True)
    assert (observer.messages, observer.skipped) == ((1, 3), None)


def test_an_unknown_form_tells_how_it_closes() -> None:
    """And how many messages there were; nothing is read, and nothing counts as unread."""
    observer = observer_of("/v1/other")
    observer.read_server(CREATED + frame(b"\x03\xf3", 0x8))
    assert (observer.closed_by_server, observer.close_code, observer.messages) == (True, 1011, (0, 1))
    assert (observer.seen.model, observer.skipped) == (None, None)


def test_what_passes_unread_is_told() -> None:
    """A message beyond the limit, and bytes that are no frames."""
    observer = observer_of(limit=100)
    observer.read_server(frame(b"x" * 101) + CREATED)
    assert (observer.skipped, observer.seen.model) == ("too_large", "gpt-realtime")
    observer.read_server(b"\xf3\x00")
    assert observer.skipped == "corrupt"


@pytest.mark.parametrize("key", [None, KEY])
def test_a_close_frame_of_ours_stands_between_frames(key: bytes | None) -> None:
    """Never within another one, and never behind a Close frame."""
    observer = observer_of()
    read = observer.read_server if key is None else observer.read_client
    assert observer.compose_close(1001, "stopping", key=key)
    read(CREATED[:5])
    assert observer.compose_close(1001, "stopping", key=key) == b""
    read(CREATED[5:])
    ours = observer.compose_close(1001, "stopping", key=key)
    peer = observer_of()
    (peer.read_server if key is None else peer.read_client)(ours)
    assert peer.close_code == 1001
    read(frame(b"", 0x8))
    assert observer.compose_close(1001, "stopping", key=key) == b""


@given(st.lists(st.integers(1, 40), min_size=1, max_size=40), st.sampled_from(["/v1/realtime", "/v1/responses"]))
def test_the_same_for_every_chunking(sizes: list[int], path: str) -> None:
    """A session read in any pieces comes to the same."""
    stream, observer, place, turn = (CREATED + BEGUN + DONE) * 2 + BEGUN, observer_of(path), 0, 0
    while place < len(stream):
        size = sizes[turn % len(sizes)]
        observer.read_server(stream[place : place + size])
        place, turn = place + size, turn + 1
    assert observer.seen.usage == Usage(14, 0, 0, 4, 0)
    assert (observer.tally.answering, observer.messages) == (1, (0, 7))


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(
            ["type", "response", "session", "error", "usage", "model", "setup", "usageMetadata", "serverContent", "turnComplete",
             "input_tokens", "output_tokens", "input_token_details", "promptTokenCount", "promptTokensDetails", "status", "modelTurn"]
        ), inner, max_size=4,
    ), max_leaves=12,
)  # fmt: skip


@given(st.sampled_from(SESSION_DIALECTS), st.lists(JSON | st.binary(max_size=60), max_size=6), st.text(max_size=30))
def test_no_message_makes_a_dialect_raise(dialect: Any, messages: list[Any], query: str) -> None:
    """Garbage, numbers where text should be, and the other way round."""
    observer = SessionObserver(dialect, query, LIMIT)
    for message in messages:
        payload = message if isinstance(message, bytes) else json.dumps(message).encode()
        observer.read_client(frame(payload, key=KEY))
        observer.read_server(frame(payload))
    observer.finish()
    usage = observer.seen.usage
    assert usage is None or all(count >= 0 for count in usage)


@given(st.sampled_from(["response.created", "response.done", "response.failed", "session.created", "error", "session.update"]), JSON)
def test_no_member_of_a_known_event_makes_it_raise(kind: str, value: Any) -> None:
    """Whatever stands where an object should."""
    for dialect in SESSION_DIALECTS:
        observer = SessionObserver(dialect, "", LIMIT)
        event = {"type": kind, "response": value, "session": value, "error": value}
        observer.read_server(say(event))
        observer.read_client(say(event, KEY))
        observer.read_server(say({"type": kind, "response": {"usage": value, "model": value, "status": value, "error": value}}))


def test_what_cannot_be_an_event_is_not_tried() -> None:
    """A flood of it would hold up everybody else; white space before an event is no reason to miss it."""
    tried: list[bytes] = []
    dialect: Any = Noted(tried)
    observer = SessionObserver(dialect, "", LIMIT)
    for read in (observer.read_client, observer.read_server):
        for payload in (b"", b"x", b"[[[[", b"  ", b"7", b' \n{"type":"x"}', b"{"):
            read(frame(payload))
    assert tried == [b' \n{"type":"x"}', b"{"] * 2
    assert observer.messages == (7, 7)


class Noted:
    """A form that notes what it is given to read."""

    reads_binary = True

    def __init__(self, tried: list[bytes]) -> None:
        self.tried = tried

    def read_query(self, query: str) -> None:
        """There is no model in it."""

    def read_client(self, message: bytes, tally: Any) -> None:
        self.tried.append(message)

    def read_server(self, message: bytes, tally: Any) -> None:
        self.tried.append(message)
