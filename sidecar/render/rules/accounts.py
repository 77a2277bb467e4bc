"""Alerts on accounts: limits, budgets, what things cost, and the ledger that remembers it."""

from typing import Final

from sidecar.config import Budgets
from sidecar.render.alerting import TARGET, Alert, Article, Recording, Severity, Tier
from sidecar.render.figures import print_number, print_percentage, write_number
from sidecar.render.rules import recordings
from sidecar.render.rules.forms import Step, list_limits, make_tiers, print_limits, sum_over_target
from sidecar.thresholds import Terms

_HOURLY_COST: Final = "job:llm_sidecar_cost_usd:increase1h"
# What the alerts below read, in their group: the cost of an hour, that of estimated tokens left out.
RECORDINGS: Final = (
    Recording(
        _HOURLY_COST, sum_over_target('increase(llm_sidecar_cost_usd_total{source!="estimated"}[1h])', "provider", "model", "source")
    ),
)
_COST: Final = "llm-sidecar-cost"
_TENANT: Final = (("tenant", "tenant"),)


def list_rules(terms: Terms) -> tuple[Alert, ...]:
    """Return the alerts on limits, budgets and cost."""
    return (
        _tenant_limited(terms),
        _budget_nearly_spent(),
        _budget_spent(terms),
        _spending_stopped(),
        _cost_spike(terms),
        _unpriced_traffic(terms),
        _ledger_failing(),
    )


def _tenant_limited(terms: Terms) -> Alert:
    threshold, least = terms.thresholds.tenant_limited_ratio, terms.traffic.calls
    steps = {Severity.WARNING: Step("10m", "A tenant's calls are refused by limits.")}
    guard = f"and {recordings.TENANT_REQUESTS} * 300 >= {least}"
    return Alert(
        "LLMTenantLimited",
        make_tiers(threshold, recordings.TENANT_LIMITED_RATIO, guard, print_percentage, steps),
        "{{ $value | humanizePercentage }} of the calls of tenant {{ $labels.tenant }} of {{ $labels.job }} were refused by the sidecar's "
        "own limits in the last 5 minutes, above the limit of {limit}.",
        _COST,
        Article(
            f"More than {print_limits(threshold, print_percentage)} of the calls of a tenant were refused with 429 by `limits.rates`, of "
            f"at least {least} calls in 5 minutes, for 10 minutes. Budgets and stops are told by alerts of their own.",
            "The tenant's callers wait or fail; that is what the limit is for, if it is the right one.",
            '"Calls refused by limit" names the limit; those that begin with `all_` are reached by all tenants together: look at '
            '"Calls by tenant" for who uses it up. Tenants that nobody named share the limits of `other`.',
            "Raise the limit in `limits.rates`, give the tenant one of its own, or have callers spread their calls and heed `Retry-After`.",
            (
                "sum by (job, tenant, limit) (rate(llm_sidecar_rate_limited_requests_total[5m])) > 0",
                "sum by (job, tenant) (rate(llm_sidecar_tenant_requests_total[5m]))",
            ),
        ),
        keep="5m",
        choose=_TENANT,
    )


def _budget_nearly_spent() -> Alert:
    # Where it is warned of is a setting of the sidecar, by budget; not one of the rules.
    expr = f"max without ({TARGET}) (llm_sidecar_budget_soft_limit_reached) == 1"
    return Alert(
        "LLMBudgetNearlySpent",
        (Tier(Severity.WARNING, expr, "", "A budget is nearly spent."),),
        "So much of the budget per {{ $labels.window }} of tenant {{ $labels.tenant }} of {{ $labels.job }} is spent that it is warned of.",
        _COST,
        Article(
            f"A budget is spent or reserved to its soft limit (`budgets.soft`, by default {print_percentage(Budgets().soft)}). "
            "`*` in place of a tenant is the budget of all together. A day and a month are those of UTC.",
            "None yet.",
            '"Spent, reserved and limit" shows how fast it grows, "Cost per hour by tenant" who spends it, and "Saved per hour by model" '
            "what is saved already.",
            "Raise the budget, or find out what has become dearer: a model, longer prompts, calls that repeat.",
            (
                "llm_sidecar_budget_spent_usd / (llm_sidecar_budget_limit_usd > 0)",
                "topk(10, sum by (job, tenant) (increase(llm_sidecar_tenant_cost_usd_total[1h])))",
            ),
        ),
        choose=_TENANT,
    )


