"""What can be seen of cache, shared work, limits and budgets: metrics, and the words they use."""

from typing import Final

from sidecar.catalogue.kinds import Kind, Label, Metric
from sidecar.exchange import Usage

# How a call was answered where answers may be kept or shared.
HIT: Final = "hit"
STALE: Final = "stale"
COALESCED: Final = "coalesced"
MISS: Final = "miss"
BYPASS: Final = "bypass"
CACHE_STATUSES: Final = (HIT, STALE, COALESCED, MISS, BYPASS)
CACHE_TOLD: Final = (HIT, STALE, COALESCED)  # answered with another call's answer: nothing was used or billed for it
CACHE_LEVELS: Final = ("hot", "warm", "shared")
OWN_LEVELS: Final = CACHE_LEVELS[:2]  # in this process: how much is in them is known
EVICTION_REASONS: Final = ("full", "idle", "expired", "memory")
# Why nothing kept was looked for: what is asked for cannot be kept, may not be by the settings, or the caller says so.
BYPASS_REASONS: Final = (
    "method", "form", "body", "not_deterministic", "tools", "conversation", "stateful", "directive", "route", "session",
)  # fmt: skip
# What is asked for, as cache.expiry tells it apart.
CACHE_KINDS: Final = ("answers", "tool_results", "conversations", "embeddings", "models", "tools")
# Why an answer is not kept though the call would allow it: not whole and good, or its server does not want it; longer than one may be.
NOT_STORED_REASONS: Final = ("unfit", "too_large")
# Who makes a call.
CALLER: Final = "caller"
WARMING: Final = "warming"
REFRESH: Final = "refresh"
ORIGINS: Final = (CALLER, WARMING, REFRESH)
ERRAND_OUTCOMES: Final = ("succeeded", "failed")
COALESCING_ROLES: Final = ("leader", "follower")
SHARED_OUTCOMES: Final = ("ok", "failed", "late", "away")
LEDGER_FAILURES: Final = ("damaged", "write", "sync", "compaction")
EVERYBODY: Final = "*"  # in place of a tenant, whose name it cannot be: of budgets and stops that hold for all together
# What may refuse a call.
RATE_WINDOWS: Final = ("second", "minute", "hour", "day")
BUDGET_WINDOWS: Final = ("day", "month")
HALTED: Final = "stopped"
LIMITS: Final = (
    *(f"{scope}{what}_{window}" for scope in ("", "all_") for what in ("requests", "tokens") for window in RATE_WINDOWS),
    *(f"{scope}budget_{window}" for scope in ("", "all_") for window in BUDGET_WINDOWS),
    HALTED,
)  # fmt: skip

_LEVEL: Final = Label.closed("level", *CACHE_LEVELS)
_OWN_LEVEL: Final = Label.closed("level", *OWN_LEVELS)
_OUTCOME: Final = Label.closed("outcome", *ERRAND_OUTCOMES)
_PROVIDER, _MODEL, _TOOL = Label.known("provider"), Label.open("model", "model"), Label.open("tool", "tool")
_TENANT, _WINDOW, _TYPE = Label.known("tenant"), Label.closed("window", *BUDGET_WINDOWS), Label.closed("type", *Usage.__annotations__)

