"""SIGTERM and SIGINT, each in a process of its own."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import asyncio
from sidecar.edge.signals import watch_stop

async def main():
    stop = watch_stop()
    print("ready", flush=True)
    await stop.wait()
    print("stopping", flush=True)
    await asyncio.sleep({drain_s})
    print("stopped", flush=True)

asyncio.run(main())
"""


def start(repository: Path, drain_s: float) -> subprocess.Popen[str]:
    """Start a program that waits for its end, and wait until it does."""
    process = subprocess.Popen([sys.executable, "-c", PROGRAM.format(drain_s=drain_s)], stdout=subprocess.PIPE, text=True, cwd=repository)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_first_signal_asks_for_a_clean_end(repository: Path, number: signal.Signals) -> None:
    """The program goes on to its own end, without a stack trace."""
    with start(repository, 0.0) as process:
        process.send_signal(number)
        assert process.communicate(timeout=20)[0] == "stopping\nstopped\n"
    assert process.returncode == 0


def test_the_second_signal_ends_at_once(repository: Path) -> None:
    """A drain that takes too long can be cut short; the exit code says by what."""
    with start(repository, 60.0) as process:
        process.send_signal(signal.SIGTERM)
        assert process.stdout is not None
        assert process.stdout.readline() == "stopping\n"
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=20)[0] == ""
    assert process.returncode == 128 + signal.SIGINT
