"""sidecar/simulator/borrowed.py"""

from typing import Any

import pytest

from sidecar.exchange import Asked, Ending
from sidecar.simulator.borrowed import Borrowed
from tests.edge.telemetry.records import make_attempt, make_record

_ALONE: dict[str, Any] = {"attempts": ()}


@pytest.mark.parametrize(
    ("changes", "endings"),
    [
        ({"cache": "hit", **_ALONE}, {"completed": 1}),
        ({"cache": "coalesced", "ending": Ending.RESET, **_ALONE}, {"reset": 1}),
        ({"cache": "miss", "bundled": 4, **_ALONE}, {"completed": 1}),
        ({"cache": "stale", **_ALONE}, {"completed": 1}),
        ({"cache": "stale", "attempts": (make_attempt(outcome="upstream_error"),)}, {"completed": 1, "upstream_error": -1}),
        ({"cache": "miss"}, None),
        ({"cache": "miss", "bundled": 4}, None),
        ({"cache": "bypass"}, None),
        ({"cache": None, "ending": Ending.CONNECT_FAILED, **_ALONE}, None),
        ({"cache": "miss", "ending": Ending.UNAVAILABLE, **_ALONE}, None),
        ({"cache": "miss", "ending": Ending.REFUSED, **_ALONE}, None),
    ],
)
def test_who_asked_nobody(changes: dict[str, Any], endings: dict[str, int] | None) -> None:
    """Calls without an attempt of their own, and what was said in place of an error; never those that were sent or refused."""
    borrowed = Borrowed()
    borrowed.observe(make_record(**changes))
    assert borrowed.endings == ({} if endings is None else {("openai", "gpt-4o"): endings})


def test_sums() -> None:
    """They add up by provider and model; without a model the name is empty, as in metrics."""
    borrowed = Borrowed()
    for _ in range(2):
        borrowed.observe(make_record(cache="hit", **_ALONE))
    borrowed.observe(make_record(cache="hit", provider="weather", asked=Asked(tool="weather"), **_ALONE))
    assert borrowed.endings == {("openai", "gpt-4o"): {"completed": 2}, ("weather", ""): {"completed": 1}}
