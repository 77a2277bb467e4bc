"""What was answered without asking anew, refused and spent, as the sidecar's metrics tell it."""

import math
from collections.abc import Mapping
from typing import Final, NamedTuple

from sidecar.catalogue import BUDGET_WINDOWS, HALTED, LIMITS
from sidecar.simulator.accounts import COST_TOLERANCE_USD, Tally, read_samples

_PREFIX: Final = "llm_sidecar_"
_OF_MONEY: Final = frozenset(limit for limit in LIMITS if "budget" in limit or limit == HALTED)


class Spent(NamedTuple):
    """What one tenant had, and what it was refused."""

    requests: int = 0
    tokens: int = 0
    cost_usd: float = 0.0
    limited: int = 0  # refused by a limit on requests or tokens
    unpaid: int = 0  # refused by a budget, or because spending was stopped
    budget_spent_usd: float = 0.0
    budget_usd: float | None = None  # of the day


class Savings(NamedTuple):
    """All of it."""

    lookups: int
    hits: Mapping[str, int]  # by level
    stale: int
    warmed: int
    tokens: int  # not used, because an answer was kept or shared
    usd: float
    coalesced: int  # calls that ended with the answer of another one in progress
    batches: int  # calls that carried the embeddings of several callers
    batched_inputs: int
    tenants: Mapping[str, Spent]

    @property
    def hit_ratio(self) -> float | None:
        """The share of answers that were found; None where nothing was looked for."""
        return sum(self.hits.values()) / self.lookups if self.lookups else None


def read_savings(text: str) -> Savings:
    """Read them from an exposition."""
    sums: dict[str, float] = {}
    hits: dict[str, int] = {}
    tenants: dict[str, Spent] = {}
    for name, labels, value in read_samples(text):
        short = name.removeprefix(_PREFIX)
        sums[short] = sums.get(short, 0.0) + value
        if short == "cache_hits_total" and value:
            hits[labels["level"]] = round(value)
        elif "tenant" in labels:
            tenants[labels["tenant"]] = _note(tenants.get(labels["tenant"], Spent()), short, labels, value)
    count = {name: round(value) for name, value in sums.items() if value == value}
    return Savings(
        count.get("cache_lookups_total", 0), hits, count.get("cache_stale_total", 0), count.get("cache_warmed_total", 0),
        count.get("cache_saved_tokens_total", 0), sums.get("cache_saved_usd_total", 0.0), count.get("coalesced_calls_saved_total", 0),
        count.get("embedding_batches_total", 0), count.get("embedding_batched_inputs_total", 0), tenants,
    )  # fmt: skip


def compare_tenants(savings: Savings, all_calls: Tally) -> list[str]:
    """Every difference between what tenants had and what was had of all providers, one line each: each call is somebody's, once."""
    tokens, cost_usd = sum(spent.tokens for spent in savings.tenants.values()), sum(spent.cost_usd for spent in savings.tenants.values())
    different = []
    if tokens != sum(all_calls.tokens.values()):
        different.append(f"tokens: of all tenants {tokens}, of all models {sum(all_calls.tokens.values())}")
    if not math.isclose(cost_usd, all_calls.cost_usd, rel_tol=0, abs_tol=COST_TOLERANCE_USD):
        different.append(f"cost: of all tenants {cost_usd:.9f} USD, of all models {all_calls.cost_usd:.9f} USD")
    return different


def _note(spent: Spent, short: str, labels: Mapping[str, str], value: float) -> Spent:
    if short == "tenant_requests_total":
        return spent._replace(requests=round(value))
    if short == "tenant_tokens_total":
        return spent._replace(tokens=spent.tokens + round(value))
    if short == "tenant_cost_usd_total":
        return spent._replace(cost_usd=value)
    if short == "rate_limited_requests_total":
        if labels["limit"] in _OF_MONEY:
            return spent._replace(unpaid=spent.unpaid + round(value))
        return spent._replace(limited=spent.limited + round(value))
    if short == "budget_spent_usd" and labels["window"] == BUDGET_WINDOWS[0]:
        return spent._replace(budget_spent_usd=value)
    if short == "budget_limit_usd" and labels["window"] == BUDGET_WINDOWS[0]:
        return spent._replace(budget_usd=value)
    return spent
