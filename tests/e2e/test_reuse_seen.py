"""What is kept, shared, limited and spent is seen where operators look: Prometheus counts what callers of two sidecars saw."""

from typing import Final

import pytest

from tests.rig.boards import find_peak, show_metrics
from tests.rig.everything import Everything
from tests.rig.prometheus import needs_prometheus
from tests.rig.redis import needs_redis
from tests.rig.regulars import NEAR_CALLS, UNPRICED_USD

pytestmark = [needs_prometheus, needs_redis]

STALLED: Final = 2  # callers that are not among those that are seen

# What panels must say: above 0, for these series of these metrics.
SHOWN: Final[list[tuple[str, dict[str, str]]]] = [
    *(("cache_hits_total", {"level": level}) for level in ("hot", "warm", "shared")),
    *(("cache_bypass_total", {"reason": reason}) for reason in ("not_deterministic", "directive", "body")),
    *(("cache_evictions_total", {"level": "warm", "reason": reason}) for reason in ("full", "idle")),
    *(("cache_not_stored_total", {"reason": reason}) for reason in ("unfit", "too_large")),
    *(("cache_stored_total", {"kind": kind}) for kind in ("answers", "embeddings", "tools")),
    ("cache_refreshes_total", {"outcome": "succeeded"}),
    ("cache_warmed_total", {"outcome": "succeeded"}),
    ("cache_saved_tokens_total", {"type": "output"}),
    ("cache_saved_usd_total", {"model": "sim-small"}),
    ("cache_damaged_total", {}),
    *(("coalesced_requests_total", {"role": role}) for role in ("leader", "follower")),
    ("coalescing_detached_total", {}),
    ("tool_cache_hits_total tool_cache_lookups_total", {"tool": "echo"}),
    *(("shared_commands_total", {"outcome": outcome}) for outcome in ("ok", "late", "away")),
    *(
        ("rate_limited_requests_total", {"tenant": tenant, "limit": limit})
        for tenant, limit in (("frugal", "budget_day"), ("eager", "requests_minute"), ("halted", "stopped"))
    ),
    ("ledger_failures_total", {"reason": "write"}),
    ("tenant_tokens_total", {"tenant": "shop"}),
    ("tenant_cost_usd_total", {"tenant": "shop"}),
    ("label_overflow_total", {"label": "model"}),
    ("spans_dropped_total", {"reason": "export_failed"}),
]


@pytest.mark.parametrize(("metrics", "labels"), SHOWN, ids=lambda told: told if isinstance(told, str) else "-".join(told.values()))
def test_panels_say_what_happened(everything: Everything, metrics: str, labels: dict[str, str]) -> None:
    """What has happened is above 0, with the labels by which it is told apart."""
    assert find_peak(everything, metrics, **labels) > 0


def test_prometheus_counts_what_callers_saw(everything: Everything) -> None:
    """Each call once, in the right place: those of both sidecars together."""
    saw, kept, count = everything.regulars.seen, everything.regulars.kept, everything.count
    lookups, saved = count("llm_sidecar_cache_lookups_total"), count("llm_sidecar_coalesced_calls_saved_total")
    assert lookups + saved == sum(kept[told] for told in ("hit", "stale", "miss", "coalesced")) + STALLED
    assert saved - kept["coalesced"] in (0, 1), "who stalls may have begun the call, or have joined it"
    assert count("llm_sidecar_cache_hits_total") == kept["hit"] > 0
    assert count("llm_sidecar_cache_stale_total") == kept["stale"] > 0
    assert count("llm_sidecar_cache_bypass_total") == kept["bypass"] > 0
    assert count('llm_sidecar_coalesced_requests_total{role="follower"}') == kept["coalesced"] + 1
    assert count("llm_sidecar_coalescing_detached_total") == 1
    for limit, error in (("requests_minute", "rate_limited"), ("budget_day", "budget_spent"), ("stopped", "spending_stopped")):
        assert count(f'llm_sidecar_rate_limited_requests_total{{limit="{limit}"}}') == saw[error] > 0, error
    refreshed, warmed = count("llm_sidecar_cache_refreshes_total"), count("llm_sidecar_cache_warmed_total")
    assert count('llm_sidecar_tenant_requests_total{tenant="warming"}') == warmed > 0
    assert count('llm_sidecar_tenant_requests_total{job="regulars",tenant!="warming"}') == saw.total() + STALLED + refreshed
    assert count('llm_sidecar_requests_total{job="regulars"}') == saw.total() + STALLED + refreshed + warmed


def test_ratios_are_those_of_the_callers(everything: Everything) -> None:
    """The share of hits over all of it, as rules and boards compute it, is what callers saw."""
    kept = everything.regulars.kept
    ratio = kept["hit"] / (kept["hit"] + kept["stale"] + kept["miss"])
    hits, lookups = (f'sum(increase(llm_sidecar_cache_{each}_total{{job="regulars"}}[2m]))' for each in ("hits", "lookups"))
    assert everything.count(f"{hits} / {lookups}") == pytest.approx(ratio, rel=0.02)
    shown = show_metrics(everything, "cache_hits_total cache_lookups_total")
    assert shown and min(map(min, shown)) < ratio < max(map(max, shown)) <= 1


def test_budgets_are_told(everything: Everything) -> None:
    """Which is nearly spent, which is spent, and who is stopped."""
    spent = "budget_spent_usd budget_limit_usd"
    assert find_peak(everything, spent, tenant="near", window="day") == pytest.approx(NEAR_CALLS * UNPRICED_USD)
    assert find_peak(everything, spent, tenant="frugal", window="day") >= 1 - 1e-9, "more while each sidecar counts for itself"
    peaks = [max(values) for values in show_metrics(everything, spent, tenant="*", window="month")]
    assert any(0 < peak < 0.1 for peak in peaks), "a hundredth of it is spent"
    assert find_peak(everything, "budget_soft_limit_reached", tenant="near", window="day") == 1
    assert find_peak(everything, "budget_soft_limit_reached", tenant="*", window="month") == 0
    assert find_peak(everything, "spending_stopped", tenant="halted") == 1
    assert find_peak(everything, "spending_stopped", tenant="shop") == 0


def test_alerts_fire(everything: Everything) -> None:
    """Each that is about this, for whom it is about."""
    firing = everything.query_range('ALERTS{alertstate="firing",job="regulars"}')
    told = {(series["metric"]["alertname"], series["metric"].get("tenant") or series["metric"].get("reason") or "") for series in firing}
    assert told >= {
        ("LLMTenantLimited", "eager"), ("LLMBudgetNearlySpent", "near"), ("LLMBudgetNearlySpent", "frugal"),
        ("LLMBudgetSpent", "frugal"), ("LLMSpendingStopped", "halted"), ("LLMSharedStoreDown", ""), ("LLMLedgerFailing", "write"),
    }  # fmt: skip
    assert not {("LLMTenantLimited", "shop"), ("LLMBudgetSpent", "*"), ("LLMBudgetSpent", "near")} & told
