"""sidecar/simulator/talks.py"""

from typing import Any

import pytest

from sidecar.simulator.talks import Live, Realtime, Responses, begin_talk, read_message
from sidecar.simulator.tokens import Tokens

_TURN = {"clientContent": {"turns": [{"parts": [{"text": "hello there"}]}], "turnComplete": True}}


def _item(text: str) -> dict[str, Any]:
    return {"type": "conversation.item.create", "item": {"content": [{"type": "input_text", "text": text}]}}


def test_realtime_counts_the_whole_conversation() -> None:
    """What was said before is part of the next prompt, and cached."""
    talk = Realtime("sim-small")
    assert [event["type"] for event in talk.greet()] == ["session.created"]
    assert talk.answer(_item("one two three")) == []
    first, second = talk.answer({"type": "response.create"}), talk.answer({"type": "response.create"})
    assert [event["type"] for event in first][::8] == ["response.created", "response.done"]
    usages = [answer[-1]["response"]["usage"] for answer in (first, second)]
    prompt, made = usages[0]["input_tokens"], usages[0]["output_tokens"]
    assert prompt > 0
    assert usages[1]["input_tokens"] == usages[1]["input_token_details"]["cached_tokens"] == prompt + made
    assert talk.spent == Tokens(prompt + prompt + made, 2 * made, prompt + made)


def test_realtime_knows_its_events() -> None:
    """Those without an answer, and those that are none."""
    talk = Realtime("m")
    assert talk.answer({"type": "input_audio_buffer.append", "audio": "AA=="}) == []
    assert talk.answer({"type": "session.update", "session": {}})[0]["type"] == "session.updated"
    assert talk.answer({"type": "what"})[0]["error"]["code"] == "invalid_value"
    assert talk.spent == Tokens()


def test_responses_stream_their_events() -> None:
    """In order, with the model that was asked for."""
    talk = Responses("")
    assert talk.greet() == []
    events = talk.answer({"type": "response.create", "model": "sim-large", "input": "hello there"})
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert (events[0]["type"], events[-1]["type"]) == ("response.created", "response.completed")
    assert events[-1]["response"]["usage"]["total_tokens"] == talk.spent.prompt + talk.spent.completion
    assert (talk.model, events[-1]["response"]["model"]) == ("sim-large", "sim-large")
    assert talk.answer({})[0]["type"] == "error"


def test_live_answers_a_turn_that_is_complete() -> None:
    """With usage beside its end; both spellings of members are taken."""
    talk = Live("")
    assert talk.greet() == []
    assert talk.answer({"setup": {"model": "models/sim-large"}}) == [{"setupComplete": {}}]
    assert talk.model == "sim-large"
    assert talk.answer({"client_content": {"turns": [{"parts": [{"text": "not yet"}]}]}}) == []
    messages = talk.answer(_TURN)
    assert messages[-1]["serverContent"]["turnComplete"]
    assert messages[-1]["usageMetadata"]["totalTokenCount"] == talk.spent.prompt + talk.spent.completion


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/v1/realtime", Realtime), ("/v1/responses", Responses),
        ("/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent", Live), ("/v1/other", type(None)),
    ],
)  # fmt: skip
def test_a_path_has_its_talk(path: str, kind: type) -> None:
    """Or none."""
    assert isinstance(begin_talk(path, "m"), kind)


@pytest.mark.parametrize(("data", "message"), [(b'{"a": 1}', {"a": 1}), (b"[]", {}), (b"{", {}), (b"\xff", {})])
def test_messages_are_read_as_objects(data: bytes, message: dict[str, Any]) -> None:
    """What is none is an empty one."""
    assert read_message(data) == message
