"""sidecar/simulator/summary.py"""

import pytest

from sidecar.simulator.accounts import Account, Tally
from sidecar.simulator.efforts import Efforts
from sidecar.simulator.sight import Sight
from sidecar.simulator.summary import Pulse, quantile, summarise

NONE = Efforts({}, 0, 0, 0, {}, {}, {}, {}, 0)
SOME = Efforts(
    {"reset": 2, "upstream_error": 1}, 3, 4, 1, {"won": 1, "lost": 2, "refused": 9}, {"a": "half_open", "b": "closed"}, {"a": 2, "b": 0},
    {"a": 1}, 7,
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
    text, agrees = summarise(_account(), _account(output=12), _account(), {}, NONE, 0)
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
    text, agrees = summarise(_account(), _account(), _account(requests=3), {}, NONE, 0)
    assert not agrees
    assert "The sidecar and the provider differ:\n  openai m: requests that ended completed: provider 2, sidecar 3" in text
    assert "agree" not in text
    rows = [line.split() for line in text.splitlines()]
    assert ["openai", "m", "sidecar", "5", "1", "5", "3", "7", "10", "0", "0.250000"] in rows
    assert ["provider", "4", "1", "5", "3", "7", "10", "0", "0.250000"] in rows


def test_providers_are_apart() -> None:
    """The same model of two providers is two rows, and what one lacks the other does not make up for."""
    two = _account() | {("gcp.gemini", "m"): _account()["openai", "m"]}
    swapped = {key: _account(requests=requests)["openai", "m"] for key, requests in zip(two, (1, 3), strict=True)}
    text, agrees = summarise(two, two, two, {}, NONE, 0)
    assert agrees and text.count(" both ") == 2
    assert ["completed", "2", "/", "2", "2", "/", "2", "4", "/", "4"] in [line.split() for line in text.splitlines()]
    assert not summarise(two, two, swapped, {}, NONE, 0)[1]


def test_a_model_that_only_one_side_knows() -> None:
    """A model missing from one account is shown as nothing there."""
    text, agrees = summarise({}, {}, {("openai", ""): _account()["openai", "m"]}, {}, NONE, 0)
    assert not agrees
    assert "(no model)" in text


def test_efforts() -> None:
    """What was made again is told apart from the calls, with what became of hedges, breakers and calls that nobody was asked for."""
    text, agrees = summarise(_account(), _account(), _account(), SOME.replaced, SOME, 5)
    assert agrees
    lines = text.splitlines()
    assert "made again after an attempt had ended (sidecar / provider): upstream_error 1 / 1, reset 2 / 2" in lines
    assert "failovers 4, retries 1, hedges: 1 won, 2 lost, 9 refused, probes 7" in lines
    assert "circuit breaker of a: opened: 2, closed again: 1, now half_open" in lines
    assert not any("circuit breaker of b" in line for line in lines)
    assert "5 calls were answered by the sidecar itself: no provider could be asked." in lines
    quiet = summarise(_account(), _account(), _account(), {}, NONE, 0)[0]
    assert "made again" not in quiet and "no provider" not in quiet and "hedges: none" in quiet


def test_attempts_that_only_one_side_counted() -> None:
    """An attempt that only the sidecar knows of is a difference."""
    text, agrees = summarise(_account(), _account(), _account(), {"reset": 1, "upstream_error": 1}, SOME, 0)
    assert not agrees
    assert text.endswith("  attempts that ended reset and were replaced: provider 1, sidecar 2")


def test_pulse() -> None:
    """The line shows the last ten seconds of what callers felt, and totals of the sidecar."""
    pulse = Pulse()
    pulse.note(_sight(1.0, 9.0))
    pulse.note(_sight(95.0, 2.0))
    pulse.note(_sight(96.0, 2.0, is_complete=False))
    line = pulse.tell(100.0, _account(), SOME)
    assert "p50 2000 ms" in line and "first token p50 1000 ms" in line and "10 tok/s" in line
    assert "requests      4  errors    1" in line and "cost 0.2500 USD" in line
    assert line.endswith("failovers   4  hedges  3  a half_open")
    assert pulse.seen_count == 3


def test_pulse_of_nothing() -> None:
    """What was not measured is shown as a dash, never as 0."""
    line = Pulse().tell(100.0, {}, NONE)
    assert "0 ms" not in line and "0 tok/s" not in line


@pytest.mark.parametrize(("values", "share", "expected"), [([], 0.5, None), ([7.0], 0.95, 7.0), ([3.0, 1.0, 2.0], 0.5, 2.0)])
def test_quantile(values: list[float], share: float, expected: float | None) -> None:
    """Quantiles are values that occurred."""
    assert quantile(values, share) == expected
