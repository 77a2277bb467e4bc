"""The report: as bad as its worst check, and since when."""

from sidecar.core.reckon.health import Check, Since, Status, find_worst, show_health
from sidecar.core.reckon.moments import Present

GOOD = Check(Status.HEALTHY, "Good.")
BAD = Check(Status.DEGRADED, "Bad.", "Mend it.", {"size": 3}, {"inner": Check(Status.UNHEALTHY, "Worse.", "Replace it.")})
PRESENT = Present(1000.0, 1_700_000_000_000_000_000)


def test_the_whole_is_as_bad_as_its_worst_check() -> None:
    """Parts do not count: what they come to, their check says."""
    assert find_worst({}) is Status.HEALTHY
    assert find_worst({"a": GOOD}) is Status.HEALTHY
    assert find_worst({"a": GOOD, "b": BAD}) is Status.DEGRADED
    assert find_worst({"a": BAD.parts["inner"], "b": BAD, "c": GOOD}) is Status.UNHEALTHY


def test_a_check_knows_since_when() -> None:
    """From when its status changed, whatever became of its reason; parts have their own; what is gone is forgotten."""
    since = Since()
    assert since.find("a") is None
    since.note({"a": GOOD, "b": BAD}, 10.0)
    since.note({"a": GOOD._replace(reason="Better."), "b": BAD._replace(status=Status.HEALTHY)}, 20.0)
    assert [since.find(name) for name in ("a", "b", "b/inner", "inner")] == [10.0, 20.0, 10.0, None]
    since.note({"a": GOOD, "b": BAD._replace(parts={"inner": GOOD})}, 30.0)
    assert [since.find(name) for name in ("a", "b", "b/inner")] == [10.0, 30.0, 30.0]
    since.note({"a": GOOD}, 40.0)
    assert since.find("b/inner") is None


def test_the_report_has_every_check() -> None:
    """Status, reason, since when, what to do, and what was found in detail."""
    since = Since()
    checks = {"a": GOOD, "b": BAD}
    since.note(checks, 990.0)
    assert show_health(checks, since, PRESENT, version="1.2", uptime_s=12.34) == {
        "status": "degraded", "version": "1.2", "uptimeSeconds": 12.3, "timestamp": "2023-11-14T22:13:20.000Z",
        "checks": {
            "a": {"status": "healthy", "reason": "Good.", "since": "2023-11-14T22:13:10.000Z", "remedy": None},
            "b": {
                "status": "degraded", "reason": "Bad.", "since": "2023-11-14T22:13:10.000Z", "remedy": "Mend it.", "size": 3,
                "parts": {
                    "inner": {"status": "unhealthy", "reason": "Worse.", "since": "2023-11-14T22:13:10.000Z", "remedy": "Replace it."},
                },
            },
        },
    }  # fmt: skip
