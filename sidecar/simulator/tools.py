"""A tool that agents call beside their models: the weather at a place, over plain HTTP.

It is billed for nothing, and its entries of the ledger have the tool's name in place of a provider's.
"""

from random import Random
from typing import Final
from urllib.parse import parse_qs

import msgspec

from sidecar.simulator.profile import Profile
from sidecar.simulator.reply import ERROR_STATUS, Reply, compose_plain
from sidecar.simulator.script import Fault

TOOL: Final = "weather"
TOOLS_ROUTE: Final = "tools"  # in front of a sidecar, and here
TOOL_PATH: Final = f"/{TOOLS_ROUTE}/{TOOL}"
_TAKES_MS: Final = 120.0
_SKIES: Final = ("clear", "cloudy", "rain", "snow", "fog")
_ILL: Final = 503


def run_tool(target: str, profile: Profile, identity: str, fault: Fault | None) -> Reply:
    """The weather, which changes from call to call; or an error where there is a fault. `target` is path and query."""
    if fault is not None:
        return compose_plain(ERROR_STATUS.get(fault, _ILL), b'{"error":"the weather station does not answer"}')
    place = parse_qs(target.partition("?")[2]).get("place", [""])[0]
    random = Random(f"{profile.seed}/{identity}/weather")
    told = {"place": place, "sky": random.choice(_SKIES), "celsius": random.randrange(-10, 30)}
    return compose_plain(200, msgspec.json.encode(told), delay_s=profile.wait_s(_TAKES_MS))
