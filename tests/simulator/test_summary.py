"""sidecar/simulator/summary.py"""

import pytest

from sidecar.simulator.accounts import Account, Tally
from sidecar.simulator.efforts import Efforts
from sidecar.simulator.savings import Savings, Spent
from sidecar.simulator.sight import Sight
from sidecar.simulator.summary import Pulse, quantile, summarise

NONE = Efforts({}, 0, 0, 0, {}, {}, {}, {}, 0)
SOME = Efforts(
    {"reset": 2, "upstream_error": 1}, 3, 4, 1, {"won": 1, "lost": 2, "refused": 9}, {"a": "half_open", "b": "closed"}, {"a": 2, "b": 0},
    {"a": 1}, 7,
)  # fmt: skip

NOTHING = Savings(0, {}, 0, 0, 0, 0.0, 0, 0, 0, {"shop": Spent(4, 25, 0.25)})
MUCH = Savings(
    40, {"hot": 9, "warm": 1}, 2, 3, 4567, 0.0123, 5, 6, 17,
    {"shop": Spent(30, 15, 0.18), "support": Spent(10, 10, 0.07, 0, 4, 0.075, 0.1), "reports": Spent(7, 0, 0.0, 6), "idle": Spent()},
)  # fmt: skip


def _account(requests: int = 2, output: int = 10, cost_usd: float = 0.25) -> Account:
    tally = Tally()
    tally.endings = {"completed": requests, "cut": 1, "rejected": 1}
    tally.tokens |= {"input": 5, "cache_read": 3, "cache_write": 7, "output": output}
    tally.cost_usd = cost_usd
    return {("openai", "m"): tally}


def _sight(ended_s: float, lasted_s: float = 1.0, *, is_complete: bool = True, chunks: int = 10) -> Sight:
    started_s = ended_s - lasted_s
    return Sight(
        1, "stream", 200, is_complete, False, None, None, "", 0, started_s, started_s, started_s + lasted_s / 2, ended_s, chunks,
        is_stream=True,
    )  # fmt: skip


def test_agreement() -> None:
    """Where both accounts are equal a model has one row, and the verdict says so."""
    text, agrees = summarise(_account(), _account(output=12), _account(), {}, NONE, NOTHING, 0)
    assert agrees
    assert text.endswith("The sidecar and the provider agree.")
    rows = [line.split() for line in text.splitlines()]
    assert ["openai", "m", "both", "4", "1", "5", "3", "7", "10", "0", "0.250000"] in rows
    assert ["total", "sidecar", "4", "1", "5", "3", "7", "10", "0", "0.250000"] in rows
    assert ["generated", "4", "1", "5", "3", "7", "12", "0", "0.250000"] in rows
    assert ["cut", "1", "/", "1", "1", "/", "1"] in rows
    assert "2 tokens (0.000000 USD) were generated" in text


def test_disagreement() -> None:
    """Where they differ the verdict says in what."""
    text, agrees = summarise(_account(), _account(), _account(requests=3), {}, NONE, NOTHING, 0)
    assert not agrees
    assert "The sidecar and the provider differ:\n  openai m: requests that ended completed: provider 2, sidecar 3" in text
    assert "agree" not in text
    rows = [line.split() for line in text.splitlines()]
    assert ["openai", "m", "sidecar", "5", "1", "5", "3", "7", "10", "0", "0.250000"] in rows
    assert ["provider", "4", "1", "5", "3", "7", "10", "0", "0.250000"] in rows


def test_what_tenants_had_is_all_there_is() -> None:
    """Tokens or cost that are nobody's, or somebody's twice, are a difference."""
    twice = NOTHING._replace(tenants={"shop": Spent(4, 25, 0.25), "support": Spent(1, 5, 0.125)})
    text, agrees = summarise(_account(), _account(), _account(), {}, NONE, twice, 0)
    assert not agrees
    assert "  tokens: of all tenants 30, of all models 25\n  cost: of all tenants 0.375000000 USD, of all models 0.250000000 USD" in text


def test_providers_are_apart() -> None:
    """The same model of two providers is two rows, and what one lacks the other does not make up for."""
    two = _account() | {("gcp.gemini", "m"): _account()["openai", "m"]}
    swapped = {key: _account(requests=requests)["openai", "m"] for key, requests in zip(two, (1, 3), strict=True)}
    text, agrees = summarise(two, two, two, {}, NONE, NOTHING._replace(tenants={"shop": Spent(8, 50, 0.5)}), 0)
    assert agrees and text.count(" both ") == 2
    assert ["completed", "2", "/", "2", "2", "/", "2", "4", "/", "4"] in [line.split() for line in text.splitlines()]
    assert not summarise(two, two, swapped, {}, NONE, NOTHING, 0)[1]


