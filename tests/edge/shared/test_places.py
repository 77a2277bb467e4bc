"""Which server is asked for a key."""

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.crc import key_slot

from sidecar.edge.shared.node import Node
from sidecar.edge.shared.places import SLOTS, Places, find_slot, read_table
from sidecar.edge.shared.wire import ASK, LATE, MOVED, REFUSED, Address, Command, Failure
from tests.edge.shared.doubles import FakeServer
from tests.edge.virtual import VirtualLoop, turn, virtually

A, B = Address("a", 1), Address("b", 2)
HALVES = [[0, 8191, [b"a", 1, b"id"]], [8192, 16383, [b"b", 2, b"id"], [b"replica", 3, b"id"]]]


def make_places(server: FakeServer, *, is_cluster: bool = True) -> Places:
    """Return places that begin at A."""
    loop: Any = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)

    def make(address: Address) -> Node:
        return server.make_node(loop, address=address)

    return Places(A, make, loop, is_cluster=is_cluster)


@given(st.text(alphabet="ab{}é", max_size=12))
def test_slots_are_redis_own(key: str) -> None:
    """A key's slot is the one that the official client computes."""
    assert find_slot(key) == key_slot(key.encode())


def test_hash_tags_hold_keys_together() -> None:
    """Keys with the same tag are in one slot (the specification's example value is of "123456789")."""
    assert find_slot("123456789") == 0x31C3
    assert find_slot("{tenant}:a") == find_slot("{tenant}:b") == find_slot("tenant")
    assert find_slot("{}:a") != find_slot("{}:b")


@virtually
async def test_a_single_server_has_it_all() -> None:
    """Without a cluster there is one place, no table is fetched, and nobody leads elsewhere."""
    server = FakeServer()
    places = make_places(server, is_cluster=False)
    places.refresh()
    node = places.place("x")
    assert places.redirect(Failure(MOVED, 1, B), node) is None
    await turn()
    assert server.asked == [] and places.nodes == [node]


@virtually
async def test_the_table_tells_who_is_asked() -> None:
    """The table is fetched once, however many ask for it at once; then keys go where their slots are. Replicas are not asked."""
    server = FakeServer()
    server.answer = lambda _: HALVES
    places = make_places(server)
    assert places.place("x").address == A
    for _ in range(5):
        places.refresh()
    await turn()
    assert server.asked == [("CLUSTER", "SLOTS")]
    owners = {places.place(str(index)).address for index in range(100)}
    assert owners == {A, B} and len(places.nodes) == 2
    assert all((find_slot(str(index)) > 8191) == (places.place(str(index)).address == B) for index in range(100))


@virtually
async def test_moved_is_learned_and_ask_is_not() -> None:
    """MOVED holds for the next call too, ASK for this one; an empty host is the one that said so."""
    server = FakeServer()
    server.answer = lambda _: HALVES
    places = make_places(server)
    places.refresh()
    await turn()
    key = next(str(index) for index in range(100) if find_slot(str(index)) < 8192)
    node = places.place(key)
    asked = places.redirect(Failure(ASK, find_slot(key), B), node)
    assert asked is not None and asked.address == B and places.place(key) is node
    moved = places.redirect(Failure(MOVED, find_slot(key), Address("", 7)), node)
    assert moved is not None and moved.address == Address("a", 7) and places.place(key) is moved


@virtually
async def test_the_table_is_fetched_anew_after_a_failure() -> None:
    """A server that does not answer: the table is asked of the others, at most once a second; who is in it no more is let go."""
    server = FakeServer()
    server.answer = lambda _: HALVES
    places = make_places(server)
    places.refresh()
    await turn()
    lost = next(node for node in places.nodes if node.address == B)
    server.answer = lambda _: [[0, 16383, [b"a", 1, b"id"]]]
    for _ in range(10):
        assert places.redirect(Failure(LATE), lost) is None
    await turn()
    assert len(server.asked) == 1
    await asyncio.sleep(1)
    for _ in range(10):
        places.redirect(Failure(REFUSED), lost)
    await turn()
    assert len(server.asked) == 2
    assert {places.place(str(index)).address for index in range(100)} == {A}
    assert lost.is_closed and len(places.nodes) == 1


@virtually
async def test_all_known_are_gone() -> None:
    """Where nobody of the table answers any more, the configured one is asked again."""
    server = FakeServer()
    server.answer = lambda _: [[0, 16383, [b"b", 2, b"id"]]]
    places = make_places(server)
    places.refresh()
    await turn()
    assert [node.address for node in places.nodes] == [B]
    server.answer = lambda _: Failure(REFUSED)
    await asyncio.sleep(1)
    places.redirect(Failure(REFUSED), places.nodes[0])
    await turn()

    def answer(_: Command) -> Any:
        return [[0, 16383, [b"a", 1, b"id"]]]

    server.answer = answer
    await asyncio.sleep(1)
    places.redirect(Failure(REFUSED), places.nodes[0])
    await turn()
    assert places.place("x").address == A


@pytest.mark.parametrize(
    "answer",
    [
        None, b"OK", [], [1], [[0]], [[0, 1, []]], [[0, 1, [b"a"]]], [[0, SLOTS, [b"a", 1]]], [[5, 4, [b"a", 1]]], [[-1, 4, [b"a", 1]]],
        [["0", 1, [b"a", 1]]], [[0, 1, [b"\xff", 1]]], [[0, 1, [7, 1]]], [[0, 1, [b"a", 0]]], [[0, 1, [b"a", "1"]]], Failure(LATE),
        [[0, 1, [b"a", 1]]] * (SLOTS + 1), [[n, n, [b"a", n + 1]] for n in range(1001)],
    ],
)  # fmt: skip
def test_what_is_no_table_is_none(answer: Any) -> None:
    """A table that cannot be one changes nothing."""
    assert read_table(answer, "h") is None


def test_a_host_that_is_not_known_is_who_tells() -> None:
    """Redis tells an empty host, null, or a question mark for a host that it does not know."""
    told = [[0, 1, [name, 5, b"id"]] for name in (b"", None, b"?")]
    assert read_table(told, "h") == [(0, 1, Address("h", 5))] * 3
