"""Gemini Live's messages."""

import json
from typing import Any

from sidecar.core.observe.dialects.gemini_session import GeminiSession
from sidecar.core.observe.tally import Tally
from sidecar.exchange import Seen, Usage
from tests.filled import fill

LIVE = GeminiSession()
TURN = {"serverContent": {"modelTurn": {"parts": [{"text": "hi"}]}}}
END = {"serverContent": {"turnComplete": True}}


def usage(prompt: int, made: int, **more: Any) -> dict[str, Any]:
    """A message with usage."""
    return {"usageMetadata": {"promptTokenCount": prompt, "responseTokenCount": made, **more}}


def hear(*messages: dict[str, Any]) -> Tally:
    """What a server's messages come to, at the end of the session."""
    tally = Tally()
    for message in messages:
        LIVE.read_server(json.dumps(message).encode(), tally)
    tally.settle()
    return tally


def test_usage_adds_up_over_turns() -> None:
    """Within a turn the last one counts, for totals run."""
    tally = hear({"setupComplete": {}}, {**TURN, **usage(10, 1)}, {**TURN, **usage(10, 5)}, END, TURN, {**END, **usage(30, 4)})
    assert tally.seen.usage == Usage(40, 0, 0, 9, 0)
    assert tally.answering == 0


def test_usage_behind_the_end_of_a_turn_belongs_to_it() -> None:
    """It is neither lost nor counted twice."""
    assert hear(TURN, END, usage(10, 5), TURN, END, usage(20, 6)).seen.usage == Usage(30, 0, 0, 11, 0)


def test_a_turn_that_was_not_finished_counts_with_what_it_told() -> None:
    """The session ended within it."""
    tally = hear({**TURN, **usage(10, 5)})
    assert (tally.seen.usage, tally.answering) == (Usage(10, 0, 0, 5, 0), 1)


def test_kinds_are_disjoint() -> None:
    """Thoughts and results of tools stand beside the other counts, cached tokens within."""
    told = usage(10, 5, thoughtsTokenCount=3, toolUsePromptTokenCount=2, cachedContentTokenCount=4)
    assert hear({**END, **told}).seen.usage == Usage(8, 4, 0, 5, 3)


def test_media_is_told_apart() -> None:
    """Tokens of audio and video have prices of their own."""
    text = [{"modality": "TEXT", "tokenCount": 10}]
    assert hear(usage(10, 5, promptTokensDetails=text, responseTokensDetails=text), END).unpriced is None
    assert hear(usage(10, 5, responseTokensDetails=[{"modality": "AUDIO", "tokenCount": 5}]), END).unpriced == "modality"


def test_the_first_message_names_the_model() -> None:
    """Without the collection that it stands in; a key in the query is not looked at."""
    for name, model in (("models/gemini-live", "gemini-live"), ("gemini-live", "gemini-live"),
                        ("projects/p/locations/l/publishers/google/models/gemini-live", "gemini-live")):  # fmt: skip
        tally = Tally()
        LIVE.read_client(json.dumps({"setup": {"model": name}}).encode(), tally)
        LIVE.read_client(b'{"setup": {"model": "models/other"}}', tally)
        assert tally.model == model
    assert LIVE.read_query("key=secret&model=x") is None


def test_a_handshake_that_was_refused_has_the_providers_code() -> None:
    """Google wraps its errors in a list at times."""
    for body in (b'{"error": {"code": 403, "status": "PERMISSION_DENIED"}}', b'[{"error": {"code": 403, "status": "PERMISSION_DENIED"}}]'):
        seen = fill(Seen(), error_type="403")
        LIVE.read_whole(body, seen)
        assert seen.error_type == "PERMISSION_DENIED"


def test_a_turn_that_was_asked_for_is_due() -> None:
    """Until the server begins it; both spellings are taken, and garbage asks for nothing."""
    for name, complete in (("clientContent", "turnComplete"), ("client_content", "turn_complete")):
        tally = Tally(model="m")
        LIVE.read_client(json.dumps({name: {"turns": [], complete: False}}).encode(), tally)
        LIVE.read_client(b'{"clientContent": ', tally)
        LIVE.read_client(b'{"realtimeInput": {"audio": {}}}', tally)
        assert not tally.is_answering
        LIVE.read_client(json.dumps({name: {"turns": [], complete: True}}).encode(), tally)
        assert tally.is_answering
        LIVE.read_server(json.dumps(TURN).encode(), tally)
        assert (tally.awaited, tally.is_answering) == (False, True)
        LIVE.read_server(json.dumps(END).encode(), tally)
        assert not tally.is_answering
