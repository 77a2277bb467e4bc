"""What calls use and cost: by provider and model, by tenant, against budgets, and how far these numbers can be trusted."""

from functools import partial
from typing import Final

from sidecar.render.board import Board, Row, link_board, link_cell, link_traces
from sidecar.render.boards.accounts import list_budgets, list_tenants, sum_up_accounts
from sidecar.render.panels import Panel, Step, Target, heatmap, lines, stat
from sidecar.render.queries import Scope
from sidecar.render.signals import CALLS
from sidecar.render.tables import Column, Key, ranking
from sidecar.thresholds import Terms

_COST: Final = "llm_sidecar_cost_usd_total"
_TOKENS: Final = "llm_sidecar_tokens_total"
_USED: Final = "gen_ai_client_token_usage"
_SAVED: Final = "llm_sidecar_cache_saved_usd_total"
_RECORDS: Final = "llm_sidecar_usage_records_total"
_LOADED: Final = "llm_sidecar_config_last_reload_success_timestamp_seconds"
# What the provider or the table said: estimates are shown apart.
_KNOWN: Final = 'source!="estimated"'
_ESTIMATED: Final = 'source="estimated"'
_OF_MODEL: Final = "provider, model"
_OF_INPUT: Final = 'type=~"input|cache_read|cache_write"'
_OF_OUTPUT: Final = 'type=~"output|reasoning"'
_UNPRICED: Final = "No priced calls"
_UNCOUNTED: Final = "No token counts"
_HOUR_S: Final = 3600
_DAY_S: Final = 86400
_MONTH_DAYS: Final = 30
_stat: Final = partial(stat, width=4)


def make_board(terms: Terms) -> Board:
    """Return the board."""
    scope = Scope(("provider", "model", "tenant"))
    return Board(
        "llm-sidecar-cost",
        "Cost and tokens",
        "What calls use and cost, who spends it, what is left of budgets, and what is only estimated or has no price.",
        scope.variables,
        (
            Row("", (*_sum_up(scope), *sum_up_accounts(scope, terms))),
            Row("Cost by provider and model, of all tenants", _list_cost(scope, terms)),
            Row("Tokens by model, of all tenants", _list_tokens(scope)),
            Row("How far the numbers can be trusted", _list_doubts(scope)),
            list_tenants(scope, terms),
            list_budgets(scope, terms),
        ),
    )


def _sum_up(scope: Scope) -> tuple[Panel, ...]:
    cost, tokens = scope.rate(_COST, _KNOWN), scope.rate(_TOKENS, _KNOWN)
    calls = scope.rate("gen_ai_client_operation_duration_seconds_count", 'error_type=""')
    unpriced = scope.share(scope.rate("llm_sidecar_unpriced_requests_total"), scope.rate(_RECORDS, 'source!="absent"'))
    cached = scope.share(scope.rate(_TOKENS, _KNOWN, 'type="cache_read"'), scope.rate(_TOKENS, _KNOWN, _OF_INPUT))
    return (
        _stat("Cost per hour", "US dollars an hour at the present rate, as providers reported them or by the price table. Models without a "
              "price and estimates are not in it. Where it leaps: LLMCostSpike", "currencyUSD", [Target(f"{cost} * {_HOUR_S}")],
              empty=_UNPRICED),
        _stat("Projected day", "What 24 hours cost if they go on as the last hour did, or as the time since the start where that is less",
              "currencyUSD", [Target(_project(scope, _HOUR_S, "1h", 1), instant=True)], empty=_UNPRICED),
        _stat("Projected month", "What 30 days cost if they go on as the last day did, or as the time since the start where that is less",
              "currencyUSD", [Target(_project(scope, _DAY_S, "1d", _MONTH_DAYS), instant=True)], empty=_UNPRICED),
        _stat("Cost per call", "US dollars for each call that succeeded, those answered from the cache included. Where it rises: longer "
              "prompts, a dearer model, or fewer hits", "currencyUSD", [Target(f"{cost} / ({calls} > 0)")], empty=_UNPRICED),
        _stat("Saved per hour", "US dollars an hour not spent because an answer was kept or shared. A click leads to the board of the "
        "cache",
              "currencyUSD", [Target(f"{scope.rate(_SAVED)} * {_HOUR_S}")], empty="Nothing saved",
              links=[link_board("llm-sidecar-cache", "Cache")]),
        _stat("Tokens per minute", "Billable tokens of all types at the present rate, as providers reported them; estimates are not in it",
              "short", [Target(f"{tokens} * 60")], empty=_UNCOUNTED),
        _stat("Cached share of input", "Share of the input tokens that providers read from their own prompt caches, at a fraction of the "
              "price. Where it falls: the beginning of prompts changes from call to call", "percentunit", [Target(cached)],
              empty=_UNCOUNTED),
        _stat("Without a price", "Share of the calls with known or estimated tokens that have no price: the cost shown is too low by "
              "theirs. Where it stays: LLMUnpricedTraffic", "percentunit", [Target(unpriced)], colors=(Step("green"), Step("blue", 1e-6))),
    )  # fmt: skip