def _budget_spent(terms: Terms) -> Alert:
    limit = list_limits(terms.thresholds.budget_spent)[Severity.CRITICAL]
    expr = (
        f"max without ({TARGET}, window) (\n"
        "  llm_sidecar_budget_spent_usd / (llm_sidecar_budget_limit_usd > 0)\n"
        f") >= {write_number(limit)}\n"
        f"or sum without ({TARGET}, limit) (\n"
        '  increase(llm_sidecar_rate_limited_requests_total{limit=~"(all_)?budget_.+"}[15m])\n'
        f") >= {terms.traffic.events}"
    )
    return Alert(
        "LLMBudgetSpent",
        (Tier(Severity.CRITICAL, expr, "1m", "A budget is spent, and calls are refused.", print_percentage(limit)),),
        "What tenant {{ $labels.tenant }} of {{ $labels.job }} may spend in this day or month is spent (to {limit} or more) or reserved: "
        "calls that would cost are refused until it is over.",
        _COST,
        Article(
            f"A budget is spent to {print_percentage(limit)} or more, or so little is left that at least {terms.traffic.events} calls were "
            "refused in 15 minutes.",
            "Calls of the tenant that would cost are refused with 429 `budget_spent` until the day or the month is over (UTC). Kept "
            "answers are still given.",
            '"Budget spent of limit" tells which budget; "Calls refused by limit" how many calls it refuses. Much that is reserved and '
            "little that is spent means calls that allow for far longer answers than they get.",
            "Raise `budgets`, or wait. Let callers set `max_tokens`, or lower `budgets.output_tokens`: less is reserved then.",
            (
                "llm_sidecar_budget_spent_usd / (llm_sidecar_budget_limit_usd > 0)",
                "llm_sidecar_budget_reserved_usd",
                'sum by (job, tenant, limit) (increase(llm_sidecar_rate_limited_requests_total{limit=~"(all_)?budget_.+"}[15m])) > 0',
            ),
        ),
        keep="10m",
        choose=_TENANT,
    )


def _spending_stopped() -> Alert:
    expr = f"max without ({TARGET}) (llm_sidecar_spending_stopped) == 1"
    return Alert(
        "LLMSpendingStopped",
        (Tier(Severity.WARNING, expr, "5m", "Spending is stopped."),),
        "An operator stopped the spending of tenant {{ $labels.tenant }} of {{ $labels.job }}; its calls are refused, but for answers that "
        "are kept.",
        _COST,
        Article(
            "For 5 minutes an operator's stop has held, of a tenant or (`*`) of all. It is a reminder: nothing else takes it back.",
            "Calls that would cost are refused with 429 `spending_stopped`. Kept answers are still given.",
            "`GET /api/budgets` lists who is stopped; the log line `spending_stopped` tells since when.",
            '`POST /api/budgets` with `{"tenant": "acme", "stopped": false}`, or with `null` in place of a name for all.',
            (
                "max by (job, tenant) (llm_sidecar_spending_stopped) == 1",
                'sum by (job, tenant) (increase(llm_sidecar_rate_limited_requests_total{limit="stopped"}[15m])) > 0',
            ),
        ),
        choose=_TENANT,
    )