CACHE_LOOKUPS: Final = Metric(
    "llm_sidecar_cache_lookups_total", Kind.COUNTER,
    "Callers' calls for which a kept answer was looked for, but for those that then shared another call in progress.",
)  # fmt: skip
CACHE_HITS: Final = Metric(
    "llm_sidecar_cache_hits_total", Kind.COUNTER, "Calls answered with a kept answer, by the level it was found in.", "", (_LEVEL,)
)
CACHE_STALE: Final = Metric(
    "llm_sidecar_cache_stale_total", Kind.COUNTER,
    "Calls answered with an expired answer: in place of an error, or because the caller takes it.",
)  # fmt: skip
CACHE_BYPASS: Final = Metric(
    "llm_sidecar_cache_bypass_total", Kind.COUNTER, "Calls for which no kept answer was looked for, by why.", "",
    (Label.closed("reason", *BYPASS_REASONS),),
)  # fmt: skip
CACHE_STORED: Final = Metric(
    "llm_sidecar_cache_stored_total", Kind.COUNTER, "Answers that were kept, by what was asked for.", "",
    (Label.closed("kind", *CACHE_KINDS),),
)  # fmt: skip
CACHE_NOT_STORED: Final = Metric(
    "llm_sidecar_cache_not_stored_total", Kind.COUNTER, "Answers that were looked for in vain, and not kept when they came, by why.", "",
    (Label.closed("reason", *NOT_STORED_REASONS),),
)  # fmt: skip
CACHE_ENTRIES: Final = Metric("llm_sidecar_cache_entries", Kind.GAUGE, "Answers kept in this process.", "", (_OWN_LEVEL,))
CACHE_BYTES: Final = Metric("llm_sidecar_cache_bytes", Kind.GAUGE, "Memory that kept answers take.", "bytes", (_OWN_LEVEL,))
CACHE_EVICTIONS: Final = Metric(
    "llm_sidecar_cache_evictions_total", Kind.COUNTER,
    "Answers that are no longer kept in this process: for want of room or of memory, for nobody asking, or because their time was over.",
    "", (_OWN_LEVEL, Label.closed("reason", *EVICTION_REASONS)),
)  # fmt: skip
CACHE_DAMAGED: Final = Metric(
    "llm_sidecar_cache_damaged_total", Kind.COUNTER, "Kept answers that could not be read, or were not ours; they count as not found."
)
CACHE_REFRESHES: Final = Metric(
    "llm_sidecar_cache_refreshes_total", Kind.COUNTER, "Calls by which an answer in demand was fetched anew before it expired.", "",
    (_OUTCOME,),
)  # fmt: skip
CACHE_WARMED: Final = Metric(
    "llm_sidecar_cache_warmed_total", Kind.COUNTER, "Calls by which answers were fetched before anybody asked.", "", (_OUTCOME,)
)
CACHE_SAVED_TOKENS: Final = Metric(
    "llm_sidecar_cache_saved_tokens_total", Kind.COUNTER,
    "Tokens not used because an answer was kept or shared, as the answer's own call used them; no other metric of tokens holds them.",
    "tokens", (_PROVIDER, _MODEL, _TYPE),
)  # fmt: skip
CACHE_SAVED_USD: Final = Metric(
    "llm_sidecar_cache_saved_usd_total", Kind.COUNTER,
    "US dollars not spent because an answer was kept or shared, as the answer's own call cost; no other metric of cost holds them.",
    "usd", (_PROVIDER, _MODEL),
)  # fmt: skip
COALESCED_REQUESTS: Final = Metric(
    "llm_sidecar_coalesced_requests_total", Kind.COUNTER,
    "Calls that shared an upstream call: those that had begun it (leader) and those that joined (follower).", "",
    (Label.closed("role", *COALESCING_ROLES),),
)  # fmt: skip
COALESCED_SAVED: Final = Metric(
    "llm_sidecar_coalesced_calls_saved_total", Kind.COUNTER, "Calls that ended with the answer of another call in progress."
)
COALESCING_DETACHED: Final = Metric(
    "llm_sidecar_coalescing_detached_total", Kind.COUNTER, "Followers that were let go because they fell too far behind the answer."
)
EMBEDDING_BATCHES: Final = Metric(
    "llm_sidecar_embedding_batches_total", Kind.COUNTER, "Upstream calls that carried the embeddings of several callers."
)
EMBEDDING_INPUTS: Final = Metric("llm_sidecar_embedding_batched_inputs_total", Kind.COUNTER, "Inputs that went out in such calls.")
SHARED_UP: Final = Metric(
    "llm_sidecar_shared_up", Kind.GAUGE, "Whether the shared store answers (1) or is left alone for a while (0); only with redis.url."
)
SHARED_COMMANDS: Final = Metric(
    "llm_sidecar_shared_commands_total", Kind.COUNTER, "Commands to the shared store; those of away were not sent.", "",
    (Label.closed("outcome", *SHARED_OUTCOMES),),
)  # fmt: skip
SHARED_DROPPED: Final = Metric(
    "llm_sidecar_shared_dropped_total", Kind.COUNTER, "Answers not written to the shared store because too many were waiting for it."
)
TOOL_LOOKUPS: Final = Metric(
    "llm_sidecar_tool_cache_lookups_total", Kind.COUNTER, "Calls of a tool for which a kept result was looked for.", "", (_TOOL,)
)
TOOL_HITS: Final = Metric("llm_sidecar_tool_cache_hits_total", Kind.COUNTER, "Calls of a tool answered with a kept result.", "", (_TOOL,))
TENANT_REQUESTS: Final = Metric("llm_sidecar_tenant_requests_total", Kind.COUNTER, "Exchanges, by on whose account.", "", (_TENANT,))
TENANT_TOKENS: Final = Metric(
    "llm_sidecar_tenant_tokens_total", Kind.COUNTER, "Billable tokens, reported or apportioned, by on whose account.", "tokens",
    (_TENANT, _TYPE),
)  # fmt: skip
TENANT_COST: Final = Metric(
    "llm_sidecar_tenant_cost_usd_total", Kind.COUNTER, "Cost in US dollars, by on whose account; not of estimated tokens.", "usd",
    (_TENANT,),
)  # fmt: skip
RATE_LIMITED_REQUESTS: Final = Metric(
    "llm_sidecar_rate_limited_requests_total", Kind.COUNTER, "Calls that a limit or a budget of the sidecar's own refused, by which.", "",
    (_TENANT, Label.closed("limit", *LIMITS)),
)  # fmt: skip
BUDGET_SPENT_USD: Final = Metric(
    "llm_sidecar_budget_spent_usd", Kind.GAUGE, "US dollars spent in this day or month (UTC), as the budget counts them.", "usd",
    (_TENANT, _WINDOW),
)  # fmt: skip
BUDGET_RESERVED_USD: Final = Metric(
    "llm_sidecar_budget_reserved_usd", Kind.GAUGE, "US dollars set aside for calls in progress.", "usd", (_TENANT, _WINDOW)
)
BUDGET_LIMIT_USD: Final = Metric(
    "llm_sidecar_budget_limit_usd", Kind.GAUGE, "US dollars that may be spent in a day or month.", "usd", (_TENANT, _WINDOW)
)
BUDGET_SOFT_REACHED: Final = Metric(
    "llm_sidecar_budget_soft_limit_reached", Kind.GAUGE,
    "Whether so much of a budget is spent (budgets.soft) that it is warned of (1) or not (0).", "",
    (_TENANT, _WINDOW),
)  # fmt: skip
SPENDING_STOPPED_STATE: Final = Metric(
    "llm_sidecar_spending_stopped", Kind.GAUGE, "Whether an operator stopped the spending of a tenant, or of all (1), or not (0).",
    "", (_TENANT,),
)  # fmt: skip
LEDGER_FAILURES_TOTAL: Final = Metric(
    "llm_sidecar_ledger_failures_total", Kind.COUNTER, "What went wrong with the ledger of budgets; calls went on.", "",
    (Label.closed("reason", *LEDGER_FAILURES),),
)  # fmt: skip

REUSE_METRICS: Final[tuple[Metric, ...]] = (
    CACHE_LOOKUPS, CACHE_HITS, CACHE_STALE, CACHE_BYPASS, CACHE_STORED, CACHE_NOT_STORED, CACHE_ENTRIES, CACHE_BYTES, CACHE_EVICTIONS,
    CACHE_DAMAGED, CACHE_REFRESHES, CACHE_WARMED, CACHE_SAVED_TOKENS, CACHE_SAVED_USD, COALESCED_REQUESTS, COALESCED_SAVED,
    COALESCING_DETACHED, EMBEDDING_BATCHES, EMBEDDING_INPUTS, SHARED_UP, SHARED_COMMANDS, SHARED_DROPPED, TOOL_LOOKUPS, TOOL_HITS,
)  # fmt: skip
ACCOUNT_METRICS: Final[tuple[Metric, ...]] = (
    TENANT_REQUESTS, TENANT_TOKENS, TENANT_COST, RATE_LIMITED_REQUESTS, BUDGET_SPENT_USD, BUDGET_RESERVED_USD, BUDGET_LIMIT_USD,
    BUDGET_SOFT_REACHED, SPENDING_STOPPED_STATE, LEDGER_FAILURES_TOTAL,
)  # fmt: skip
