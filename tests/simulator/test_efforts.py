"""sidecar/simulator/efforts.py"""

import pytest

from sidecar.simulator.efforts import Efforts, compare_replaced, read_efforts, read_replaced
from sidecar.simulator.ledger import Row
from sidecar.simulator.reply import Outcome

_SCRAPE = """
llm_sidecar_requests_total{route="openai",provider="openai",model="m",ending="completed"} 7.0
llm_sidecar_requests_total{route="openai",provider="openai",model="m",ending="reset"} 1.0
llm_sidecar_requests_total{route="openai",provider="",model="",ending="unavailable"} 4.0
llm_sidecar_attempts_total{upstream="a",outcome="completed"} 4.0
llm_sidecar_attempts_total{upstream="b",outcome="completed"} 3.0
llm_sidecar_attempts_total{upstream="a",outcome="reset"} 3.0
llm_sidecar_attempts_total{upstream="b",outcome="upstream_error"} 1.0
llm_sidecar_attempts_total{upstream="b",outcome="first_byte_timeout"} 1.0
llm_sidecar_attempts_total{upstream="b",outcome="hedge_lost"} 2.0
llm_sidecar_circuit_breaker_state{upstream="a"} 2.0
llm_sidecar_circuit_breaker_state{upstream="b"} 0.0
llm_sidecar_circuit_breaker_transitions_total{upstream="a",from="closed",to="open"} 1.0
llm_sidecar_circuit_breaker_transitions_total{upstream="a",from="half_open",to="open"} 2.0
llm_sidecar_circuit_breaker_transitions_total{upstream="a",from="half_open",to="closed"} 1.0
llm_sidecar_circuit_breaker_transitions_total{upstream="a",from="open",to="half_open"} 9.0
llm_sidecar_failovers_total{from="a",to="b"} 2.0
llm_sidecar_failovers_total{from="b",to="a"} 1.0
llm_sidecar_retries_total{reason="reset"} 1.0
llm_sidecar_hedges_total{outcome="won"} 1.0
llm_sidecar_hedges_total{outcome="lost"} 2.0
llm_sidecar_probes_total{upstream="a",outcome="failed"} 5.0
llm_sidecar_probes_total{upstream="b",outcome="succeeded"} 6.0
llm_sidecar_build_info{version="1"} NaN
"""
_EFFORTS = Efforts({"reset": 2, "upstream_error": 1}, 3, 3, 1, {"won": 1, "lost": 2}, {"a": "open", "b": "closed"}, {"a": 3}, {"a": 1}, 11)


def test_efforts_of_the_sidecar() -> None:
    """What was replaced is what there are more attempts of than calls; what was given up is counted apart."""
    assert read_efforts(_SCRAPE, {}) == _EFFORTS
    assert read_efforts("", {}) == Efforts({}, 0, 0, 0, {}, {}, {}, {}, 0)


def test_calls_without_an_attempt() -> None:
    """Calls that were answered with another one's answer hide no attempts that were replaced."""
    scrape = _SCRAPE.replace('ending="completed"} 7', 'ending="completed"} 10').replace('ending="reset"} 1', 'ending="reset"} 3')
    assert read_efforts(scrape, {}).replaced == {"upstream_error": 1}
    apart = {("openai", "m"): {"completed": 2, "reset": 2}, ("openai", "n"): {"completed": 1}}
    assert read_efforts(scrape, apart) == _EFFORTS


def test_efforts_of_the_provider() -> None:
    """Replaced requests are told by how they ended, but for those that were given up; calls that stand are none of them."""
    rows = [
        Row("openai", "m", 500, Outcome.COMPLETE, 3, replaced=1), Row("openai", "n", 503, Outcome.COMPLETE, replaced=1),
        Row("openai", "m", None, Outcome.UNANSWERED, 1, replaced=2), Row("openai", "m", 200, Outcome.COMPLETE, 9, replaced=1),
        Row("openai", "m", 200, Outcome.CLIENT_GONE, 9, replaced=1), Row("openai", "m", 200, Outcome.CUT, 1),
    ]  # fmt: skip
    assert read_replaced(rows) == {"upstream_error": 2, "reset": 2}


@pytest.mark.parametrize(
    ("provider", "given_up", "different"),
    [
        ({"reset": 2, "upstream_error": 1}, 0, []),
        ({"reset": 3, "upstream_error": 1}, 1, []),
        ({"reset": 3, "upstream_error": 1, "cut": 1}, 1, ["reset"]),
        ({"reset": 3, "upstream_error": 1}, 0, ["reset"]),
        ({"reset": 1, "upstream_error": 1}, 9, ["reset"]),
        ({"reset": 2}, 9, ["upstream_error"]),
    ],
)
def test_comparison(provider: dict[str, int], given_up: int, different: list[str]) -> None:
    """The provider may have failed as many more as were given up, and never fewer."""
    told = compare_replaced(provider, _EFFORTS._replace(given_up=given_up))
    assert [line.split()[3] for line in told] == different
