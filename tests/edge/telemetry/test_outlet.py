"""Lines on their way to a stream."""

import contextlib
import io
import os
import select
import threading
import time
from typing import TextIO

import pytest

from sidecar.edge.telemetry.outlet import LINES_MAX, Outlet


def make_outlet(stream: TextIO) -> Outlet:
    """Return an outlet that is not started."""
    return Outlet(stream, lambda lost: f"lost {lost}")


class Pipe:
    """A pipe whose reader reads when it is told to, closed at the end."""

    def __init__(self) -> None:
        self.reading, writing = os.pipe()
        self.stream = os.fdopen(writing, "w", encoding="utf-8")

    def __enter__(self) -> "Pipe":
        """Return itself."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Close both ends."""
        self.stream.close()
        with contextlib.suppress(OSError):
            os.close(self.reading)

    def read(self, size: int = 1 << 20) -> str:
        """Return what has come; wait for something, for ten seconds at most."""
        assert select.select((self.reading,), (), (), 10.0)[0], "nothing comes"
        return os.read(self.reading, size).decode()

    def read_all(self) -> str:
        """Close the writing end; return all there is."""
        self.stream.close()
        return b"".join(iter(lambda: os.read(self.reading, 1 << 20), b"")).decode()


def test_until_it_is_started_it_writes_at_once() -> None:
    """Where it is called; what makes a line is called there, too."""
    stream = io.StringIO()
    outlet = make_outlet(stream)
    outlet.offer("one")
    outlet.offer(lambda: "two")
    assert stream.getvalue() == "one\ntwo\n"


async def test_what_is_left_is_written_at_the_end() -> None:
    """All of it, in order; what comes later is not."""
    with Pipe() as pipe:
        outlet = make_outlet(pipe.stream)
        outlet.start()
        for number in range(100):
            outlet.offer(f"line {number}")
        await outlet.stop(5)
        outlet.offer("too late")
        assert pipe.read_all().splitlines() == [f"line {number}" for number in range(100)]


async def test_lines_are_made_by_its_own_thread() -> None:
    """Not by who hands them over."""
    with Pipe() as pipe:
        outlet = make_outlet(pipe.stream)
        outlet.start()
        outlet.offer(lambda: threading.current_thread().name)
        await outlet.stop(5)
        assert pipe.read_all() == "log\n"


async def test_a_reader_that_stops_holds_nobody_up() -> None:
    """What there is no room for is lost and counted in the next line; none that was taken is lost."""
    with Pipe() as pipe:
        outlet = make_outlet(pipe.stream)
        outlet.start()
        offered = LINES_MAX + 3000
        began = time.monotonic()
        for number in range(offered):
            outlet.offer(f"{number:0200d}")
        assert time.monotonic() - began < 1.0
        kept: list[int] = []
        lost = 0
        text = ""
        while len(kept) + lost < offered:  # or for ever, were one not accounted for
            *lines, text = (text + pipe.read()).split("\n")
            lost += sum(int(line.removeprefix("lost ")) for line in lines if line.startswith("lost"))
            kept += [int(line) for line in lines if not line.startswith("lost")]
        await outlet.stop(5)
        assert len(kept) + lost == offered and lost > 0
        assert kept == sorted(set(kept)) and len(kept) >= LINES_MAX


async def test_a_reader_that_never_comes_back_does_not_keep_it_from_ending() -> None:
    """The time that is given for the rest is all it takes."""
    with Pipe() as pipe:
        outlet = make_outlet(pipe.stream)
        outlet.start()
        for _ in range(LINES_MAX):
            outlet.offer("x" * 1000)
        began = time.monotonic()
        await outlet.stop(0.05)
        assert time.monotonic() - began < 2.0


async def test_a_reader_that_has_gone_is_no_error() -> None:
    """Lines are lost; nothing is raised, and the thread ends as ever."""
    with Pipe() as pipe:
        os.close(pipe.reading)
        outlet = make_outlet(pipe.stream)
        outlet.start()
        outlet.offer("one")
        outlet.offer("two")
        await outlet.stop(5)
        closed = io.StringIO()
        closed.close()
        make_outlet(closed).offer("nobody")


async def test_a_stream_that_takes_nothing_at_the_moment_is_tried_again() -> None:
    """Somebody else may have made our stderr one that does not wait: no line is torn or lost."""
    with Pipe() as pipe:
        os.set_blocking(pipe.stream.fileno(), False)
        outlet = make_outlet(pipe.stream)
        outlet.start()
        for number in range(LINES_MAX):
            outlet.offer(f"{number:0500d}")
        text = ""
        while text.count("\n") < LINES_MAX:
            text += pipe.read(4096)
        await outlet.stop(5)
        assert [int(line) for line in text.splitlines()] == list(range(LINES_MAX))
        pipe.read_all()


@pytest.mark.parametrize("is_started", [False, True])
async def test_a_line_that_cannot_be_made_is_counted(is_started: bool) -> None:
    """The others are written."""
    with Pipe() as pipe:
        outlet = make_outlet(pipe.stream)
        if is_started:
            outlet.start()
        outlet.offer(lambda: str(1 // 0))
        outlet.offer("after")
        if is_started:
            await outlet.stop(5)
        lines = pipe.read_all().splitlines()
        assert lines[-1] == "after" if is_started else lines == ["lost 1", "after"]
