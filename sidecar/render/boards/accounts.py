"""Who spends: tenants, the limits that refuse their calls, and budgets. Of what tenants do it is known whose it is, not of which model."""

from functools import partial
from typing import Final

from sidecar.catalogue import EVERYBODY
from sidecar.render.board import Row, link_cell, link_traces
from sidecar.render.figures import print_share
from sidecar.render.panels import Panel, Step, Target, bar_gauge, grade_colors, lines, stat, states
from sidecar.render.queries import Scope
from sidecar.render.tables import Column, Key, ranking
from sidecar.thresholds import Terms

_CALLS: Final = "llm_sidecar_tenant_requests_total"
_COST: Final = "llm_sidecar_tenant_cost_usd_total"
_TOKENS: Final = "llm_sidecar_tenant_tokens_total"
_REFUSED: Final = "llm_sidecar_rate_limited_requests_total"
_SPENT: Final = "llm_sidecar_budget_spent_usd"
_RESERVED: Final = "llm_sidecar_budget_reserved_usd"
_LIMIT: Final = "llm_sidecar_budget_limit_usd"
_NEAR: Final = "llm_sidecar_budget_soft_limit_reached"
_STOPPED: Final = "llm_sidecar_spending_stopped"
_LEDGER: Final = "llm_sidecar_ledger_failures_total"
# What a budget or an operator refuses is no limit's doing.
_BY_LIMITS: Final = 'limit!~"(all_)?budget_.+|stopped"'
_BUDGET: Final = "tenant, window"
_ONE_BUDGET: Final = "{{tenant}}, {{window}}"
_NO_BUDGETS: Final = "No budgets: features.budgets is off"
_stat: Final = partial(stat, width=4)


def sum_up_accounts(scope: Scope, terms: Terms) -> tuple[Panel, ...]:
    """Return what refuses calls, and the state of budgets, as numbers."""
    limited, calls = terms.thresholds.tenant_limited_ratio, scope.rate(_CALLS)
    near = f"sum({scope.over('max', _NEAR, by=_BUDGET)})"
    spent = f"sum({_measure_budget(scope)} >= bool {terms.thresholds.budget_spent.critical:g})"
    return (
        _stat("Refused by limits", "Share of the tenants' calls that the sidecar's own limits refused; LLMTenantLimited fires where it is "
              f"above {print_share(limited.warning)} for a tenant", "percentunit",
              [Target(scope.share(scope.rate(_REFUSED, _BY_LIMITS), calls))],
              colors=grade_colors(limited)),
        _stat("Budgets near their end", "Budgets of which so much is spent that it is warned of, as budgets.soft says "
              "(LLMBudgetNearlySpent)", "short", [Target(near)], colors=(Step("green"), Step("orange", 1)), empty="No budgets"),
        _stat("Budgets spent", "Budgets that are spent: what would cost is refused until the day or month (UTC) is over (LLMBudgetSpent)",
              "short", [Target(spent)], colors=(Step("green"), Step("red", 1)), empty="No budgets"),
        _stat("Stopped", f"Tenants whose spending an operator stopped, {EVERYBODY} for all of them (LLMSpendingStopped)", "short",
              [Target(f"sum({scope.over('max', _STOPPED, by='tenant')})")], colors=(Step("green"), Step("orange", 1)), empty="No budgets"),
    )  # fmt: skip


def list_tenants(scope: Scope, terms: Terms) -> Row:
    """Return what tenants do and use."""
    shares = scope.share(scope.rate(_REFUSED, _BY_LIMITS, by="tenant"), scope.rate(_CALLS, by="tenant"), by="tenant")
    empty = "No calls of tenants"
    return Row("Tenants, with all their models", (
        lines("Cost per hour by tenant", "US dollars an hour, by on whose account; without what was estimated", "currencyUSD",
              [Target(f"{scope.rate(_COST, by='tenant')} * 3600", "{{tenant}}")], stacked=True, empty=empty, width=8),
        lines("Calls by tenant", "Calls, by on whose account; calls that were refused are in it", "reqps",
              [Target(scope.rate(_CALLS, by="tenant"), "{{tenant}}")], stacked=True, empty=empty, width=8),
        lines("Tokens by tenant", "Billable tokens, by on whose account, as providers reported them", "suffix:tok/s",
              [Target(scope.rate(_TOKENS, by="tenant"), "{{tenant}}")], stacked=True, empty=empty, width=8),
        lines("Calls refused by limit", "Calls that a limit, a budget or an operator refused, by which; all_ stands before what holds for "
              "all tenants together", "reqps", [Target(f"{scope.rate(_REFUSED, by='tenant, limit')} > 0", "{{tenant}}: {{limit}}")],
              rare=True, empty="Nothing refused", width=8),
        lines("Share refused by tenant", "Share of a tenant's calls that limits refused, with the limit of LLMTenantLimited: give it more "
              "room, or find out what it repeats", "percentunit", [Target(shares, "{{tenant}}")],
              colors=grade_colors(terms.thresholds.tenant_limited_ratio), empty=empty, width=8),
        lines("Tokens of the tenants by type", "Billable tokens of the chosen tenants, as disjoint types", "suffix:tok/s",
              [Target(scope.rate(_TOKENS, by="type"), "{{type}}")], stacked=True, empty=empty, width=8),
        _tabulate_tenants(scope),
    ))  # fmt: skip