def test_a_model_that_only_one_side_knows() -> None:
    """A model missing from one account is shown as nothing there."""
    text, agrees = summarise({}, {}, {("openai", ""): _account()["openai", "m"]}, {}, NONE, NOTHING, 0)
    assert not agrees
    assert "(no model)" in text


def test_efforts() -> None:
    """What was made again is told apart from the calls, with what became of hedges, breakers and calls that nobody was asked for."""
    text, agrees = summarise(_account(), _account(), _account(), SOME.replaced, SOME, NOTHING, 5)
    assert agrees
    lines = text.splitlines()
    assert "made again after an attempt had ended (sidecar / provider): upstream_error 1 / 1, reset 2 / 2" in lines
    assert "failovers 4, retries 1, hedges: 1 won, 2 lost, 9 refused, probes 7" in lines
    assert "circuit breaker of a: opened: 2, closed again: 1, now half_open" in lines
    assert not any("circuit breaker of b" in line for line in lines)
    assert "5 calls were answered by the sidecar itself: no provider could be asked." in lines
    quiet = summarise(_account(), _account(), _account(), {}, NONE, NOTHING, 0)[0]
    assert "made again" not in quiet and "no provider" not in quiet and "hedges: none" in quiet


def test_savings() -> None:
    """What was not asked for is told, and each account on which calls ran with what it was refused."""
    lines = summarise(_account(), _account(), _account(), {}, NONE, MUCH, 0)[0].splitlines()
    assert "of 47 calls 4 went to a provider or a tool; saved: 4567 tokens, 0.012300 USD" in lines
    assert "kept answers: 10 hits of 40 looked for (25 %; hot 9, warm 1), 2 expired ones in place of an error, 3 asked beforehand" in lines
    assert "shared: 5 calls with another one's answer, 17 embeddings in 6 calls" in lines
    rows = [line.split() for line in lines]
    assert ["support", "10", "10", "0.070000", "0", "4", "0.0750", "of", "0.1000"] in rows
    assert ["reports", "7", "0", "0.000000", "6", "0", "-"] in rows
    assert not any(row[:1] == ["idle"] for row in rows)
    quiet = summarise(_account(), _account(), _account(), {}, NONE, NOTHING, 0)[0]
    assert "0 hits of 0 looked for (-; none)" in quiet


def test_attempts_that_only_one_side_counted() -> None:
    """An attempt that only the sidecar knows of is a difference."""
    text, agrees = summarise(_account(), _account(), _account(), {"reset": 1, "upstream_error": 1}, SOME, NOTHING, 0)
    assert not agrees
    assert text.endswith("  attempts that ended reset and were replaced: provider 1, sidecar 2")


def test_pulse() -> None:
    """The line shows the last ten seconds of what callers felt, and totals of the sidecar."""
    pulse = Pulse()
    pulse.note(_sight(1.0, 9.0))
    pulse.note(_sight(95.0, 2.0))
    pulse.note(_sight(96.0, 2.0, is_complete=False))
    line = pulse.tell(100.0, _account(), SOME, MUCH)
    assert "p50 2000 ms" in line and "first token p50 1000 ms" in line and "10 tok/s" in line
    assert "requests      4  errors    1" in line and "cost 0.2500 USD" in line
    first, second = line.splitlines()
    assert first.endswith("failovers   4  hedges  3  a half_open")
    assert second.split("  ")[-5:] == ["hits 25 %", "saved 4567 tokens, 0.0123 USD", "coalesced 5", "limited 6", "budget of support 75 %"]
    assert pulse.seen_count == 3


def test_pulse_of_nothing() -> None:
    """What was not measured is shown as a dash, never as 0."""
    line = Pulse().tell(100.0, {}, NONE, NOTHING)
    assert "0 ms" not in line and "0 tok/s" not in line


@pytest.mark.parametrize(("values", "share", "expected"), [([], 0.5, None), ([7.0], 0.95, 7.0), ([3.0, 1.0, 2.0], 0.5, 2.0)])
def test_quantile(values: list[float], share: float, expected: float | None) -> None:
    """Quantiles are values that occurred."""
    assert quantile(values, share) == expected
