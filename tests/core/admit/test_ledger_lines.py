"""The ledger's lines, and what is read from them."""

import zlib
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.admit.ledger_lines import LINE_BYTES_MAX, read_ledger, tell_reserved, tell_settled, tell_state, tell_stopped
from sidecar.core.admit.spending_sums import ALL, Reservation, State

DAY, MONTH = "2026-11-20", "2026-11"
EMPTY = State({}, [], frozenset())


def made(number: int = 1, nano: int = 50, account: str = "a", day: str = DAY) -> Reservation:
    """Return a reservation."""
    return Reservation(number, account, day, nano)


def seal(*members: Any) -> bytes:
    """Return a line as it would be if it meant this."""
    payload = msgspec.json.encode(members)
    return b"%08x %b\n" % (zlib.crc32(payload), payload)


HEAD = seal("llm-sidecar ledger", 1, "me")


def test_what_is_told_is_read() -> None:
    """Spent is what was settled, for the account and for everybody, in the day and in its month; the rest is open."""
    lines = [*tell_state(EMPTY, "me"), tell_reserved(made(1, 50)), tell_reserved(made(2, 60)), tell_settled(made(1, 50), 70)]
    told = read_ledger(lines)
    assert (told.instance, told.lines, told.damaged) == ("me", 4, 0)
    assert told.state.spent == {("a", DAY): 70, ("a", MONTH): 70, (ALL, DAY): 70, (ALL, MONTH): 70}
    assert [(each.number, each.nano, each.account, each.day) for each in told.state.open] == [(2, 60, "a", DAY)]


def test_a_line_is_as_documented() -> None:
    """Checksum, space, JSON, line feed: anything can read it."""
    assert tell_reserved(made(17, 1500000, "team-a")) == b'%08x ["reserved",17,"team-a","2026-11-20",1500000]\n' % zlib.crc32(
        b'["reserved",17,"team-a","2026-11-20",1500000]'
    )


STATES = st.builds(
    State,
    st.dictionaries(st.tuples(st.text(max_size=8), st.sampled_from([DAY, MONTH, "2024-02-29"])), st.integers(0, 2**53), max_size=5),
    st.lists(st.builds(made, st.integers(1, 99), st.integers(0, 2**50), st.text(max_size=8)), max_size=5, unique_by=lambda one: one.number),
    st.frozensets(st.text(max_size=8), max_size=3),
)


@given(STATES)
def test_a_state_that_is_told_is_the_same_again(state: State) -> None:
    """Whatever accounts are called."""
    lines = list(tell_state(state, "me"))
    assert all(line.count(b"\n") == 1 and len(line) <= LINE_BYTES_MAX for line in lines)
    assert read_ledger(lines) == ("me", State(state.spent, state.open, state.stopped), len(lines), 0)


def test_stops_and_their_end() -> None:
    """The last word counts."""
    words = [("a", True), (ALL, True), ("a", False)]
    assert read_ledger([HEAD, *(tell_stopped(account, is_stopped=word) for account, word in words)]).state.stopped == {ALL}


def test_a_line_that_is_there_twice_counts_once() -> None:
    """Also a reservation after its settlement."""
    settled = tell_settled(made(), 70)
    told = read_ledger([HEAD, tell_reserved(made()), settled, settled, tell_reserved(made()), settled])
    assert (told.state.spent[("a", DAY)], told.state.open) == (70, [])


def test_each_line_tells_all_that_it_means() -> None:
    """A settlement counts without its reservation; a reservation without its settlement stays open."""
    assert read_ledger([HEAD, tell_settled(made(), 70)]).state.spent[("a", MONTH)] == 70
    damaged = read_ledger([HEAD, tell_reserved(made()), b"x" + tell_settled(made(), 70)[1:]])
    assert (damaged.damaged, damaged.state.spent, [each.nano for each in damaged.state.open]) == (1, {}, [50])


@given(st.integers(0, 500), st.integers(1, 255))
def test_no_flipped_bit_is_believed(at: int, flip: int) -> None:
    """Whichever byte is damaged, one line is lost at most with what it said, or two where a line feed was: none says anything else."""
    lines = [HEAD, tell_reserved(made(1, 50)), tell_settled(made(1, 50), 70), tell_reserved(made(2, 60)), tell_settled(made(2, 60), 80)]
    data = bytearray(b"".join(lines))
    data[at % len(data)] ^= flip
    told = read_ledger(bytes(data).splitlines(keepends=True))
    assert told.damaged >= 1
    assert told.state.spent.get(("a", DAY), 0) in (0, 70, 80, 150)
    open_nano = {each.number: each.nano for each in told.state.open}
    assert open_nano.items() <= {1: 50, 2: 60}.items()


@given(st.integers(0, 400))
def test_wherever_it_was_cut_the_rest_counts(at: int) -> None:
    """A ledger that ends in the middle of a line is as good as its whole lines."""
    lines = [HEAD, *(tell_settled(made(number), 10) for number in range(1, 6))]
    data = b"".join(lines)[: at + len(HEAD)]
    told = read_ledger(data.splitlines(keepends=True))
    assert told.state.spent.get(("a", DAY), 0) == 10 * (data.count(b"\n") - 1)
    assert told.damaged == (0 if data.endswith(b"\n") else 1)


def test_other_files() -> None:
    """Text, a later version, nothing, bytes: nothing is read from them, and nothing raised."""
    assert read_ledger([]) == (None, EMPTY, 0, 0)
    assert read_ledger([b"prices:\n", b"- model: x\n"])[:2] == (None, EMPTY)
    later = read_ledger([seal("llm-sidecar ledger", 2, "me"), tell_settled(made(), 70)])
    assert (later.instance, later.state, later.damaged) == (None, EMPTY, 1)
    endless = (b"x\n" for _ in iter(int, 1))
    assert read_ledger(endless).damaged > 100  # and it comes to an end


def test_lines_behind_a_damaged_beginning_count() -> None:
    """Who wrote them is not known then."""
    told = read_ledger([b"\0" * 40 + b"\n", tell_settled(made(), 70)])
    assert (told.instance, told.damaged, told.state.spent[("a", DAY)]) == (None, 1, 70)


@pytest.mark.parametrize(
    "members",
    [
        ("settled", 1, "a", DAY, -1), ("settled", 1, "a", MONTH, 1), ("settled", 1, "a", "yesterday", 1), ("settled", "1", "a", DAY, 1),
        ("settled", 1, None, DAY, 1), ("spent", "a", "2026-13", 1), ("spent", "a", DAY, 1.5), ("stopped", "a", 1), ("told", 1),
        (), ("spent",),
    ],
)  # fmt: skip
def test_a_line_that_means_nothing_is_damaged(members: tuple[Any, ...]) -> None:
    """Though its checksum is right."""
    told = read_ledger([HEAD, seal(*members)])
    assert (told.damaged, told.state) == (1, EMPTY)


@given(st.lists(st.binary(max_size=60), max_size=5))
def test_nothing_raises(lines: list[bytes]) -> None:
    """Whatever the bytes."""
    told = read_ledger(lines)
    assert (told.lines, told.damaged) == (len(lines), len(lines))
