"""What is left unsaid because something else says it: a real Alertmanager with the shipped rules is told of pairs of alerts."""

import time
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import pytest

from tests.rig.alertmanager import alerting, needs_alertmanager, run_stub

pytestmark = needs_alertmanager

Labels = dict[str, str]
PATIENCE_S: Final = 20.0
NO_UPSTREAM: Final = ("LLMNoUpstreamAvailable", "critical")
ERRORS: Final = ("LLMHighErrorRatio", "critical")
FEW_ERRORS: Final = ("LLMHighErrorRatio", "warning")
MEAN: Final = "LLMHighAverageLatency"
P95: Final = "LLMHighLatencyP95"
SPENT: Final = ("LLMBudgetSpent", "critical")
NEARLY: Final = ("LLMBudgetNearlySpent", "warning")
BURN: Final = ("LLMErrorBudgetBurn", "critical")
DOWN: Final = ("LLMSidecarDown", "critical")


class Pair(NamedTuple):
    """Two alerts of one service, and whether the second is kept silent by the first. The job is given to each pair."""

    is_silent: bool
    name: str
    severity: str
    labels: Labels
    other: str
    other_severity: str
    other_labels: Labels


PAIRS: Final = (
    Pair(True, *ERRORS, {"route": "a"}, *FEW_ERRORS, {"route": "a"}),
    Pair(False, *ERRORS, {"route": "a"}, *FEW_ERRORS, {"route": "b"}),
    Pair(False, *ERRORS, {"route": "a"}, "LLMAnswersCut", "warning", {"route": "a"}),
    Pair(False, *ERRORS, {"route": "a", "namespace": "x"}, *FEW_ERRORS, {"route": "a", "namespace": "y"}),
    Pair(False, *ERRORS, {"route": "a", "cluster": "x"}, *FEW_ERRORS, {"route": "a", "cluster": "y"}),
    Pair(True, "LLMRateLimitNearlyUsed", "warning", {"upstream": "u", "kind": "k"}, "LLMRateLimitNearlyUsed", "info",
         {"upstream": "u", "kind": "k"}),
    Pair(False, "LLMRateLimitNearlyUsed", "warning", {"upstream": "u", "kind": "k"}, "LLMRateLimitNearlyUsed", "info",
         {"upstream": "u", "kind": "l"}),
    Pair(False, "DiskFull", "critical", {}, "DiskFull", "warning", {}),
    Pair(True, *NO_UPSTREAM, {"route": "a"}, *ERRORS, {"route": "a"}),
    Pair(True, *NO_UPSTREAM, {"route": "a"}, *FEW_ERRORS, {"route": "a"}),
    Pair(False, *NO_UPSTREAM, {"route": "a"}, *ERRORS, {"route": "b"}),
    Pair(False, *NO_UPSTREAM, {"route": "a"}, "LLMCircuitBreakerOpen", "warning", {"upstream": "a"}),
    Pair(True, *NO_UPSTREAM, {"route": "a"}, *BURN, {"long": "1h", "short": "5m"}),
    Pair(True, *ERRORS, {"route": "a"}, *BURN, {"long": "1h", "short": "5m"}),
    Pair(False, *FEW_ERRORS, {"route": "a"}, *BURN, {"long": "1h", "short": "5m"}),
    Pair(False, *ERRORS, {"route": "a", "namespace": "x"}, *BURN, {"long": "1h", "short": "5m", "namespace": "y"}),
    Pair(True, *BURN, {"long": "1h", "short": "5m"}, "LLMErrorBudgetBurn", "warning", {"long": "1d", "short": "2h"}),
    Pair(True, *SPENT, {"tenant": "acme"}, *NEARLY, {"tenant": "acme", "window": "day"}),
    Pair(False, *SPENT, {"tenant": "acme"}, *NEARLY, {"tenant": "other", "window": "day"}),
    Pair(False, *SPENT, {"tenant": "acme"}, "LLMSpendingStopped", "warning", {"tenant": "acme"}),
    Pair(True, MEAN, "warning", {"http_route": "r"}, P95, "warning", {"http_route": "r"}),
    Pair(False, MEAN, "warning", {"http_route": "r"}, P95, "warning", {"http_route": "s"}),
    Pair(True, MEAN, "critical", {"http_route": "r"}, P95, "warning", {"http_route": "r"}),
    Pair(True, MEAN, "critical", {"http_route": "r"}, P95, "critical", {"http_route": "r"}),
    Pair(False, MEAN, "warning", {"http_route": "r"}, P95, "critical", {"http_route": "r"}),
    Pair(False, MEAN, "critical", {"http_route": "r"}, P95, "critical", {"http_route": "s"}),
    Pair(True, *DOWN, {"instance": "i"}, "LLMLabelOverflow", "info", {"instance": "i"}),
    Pair(False, *DOWN, {"instance": "i"}, "LLMLabelOverflow", "info", {"instance": "j"}),
    Pair(False, *DOWN, {"instance": "i"}, *ERRORS, {"route": "a"}),
    Pair(False, *DOWN, {"instance": "i"}, *DOWN, {"instance": "j"}),
)  # fmt: skip


def make_alert(number: int, name: str, severity: str, labels: Labels) -> dict[str, Any]:
    """Return an alert of the job of one pair."""
    return {"labels": {"alertname": name, "severity": severity, "job": f"pair-{number}", **labels}, "annotations": {"summary": "So."}}


@pytest.fixture(scope="module")
def states(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[frozenset[tuple[str, str]], str]]:
    """What Alertmanager says of each alert once it knows them all."""
    alerts = [make_alert(number, *sides) for number, pair in enumerate(PAIRS) for sides in (pair[1:4], pair[4:7])]
    folder = tmp_path_factory.mktemp("inhibition")
    with run_stub() as stub, alerting(folder, stub) as alertmanager:
        alertmanager.tell(alerts)
        deadline_s = time.monotonic() + PATIENCE_S
        while not told(known := alertmanager.list_alerts(), len(alerts)):
            assert time.monotonic() < deadline_s, known
            time.sleep(0.1)
        yield {frozenset(alert["labels"].items()): alert["status"]["state"] for alert in known}


def told(known: list[dict[str, Any]], count: int) -> bool:
    """Whether all alerts are known, and each has been looked at."""
    return len(known) == count and all(alert["status"]["state"] != "unprocessed" for alert in known)


@pytest.mark.parametrize("number", range(len(PAIRS)), ids=[f"{pair.name}-{pair.other}-{number}" for number, pair in enumerate(PAIRS)])
def test_what_is_said_is_not_said_again(states: dict[frozenset[tuple[str, str]], str], number: int) -> None:
    """The second alert is suppressed or not; the first is always told."""
    pair = PAIRS[number]
    first, second = (make_alert(number, *sides)["labels"] for sides in (pair[1:4], pair[4:7]))
    assert states[frozenset(first.items())] == "active"
    assert states[frozenset(second.items())] == ("suppressed" if pair.is_silent else "active")
