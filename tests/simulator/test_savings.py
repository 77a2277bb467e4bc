"""sidecar/simulator/savings.py"""

import pytest

from sidecar.simulator.savings import Savings, Spent, read_savings

_SCRAPE = """
llm_sidecar_cache_lookups_total 20.0
llm_sidecar_cache_hits_total{level="hot"} 4.0
llm_sidecar_cache_hits_total{level="warm"} 1.0
llm_sidecar_cache_hits_total{level="shared"} 0.0
llm_sidecar_cache_stale_total 2.0
llm_sidecar_cache_warmed_total{outcome="succeeded"} 3.0
llm_sidecar_cache_saved_tokens_total{provider="openai",model="m",type="input"} 100.0
llm_sidecar_cache_saved_tokens_total{provider="openai",model="m",type="output"} 20.0
llm_sidecar_cache_saved_usd_total{provider="openai",model="m"} 0.5
llm_sidecar_cache_saved_usd_total{provider="ollama",model="m"} 0.25
llm_sidecar_coalesced_calls_saved_total 6.0
llm_sidecar_embedding_batches_total 2.0
llm_sidecar_embedding_batched_inputs_total 9.0
llm_sidecar_tenant_requests_total{tenant="support"} 30.0
llm_sidecar_tenant_tokens_total{tenant="support",type="input"} 70.0
llm_sidecar_tenant_tokens_total{tenant="support",type="output"} 7.0
llm_sidecar_tenant_cost_usd_total{tenant="support"} 0.75
llm_sidecar_rate_limited_requests_total{tenant="support",limit="requests_second"} 1.0
llm_sidecar_rate_limited_requests_total{tenant="support",limit="all_tokens_day"} 2.0
llm_sidecar_rate_limited_requests_total{tenant="support",limit="budget_day"} 4.0
llm_sidecar_rate_limited_requests_total{tenant="support",limit="all_budget_month"} 8.0
llm_sidecar_rate_limited_requests_total{tenant="support",limit="stopped"} 16.0
llm_sidecar_budget_spent_usd{tenant="support",window="day"} 0.8
llm_sidecar_budget_spent_usd{tenant="support",window="month"} 9.0
llm_sidecar_budget_limit_usd{tenant="support",window="day"} 1.0
llm_sidecar_budget_limit_usd{tenant="support",window="month"} 10.0
llm_sidecar_tenant_requests_total{tenant="shop"} 5.0
"""


def test_reading() -> None:
    """Every sum is read from its own metric, and by tenant: limits apart from budgets, the day apart from the month."""
    savings = read_savings(_SCRAPE)
    assert savings == Savings(
        20, {"hot": 4, "warm": 1}, 2, 3, 120, 0.75, 6, 2, 9,
        {"support": Spent(30, 77, 0.75, 3, 28, 0.8, 1.0), "shop": Spent(5)},
    )  # fmt: skip
    assert savings.hit_ratio == pytest.approx(0.25)


def test_nothing() -> None:
    """Where nothing was looked for there is no ratio."""
    assert read_savings("") == Savings(0, {}, 0, 0, 0, 0.0, 0, 0, 0, {})
    assert read_savings("").hit_ratio is None
