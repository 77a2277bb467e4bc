"""What is kept and shared instead of being asked for again: how much is found, what it saves, why something is not kept."""

from functools import partial
from typing import Final

from sidecar.render.board import Board, Row, link_board
from sidecar.render.figures import print_share
from sidecar.render.panels import Panel, Step, Target, grade_colors, lines, stat, states
from sidecar.render.queries import Scope
from sidecar.thresholds import Terms

_LOOKUPS: Final = "llm_sidecar_cache_lookups_total"
_HITS: Final = "llm_sidecar_cache_hits_total"
_STALE: Final = "llm_sidecar_cache_stale_total"
_BYPASS: Final = "llm_sidecar_cache_bypass_total"
_STORED: Final = "llm_sidecar_cache_stored_total"
_LEFT_OUT: Final = "llm_sidecar_cache_not_stored_total"
_ENTRIES: Final = "llm_sidecar_cache_entries"
_BYTES: Final = "llm_sidecar_cache_bytes"
_EVICTIONS: Final = "llm_sidecar_cache_evictions_total"
_REFRESHES: Final = "llm_sidecar_cache_refreshes_total"
_WARMED: Final = "llm_sidecar_cache_warmed_total"
_SAVED_USD: Final = "llm_sidecar_cache_saved_usd_total"
_SAVED_TOKENS: Final = "llm_sidecar_cache_saved_tokens_total"
_COST: Final = "llm_sidecar_cost_usd_total"
_SHARED: Final = "llm_sidecar_coalesced_requests_total"
_SHARED_SAVED: Final = "llm_sidecar_coalesced_calls_saved_total"
_DETACHED: Final = "llm_sidecar_coalescing_detached_total"
_BATCHES: Final = "llm_sidecar_embedding_batches_total"
_INPUTS: Final = "llm_sidecar_embedding_batched_inputs_total"
_STORE_UP: Final = "llm_sidecar_shared_up"
_COMMANDS: Final = "llm_sidecar_shared_commands_total"
_TOOL_LOOKUPS: Final = "llm_sidecar_tool_cache_lookups_total"
_TOOL_HITS: Final = "llm_sidecar_tool_cache_hits_total"
_NO_LOOKUPS: Final = "No lookups"
_NO_CACHE: Final = "No lookups: features.cache is off, or nobody asks"
_NO_SIDECAR: Final = "No sidecar"
_NOTHING_SAVED: Final = "Nothing saved"
_NO_STORE: Final = "No shared store: redis.url is not set"
_FOR_WANT: Final = 'reason=~"full|memory"'
_KNOWN: Final = 'source!="estimated"'
_stat: Final = partial(stat, width=4)


def make_board(terms: Terms) -> Board:
    """Return the board."""
    scope = Scope(("provider", "model"))
    return Board(
        "llm-sidecar-cache",
        "Cache",
        "What is kept and shared instead of being asked for again: how much is found, what it saves, why something is not kept.",
        scope.variables,
        (
            Row("", _sum_up(scope, terms)),
            Row("What is looked for", _list_lookups(scope, terms)),
            Row("What is kept", _list_kept(scope)),
            Row("What it saves, of the chosen providers and models", _list_saved(scope)),
            Row("Calls that share one answer", _list_shared_calls(scope)),
            Row("The shared store", _list_store(scope)),
        ),
    )


