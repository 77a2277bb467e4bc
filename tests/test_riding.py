"""Callers aboard a flight: what reaches their connections, and when they are let go."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from sidecar.core.attempt.answer_head import Framing
from sidecar.core.reuse.flights import Flight, Stage
from sidecar.errors import STREAM_CUT, ClientGone, UpstreamFault
from sidecar.riding import Rider
from tests.edge.virtual import run_virtually

HEAD = b"HTTP/1.1 200 OK\r\n\r\n"
PAUSE_S = 180.0


class Connection:
    """A caller's connection, which takes everything until it is told to be slow."""

    def __init__(self) -> None:
        self.gone = False
        self.got = b""
        self.pause: Callable[[], None] | None = None
        self.go_on: Callable[[], None] | None = None

    def write(self, data: bytes) -> None:
        if self.gone:
            raise RuntimeError("the handler is closed")  # as uvloop does
        self.got += data

    def watch(self, pause: Callable[[], None] | None, go_on: Callable[[], None] | None) -> None:
        self.pause, self.go_on = pause, go_on


class LoopClock:
    """The running loop's time."""

    def now(self) -> float:
        return asyncio.get_running_loop().time()

    def wall_ns(self) -> int:
        return 0


CLOCK = LoopClock()


def board(flight: Flight) -> tuple[Rider, Any]:
    rider = Rider(flight)
    flight.board(rider)
    return rider, Connection()


def open_flight(*, lag_max: int = 100) -> Flight:
    return Flight("key", bytes_max=1000, lag_max=lag_max)


def test_each_connection_gets_its_own_framing() -> None:
    """One in chunks, one plain, one whose answer has no body: the same pieces."""

    async def ride() -> None:
        flight = open_flight()
        riders = [(board(flight), framing) for framing in (Framing.CHUNKED, Framing.LENGTH, Framing.NONE)]
        flight.begin()
        flight.add(b"one", 1.0)
        for (rider, connection), framing in riders:
            rider.start(connection, HEAD, framing, 5.0)
        flight.add(b"three", 2.0)
        flight.land()
        for (rider, _), _ in riders:
            await rider.until_end(None, PAUSE_S, CLOCK)
        (_, chunked), (_, plain), (_, nothing) = (each for each, _ in riders)
        assert chunked.got == HEAD + b"3\r\none\r\n5\r\nthree\r\n"
        assert plain.got == HEAD + b"onethree" and nothing.got == HEAD
        assert [rider.first_byte_at for (rider, _), _ in riders] == [5.0] * 3
        assert [rider.passed_bytes for (rider, _), _ in riders] == [8] * 3

    run_virtually(ride())


def test_a_connection_that_is_gone_takes_no_piece_from_those_behind_it() -> None:
    """Between its end and the moment in which its caller learns of it, pieces come: nobody else may miss one."""

    async def ride() -> None:
        flight = open_flight()
        riders = [board(flight), board(flight)]
        flight.begin()
        for rider, connection in riders:
            rider.start(connection, HEAD, Framing.LENGTH, 0.0)
        riders[0][1].gone = True
        flight.add(b"one", 1.0)
        flight.add(b"two", 2.0)
        flight.land()
        assert riders[1][1].got == HEAD + b"onetwo"

    run_virtually(ride())


def test_a_slow_connection_gets_the_rest_when_it_has_caught_up() -> None:
    """In order, nothing twice, and its end only then."""

    async def ride() -> None:
        flight = open_flight()
        rider, connection = board(flight)
        flight.begin()
        rider.start(connection, HEAD, Framing.LENGTH, 0.0)
        connection.pause()
        flight.add(b"one", 1.0)
        flight.add(b"two", 2.0)
        flight.land()
        end = asyncio.ensure_future(rider.until_end(None, PAUSE_S, CLOCK))
        await asyncio.sleep(1)
        assert connection.got == HEAD and not end.done()
        connection.go_on()
        await end
        assert connection.got == HEAD + b"onetwo"

    run_virtually(ride())


def test_who_takes_nothing_of_a_whole_answer_has_left() -> None:
    """After the silence that is allowed; each piece it takes gives it more time."""

    async def ride() -> None:
        flight = open_flight()
        rider, connection = board(flight)
        flight.begin()
        rider.start(connection, HEAD, Framing.LENGTH, 0.0)
        connection.pause()
        flight.add(b"one", 1.0)
        flight.land()
        began = CLOCK.now()
        with pytest.raises(ClientGone):
            await rider.until_end(None, PAUSE_S, CLOCK)
        assert CLOCK.now() - began == pytest.approx(PAUSE_S)

    run_virtually(ride())