def _cost_spike(terms: Terms) -> Alert:
    threshold = terms.thresholds.cost_spike
    floor_usd = write_number(terms.traffic.cost_usd_per_hour)
    # Without a day before, or where nothing was spent in that hour, there is nothing to compare with: no series, no alert.
    rise = f"{_HOURLY_COST} / ({_HOURLY_COST} offset 1d > 0)"
    steps = {Severity.WARNING: Step("10m", "Calls cost far more than a day ago.")}
    return Alert(
        "LLMCostSpike",
        make_tiers(threshold, rise, f"and {_HOURLY_COST} >= {floor_usd}", print_number, steps),
        "The calls of {{ $labels.job }} cost {{ $value | humanize }} times as much in the last hour as in the same hour a day ago, above "
        "the limit of {limit} times.",
        _COST,
        Article(
            f"In the last hour calls cost more than {print_limits(threshold, print_number)} times as much as in the same hour a day ago, "
            f"and at least {floor_usd} US dollars. A sidecar that has not run for a day, or that nobody paid for at "
            "that hour, cannot raise it.",
            "The bill. A prompt that grew, a loop in an agent or a leaked credential are found here long before the invoice tells.",
            '"Cost per hour by model" and "Cost per hour by tenant" show whose it is; "Tokens by type" whether prompts, answers or '
            'reasoning grew; "Calls by model" whether there are simply more of them. More retries and hedges cost too: "Retries by cause".',
            "Stop a tenant that runs away (`POST /api/budgets` with its name and `stopped`), or give it a budget in `budgets`. Where the "
            "new level is meant, nothing is to be done: the alert is gone within a day.",
            (
                'topk(10, sum by (job, provider, model) (increase(llm_sidecar_cost_usd_total{source!="estimated"}[1h])))',
                "topk(10, sum by (job, tenant) (increase(llm_sidecar_tenant_cost_usd_total[1h])))",
                "sum by (job, model, type) (increase(llm_sidecar_tokens_total[1h]))",
            ),
        ),
        keep="10m",
    )


def _unpriced_traffic(terms: Terms) -> Alert:
    expr = f"{sum_over_target('increase(llm_sidecar_unpriced_requests_total[1h])', 'reason')} >= {terms.traffic.events}"
    return Alert(
        "LLMUnpricedTraffic",
        (Tier(Severity.INFO, expr, "5m", "The cost shown is too low.", str(terms.traffic.events)),),
        "{{ $value | humanize }} calls of {{ $labels.job }} in the last hour used a model, a service tier or a kind of token that has no "
        "price in the table; {limit} or more are told.",
        _COST,
        Article(
            f"At least {terms.traffic.events} calls in the last hour have token counts but used a model that the price table does not "
            "know, a service tier whose prices it does not list, or tokens of audio and images, for which it has none (`reason` of "
            '`llm_sidecar_unpriced_requests_total`, and "Calls without a price").',
            "The cost shown is too low. Nothing else is wrong.",
            '"Calls by model" names the models. The table is YAML; the built-in one is `sidecar/data/prices.yaml`.',
            "Copy the table, add the model or tier, and set `prices.file` to the copy.",
            (
                "sum by (job, reason) (increase(llm_sidecar_unpriced_requests_total[1h])) > 0",
                "sum by (job, provider, model) (increase(llm_sidecar_requests_total[1h])) > 0",
            ),
        ),
    )


def _ledger_failing() -> Alert:
    # Damage is found at a start, before anything was scraped: a counter that begins at 1 has no increase.
    expr = (
        f"sum without ({TARGET}) (increase(llm_sidecar_ledger_failures_total[15m])) > 0\n"
        f"or sum without ({TARGET}) (\n"
        '  llm_sidecar_ledger_failures_total{reason="damaged"}\n'
        "  and on (job, instance) time() - process_start_time_seconds < 3600\n"
        ") > 0"
    )
    return Alert(
        "LLMLedgerFailing",
        (Tier(Severity.CRITICAL, expr, "", "What is spent may be forgotten."),),
        "The ledger of budgets of {{ $labels.job }} could not be read or written ({{ $labels.reason }}), in the last 15 minutes or at a "
        "start.",
        _COST,
        Article(
            "The file of `budgets.file` could not be written or brought to disk, or was found damaged at a start.",
            "Calls go on and budgets hold, but a restart would forget what has been spent since. Of a damaged file what could be read "
            "counts, so budgets may allow more than is left.",
            "The log lines `ledger_failed`, with what the system said, and `ledger_damaged`, with the name under which the damaged file is "
            'kept. "Ledger failures by reason" shows whether it goes on.',
            "Make room on the disk, or let the sidecar write to that folder again. Where spending has to stop until then, "
            '`POST /api/budgets` with `{"tenant": null, "stopped": true}`.',
            ("sum by (job, instance, reason) (increase(llm_sidecar_ledger_failures_total[1h])) > 0",),
        ),
    )