def _sum_up(scope: Scope, terms: Terms) -> tuple[Panel, ...]:
    bypass, lookups = scope.rate(_BYPASS), scope.rate(_LOOKUPS)
    least = terms.thresholds.cache_hit_ratio
    return (
        _stat("Hit ratio", "Share of the lookups that found a kept answer. Where it stays below "
              f"{print_share(least.info)}: LLMLowCacheHitRatio, "
              "and the reasons below", "percentunit", [Target(_measure_hits(scope))], colors=grade_colors(least), empty=_NO_LOOKUPS),
        _stat("Lookups", "Calls a second for which a kept answer was looked for. 0 where features.cache is off", "reqps", [Target(lookups)],
              empty=_NO_SIDECAR),
        _stat("Not looked for", "Share of the calls for which nothing was looked for: what they ask cannot be kept, or may not be. Why is "
              "said below", "percentunit", [Target(f"{bypass} / (({bypass} + {lookups}) > 0)")], empty=_NO_LOOKUPS),
        _stat("Saved per hour", "US dollars an hour not spent because an answer was kept or shared. A click leads to the board of cost",
              "currencyUSD", [Target(f"{scope.rate(_SAVED_USD)} * 3600")], empty=_NOTHING_SAVED,
              links=[link_board("llm-sidecar-cost", "Cost and tokens")]),
        _stat("Share of cost saved", "What was saved, of what all calls would have cost; estimates left out", "percentunit",
              [Target(_measure_saved(scope))], empty=_NOTHING_SAVED),
        _stat("Tokens saved a minute", "Tokens not used because an answer was kept or shared", "short",
              [Target(f"{scope.rate(_SAVED_TOKENS)} * 60")], empty=_NOTHING_SAVED),
        _stat("Kept answers", "Answers kept in the sidecars' memory now", "short", [Target(scope.over("sum", _ENTRIES))],
              empty=_NO_SIDECAR),
        _stat("Memory of answers", "Memory that kept answers take; in each sidecar it ends at cache.warm.bytes", "bytes",
              [Target(scope.over("sum", _BYTES))], empty=_NO_SIDECAR),
        _stat("Evicted for space", "Answers a minute that had to go before their time. Where that goes on and the hit ratio is low, "
              "give the cache more entries or memory", "cpm", [Target(f"{scope.rate(_EVICTIONS, _FOR_WANT)} * 60")], empty=_NO_SIDECAR),
        _stat("Calls saved by sharing", "Calls a second that ended with the answer of another call in progress. 0 where "
              "features.coalescing is off", "reqps", [Target(scope.rate(_SHARED_SAVED))], empty=_NO_SIDECAR),
        _stat("Hit ratio of tools", "Share of the calls of tools that found a kept result", "percentunit",
              [Target(scope.share(scope.rate(_TOOL_HITS), scope.rate(_TOOL_LOOKUPS)))], empty=_NO_LOOKUPS),
        _stat("Shared store away", "Sidecars whose shared store does not answer now; they go on by themselves "
              "(LLMSharedStoreDown)", "short", [Target(f"sum({scope.select(_STORE_UP)} == bool 0)")],
              colors=(Step("green"), Step("red", 1)), empty="No shared store"),
    )  # fmt: skip


def _measure_hits(scope: Scope) -> str:
    return scope.share(scope.rate(_HITS), scope.rate(_LOOKUPS))


def _measure_saved(scope: Scope) -> str:
    saved = scope.rate(_SAVED_USD)
    # Where nothing was ever spent or saved, the other of the two is all there is.
    spent = f"({scope.rate(_COST, _KNOWN)} or 0 * {saved})"
    return f"{saved} / (({saved} + {spent}) > 0)"


def _list_lookups(scope: Scope, terms: Terms) -> tuple[Panel, ...]:
    by_level = f"{scope.rate(_HITS, by='level')} / on () group_left () ({scope.rate(_LOOKUPS)} > 0)"
    by_tool = scope.share(scope.rate(_TOOL_HITS, by="tool"), scope.rate(_TOOL_LOOKUPS, by="tool"), by="tool")
    looked_for = [Target(scope.rate(_LOOKUPS), "looked for"), Target(scope.rate(_HITS), "found"), Target(scope.rate(_STALE), "expired")]
    return (
        lines("Hit ratio over time", "Share of the lookups that found a kept answer, with the limit of LLMLowCacheHitRatio", "percentunit",
              [Target(_measure_hits(scope), "hit ratio")], colors=grade_colors(terms.thresholds.cache_hit_ratio), maximum=1,
              empty=_NO_CACHE, width=8),
        lines("Hit ratio by level", "The same by where the answer was found: their sum is the hit ratio. hot and warm are in the sidecar, "
              "shared is the store of all", "percentunit", [Target(by_level, "{{level}}")], stacked=True, maximum=1, empty=_NO_CACHE,
              width=8),
        lines("Lookups and expired answers", "Kept answers looked for and found, and expired ones given all the same", "reqps", looked_for,
              empty=_NO_SIDECAR, width=8),
        lines("Hits by level", "Kept answers found, by where", "reqps", [Target(scope.rate(_HITS, by="level"), "{{level}}")],
              stacked=True, empty=_NO_SIDECAR, width=12),
        lines("Bypass by reason", "Calls for which no kept answer was looked for, by why. not_deterministic: no temperature of 0 and no "
              "seed; see cache for what else may be kept", "reqps", [Target(f"{scope.rate(_BYPASS, by='reason')} > 0", "{{reason}}")],
              rare=True, empty="No bypass", width=12),
        lines("Lookups by tool", "Calls of tools for which a kept result was looked for", "reqps",
              [Target(scope.rate(_TOOL_LOOKUPS, by="tool"), "{{tool}}")], empty="No lookups of tools", width=12),
        lines("Hit ratio by tool", "Share of a tool's calls that found a kept result", "percentunit", [Target(by_tool, "{{tool}}")],
              maximum=1, empty="No lookups of tools", width=12),
    )  # fmt: skip