def test_its_own_deadline_ends_its_wait_and_nobody_elses() -> None:
    """A caller in a hurry is told so; the flight goes on."""

    async def ride() -> None:
        flight = open_flight()
        hurried, _ = board(flight)
        patient, _ = board(flight)
        with pytest.raises(UpstreamFault) as caught:
            await hurried.until_begun(CLOCK.now() + 2.0, CLOCK)
        assert caught.value.kind.id == "total_timeout" and flight.stage is Stage.BOARDING
        waiting = asyncio.ensure_future(patient.until_begun(None, CLOCK))
        await asyncio.sleep(10)
        flight.begin()
        await waiting

    run_virtually(ride())


def test_what_has_failed_fails_for_everybody() -> None:
    """Before the head, and within the answer."""

    async def ride() -> None:
        fault = UpstreamFault(STREAM_CUT)
        flight = open_flight()
        early, _ = board(flight)
        flight.begin()
        late, connection = board(flight)
        await early.until_begun(None, CLOCK)
        late.start(connection, HEAD, Framing.LENGTH, 0.0)
        flight.fail(fault)
        for wait in (early.until_begun(None, CLOCK), late.until_end(None, PAUSE_S, CLOCK), late.until_landed(None, CLOCK)):
            with pytest.raises(UpstreamFault) as caught:
                await wait
            assert caught.value is fault

    run_virtually(ride())


def test_who_is_let_go_is_told_by_its_wait() -> None:
    """It has fallen too far behind: nothing reaches its connection any more."""

    async def ride() -> None:
        flight = open_flight(lag_max=2)
        slow, behind = board(flight)
        other, connection = board(flight)
        flight.begin()
        for rider, line in ((slow, behind), (other, connection)):
            rider.start(line, HEAD, Framing.LENGTH, 0.0)
        behind.pause()
        flight.add(b"one", 1.0)
        with pytest.raises(ClientGone):
            await slow.until_end(None, PAUSE_S, CLOCK)
        behind.go_on()
        assert behind.got == HEAD and connection.got == HEAD + b"one" and slow.is_detached

    run_virtually(ride())


def test_after_it_has_left_nothing_reaches_its_connection() -> None:
    """Nor does its connection tell it anything."""

    async def ride() -> None:
        flight = open_flight()
        rider, connection = board(flight)
        flight.begin()
        rider.start(connection, HEAD, Framing.LENGTH, 0.0)
        rider.release()
        flight.add(b"one", 1.0)
        assert connection.got == HEAD and connection.pause is None

    run_virtually(ride())


def test_who_has_just_gone_is_written_nothing() -> None:
    """Its connection is closed and its call is not over yet: the others get the piece."""

    async def ride() -> None:
        flight = open_flight()
        riders = [board(flight) for _ in range(2)]
        flight.begin()
        for rider, connection in riders:
            rider.start(connection, HEAD, Framing.LENGTH, 0.0)
        (_, gone), (_, there) = riders
        gone.gone = True
        flight.add(b"one", 1.0)
        assert (gone.got, there.got) == (HEAD, HEAD + b"one")

    run_virtually(ride())


def test_a_whole_answer_can_be_waited_for() -> None:
    """Nothing is sent of it meanwhile."""

    async def ride() -> None:
        flight = open_flight()
        rider, connection = board(flight)
        whole = asyncio.ensure_future(rider.until_landed(None, CLOCK))
        await asyncio.sleep(0)
        flight.begin()
        flight.add(b"one", 1.0)
        await asyncio.sleep(0)
        assert not whole.done()
        flight.land()
        await whole
        assert connection.got == b""

    run_virtually(ride())


@pytest.mark.parametrize("wait", ["until_end", "until_landed"])
def test_who_has_all_that_came_and_takes_no_more_has_not_had_the_end(wait: str) -> None:
    """An answer that was given up because nobody reads is never ended as if it were whole."""

    async def ride() -> None:
        flight = open_flight()
        rider, connection = board(flight)
        flight.begin()
        rider.start(connection, HEAD, Framing.LENGTH, 0.0)
        flight.add(b"one", 1.0)
        connection.pause()
        wanted = rider.until_end(None, PAUSE_S, CLOCK) if wait == "until_end" else rider.until_landed(None, CLOCK)
        end = asyncio.ensure_future(wanted)
        await asyncio.sleep(1)
        flight.strand()
        with pytest.raises(ClientGone):
            await end
        assert connection.got == HEAD + b"one"

    run_virtually(ride())
