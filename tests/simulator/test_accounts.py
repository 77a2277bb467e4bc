"""sidecar/simulator/accounts.py"""

import pytest

from sidecar.exchange import Ending
from sidecar.simulator.accounts import (
    compare,
    count_unasked,
    expected_ending,
    read_ledger,
    read_samples,
    read_scrape,
    sum_by_provider,
    total,
)
from sidecar.simulator.ledger import Row, Tokens
from sidecar.simulator.reply import Outcome

_ROWS = (
    Row("openai", "m", 200, Outcome.COMPLETE, 3, Tokens(100, 50, 20, 10), Tokens(100, 50, 20, 10), 0.5, 0.5),
    Row("openai", "m", 200, Outcome.CUT, 1, Tokens(10, 5, 0, 0), Tokens(), 0.25, 0.0),
    Row("openai", "m", None, Outcome.UNANSWERED, 0),
    Row("openai", "", 404, Outcome.COMPLETE, 1),
    Row("gcp.gemini", "m", 200, Outcome.COMPLETE, 9, Tokens(0, 90), Tokens(0, 90), 0.7, 0.7),
)
_SCRAPE = r"""
# HELP llm_sidecar_requests_total Exchanges, by how they ended.
# TYPE llm_sidecar_requests_total counter
llm_sidecar_requests_total{route="openai",provider="openai",model="m",ending="completed"} 2.0
llm_sidecar_requests_total{route="elsewhere",provider="openai",model="m",ending="completed"} 1.0
llm_sidecar_requests_total{route="openai",provider="openai",model="m",ending="cut"} 1.0
llm_sidecar_requests_total{route="openai",provider="openai",model="m",ending="reset"} 0.0
llm_sidecar_requests_total{route="openai",provider="openai",model="",ending="rejected"} 1.0
llm_sidecar_requests_total{route="gemini",provider="gcp.gemini",model="m",ending="completed"} 9.0
llm_sidecar_tokens_total{provider="openai",model="m",type="input",source="reported"} 80.0
llm_sidecar_tokens_total{provider="openai",model="m",type="cache_read",source="reported"} 20.0
llm_sidecar_tokens_total{provider="openai",model="m",type="output",source="reported"} 40.0
llm_sidecar_tokens_total{provider="openai",model="m",type="reasoning",source="reported"} 10.0
llm_sidecar_tokens_total{provider="openai",model="m",type="output",source="estimated"} 999.0
llm_sidecar_tokens_total{provider="gcp.gemini",model="m",type="output",source="reported"} 90.0
llm_sidecar_cost_usd_total{provider="openai",model="m",source="table"} 0.3
llm_sidecar_cost_usd_total{provider="openai",model="m",source="provider"} 0.2
llm_sidecar_cost_usd_total{provider="openai",model="m",source="estimated"} 9.0
llm_sidecar_cost_usd_total{provider="gcp.gemini",model="m",source="table"} 0.7
"""


def test_both_accounts_agree() -> None:
    """Ledger and scrape of the same traffic come to the same, estimates left out; one model of two providers is two."""
    provider, sidecar = read_ledger(_ROWS), read_scrape(_SCRAPE)
    assert compare(provider, sidecar) == []
    assert provider["openai", "m"].endings == sidecar["openai", "m"].endings == {"completed": 3, "cut": 1}
    assert (total(sidecar).requests, total(sidecar).errors) == (14, 1)
    assert total(sidecar).cost_usd == pytest.approx(1.2)


def test_true_account() -> None:
    """What was generated counts even where it was never told."""
    tally = read_ledger(_ROWS, true=True)["openai", "m"]
    assert (tally.tokens["input"], tally.tokens["output"], tally.tokens["reasoning"], tally.cost_usd) == (90, 45, 10, 0.75)