def _project(scope: Scope, window_s: int, window: str, times: int) -> str:
    # Where there is less than a whole window, what there is stands for it: since the earliest load of a configuration in the window.
    since = f"clamp(time() - min(min_over_time({scope.select(_LOADED)}[{window}])), 60, {window_s})"
    return f"sum(increase({scope.select(_COST, _KNOWN)}[{window}])) / {since} * {_DAY_S * times}"


def _list_cost(scope: Scope, terms: Terms) -> tuple[Panel, ...]:
    hour = f"increase({scope.select(_COST, _KNOWN)}[1h]"
    spike = terms.thresholds.cost_spike.warning
    return (
        lines("Cost per hour by provider", "US dollars an hour at the present rate, without what was estimated", "currencyUSD",
              [Target(f"{scope.rate(_COST, _KNOWN, by='provider')} * {_HOUR_S}", "{{provider}}")], stacked=True, empty=_UNPRICED, width=12),
        lines("Cost per hour by model", "US dollars an hour at the present rate, without what was estimated", "currencyUSD",
              [Target(f"{scope.rate(_COST, _KNOWN, by=_OF_MODEL)} * {_HOUR_S}", "{{provider}} {{model}}")], stacked=True, empty=_UNPRICED,
              width=12),
        lines("Cost against a day ago", "US dollars in the last hour, and in the same hour a day ago. LLMCostSpike fires where now is more "
              f"than {spike:g} times then: look below for the model and the tenant that grew", "currencyUSD",
              [Target(f"sum({hour}))", "now"), Target(f"sum({hour} offset 1d))", "a day ago")], dashed="a day ago", empty=_UNPRICED,
              width=12),
        lines("Cost of hedges per hour", "US dollars an hour for attempts that lost against another one, where it is known; no other "
              "panel of cost holds them. 0 where features.hedging is off", "currencyUSD",
              [Target(f"{scope.rate('llm_sidecar_hedge_cost_usd_total', by='source')} * {_HOUR_S}", "{{source}}")], stacked=True,
              empty="No sidecar", width=12),
        _tabulate_models(scope),
    )  # fmt: skip


def _tabulate_models(scope: Scope) -> Panel:
    whole = scope._replace(whole=True)
    cost, calls = whole.rate(_COST, _KNOWN, by=_OF_MODEL), whole.rate(CALLS, 'ending="completed"', by=_OF_MODEL)
    tokens, *parts = (whole.rate(_TOKENS, _KNOWN, *part, by=_OF_MODEL) for part in ((), (_OF_INPUT,), (_OF_OUTPUT,)))
    columns = [
        Column("Cost", cost, "currencyUSD"),
        Column("Calls completed", f"round({calls})", "short"),
        Column("Tokens", f"round({tokens})", "short"),
        Column("Input", f"round({parts[0]})", "short"),
        Column("Output", f"round({parts[1]})", "short"),
        Column("Cost per call", f"{cost} / ({calls} > 0)", "currencyUSD"),
        Column("Per 1M tokens", f"{cost} / ({tokens} > 0) * 1e6", "currencyUSD"),
        Column("Saved", whole.rate(_SAVED, by=_OF_MODEL), "currencyUSD"),
    ]
    of_model = (
        link_cell("llm-sidecar-cost", "Cost of this model", "model", "Model"),
        link_cell("llm-sidecar-latency", "Latency of this model", "model", "Model"),
        link_cell("llm-sidecar-cache", "What the cache saves of this model", "model", "Model"),
        link_traces("Traces of this model", "span.gen_ai.request.model", "Model"),
    )
    of_provider = (link_cell("llm-sidecar-cost", "Cost of this provider", "provider", "Provider"),)
    keys = (Key("provider", "Provider", of_provider), Key("model", "Model", of_model))
    return ranking(
        "Models by cost", "What each model cost and used within the time that is chosen above, dearest first. A model without a cost has "
        "no price in the table, or its provider reports no tokens. Click on a model for its boards and its traces",
        keys, columns, empty="No calls yet",
    )  # fmt: skip


