"""Numbers as Prometheus prints them."""

import pytest

from sidecar.render.figures import print_duration, print_number, print_percentage, print_share, write_number


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (0.25, "250ms"), (0.0005, "500us"), (1, "1s"), (3.15, "3.15s"), (7.51234, "7.512s"), (90.4, "1m 30s"), (3600, "1h 0m 0s"),
     (90061, "1d 1h 1m 1s")],
)  # fmt: skip
def test_durations(seconds: float, text: str) -> None:
    """Below a minute four digits, from there on whole seconds; below a second with a prefix."""
    assert print_duration(seconds) == text


@pytest.mark.parametrize(("value", "text"), [(0, "0"), (0.5, "500m"), (20.5, "20.5"), (999.96, "1000"), (1500, "1.5k"), (2.5e9, "2.5G")])
def test_numbers(value: float, text: str) -> None:
    """Four digits and a prefix of the SI."""
    assert print_number(value) == text


@pytest.mark.parametrize(("ratio", "text"), [(0, "0%"), (0.05, "5%"), (0.0105, "1.05%"), (1, "100%")])
def test_percentages(ratio: float, text: str) -> None:
    """Four digits of a hundredth."""
    assert print_percentage(ratio) == text


@pytest.mark.parametrize(("value", "text"), [(3.0, "3"), (0.05, "0.05"), (655.36, "655.36"), (0.1 + 0.2, "0.3")])
def test_numbers_in_expressions(value: float, text: str) -> None:
    """Short, and without the noise of sums."""
    assert write_number(value) == text


def test_a_limit_that_is_a_share_is_told_as_it_is() -> None:
    """Not rounded to whole percentages; where there is none, nothing is told."""
    assert [print_share(limit) for limit in (0.05, 0.125, 0.0075, None)] == ["5%", "12.5%", "0.75%", ""]
