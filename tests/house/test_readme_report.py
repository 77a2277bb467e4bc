"""What README.md says of the report is so."""

import json
import re
from pathlib import Path

import pytest

from sidecar.cli import main
from sidecar.core.reckon.report import make_report
from sidecar.core.reckon.snapshots import name_file, show_tally, write_snapshot
from sidecar.core.reckon.tally import Tally
from sidecar.thresholds import Thresholds
from tests.core.reckon.journals import make_hour
from tests.house.source import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
PART = re.sub(r"\s+", " ", README[README.index("### A report") : README.index("\n## When an upstream fails")])


def test_the_command_makes_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """With the journal of the configuration; the page has plots, and no script."""
    (command,) = re.findall(r"```sh \.venv/bin/llm-sidecar (.*) > report\.html ```", PART)
    hour = make_hour(0)
    (tmp_path / name_file(hour.began, hour.ended)).write_bytes(write_snapshot(hour, 0, 1.0))
    monkeypatch.setenv("LLM_SIDECAR__JOURNAL__DIRECTORY", str(tmp_path))
    assert main(command.split()) == 0
    page = capsys.readouterr().out
    assert "<svg" in page and "<script" not in page


def test_json_has_the_members_of_the_files() -> None:
    """What a file tells of all calls, the report tells of each day and model."""
    hour = make_hour(0)
    file = json.loads(write_snapshot(hour, 0, 1.0))
    assert "with the members of the journal's files" in PART and show_tally(Tally()).keys() <= file.keys()


def test_hours_of_three_days_at_most() -> None:
    """From then on, days."""
    assert "by hour where it is three days at most" in PART
    assert [make_report([make_hour(0), make_hour(last)], (), Thresholds(), 0).is_hourly for last in (71, 72)] == [True, False]
