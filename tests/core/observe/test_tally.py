"""Sums over the answers of one session."""

from sidecar.core.observe.tally import MODELS_MAX, Tally
from sidecar.exchange import Usage


def test_answers_add_up_kind_by_kind() -> None:
    """In all, and by the model that answered."""
    tally = Tally(model="asked")
    tally.add(Usage(1, 2, 3, 4, 5))
    tally.seen.model = "answered"
    tally.add(Usage(10, 0, 0, 1))
    tally.add(Usage(10, 0, 0, 1))
    assert tally.seen.usage == Usage(21, 2, 3, 6, 5)
    assert tally.usages == {"asked": Usage(1, 2, 3, 4, 5), "answered": Usage(20, 0, 0, 2, 0)}


def test_nothing_reported_is_not_zero() -> None:
    """A session without usage has none."""
    tally = Tally()
    tally.settle()
    assert tally.seen.usage is None


def test_an_open_answer_is_added_once() -> None:
    """What it had used when the session ended."""
    tally = Tally(open_usage=Usage(1))
    tally.settle()
    tally.settle()
    assert tally.seen.usage == Usage(1)


def test_models_are_bounded() -> None:
    """Beyond the bound they fall together, without a name that has a price."""
    tally = Tally()
    for number in range(MODELS_MAX + 5):
        tally.seen.model = f"m{number}"
        tally.add(Usage(1))
    assert len(tally.usages) == MODELS_MAX + 1
    assert tally.usages[""] == Usage(5)
