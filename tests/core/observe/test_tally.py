"""Sums over the answers of one session."""

from functools import partial

import pytest

from sidecar.core.observe.pricing import Price, PriceTable
from sidecar.core.observe.tally import Tally
from sidecar.exchange import Cost, Usage

PRICE = Price(1.0, 2.0, 1.0, 1.0, 1.0, 2.0, "2026-01-01", "here")


def test_answers_add_up_kind_by_kind() -> None:
    """None is counted twice, whichever model it was of."""
    tally = Tally(model="asked")
    tally.add(Usage(1, 2, 3, 4, 5))
    tally.seen.model = "answered"
    tally.add(Usage(10, 0, 0, 1))
    tally.add(Usage(10, 0, 0, 1))
    assert tally.seen.usage == Usage(21, 2, 3, 6, 5)


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


def test_each_answer_is_charged_by_itself() -> None:
    """By its own model and tier, at the price of its own length: a long session of short prompts is no long prompt."""
    prices = PriceTable({
        "one": PRICE._replace(above_tokens=1000, above=PRICE._replace(input=100.0)), "other": PRICE._replace(input=3.0),
    })  # fmt: skip
    tally = Tally(partial(prices.charge, "openai"), model="asked")
    tally.seen.model = "one"
    for _ in range(5):
        tally.add(Usage(900))
    tally.add(Usage(1100))
    tally.seen.model = "other"
    tally.add(Usage(1000))
    cost, unpriced = tally.cost
    assert (cost, unpriced) == (Cost(pytest.approx((5 * 900 * 1.0 + 1100 * 100.0 + 1000 * 3.0) / 1e6), "table"), None)


def test_a_sum_without_some_answers_is_no_cost() -> None:
    """One without a price leaves the session unpriced, and says why."""
    tally = Tally(partial(PriceTable({"one": PRICE}).charge, "openai"))
    assert tally.cost == (None, None)
    tally.seen.model = "one"
    tally.add(Usage(1))
    assert tally.cost[0] is not None
    tally.add(Usage(1), service_tier="flex")
    assert tally.cost == (None, "unknown_service_tier")
    media = Tally(partial(PriceTable({"one": PRICE}).charge, "openai"), model="one")
    media.add(Usage(1), is_text=False)
    media.add(Usage(1))
    assert media.cost == (None, "modality")
