"""What a stream has said so far."""

from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.observe.contents.transcript import NAME_CHARS_MAX, PARTS_MAX, Transcript
from sidecar.exchange import Spoken


@given(st.lists(st.text(max_size=20), max_size=1500), st.integers(0, 4000))
def test_text_is_joined_bounded_and_counted(pieces: list[str], chars_max: int) -> None:
    """What is kept is the beginning; what is counted is all."""
    transcript = Transcript(chars_max)
    for piece in pieces:
        transcript.add(piece)
    whole = "".join(pieces)
    assert transcript.output_chars == len(whole)
    assert "".join(part.text for part in transcript.close()) == whole[:chars_max]
    assert [part.is_cut for part in transcript.close()] == ([len(whole) > chars_max] if whole else [])


def test_parts_keep_their_order_and_their_choice() -> None:
    """Choice by choice, in the order in which parts began."""
    transcript = Transcript(100)
    transcript.add("b", choice=1)
    transcript.add("t", "reasoning")
    transcript.add("a")
    transcript.add("u", "reasoning")
    transcript.begin("tool_call", slot=0, id_="i", name="fi")
    transcript.begin("tool_call", slot=0, id_="other", name="nd")
    transcript.add("{}", "tool_call")
    assert transcript.close() == (
        Spoken(0, "reasoning", "tu"), Spoken(0, "text", "a"), Spoken(0, "tool_call", "{}", "i", "find"), Spoken(1, "text", "b"),
    )  # fmt: skip
    assert (transcript.reasoning_chars, transcript.output_chars) == (2, len("ab") + len("find") + len("{}"))


def test_a_part_goes_on_until_another_kind_comes() -> None:
    """For forms that do not number their parts."""
    transcript = Transcript(100)
    for text, kind in (("a", "text"), ("b", "text"), ("r", "reasoning"), ("c", "text")):
        transcript.extend(text, kind)
    transcript.tell("tool_call", {"a": "é"}, name="f")
    transcript.extend("d")
    assert [part.text for part in transcript.close()] == ["ab", "r", "c", '{"a": "é"}', "d"]


def test_what_is_not_text_says_nothing() -> None:
    """Numbers, lists, nothing."""
    transcript = Transcript(100)
    for garbage in (None, 3, ["a"], {"b": 1}, ""):
        transcript.add(garbage)
        transcript.extend(garbage)
    assert transcript.is_empty
    assert transcript.output_chars == 0


def test_parts_and_names_are_bounded() -> None:
    """A hostile stream fills no memory with them, and is still counted."""
    transcript = Transcript(10_000)
    for number in range(PARTS_MAX * 3):
        transcript.add("ab", slot=number)
        transcript.begin("tool_call", slot=("call", number), name="n" * 1000)
        transcript.extend("x", choice=number)
    parts = transcript.close()
    assert len(parts) == PARTS_MAX
    assert all(len(part.name) <= NAME_CHARS_MAX for part in parts)
    assert transcript.output_chars == PARTS_MAX * 3 * (2 + 1000 + 1)


def test_values_nested_beyond_reading_are_left_out() -> None:
    """A call's arguments may be an object of any depth."""
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    transcript = Transcript(100)
    transcript.tell("tool_call", deep, name="f")
    assert transcript.close() == (Spoken(0, "tool_call", "", "", "f"),)
