"""SIGTERM, SIGINT and SIGHUP, each in a process of its own."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

PROGRAM = """
import asyncio, os, signal, sys, threading, time
from sidecar.edge.signals import Signals

signal.signal(signal.SIGHUP, signal.SIG_DFL)  # whoever started the tests may have it ignored (nohup)
signals = Signals()

async def main():
    stop = signals.attend(lambda: {limit_s})
    print("ready", flush=True)
    if {hangs}:
        time.sleep(60)
    await stop.wait()
    print("stopping", flush=True)
    await asyncio.sleep({drain_s})
    print("stopped", flush=True)

if not {attends}:
    print("ready", flush=True)
    open(sys.argv[1])  # nobody will ever write to it
asyncio.run(main())
if {left}:
    threading.Thread(target=time.sleep, args=(60,)).start()
    signals.end_within(0.1)
"""


def start(
    repository: Path, drain_s: float = 0.0, *arguments: str, limit_s: float = 60.0,
    hangs: bool = False, attends: bool = True, left: bool = False,
) -> subprocess.Popen[str]:  # fmt: skip
    """Start a program that waits for its end, and wait until it does."""
    text = PROGRAM.format(drain_s=drain_s, limit_s=limit_s, hangs=hangs, attends=attends, left=left)
    process = subprocess.Popen([sys.executable, "-c", text, *arguments], stdout=subprocess.PIPE, text=True, cwd=repository)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_first_signal_asks_for_a_clean_end(repository: Path, number: signal.Signals) -> None:
    """The program goes on to its own end, without a stack trace."""
    with start(repository) as process:
        process.send_signal(number)
        assert process.communicate(timeout=20)[0] == "stopping\nstopped\n"
    assert process.returncode == 0


@pytest.mark.parametrize("hangs", [False, True])
def test_the_second_signal_ends_at_once(repository: Path, hangs: bool) -> None:
    """A drain that takes too long can be cut short, and so can an event loop that does nothing; the exit code says by what."""
    with start(repository, 60.0, hangs=hangs) as process:
        process.send_signal(signal.SIGTERM)
        assert process.stdout is not None
        if hangs:
            time.sleep(0.2)  # two of them at once may become one
        else:
            assert process.stdout.readline() == "stopping\n"
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=20)[0] == ""
    assert process.returncode == 128 + signal.SIGINT


@pytest.mark.parametrize("hangs", [False, True])
def test_it_lives_no_longer_than_it_may(repository: Path, hangs: bool) -> None:
    """Whether its own end takes too long or the event loop hangs."""
    with start(repository, 60.0, limit_s=0.3, hangs=hangs) as process:
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert "stopped" not in process.communicate(timeout=20)[0]
        assert 0.3 <= time.monotonic() - began < 5.0
    assert process.returncode == 0


def test_before_anybody_attends_the_first_signal_is_the_end(repository: Path, tmp_path: Path) -> None:
    """As in the middle of a file that does not answer."""
    os.mkfifo(tmp_path / "fifo")
    with start(repository, 0.0, str(tmp_path / "fifo"), attends=False) as process:
        process.send_signal(signal.SIGTERM)
        assert process.communicate(timeout=20)[0] == ""
    assert process.returncode == 0


def test_a_thread_that_is_left_over_keeps_nothing(repository: Path) -> None:
    """The interpreter would wait for it."""
    began = time.monotonic()
    with start(repository, left=True) as process:
        process.send_signal(signal.SIGTERM)
        assert process.communicate(timeout=20)[0] == "stopping\nstopped\n"
    assert process.returncode == 0
    assert time.monotonic() - began < 20


RELOADING = """
import asyncio, time
from sidecar.edge.signals import Signals

signals = Signals(hangups=True)

async def main():
    if {early}:
        print("ready", flush=True)
        time.sleep(0.3)
    asked = signals.attend_hangups()
    if not {early}:
        print("ready", flush=True)
    for _ in range(2):
        await asked.wait()
        asked.clear()
        print("asked", flush=True)

asyncio.run(main())
print("over", flush=True)
time.sleep(0.3)
"""


@pytest.mark.parametrize("early", [False, True])
def test_a_hangup_asks_for_a_reload(repository: Path, early: bool) -> None:
    """Each time, from the first moment to the last, and ends nothing."""
    command = [sys.executable, "-c", RELOADING.format(early=early)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=repository) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        for _ in range(2):
            process.send_signal(signal.SIGHUP)
            assert process.stdout.readline() == "asked\n"
        assert process.stdout.readline() == "over\n"
        process.send_signal(signal.SIGHUP)
    assert process.returncode == 0


def test_who_does_not_take_hangups_is_ended_by_one(repository: Path) -> None:
    """As a program that was started in a terminal is, when that is closed."""
    with start(repository) as process:
        process.send_signal(signal.SIGHUP)
        try:
            assert process.communicate(timeout=20)[0] == ""
        finally:
            process.kill()
    assert process.returncode == -signal.SIGHUP