@pytest.mark.parametrize(
    ("old", "new", "difference"),
    [
        ('ending="cut"} 1', 'ending="cut"} 2', "openai m: requests that ended cut: provider 1, sidecar 2"),
        ('ending="cut"} 1', 'ending="cut"} 0', "openai m: requests that ended cut: provider 1, sidecar 0"),
        ('type="input",source="reported"} 80', 'type="input",source="reported"} 81', "openai m: input tokens: provider 80, sidecar 81"),
        ('source="table"} 0.3', 'source="table"} 0.3001', "openai m: cost: provider 0.500000000 USD, sidecar 0.500100000 USD"),
        ('model="",ending', 'model="x",ending', "openai (no model): requests that ended rejected: provider 1, sidecar 0"),
    ],
)
def test_differences(old: str, new: str, difference: str) -> None:
    """One request, token or cent more or less is a difference, told with both figures."""
    assert difference in compare(read_ledger(_ROWS), read_scrape(_SCRAPE.replace(old, new)))


def test_calls_that_went_nowhere() -> None:
    """A call for which nobody was asked is counted apart: no provider can know of it."""
    unasked = """
llm_sidecar_requests_total{route="openai",provider="",model="m",ending="unavailable"} 3.0
llm_sidecar_requests_total{route="openai",provider="",model="",ending="overloaded"} 2.0
"""
    assert compare(read_ledger(_ROWS), read_scrape(_SCRAPE + unasked)) == []
    assert (count_unasked(_SCRAPE + unasked), count_unasked(_SCRAPE)) == (5, 0)


def test_calls_for_which_nobody_was_asked() -> None:
    """What was answered with another call's answer, or refused, is no provider's; what was shared out counts as reported."""
    more = """
llm_sidecar_requests_total{route="openai",provider="openai",model="m",ending="completed"} 4.0
llm_sidecar_requests_total{route="openai",provider="",model="m",ending="refused"} 3.0
llm_sidecar_tokens_total{provider="gcp.gemini",model="m",type="output",source="apportioned"} 5.0
"""
    scrape = _SCRAPE.replace('type="output",source="reported"} 90', 'type="output",source="reported"} 85') + more
    assert compare(read_ledger(_ROWS), read_scrape(scrape, {("openai", "m"): {"completed": 4}})) == []
    assert compare(read_ledger(_ROWS), read_scrape(scrape, {("openai", "m"): {"completed": 3}})) == [
        "openai m: requests that ended completed: provider 3, sidecar 4"
    ]
    assert count_unasked(scrape) == 0


def test_sums_by_provider() -> None:
    """All models of a provider are added up, and no other's."""
    sums = sum_by_provider(read_ledger(_ROWS))
    assert {name: tally.requests for name, tally in sums.items()} == {"openai": 5, "gcp.gemini": 9}
    assert sums["openai"].endings == {"completed": 3, "cut": 1, "rejected": 1}


def test_samples() -> None:
    """Labels are unescaped, timestamps and comments passed over, values read as floats."""
    text = '# TYPE a counter\na{x="1\\"2,y=\\\\\\n}",z=""} 1e3 1700000000\nb +Inf\n\nnonsense\n'
    assert list(read_samples(text)) == [("a", {"x": '1"2,y=\\\n}', "z": ""}, 1000.0), ("b", {}, float("inf"))]


@pytest.mark.parametrize(
    ("status", "outcome", "ending"),
    [
        (200, Outcome.COMPLETE, Ending.COMPLETED), (429, Outcome.COMPLETE, Ending.RATE_LIMITED), (401, Outcome.COMPLETE, Ending.REJECTED),
        (529, Outcome.COMPLETE, Ending.UPSTREAM_ERROR), (200, Outcome.ERROR_EVENT, Ending.IN_BAND_ERROR), (200, Outcome.CUT, Ending.CUT),
        (200, Outcome.RESET, Ending.CUT), (200, Outcome.STALLED, Ending.IDLE_TIMEOUT), (None, Outcome.UNANSWERED, Ending.RESET),
        (None, Outcome.GARBAGE, Ending.MALFORMED), (200, Outcome.CLIENT_GONE, Ending.CLIENT_GONE),
    ],
)  # fmt: skip
def test_endings(status: int | None, outcome: Outcome, ending: Ending) -> None:
    """What the provider did has one name at the sidecar."""
    assert expected_ending(status, outcome) is ending


def test_every_outcome_has_an_ending() -> None:
    """No outcome of a sealed entry is left without a name."""
    for outcome in set(Outcome) - {Outcome.OPEN}:
        expected_ending(200, outcome)
