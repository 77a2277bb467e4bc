"""`llm-sidecar demo --once` as a user runs it."""

import re
from pathlib import Path
from typing import Final

from tests.rig.process import Program

PROVIDERS: Final = ("openai", "anthropic", "gcp.gemini", "ollama", "openrouter")
LASTS_S: Final = 40.0  # about 12 s on two cores


def test_the_demo_agrees(tmp_path: Path) -> None:
    """The mixed traffic of all providers, outages included, is the same in both accounts, and the run is short."""
    program = Program(["demo", "--once"], tmp_path)
    try:
        assert program.wait(LASTS_S) == 0, program.output
    finally:
        program.stop()
    told = [line.split() for line in program.output.splitlines()]
    assert told[-1] == ["The", "sidecar", "and", "the", "provider", "agree."]
    rows = [row for row in told if "both" in row]
    assert {row[0] for row in rows} == set(PROVIDERS)
    assert all(sum(int(row[row.index("both") + 2]) for row in rows if row[0] == name) for name in PROVIDERS), "a provider without an error"
    again = next(line for line in program.output.splitlines() if line.startswith("made again "))
    assert "reset" in again and "upstream_error" in again
    opened = [int(count) for count in re.findall(r"circuit breaker of openai: opened: (\d+),", program.output)]
    failovers = re.findall(r"^failovers (\d+),", program.output, re.MULTILINE)
    assert opened and opened[0] >= 1 and int(failovers[0]) >= 3
    assert ["total", "sidecar", "300"] in [row[:3] for row in told]