def list_budgets(scope: Scope, terms: Terms) -> Row:
    """Return how far budgets are spent, and what stands in the way of spending."""
    limits = [("spent", scope.over("max", _SPENT, by=_BUDGET)), ("reserved", scope.over("sum", _RESERVED, by=_BUDGET))]
    limits.append(("limit", scope.over("max", _LIMIT, by=_BUDGET)))
    return Row("Budgets", (
        bar_gauge("Budget spent of limit", "How much of each budget is spent in this day or month (UTC), with the limits of "
                  f"LLMBudgetNearlySpent and LLMBudgetSpent; {EVERYBODY} is everybody's together. Of several sidecars the one that spent "
                  "most",
                  "percentunit", [Target(_measure_budget(scope), _ONE_BUDGET)], colors=grade_colors(terms.thresholds.budget_spent),
                  maximum=1, empty=_NO_BUDGETS),
        lines("Spent, reserved and limit", "US dollars in this day or month. Reserved is what calls in progress may still cost",
              "currencyUSD", [Target(expr, f"{_ONE_BUDGET}: {name}") for name, expr in limits], dashed=": limit", empty=_NO_BUDGETS),
        states("Soft limits", "Whether so much of a budget is spent that it is warned of (LLMBudgetNearlySpent)",
               [Target(scope.over("max", _NEAR, by=_BUDGET), _ONE_BUDGET)], (("below", "green"), ("reached", "orange")),
               empty=_NO_BUDGETS, width=8),
        states("Stopped spending", "Whether an operator stopped a tenant's spending, or all (LLMSpendingStopped); its calls are refused, "
               "but for answers that are kept", [Target(scope.over("max", _STOPPED, by="tenant"), "{{tenant}}")],
               (("goes on", "green"), ("stopped", "red")), empty=_NO_BUDGETS, width=8),
        lines("Ledger failures by reason", "What went wrong with the ledger of budgets; calls went on, and what they cost may be "
              "forgotten by a restart "
              "(LLMLedgerFailing)", "cps", [Target(f"{scope.rate(_LEDGER, by='reason')} > 0", "{{reason}}")], rare=True,
              empty="No failures", width=8),
        _tabulate_budgets(scope, terms),
    ))  # fmt: skip


def _measure_budget(scope: Scope) -> str:
    return f"max by ({_BUDGET}) ({scope.select(_SPENT)} / ({scope.select(_LIMIT)} > 0))"


def _key_tenant() -> Key:
    cost = link_cell("llm-sidecar-cost", "Cost of this tenant", "tenant", "Tenant")
    return Key("tenant", "Tenant", (cost, link_traces("Traces of this tenant", "span.llm_sidecar.tenant", "Tenant")))


def _tabulate_tenants(scope: Scope) -> Panel:
    whole = scope._replace(whole=True)
    cost, calls, tokens, refused = (whole.rate(series, by="tenant") for series in (_COST, _CALLS, _TOKENS, _REFUSED))
    columns = [
        Column("Cost", cost, "currencyUSD"),
        Column("Calls", f"round({calls})", "short"),
        Column("Tokens", f"round({tokens})", "short"),
        Column("Cost per call", f"{cost} / ({calls} > 0)", "currencyUSD"),
        Column("Refused", f"round({refused})", "short"),
    ]
    return ranking(
        "Tenants by cost", "What each tenant did within the time that is chosen above, dearest first. Click on a tenant for its part of "
        "this board and its traces", (_key_tenant(),), columns, empty="No calls of tenants",
    )  # fmt: skip


def _tabulate_budgets(scope: Scope, terms: Terms) -> Panel:
    spent, limit = (scope.over("max", series, by=_BUDGET) for series in (_SPENT, _LIMIT))
    columns = [
        Column("Spent of limit", _measure_budget(scope), "percentunit", colors=grade_colors(terms.thresholds.budget_spent)),
        Column("Spent", spent, "currencyUSD"),
        Column("Reserved", scope.over("sum", _RESERVED, by=_BUDGET), "currencyUSD"),
        Column("Limit", limit, "currencyUSD"),
        Column("Left", f"clamp_min({limit} - {spent}, 0)", "currencyUSD"),
    ]
    return ranking(
        "Budgets of this day and month", "The same as numbers, those nearest to their end on top",
        (_key_tenant(), Key("window", "Window")), columns, empty=_NO_BUDGETS, height=6,
    )  # fmt: skip
