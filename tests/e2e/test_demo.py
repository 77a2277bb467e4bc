"""`llm-sidecar demo --once` as a user runs it."""

import re
from pathlib import Path
from typing import Final

from tests.rig.process import Program

PROVIDERS: Final = ("openai", "anthropic", "gcp.gemini", "ollama", "openrouter")
LASTS_S: Final = 40.0  # about 11 s on two cores


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
    assert {row[0] for row in rows} == {*PROVIDERS, "weather"}
    assert all(sum(int(row[row.index("both") + 2]) for row in rows if row[0] == name) for name in PROVIDERS), "a provider without an error"
    again = next(line for line in program.output.splitlines() if line.startswith("made again "))
    assert "reset" in again and "upstream_error" in again
    opened = [int(count) for count in re.findall(r"circuit breaker of openai: opened: (\d+),", program.output)]
    failovers = re.findall(r"^failovers (\d+),", program.output, re.MULTILINE)
    assert opened and opened[0] >= 1 and int(failovers[0]) >= 3
    (asked,) = [int(row[2]) for row in told if row[:2] == ["total", "sidecar"]]
    check_what_was_not_asked(program.output, asked)


def check_what_was_not_asked(output: str, asked: int) -> None:
    """Each of the 300 calls, and the three prompts asked beforehand, is in the account of a tenant; what was saved is told."""
    assert re.findall(r"^of (\d+) calls (\d+) went to a provider or a tool", output, re.MULTILINE) == [("303", str(asked))]
    ((hits, lookups, stale, warmed),) = re.findall(
        r"^kept answers: (\d+) hits of (\d+) looked for .*, (\d+) expired ones .*, (\d+) asked beforehand$", output, re.MULTILINE
    )
    assert 30 < int(hits) < int(lookups) and int(warmed) == 3
    ((coalesced, inputs, batches),) = re.findall(r"^shared: (\d+) calls .*, (\d+) embeddings in (\d+) calls$", output, re.MULTILINE)
    assert int(coalesced) > 0 and int(inputs) > int(batches) > 0
    tenants = dict(re.findall(r"^(shop|support|reports|warming) +(\d+ .*)$", output, re.MULTILINE))
    counts = {name: [int(count) for count in re.findall(r"(?<![\d.])\d+(?![\d.])", row)] for name, row in tenants.items()}
    assert sum(count[0] for count in counts.values()) == 303
    limited, unpaid = ({name: count[place] for name, count in counts.items() if count[place]} for place in (2, 3))
    assert limited.keys() == {"reports"} and unpaid.keys() == {"support"}
    unavailable = sum(map(int, re.findall(r"^(\d+) calls were answered by the sidecar itself", output, re.MULTILINE)))
    refused = limited["reports"] + unpaid["support"] + unavailable
    # One caller may want several inputs.
    assert 0 <= 303 - asked - refused <= int(hits) + int(stale) + int(coalesced) + int(inputs) - int(batches)
