"""What README.md says of the admin port is so."""

import re

from sidecar.config import Force, Settings
from sidecar.core.choose.forcing import read_force
from sidecar.core.choose.places import NOWHERE
from sidecar.core.choose.views import BreakerView, UpstreamView
from sidecar.core.reckon.exchanges import show_choice, show_exchange
from sidecar.core.reckon.health import Check, Since, Status, show_health
from sidecar.core.reckon.moments import Present
from sidecar.core.reckon.upstreams import show_upstream
from sidecar.decision import Candidate, Decision
from sidecar.edge.inbound.api import make_changes, make_comparison, make_history
from sidecar.edge.inbound.health import INTERVAL_S
from sidecar.edge.telemetry.recent import CALLS_MAX, DECISIONS_MAX, FAILED_MAX, ORDINARY_PER_S, Recent
from tests.edge.outbound.doubles import FakeClock
from tests.edge.telemetry.records import make_record
from tests.house.source import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
FLAT = re.sub(r"\s+", " ", README)


def test_health_is_as_told() -> None:
    """Each status, each member of a check, and how exactly it is known since when."""
    (row,) = re.findall(r"^\| `GET /health` \|(.*)\|$", README, re.MULTILINE)
    found = re.findall(r"`(\w+)`", row)
    assert found[:3] == [status.value for status in Status]
    since = Since()
    checks = {"it": Check(Status.UNHEALTHY, "")}
    told = show_health(checks, since, Present(0.0, 0), version="", uptime_s=0.0)
    assert set(found[3:]) == told["checks"]["it"].keys()
    assert f"(within {INTERVAL_S:.0f} seconds)" in row
    assert "It is `unhealthy`, with status 503, only where no call can be served" in FLAT


def test_the_admin_port_is_as_told() -> None:
    """Each path is answered, each member that is named is there, and the numbers are the ones in force."""
    part = README[README.index("## When an upstream fails") : README.index("\n## Tools")]
    pages = [*make_history(Recent()), *make_comparison(Settings(), {}, FakeClock(), lambda now: [], dict), *make_changes(["NAME"], print)]
    assert re.findall(r"^\| `(?:GET|POST) ([^`]+)` \|", part, re.MULTILINE) == [
        "/api/upstreams",
        "/api/decisions",
        "/debug/exchanges",
        pages[-1],
    ]
    assert set(re.findall(r"^\| `GET ([^`]+)`", part, re.MULTILINE)) == set(pages[:-1])
    rows = {path: set(re.findall(r"`(\w+)`", row)) for path, row in re.findall(r"^\| `GET ([^`]+)` \|(.*)\|$", part, re.MULTILINE)}
    decision = Decision("", "", "", None, "", (Candidate("", None, None, None, None, 0, None),))
    shown = show_choice(make_record(), decision, 0.0)
    assert rows["/api/decisions"] <= {*shown, *shown["candidates"][0], "null"}
    view = UpstreamView("x", True, None, "", (BreakerView("", ""),), 0, 0, 0, 0, 0, None, None, None, 0, 0, None, None)
    told = show_upstream(view, NOWHERE, {}, None, Present(0.0, 0))
    assert rows["/api/upstreams"] <= {*told, *told["breakers"][0]}
    assert rows["/debug/exchanges"] <= {*show_exchange(make_record()), "calls", "failed"}
    assert f"the last {CALLS_MAX} `calls` (of those that simply went well at most a hundred a second) and, apart, " in part
    assert f"and, apart, the last {FAILED_MAX} `failed` ones" in part and ORDINARY_PER_S == 100
    assert f"the last {DECISIONS_MAX} choices of pools" in part
    assert {force.value for force in Force} <= set(re.findall(r"`(\w+)`", part))
    assert read_force(re.findall(r"-d '([^']+)'", part)[0].encode()) is Force.OPEN
    assert f"`probes.interval` ({Settings().probes.interval:.0f} s)" in part
