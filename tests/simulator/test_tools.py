"""sidecar/simulator/tools.py"""

import json

import pytest

from sidecar.simulator.profile import Outages, Profile
from sidecar.simulator.provider import Provider, Received
from sidecar.simulator.reply import Reply
from sidecar.simulator.script import Fault
from sidecar.simulator.tools import TOOL, TOOL_PATH, run_tool


def _body(reply: Reply) -> object:
    return json.loads(b"".join(step.body for step in reply.steps))


def test_the_weather_changes() -> None:
    """The place is the one asked for; the same call has the same weather, and others have others."""
    told = [_body(run_tool(f"{TOOL_PATH}?place=Cape%20Town", Profile(), str(number), None)) for number in range(8)]
    assert all(isinstance(each, dict) and each["place"] == "Cape Town" for each in told)
    assert told[0] == _body(run_tool(f"{TOOL_PATH}?place=Cape%20Town", Profile(), "0", None))
    assert len({json.dumps(each) for each in told}) > 4


@pytest.mark.parametrize(("fault", "status"), [(Fault.SERVER_ERROR, 500), (Fault.UNAVAILABLE, 503), (Fault.STALL, 503)])
def test_faults(fault: Fault, status: int) -> None:
    """A tool that fails says so, in whatever way it fails."""
    assert run_tool(TOOL_PATH, Profile(), "1", fault).status == status


def test_the_ledger_has_it_by_its_name() -> None:
    """Outages of the tool strike the tool; nothing is billed for it."""
    provider = Provider(Profile(outages=Outages(healthy=2, failing=1, provider=TOOL, faults=(Fault.UNAVAILABLE,))))
    entries = [provider.receive(Received("GET", f"{TOOL_PATH}?place=Oslo", {}, b""), 1.0)[0] for _ in range(4)]
    assert [(entry.provider, entry.model, entry.status, entry.is_billed) for entry in entries if entry is not None] == [
        (TOOL, "", status, False) for status in (200, 200, 503, 200)
    ]
