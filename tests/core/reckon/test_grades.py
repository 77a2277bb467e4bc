"""One letter for how calls go."""

import pytest

from sidecar.core.reckon.grades import grade
from sidecar.core.reckon.tally import Tally
from sidecar.exchange import Ending
from sidecar.thresholds import Thresholds
from tests.edge.telemetry.records import make_record


def make_tally(failed: int, calls: int, took_s: float) -> Tally:
    """Return a tally of calls that all took as long."""
    tally = Tally()
    for number in range(calls):
        tally.add(make_record(accepted=100.0, ended=100.0 + took_s, ending=Ending.CUT if number < failed else Ending.COMPLETED))
    return tally


@pytest.mark.parametrize(
    ("failed", "took_s", "letter"),
    [
        (0, 1.0, "A"), (1, 1.0, "A"), (2, 1.0, "B"), (9, 1.0, "B"), (10, 1.0, "C"), (29, 1.0, "C"), (30, 1.0, "D"), (100, 1.0, "D"),
        (101, 1.0, "F"), (0, 2.0, "B"), (0, 2.9, "B"), (0, 3.0, "C"), (0, 5.0, "D"), (0, 60.0, "D"), (2, 4.0, "C"), (30, 2.0, "D"),
    ],
)  # fmt: skip
def test_the_worse_signal_gives_the_letter(failed: int, took_s: float, letter: str) -> None:
    """Of 200 calls: at a limit a grade is lost, and latency alone is never an F."""
    graded = grade(make_tally(failed, 200, took_s), Thresholds())
    assert graded is not None
    if failed in (1, 2):  # half a percent, one percent
        assert graded.reasons[0].value == failed / 200
    assert graded.letter == letter


def test_reasons_name_each_signal() -> None:
    """What was measured, and the letter it is worth by itself."""
    graded = grade(make_tally(0, 10, 4.0), Thresholds())
    assert graded is not None
    assert [(reason.signal, reason.letter) for reason in graded.reasons] == [("error_ratio", "A"), ("mean_latency", "C")]
    assert graded.reasons[1].value == pytest.approx(4.0)


def test_idle_has_no_grade() -> None:
    """Nothing was measured, and nothing is made up."""
    assert grade(Tally(), Thresholds()) is None
