"""Forms that many rules share."""

from sidecar.render.alerting import Severity, Tier
from sidecar.render.figures import print_duration, print_percentage
from sidecar.render.rules.forms import Step, list_bands, list_limits, make_tiers, print_limits, sum_over_target
from sidecar.thresholds import Side, Terms, Threshold

LEFT = Threshold("left", "mean", "1", Side.BELOW, info=0.2, warning=0.05)
SLOW = Threshold("slow", "mean", "s", Side.ABOVE, warning=90.0)


def test_sums_leave_out_what_tells_sidecars_apart() -> None:
    """Labels of the target come first, then those of the metric."""
    assert sum_over_target("x", "model") == "sum without (instance, pod, container, endpoint, model) (\n  x\n)"


def test_limits_come_lightest_first() -> None:
    """Severities without a limit are not there."""
    assert list(list_limits(LEFT)) == [Severity.INFO, Severity.WARNING]


def test_limits_are_said_with_their_severity_where_there_are_two() -> None:
    """One limit needs no name."""
    assert print_limits(LEFT, print_percentage) == "20% (info) or 5% (warning)"
    assert print_limits(SLOW, print_duration) == "1m 30s"


def test_each_limit_becomes_a_severity() -> None:
    """On the bad side of the limit, with what is asked besides, for as long as its step says."""
    steps = {Severity.INFO: Step("10m", "Little is left."), Severity.WARNING: Step("", "Hardly anything is left.")}
    assert make_tiers(LEFT, "left:ratio", "and calls >= 20", print_percentage, steps) == (
        Tier(Severity.INFO, "left:ratio < 0.2\nand calls >= 20", "10m", "Little is left.", "20%"),
        Tier(Severity.WARNING, "left:ratio < 0.05\nand calls >= 20", "", "Hardly anything is left.", "5%"),
    )


def test_bands_are_of_both_signals() -> None:
    """Where one of them has no grades, there are none."""
    assert list_bands(Terms())[0] == (2.0, 0.01)
    ungraded = Terms().thresholds._replace(error_ratio=LEFT)
    assert list_bands(Terms(thresholds=ungraded)) == ()
