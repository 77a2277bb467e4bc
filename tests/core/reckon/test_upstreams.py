"""Upstreams side by side as they are shown."""

from sidecar.config import Upstream
from sidecar.core.choose.places import read_place
from sidecar.core.choose.views import BreakerView, ProbeView, UpstreamView
from sidecar.core.reckon.moments import Present
from sidecar.core.reckon.upstreams import show_address, show_upstream

PRESENT = Present(1000.0, 1_700_000_000_000_000_000)
PLACE = read_place("up", Upstream("https://user:secret@llm.test:8443/api/", provider="vllm"), "secret")
VIEW = UpstreamView(
    "up", False, "circuit open", "open", (BreakerView("default", "open", 12.5, "open"), BreakerView("large", "closed")),
    3, 4, 100, 2.0, 0.5, 1.25, 0.9, None, 40, 4, 1010.0, None,
)  # fmt: skip


def test_an_upstream_tells_how_it_is_and_why() -> None:
    """State, load, estimates, until when it is left alone; what has not been measured is null."""
    probe = ProbeView(990.0, 0.0123456789, "status_503", 2, False)
    pools = {"chat": ("up", "other"), "code": ("other",), "all": ("other", "up")}
    assert show_upstream(VIEW, PLACE, pools, probe, PRESENT) == {
        "name": "up", "provider": "vllm", "address": "https://llm.test:8443/api", "pools": ["chat", "all"], "healthy": False,
        "reason": "circuit open", "breaker": "open",
        "breakers": [
            {"group": "default", "state": "open", "retry_after_s": 12.5, "force": "open"},
            {"group": "large", "state": "closed", "retry_after_s": 0.0, "force": "auto"},
        ],
        "pending": 3, "in_use": 4, "concurrency": 100, "weight": 2.0, "slow_start_share": 0.5, "response_time_s": 1.25,
        "reliability": 0.9, "quality": None, "calls": 40, "failures": 4, "ejected_until": "2023-11-14T22:13:30.000Z", "held_until": None,
        "last_probe": {
            "at": "2023-11-14T22:13:10.000Z", "took_s": 0.012346, "problem": "status_503", "failures_in_a_row": 2, "healthy": False,
        },
    }  # fmt: skip


def test_what_is_over_is_not_shown() -> None:
    """An ejection or a pause that has ended; a probe that has not been."""
    shown = show_upstream(VIEW._replace(ejected_until=999.0, held_until=1000.0), PLACE, {}, None, PRESENT)
    assert (shown["ejected_until"], shown["held_until"], shown["last_probe"], shown["pools"]) == (None, None, None, [])


def test_an_address_tells_no_secret() -> None:
    """Neither the url's user nor its password."""
    assert show_address(PLACE) == "https://llm.test:8443/api"
