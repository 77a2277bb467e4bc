"""The thresholds as data."""

from sidecar.thresholds import MEAN_LATENCY, OUTPUT_TOKENS_PER_SECOND, Side, Thresholds


def test_severities_are_ordered_towards_the_bad_side() -> None:
    """A graver severity always has a limit further on the bad side."""
    for threshold in Thresholds():
        limits = [limit for limit in (threshold.info, threshold.warning, threshold.critical) if limit is not None]
        assert limits == sorted(limits, reverse=threshold.bad is Side.BELOW), threshold.signal


def test_bands_and_grades_go_from_best_to_worst() -> None:
    """Bands end with an open one, and each limit is nearer the bad side than the one before."""
    for threshold in Thresholds():
        bounds = [band.limit for band in threshold.bands]
        assert None not in bounds[:-1]
        assert bounds[-1:] in ([], [None])
        inner = [bound for bound in bounds if bound is not None]
        assert inner == sorted(inner, reverse=threshold.bad is Side.BELOW)
        assert list(threshold.grades or ()) == sorted(threshold.grades or ())


def test_limits_are_every_value_once() -> None:
    """A signal's limits are its severities, grades and bands together, ascending."""
    assert MEAN_LATENCY.limits == (2.0, 3.0, 5.0)
    assert OUTPUT_TOKENS_PER_SECOND.limits == (10.0, 20.0, 50.0)