def _list_kept(scope: Scope) -> tuple[Panel, ...]:
    beforehand = [
        Target(scope.rate(series, by="outcome"), f"{name} "
        f"{{{{outcome}}}}") for series, name in ((_REFRESHES, "refresh"), (_WARMED, "warming"))
    ]  # fmt: skip
    return (
        lines("Stored by kind", "Answers kept, by what was asked for: each kind has an expiry of its own (cache.expiry)", "reqps",
              [Target(f"{scope.rate(_STORED, by='kind')} > 0", "{{kind}}")], rare=True, empty="Nothing stored", width=8),
        lines("Not stored by reason", "Answers that could have been looked for and are not kept. unfit: failed, cut, refused or not to be "
              "kept by its server's word; too_large: longer than one may be", "reqps",
              [Target(f"{scope.rate(_LEFT_OUT, by='reason')} > 0", "{{reason}}")], rare=True, empty="Nothing left out", width=8),
        lines("Evictions", "Answers that are no longer kept, by level and why. full and memory: for want of room; expired and idle: nobody "
              "asked in time", "reqps", [Target(f"{scope.rate(_EVICTIONS, by='level, reason')} > 0", "{{level}}: {{reason}}")],
              rare=True, empty="No evictions", width=8),
        lines("Entries by level", "Answers kept in memory: hot are the latest, warm are compressed", "short",
              [Target(scope.over("sum", _ENTRIES, by="level"), "{{level}}")], stacked=True, empty=_NO_SIDECAR, width=8),
        lines("Memory by level", "Memory that kept answers take", "bytes",
              [Target(scope.over("sum", _BYTES, by="level"), "{{level}}")], stacked=True, empty=_NO_SIDECAR, width=8),
        lines("Refreshes and warming", "Answers fetched before somebody had to wait for them, by how that ended. Nothing without "
              "features.refresh and features.warming", "reqps", beforehand, empty=_NO_SIDECAR, width=8),
    )  # fmt: skip


def _list_saved(scope: Scope) -> tuple[Panel, ...]:
    models = f"{scope.rate(_SAVED_USD, by='provider, model')} * 3600"
    return (
        lines("Saved per hour by model", "US dollars an hour not spent because an answer was kept or shared, as the answer's own call "
              "cost",
              "currencyUSD", [Target(models, "{{provider}} {{model}}")], stacked=True, empty=_NOTHING_SAVED, width=8),
        lines("Saved tokens by type", "Tokens not used because an answer was kept or shared; no panel of tokens used holds them",
              "suffix:tok/s", [Target(scope.rate(_SAVED_TOKENS, by="type"), "{{type}}")], stacked=True, empty=_NOTHING_SAVED, width=8),
        lines("Share of cost saved over time", "What was saved, of what all calls would have cost; estimates left out", "percentunit",
              [Target(_measure_saved(scope), "saved")], maximum=1, empty=_NOTHING_SAVED, width=8),
    )  # fmt: skip


def _list_shared_calls(scope: Scope) -> tuple[Panel, ...]:
    return (
        lines("Coalesced calls by role", "Calls that share an upstream call: those that had begun it and those that joined", "reqps",
              [Target(scope.rate(_SHARED, by="role"), "{{role}}")], empty=_NO_SIDECAR, width=8),
        lines("Calls saved and followers let go", "Calls that ended with another one's answer, and followers that read too slowly to keep "
              "up", "reqps", [Target(scope.rate(_SHARED_SAVED), "saved"), Target(scope.rate(_DETACHED), "let go")], empty=_NO_SIDECAR,
              width=8),
        lines("Embeddings in batches", "Upstream calls that carried the embeddings of several callers, and their inputs. Nothing without "
              "features.batches", "cps", [Target(scope.rate(_BATCHES), "batches"), Target(scope.rate(_INPUTS), "inputs")],
              empty=_NO_SIDECAR, width=8),
    )  # fmt: skip


def _list_store(scope: Scope) -> tuple[Panel, ...]:
    failed = scope.share(scope.rate(_COMMANDS, 'outcome!="ok"'), scope.rate(_COMMANDS))
    lost = [("damaged", "llm_sidecar_cache_damaged_total"), ("dropped", "llm_sidecar_shared_dropped_total")]
    return (
        states("Shared store", "Whether the shared store answers, as each sidecar sees it (LLMSharedStoreDown). While it is away, each "
               "sidecar keeps, limits and budgets by itself", [Target(scope.over("min", _STORE_UP, by="instance"), "{{instance}}")],
               (("away", "red"), ("up", "green")), empty=_NO_STORE, width=6),
        lines("Commands by outcome", "Commands to the shared store; late ones took longer than redis.timeout, those of away were not sent",
              "cps", [Target(scope.rate(_COMMANDS, by="outcome"), "{{outcome}}")], empty=_NO_SIDECAR, width=6),
        lines("Share of commands that failed", "Failed, late or not sent: each is a lookup in vain, and no call's failure", "percentunit",
              [Target(failed, "failed")], maximum=1, empty="No commands", width=6),
        lines("Damaged and dropped answers", "Kept answers that could not be read or were not ours, and answers not written because too "
              "many were waiting", "cps", [Target(scope.rate(series), name) for name, series in lost], empty=_NO_SIDECAR, width=6),
    )  # fmt: skip
