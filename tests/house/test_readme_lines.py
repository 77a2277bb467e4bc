"""What README.md says of the lines of calls is so."""

import re

from sidecar import catalogue
from sidecar.config import Calls, Log
from sidecar.edge.inbound.log_level import make_log_level, read_level
from sidecar.edge.telemetry.call_lines import PERIOD_S, SHOWN_MAX, tell_call
from sidecar.edge.telemetry.logs import LEVELS, EventLog
from sidecar.exchange import Cost, Usage
from tests.edge.telemetry.records import make_seen, make_streamed
from tests.house.source import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
PART = README[README.index("## Without Grafana") : README.index("\n## When an upstream fails")]


def test_lines_are_as_told() -> None:
    """The example is one, the words are those of the setting, and the numbers those in force."""
    seen = make_seen(first_token=100.87, last_chunk=100.87 + 287 / 83.2)
    record = make_streamed(
        accepted_ns=1_705_314_600_000_000_000 - 3_450_000_000,
        ended=103.45,
        cost=Cost(0.0021, "table"),
        usage=Usage(9, output=287),
        seen=seen,
    )
    assert f"```\n{tell_call(catalogue.CALL_ENDED, record, 0, is_text=True)}\n```" in PART
    assert Log().calls is Calls.FAILED and {f"`{calls}`" for calls in (Calls.ALL, Calls.OFF)} <= set(re.findall(r"`\w+`", PART))
    assert (SHOWN_MAX, PERIOD_S) == (5, 10.0) and f"`{catalogue.LINES_LOST.name}`" in PART


def test_the_level_is_set_as_told() -> None:
    """By what stands in the table, at the path that stands there; each level is named."""
    (row,) = [line for line in PART.splitlines() if "/-/log-level" in line]
    paths, changes = make_log_level(EventLog("error"))
    assert {*paths, *changes} == set(re.findall(r"`(?:GET|PUT) ([^`]+)`", row))
    assert read_level(re.findall(r"`(\{[^`]+\})`", row)[0].encode()) == "debug"
    assert all(level in row for level in LEVELS)
