"""Who goes with whom, and when: against the three rules, by example and for any mix."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from sidecar.config import Batches
from sidecar.core.reuse.batches import Bundle, Collector, Group
from sidecar.core.reuse.embedding_forms import Inputs

SETTINGS = Batches(inputs=5, wait=0.05, wait_max=0.5)


def inputs_of(count: int, *, size: int = 3, dialect_name: str = "openai_embeddings") -> Inputs:
    """Return a request with so many inputs."""
    return Inputs(dialect_name, "/v1/embeddings", "text", (b'"' + b"a" * (size - 2) + b'"',) * count, count, b"{", b"}")


def group_of(name: str = "r") -> Group:
    """Return what is equal of all who go together."""
    return Group(name, "", "scope", (), inputs_of(1).form)


def members(bundles: Any) -> list[list[Any]]:
    """Return who goes in each bundle."""
    return [bundle.members for bundle in bundles]


def test_a_bundle_goes_when_it_is_full() -> None:
    """With the one that fills it, all in the order in which they came."""
    collector = Collector[str](SETTINGS)
    assert [members(collector.add(group_of(), name, inputs_of(2), 0.0)) for name in "ab"] == [[], []]
    assert members(collector.add(group_of(), "c", inputs_of(1), 0.0)) == [["a", "b", "c"]]
    assert (collector.next_due(), collector.due(float("inf"))) == (None, [])


def test_what_has_no_room_for_the_next_goes_without_it() -> None:
    """The inputs of one caller stay together: the next begins a bundle of its own."""
    collector = Collector[str](SETTINGS)
    collector.add(group_of(), "a", inputs_of(3), 0.0)
    assert members(collector.add(group_of(), "b", inputs_of(3), 0.0)) == [["a"]]
    assert members(collector.add(group_of(), "c", inputs_of(5), 0.0)) == [["b"], ["c"]]


def test_a_caller_with_too_many_inputs_goes_by_itself_at_once() -> None:
    """And takes nobody along."""
    collector = Collector[str](SETTINGS)
    collector.add(group_of(), "a", inputs_of(1), 0.0)
    assert members(collector.add(group_of(), "b", inputs_of(9), 0.0)) == [["a"], ["b"]]


def test_a_bundle_goes_when_nobody_comes_for_a_while() -> None:
    """Each one who comes prolongs the wait."""
    collector = Collector[str](SETTINGS)
    collector.add(group_of(), "a", inputs_of(1), 10.0)
    collector.add(group_of(), "b", inputs_of(1), 10.04)
    assert (collector.due(10.08), round(collector.next_due() or 0, 9)) == ([], 10.09)
    assert members(collector.due(10.09)) == [["a", "b"]]
    assert collector.due(99.0) == []


def test_nobody_waits_longer_than_the_first_may() -> None:
    """However often somebody comes."""
    collector = Collector[int](Batches(inputs=100, wait=0.05, wait_max=0.5))
    for number in range(12):
        assert collector.add(group_of(), number, inputs_of(1), number * 0.04) == []
    assert collector.next_due() == 0.44 + 0.05
    collector.add(group_of(), 12, inputs_of(1), 0.48)
    assert collector.next_due() == 0.5
    assert members(collector.due(0.5)) == [list(range(13))]


def test_groups_do_not_mix() -> None:
    """What differs in anything goes another way, at its own time."""
    collector = Collector[str](SETTINGS)
    collector.add(group_of("r"), "a", inputs_of(4), 0.0)
    assert collector.add(group_of("s"), "b", inputs_of(4), 0.02) == []
    assert members(collector.due(0.06)) == [["a"]]
    assert members(collector.due(float("inf"))) == [["b"]]


def test_who_leaves_is_not_waited_for() -> None:
    """Its inputs make room; a bundle of nobody is none."""
    collector = Collector[str](SETTINGS)
    collector.add(group_of(), "a", inputs_of(3), 0.0)
    collector.add(group_of(), "b", inputs_of(1), 0.0)
    collector.discard("a")
    assert members(collector.add(group_of(), "c", inputs_of(4), 0.0)) == [["b", "c"]]
    collector.discard("c")  # gone already
    collector.add(group_of(), "d", inputs_of(1), 0.0)
    collector.discard("d")
    assert collector.next_due() is None
    assert collector.add(group_of(), "e", inputs_of(1), 7.0) == []
    assert collector.next_due() == 7.05


def test_what_providers_take_in_one_call_bounds_the_settings() -> None:
    """Gemini takes 100 requests; and no call is longer than OpenAI's limit on tokens, of which a byte is at most one."""
    collector = Collector[int](Batches(inputs=5000))
    gone = [members(collector.add(group_of(), number, inputs_of(30, dialect_name="gemini_embed"), 0.0)) for number in range(4)]
    assert gone == [[], [], [], [[0, 1, 2]]]
    collector = Collector[int](Batches(inputs=5000))
    gone = [members(collector.add(group_of(), number, inputs_of(1, size=100_001), 0.0)) for number in range(4)]
    assert gone == [[], [], [[0, 1]], []]


EVENTS = st.lists(
    st.tuples(st.sampled_from("rs"), st.integers(1, 7), st.sampled_from([0.0, 0.01, 0.04, 0.06, 0.6]), st.booleans()), max_size=60
)


@given(EVENTS)
def test_everybody_goes_once_in_order_and_in_time(events: list[tuple[str, int, float, bool]]) -> None:
    """But those who left; and no bundle has more than one call may, unless it is one caller's."""
    collector = Collector[int](SETTINGS)
    came: dict[int, tuple[str, float]] = {}
    left: set[int] = set()
    gone: list[tuple[Bundle[int], float]] = []
    now = 0.0
    for number, (name, count, pause, leaves) in enumerate(events):
        then = now + pause
        while (due := collector.next_due()) is not None and due <= then:
            gone += [(bundle, due) for bundle in collector.due(due)]
        now = then
        came[number] = name, now
        gone += [(bundle, now) for bundle in collector.add(group_of(name), number, inputs_of(count), now)]
        if leaves and not any(number in bundle.members for bundle, _ in gone):
            collector.discard(number)
            left.add(number)
    while (due := collector.next_due()) is not None:
        gone += [(bundle, due) for bundle in collector.due(due)]
    assert sorted(number for bundle, _ in gone for number in bundle.members) == sorted(came.keys() - left)
    for bundle, at in gone:
        assert bundle.members == sorted(bundle.members)
        assert {came[number][0] for number in bundle.members} == {bundle.group.route}
        assert bundle.count == sum(len(inputs.items) for inputs in bundle.inputs)
        assert bundle.count <= SETTINGS.inputs or len(bundle.members) == 1
        assert all(at - came[number][1] <= SETTINGS.wait_max + 1e-9 for number in bundle.members)
