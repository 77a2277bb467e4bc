"""A ledger and kill -9: what a process had been told to be done is done."""

import subprocess
import sys
from pathlib import Path
from typing import Final

from tests.house.source import ROOT

_ROUNDS: Final = 100
_S: Final = 120.0


def test_a_hundred_processes_that_are_killed_lose_nothing(tmp_path: Path) -> None:
    """Each spends until it is killed at some moment, most of them while the file is written anew: nothing is lost, nothing doubled."""
    command = [sys.executable, "-m", "tests.rig.spender", str(tmp_path), str(_ROUNDS), "7"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=_S, check=False, text=True)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    rounds, events = done.stdout.split()[0], int(done.stdout.split()[2])
    assert rounds == str(_ROUNDS) and events > 10 * _ROUNDS
    assert not list(tmp_path.glob("*damaged*"))
