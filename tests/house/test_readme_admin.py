"""What README.md says of the admin port is so."""

import asyncio
import json
import re

from sidecar.config import Force, Settings
from sidecar.core.choose.forcing import read_force
from sidecar.core.choose.places import NOWHERE
from sidecar.core.choose.views import BreakerView, UpstreamView
from sidecar.core.reckon.anomalies import SCORE_MIN
from sidecar.core.reckon.capacity import FORESIGHT
from sidecar.core.reckon.exchanges import show_choice, show_exchange
from sidecar.core.reckon.health import Check, Since, Status, show_health
from sidecar.core.reckon.moments import Present
from sidecar.core.reckon.outlook import show_trend
from sidecar.core.reckon.signals import SIGNALS
from sidecar.core.reckon.trends import CHANGE_MIN, CONFIDENCE_MIN, DECLINING, IMPROVING, SEASONAL_S, STABLE, find_trend
from sidecar.core.reckon.upstreams import show_upstream
from sidecar.core.reckon.window import Window
from sidecar.decision import Candidate, Decision
from sidecar.edge.inbound import web
from sidecar.edge.inbound.api import make_changes, make_comparison, make_history
from sidecar.edge.inbound.health import INTERVAL_S
from sidecar.edge.inbound.trends import Trends
from sidecar.edge.past import DAYS, Past
from sidecar.edge.telemetry.recent import CALLS_MAX, DECISIONS_MAX, FAILED_MAX, ORDINARY_PER_S, Recent
from sidecar.thresholds import Side
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


def test_trends_are_as_told() -> None:
    """Every member and direction that is named is there, and the numbers are the ones in force."""
    (row,) = re.findall(r"^\| `GET /api/trends` \|(.*)\|$", README, re.MULTILINE)
    window = Window(lambda: 0.0)
    respond = Trends(Settings(), window, lambda: None, FakeClock(), Past(ROOT / "nowhere", FakeClock())).list_paths()["/api/trends"]
    response = asyncio.run(respond(web.Request("GET", "/api/trends")))
    told = json.loads(response.body)
    trend = find_trend([(float(place), 0.0) for place in range(20)], Side.ABOVE)
    named = {*told, *told["live"], *(show_trend(trend, SIGNALS[0]) or ()), IMPROVING, DECLINING, STABLE}
    assert set(re.findall(r"`(\w+)`", row)) <= named
    assert f"the journal's last {DAYS} days" in row
    assert f"{CONFIDENCE_MIN:.0%} sure".replace("%", " %") in FLAT and f"by {CHANGE_MIN:.0%} or more".replace("%", " %") in FLAT
    assert SEASONAL_S == 2 * 86_400 and "where there are two days" in FLAT
    assert SCORE_MIN == 5 and "five robust deviations away" in FLAT
    assert FORESIGHT == 4 and "than four times as far as is looked back" in FLAT
