"""Content made fit: redacted, bounded, valid JSON."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.observe.contents.bounds import bound_messages, bound_parts
from sidecar.core.observe.contents.transcript import MARGIN_CHARS
from sidecar.core.observe.redaction import Redactor

REDACTOR = Redactor()
KEY = "sk-ant-api03-canary7f3a91canary7f3a91"
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
)


def message(text: str, role: str = "user") -> dict[str, Any]:
    """Return a message of one text."""
    return {"role": role, "parts": [{"type": "text", "content": text}]}


@given(st.lists(st.tuples(st.text(), st.lists(VALUES, max_size=4)), max_size=6), st.integers(100, 2000), st.booleans())
def test_it_is_json_and_fits(messages: list[tuple[str, list[Any]]], bytes_max: int, newest_first: bool) -> None:
    """Whatever the content, whatever the bound."""
    told = [{"role": role, "parts": [{"type": "tool_call", "arguments": value} for value in values]} for role, values in messages]
    composed = bound_messages(told, REDACTOR, bytes_max, newest_first=newest_first)
    assert len(composed.encode()) <= bytes_max
    json.loads(composed)
    parts = bound_parts([part for one in told for part in one["parts"]], REDACTOR, bytes_max)  # type: ignore[attr-defined]
    assert len(parts.encode()) <= bytes_max
    json.loads(parts)


def test_what_fits_is_whole() -> None:
    """And carries no mark."""
    told = [message("hi"), message("ho", "assistant")]
    assert json.loads(bound_messages(told, REDACTOR, 1024, newest_first=True)) == told


def test_the_latest_messages_are_kept() -> None:
    """Of a long conversation the question is worth more than the greeting; the gap is marked."""
    told = [message(f"{number} " + "x" * 200) for number in range(20)]
    kept = json.loads(bound_messages(told, REDACTOR, 1024, newest_first=True))
    assert kept[-1] == told[-1]
    assert kept[0].get("truncated") or kept[0]["parts"][0].get("truncated")
    first = json.loads(bound_messages(told, REDACTOR, 1024, newest_first=False))
    assert first[0] == told[0]
    assert 1 < len(first) < 20


def test_a_cut_text_is_marked() -> None:
    """And is as long as there is room for, nearly."""
    (one,) = json.loads(bound_messages([message("é" * 5000)], REDACTOR, 1024, newest_first=True))
    (part,) = one["parts"]
    assert part["truncated"] is True
    assert 400 < len(part["content"]) < 512
    assert set(part["content"]) == {"é"}


def test_parts_that_are_missing_are_marked() -> None:
    """On the message, and on the last part that is there."""
    told = [{"role": "user", "parts": [{"type": "text", "content": "x" * 300}] * 10}]
    (one,) = json.loads(bound_messages(told, REDACTOR, 1024, newest_first=True))
    assert one["truncated"] is True
    assert one["parts"][-1]["truncated"] is True


def test_nothing_hides_in_nested_values() -> None:
    """Keys, lists, numbers: a secret is found wherever JSON can hold it."""
    value = {"a": [{"b": KEY}], KEY: 1, "card": 4111111111111111, "n": 4111111111111112, "f": 1.5}
    composed = bound_parts([{"type": "tool_call", "arguments": value}], REDACTOR, 4096)
    assert "canary" not in composed
    (part,) = json.loads(composed)
    assert part["arguments"] == {
        "a": [{"b": "[REDACTED:api_key]"}], "[REDACTED:api_key]": 1, "card": "[REDACTED:card]", "n": 4111111111111112, "f": 1.5,
    }  # fmt: skip


@given(st.integers(0, 3000))
def test_no_cut_leaves_half_a_secret(before: int) -> None:
    """Wherever the bound falls, within the key or beside it."""
    composed = bound_messages([message("x" * before + " " + KEY + " " + "y" * 9000)], REDACTOR, 1500, newest_first=True)
    assert "canary" not in composed
    assert "sk-ant" not in composed


@given(st.integers(0, 60))
def test_what_was_cut_before_shows_no_half_either(missing: int) -> None:
    """A text that was collected only in part loses the stretch in which a secret may have begun."""
    text = "x" * MARGIN_CHARS + " call +49 30 1234567, " + KEY[: len(KEY) - missing]
    composed = bound_parts([{"type": "text", "content": text, "truncated": True}], REDACTOR, 65536)
    (part,) = json.loads(composed)
    assert "canary" not in composed
    assert "sk-" not in composed
    assert part["truncated"] is True


def test_values_that_nest_too_deeply_end_somewhere() -> None:
    """The rest is left out and marked."""
    deep: Any = "core"
    for _ in range(500):
        deep = [deep]
    (part,) = json.loads(bound_parts([{"type": "tool_call", "arguments": deep}], REDACTOR, 65536))
    assert part["truncated"] is True


def test_numbers_beyond_json_become_text() -> None:
    """Large integers are spelt; what is not a number is null."""
    (part,) = json.loads(bound_parts([{"type": "x", "big": 2**80, "nan": float("nan")}], REDACTOR, 4096))
    assert part == {"type": "x", "big": str(2**80), "nan": None}


def test_a_number_for_which_there_is_no_room_takes_room_all_the_same() -> None:
    """It becomes null, which is four bytes."""
    arguments = ["0000\r\r\x80\x80\U00010000\U00010000", {"0\x80": 1000000000.0}, [-1000000, None]]
    assert len(bound_parts([{"type": "tool_call", "arguments": arguments}], REDACTOR, 100).encode()) <= 100