def _list_tokens(scope: Scope) -> tuple[Panel, ...]:
    per_call = [
        Target(scope.quantile(q, _USED, by="gen_ai_token_type"), f"{{{{gen_ai_token_type}}}} "
        f"{name}") for q, name in ((0.5, "p50"), (0.95, "p95"))
    ]  # fmt: skip
    inputs = scope.rate(_TOKENS, _KNOWN, _OF_INPUT)
    outputs = scope.rate(_TOKENS, _KNOWN, _OF_OUTPUT)
    shares = [
        Target(scope.share(scope.rate(_TOKENS, _KNOWN, f'type="{part}"'), whole), name)
        for part, whole, name in (
            ("cache_read", inputs, "input read from a cache"), ("cache_write", inputs, "input written to a cache"),
            ("reasoning", outputs, "output spent on reasoning"),
        )
    ]  # fmt: skip
    bound = "More than the model's context allows cannot be: a long tail is a prompt that grows from turn to turn."
    return (
        lines("Tokens by type", "Billable tokens per second as disjoint types: their sum is the total. Only what providers reported, for a "
              "call or for several together", "suffix:tok/s", [Target(scope.rate(_TOKENS, _KNOWN, by="type"), "{{type}}")],
              stacked=True, empty=_UNCOUNTED, width=8),
        lines("Tokens by model", "Billable tokens per second, as providers reported them", "suffix:tok/s",
              [Target(scope.rate(_TOKENS, _KNOWN, by=_OF_MODEL), "{{provider}} {{model}}")], stacked=True, empty=_UNCOUNTED, width=8),
        lines("Cached and reasoning share", "Of the input tokens, those that providers read from and wrote to their prompt caches; of the "
              "output tokens, those that nobody sees. Cache reads are cheap, writes are dearer than plain input, reasoning costs as "
              "output",
              "percentunit", shares, maximum=1, empty=_UNCOUNTED, width=8),
        lines("Tokens per call", "Half of the calls, and 95 % of them, used fewer tokens; cached ones are in input, reasoning in output",
              "short", per_call, empty=_UNCOUNTED, width=8),
        *(heatmap(f"{name.capitalize()} tokens per call, distribution", f"How many calls a second used how many {name} tokens. {note}",
                  "reqps", scope.rate(f"{_USED}_bucket", f'gen_ai_token_type="{name}"', by="le"), axis="short", empty=_UNCOUNTED, width=8)
          for name, note in (("input", bound), ("output", "What is at the upper end is cut off by max_tokens."))),
    )  # fmt: skip


def _list_doubts(scope: Scope) -> tuple[Panel, ...]:
    return (
        lines("Where token counts come from", "Calls whose tokens the provider reported, those whose tokens were estimated, and those "
              "without any. What is absent is not zero: it is in no panel of tokens or cost", "reqps",
              [Target(scope.rate(_RECORDS, by="source"), "{{source}}")], stacked=True, width=8),
        lines("Calls without a price", "Calls with known or estimated tokens that could not be priced, by reason; cost is too low by "
              "theirs. Add the model to a table of prices (LLMUnpricedTraffic)", "reqps",
              [Target(f"{scope.rate('llm_sidecar_unpriced_requests_total', by='reason')} > 0", "{{reason}}")], rare=True,
              empty="All calls priced", width=8),
        lines("Who priced the calls", "US dollars an hour by where the price came from: the provider's own word, the table, or the table "
              "for estimated tokens", "currencyUSD", [Target(f"{scope.rate(_COST, by='source')} * {_HOUR_S}", "{{source}}")], stacked=True,
              empty=_UNPRICED, width=8),
        lines("Answers repeated by the provider", "Answers that the provider took from a cache of its own and did not bill; they are in no "
              "panel of tokens or of streams", "reqps",
              [Target(scope.rate("llm_sidecar_replayed_answers_total", by=_OF_MODEL), "{{provider}} {{model}}")], empty="None repeated",
              width=8),
        lines("Estimated tokens by type", "Tokens per second that were estimated because a provider reported none, as usage.estimate asks; "
              "they are in no other panel of tokens", "suffix:tok/s", [Target(scope.rate(_TOKENS, _ESTIMATED, by="type"), "{{type}}")],
              stacked=True, empty="Nothing estimated", width=8),
        lines("Estimated cost per hour", "US dollars per hour of the estimated tokens; of all other panels of cost only the one of who "
              "priced the calls holds them", "currencyUSD",
              [Target(f"{scope.rate(_COST, _ESTIMATED, by=_OF_MODEL)} * {_HOUR_S}", "{{provider}} {{model}}")], stacked=True,
              empty="Nothing estimated", width=8),
    )  # fmt: skip
