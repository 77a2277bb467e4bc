"""Who is aboard a flight, what each of them gets, and whose call it is."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.reuse.flights import Flight, Stage
from sidecar.errors import STREAM_CUT, UpstreamFault

FAULT = UpstreamFault(STREAM_CUT)


@dataclass(eq=False)
class Traveller:
    """A passenger that takes what it is given, unless it is slow."""

    flight: Flight
    is_slow: bool = False
    passed: int = 0
    passed_bytes: int = 0
    got: list[bytes] = field(default_factory=list)
    news: list[str] = field(default_factory=list)

    def note_begin(self) -> None:
        self.news.append("begin")

    def note_piece(self, piece: bytes, now: float) -> None:
        if not self.is_slow:
            self.take(piece)

    def take(self, piece: bytes) -> None:
        self.got.append(piece)
        self.passed += 1
        self.passed_bytes += len(piece)

    def catch_up(self) -> None:
        """Take all that is there."""
        self.is_slow = False
        for piece in self.flight.pieces[self.passed - self.flight.dropped :]:
            self.take(piece)
        self.flight.weigh()

    def note_over(self) -> None:
        self.news.append("over")

    def note_detached(self) -> None:
        self.news.append("detached")


class Upstream:
    """What can be told to wait."""

    def __init__(self, flight: Flight) -> None:
        self.waits = False
        flight.watch(self.pause, self.go_on)

    def pause(self) -> None:
        assert not self.waits
        self.waits = True

    def go_on(self) -> None:
        assert self.waits
        self.waits = False


def fly(*, bytes_max: int = 100, lag_max: int = 20) -> Flight:
    return Flight("key", bytes_max=bytes_max, lag_max=lag_max)


def board(flight: Flight) -> Traveller:
    traveller = Traveller(flight)
    flight.board(traveller)
    for piece in flight.pieces:
        traveller.take(piece)
    return traveller


def test_who_comes_later_gets_what_has_come_and_then_all_else() -> None:
    """Nobody misses a piece."""
    flight = fly()
    first = board(flight)
    flight.begin()
    flight.add(b"one", 1.0)
    second = board(flight)
    flight.add(b"two", 2.0)
    flight.land()
    assert first.got == second.got == [b"one", b"two"] and flight.times == [1.0, 2.0]
    assert first.news == ["begin", "over"] and second.news == ["over"]


def test_the_call_belongs_to_the_first_that_is_still_aboard() -> None:
    """Its owner may leave; the next one has it then."""
    flight = fly()
    first, second = board(flight), board(flight)
    assert flight.owner is first
    assert not flight.leave(first) and flight.owner is second and flight.stage is Stage.BOARDING


def test_the_last_one_to_leave_abandons_it() -> None:
    """Nobody waits any more: whoever holds the call is told to end it."""
    flight = fly()
    first, second = board(flight), board(flight)
    flight.begin()
    assert [flight.leave(first), flight.leave(second)] == [False, True]
    assert flight.stage is Stage.ABANDONED and not flight.is_joinable


def test_what_comes_after_everybody_has_left_belongs_to_the_answer() -> None:
    """Where they left at its end, it may be kept."""
    flight = fly(bytes_max=10)
    one = board(flight)
    flight.begin()
    flight.add(b"first", 1.0)
    flight.leave(one)
    flight.add(b"last", 2.0)
    assert (flight.pieces, flight.times, flight.is_whole) == ([b"first", b"last"], [1.0, 2.0], True)
    flight.add(b"too much", 3.0)
    assert not flight.is_whole and flight.stage is Stage.ABANDONED


@pytest.mark.parametrize("end", [Flight.land, lambda flight: flight.fail(FAULT), lambda flight: flight.replace("stale")])
def test_what_is_over_changes_no_more(end: object) -> None:
    """No piece, no other end, no abandoning, and whoever leaves then leaves no call behind."""
    flight = fly()
    one = board(flight)
    flight.begin()
    end(flight)  # type: ignore[operator]
    stage, fault = flight.stage, flight.fault
    flight.add(b"more", 1.0)
    flight.begin()
    flight.fail(UpstreamFault(STREAM_CUT))
    flight.land()
    assert (flight.stage, flight.fault, flight.pieces) == (stage, fault, []) and one.news == ["begin", "over"]
    assert not flight.leave(one) and flight.stage is stage


def test_the_upstream_waits_only_when_nobody_takes() -> None:
    """One that is slow does not hold up the others."""
    flight = fly()
    first, second = board(flight), board(flight)
    upstream = Upstream(flight)
    flight.begin()
    first.is_slow = True
    flight.add(b"one", 1.0)
    assert not upstream.waits
    second.is_slow = True
    flight.add(b"two", 1.0)
    assert upstream.waits
    second.catch_up()
    assert not upstream.waits and second.got == [b"one", b"two"]


def test_who_leaves_may_leave_only_slow_ones_behind() -> None:
    """Then the upstream waits; and goes on when one that takes again is left."""
    flight = fly()
    first, second = board(flight), board(flight)
    upstream = Upstream(flight)
    flight.begin()
    first.is_slow = True
    flight.leave(second)
    assert upstream.waits
    first.catch_up()
    assert not upstream.waits


def test_who_is_too_far_behind_is_let_go() -> None:
    """The others go on; the bound is kept to the byte."""
    flight = fly(lag_max=6)
    first, second = board(flight), board(flight)
    flight.begin()
    first.is_slow = True
    flight.add(b"123456", 1.0)
    assert "detached" not in first.news
    flight.add(b"7", 1.0)
    assert first.news[-1] == "detached" and flight.owner is second and flight.aboard == 1


def test_one_alone_is_never_let_go() -> None:
    """There is nobody to wait for it: its upstream does."""
    flight = fly(lag_max=1)
    one = board(flight)
    upstream = Upstream(flight)
    flight.begin()
    one.is_slow = True
    flight.add(b"123456", 1.0)
    assert one.news == ["begin"] and upstream.waits


def test_an_answer_too_large_to_be_kept_is_forgotten_as_it_is_passed_on() -> None:
    """Nobody may join any more, and what everybody has is dropped; what somebody lacks is not."""
    flight = fly(bytes_max=4, lag_max=1000)
    first, second = board(flight), board(flight)
    flight.begin()
    flight.add(b"12", 1.0)
    second.is_slow = True
    flight.add(b"345", 2.0)
    assert not flight.is_joinable and not flight.is_whole
    assert (flight.pieces, flight.times, flight.dropped) == ([b"345"], [2.0], 1)
    second.catch_up()
    flight.add(b"6", 3.0)
    assert flight.pieces == [] and first.got == second.got == [b"12", b"345", b"6"]


def test_stranded_passengers_are_let_go() -> None:
    """Nobody takes any more: each of them has left."""
    flight = fly()
    first, second = board(flight), board(flight)
    flight.strand()
    assert first.news == second.news == ["detached"] and flight.aboard == 0 and flight.is_over


@given(st.lists(st.tuples(st.sampled_from(["piece", "board", "slow", "catch", "leave", "begin"]), st.integers(0, 5)), max_size=60))
def test_everybody_gets_every_piece_in_order(steps: list[tuple[str, int]]) -> None:
    """Whatever happens: who is still aboard at the end has all, the upstream waits exactly if all are slow, lag is bounded."""
    flight = fly(bytes_max=30, lag_max=12)
    upstream = Upstream(flight)
    everybody = [board(flight)]
    sent: list[bytes] = []
    for what, which in steps:
        aboard = [one for one in everybody if "detached" not in one.news and "left" not in one.news]
        if not aboard:
            break
        one = aboard[which % len(aboard)]
        if what == "piece" and flight.stage is Stage.FLYING and not upstream.waits:
            piece = bytes([65 + len(sent) % 26]) * (1 + which)
            sent.append(piece)
            flight.add(piece, float(len(sent)))
        elif what == "board" and flight.is_joinable:
            everybody.append(board(flight))
        elif what == "slow":
            one.is_slow = True
            flight.weigh()
        elif what == "catch":
            one.catch_up()
        elif what == "leave":
            one.news.append("left")
            flight.leave(one)
        elif what == "begin":
            flight.begin()
        aboard = [one for one in everybody if "detached" not in one.news and "left" not in one.news]
        assert flight.aboard == len(aboard) and (not aboard or flight.owner is aboard[0])
        if aboard and flight.stage is Stage.FLYING:
            assert upstream.waits == all(one.is_slow for one in aboard)
            fastest = max(one.passed_bytes for one in aboard)
            assert all(fastest - one.passed_bytes <= 12 for one in aboard) or all(one.is_slow for one in aboard)
    for one in everybody:
        if "detached" not in one.news and "left" not in one.news:
            one.catch_up()
            assert one.got == sent
