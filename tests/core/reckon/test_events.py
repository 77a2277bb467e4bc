"""Events that applications tell of."""

import json

import pytest

from sidecar.core.reckon.events import KEPT_MAX, NAMES_MAX, OTHER, Event, Events, read_event

AT_NS = 1_700_000_000_000_000_000


def test_events_are_counted_and_the_last_are_kept() -> None:
    """By name, since the start; the newest first."""
    events = Events()
    for number in range(KEPT_MAX + 10):
        events.note(Event("tick", {"n": str(number)}), AT_NS)
    events.note(Event("deployed"), AT_NS)
    shown = events.show()
    assert shown["counts"] == {"tick": KEPT_MAX + 10, "deployed": 1}
    assert shown["events"][0] == {"at": "2023-11-14T22:13:20.000Z", "name": "deployed", "labels": {}}
    assert (len(shown["events"]), shown["events"][1]["labels"]) == (KEPT_MAX, {"n": str(KEPT_MAX + 9)})


def test_names_are_bounded() -> None:
    """Those beyond are counted together; none is lost."""
    events = Events()
    for number in range(NAMES_MAX + 50):
        events.note(Event(f"name-{number}"), AT_NS)
    counts = events.show()["counts"]
    assert (counts[OTHER], len(counts), sum(counts.values())) == (50, NAMES_MAX + 1, NAMES_MAX + 50)


@pytest.mark.parametrize("name", ["a", "a.b-c_9", "x" * 64])
def test_what_is_understood(name: str) -> None:
    """A name, with labels or without."""
    assert read_event(json.dumps({"name": name}).encode()) == Event(name)
    labels = {f"l{number}": "v" * 200 for number in range(8)}
    assert read_event(json.dumps({"name": name, "labels": labels}).encode()).labels == labels


@pytest.mark.parametrize(
    "tree",
    [None, [], {}, {"name": ""}, {"name": "A"}, {"name": "a b"}, {"name": "a\n"}, {"name": "x" * 65}, {"name": 1}, {"name": "a", "more": 1},
     {"name": "a", "labels": []}, {"name": "a", "labels": {"secret!": "x"}}, {"name": "a", "labels": {"x": 1}},
     {"name": "a", "labels": {"x": "secret" * 40}}, {"name": "a", "labels": {str(number): "" for number in range(9)}}],
)  # fmt: skip
def test_what_is_not_understood_is_told_what_is(tree: object) -> None:
    """A sentence, and nothing of the body in it."""
    with pytest.raises(ValueError, match='"name": NAME') as caught:
        read_event(json.dumps(tree).encode())
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 10_000])
def test_what_is_no_json_is_told_so_too(body: bytes) -> None:
    """In the same sentence."""
    with pytest.raises(ValueError, match='"name": NAME'):
        read_event(body)
