"""What README.md says of the journal is so."""

import json
import re
from pathlib import Path

from sidecar import catalogue
from sidecar.config import Journal
from sidecar.core.reckon.hours import HOURS_MAX
from sidecar.core.reckon.snapshots import HOUR_S, Snapshot, read_name, write_snapshot
from sidecar.edge.files import load
from tests.house.source import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
PART = README[README.index("### The journal") : README.index("\n### A report")]
SPANS = re.findall(r"`([^`\n]+)`", PART)


def test_the_example_is_valid_and_numbers_are_the_defaults(tmp_path: Path) -> None:
    """The setting loads; days, minutes and what is kept in memory are what is in force."""
    file = tmp_path / "sidecar.yaml"
    file.write_text(SPANS[0], encoding="utf-8")
    assert load(str(file), {}).settings.journal == Journal(directory="/var/lib/llm-sidecar")
    assert f"for {Journal().keep / 86_400:.0f} days (`journal.keep`)" in PART
    assert "each minute (`journal.interval`)" in PART and Journal().interval == 60
    assert "two days are kept in memory" in PART and HOURS_MAX * HOUR_S == 2 * 86_400


def test_files_members_and_events_exist() -> None:
    """Names are names of the journal, members are in its files, events are logged."""
    files = [span for span in SPANS if span.endswith("json")]
    assert len(files) == 2 and None not in map(read_name, files)
    named = {span for span in SPANS if re.fullmatch(r"[a-z_]+", span)}
    events = {span for span in named if span.startswith("journal_")}
    assert events <= {event.name for event in catalogue.LOG_EVENTS} and len(events) == 2
    assert named - events <= json.loads(write_snapshot(Snapshot(0, HOUR_S), 0, 0.0)).keys() and len(named - events) == 9
