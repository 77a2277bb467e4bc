"""One letter for how calls go, and what makes it that letter: by the table of thresholds."""

from typing import Final, NamedTuple

from sidecar.core.reckon.tally import Tally
from sidecar.thresholds import FAILING_ERROR_RATIO, Thresholds

LETTERS: Final = "ABCDF"


class Reason(NamedTuple):
    """One signal's own grade."""

    signal: str  # a field of thresholds.Thresholds
    value: float  # as measured: seconds, or a ratio
    letter: str


class Grade(NamedTuple):
    """The worst of the signals' letters, and all of them."""

    letter: str
    reasons: tuple[Reason, ...]


def grade(tally: Tally, thresholds: Thresholds) -> Grade | None:
    """Return the grade of some calls; None where there were none.

    A, B or C where mean latency and error ratio are both below the grade's limits, else D; F where most calls fail.
    """
    errors, latency = tally.error_ratio, tally.durations.mean
    if errors is None:
        return None
    reasons = [Reason("error_ratio", errors, "F" if errors > FAILING_ERROR_RATIO else _find_letter(errors, thresholds.error_ratio.grades))]
    if latency is not None:
        reasons.append(Reason("mean_latency", latency, _find_letter(latency, thresholds.mean_latency.grades)))
    return Grade(max((reason.letter for reason in reasons), key=LETTERS.index), tuple(reasons))


def _find_letter(value: float, limits: tuple[float, ...] | None) -> str:
    return LETTERS[sum(value >= limit for limit in limits or ())]
