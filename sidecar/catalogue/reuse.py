"""What can be seen of cache, shared work, limits and budgets: metrics, and the words they use."""

from typing import Final

# How a call was answered where answers may be kept or shared.
HIT: Final = "hit"
STALE: Final = "stale"
COALESCED: Final = "coalesced"
MISS: Final = "miss"
BYPASS: Final = "bypass"
CACHE_STATUSES: Final = (HIT, STALE, COALESCED, MISS, BYPASS)
CACHE_LEVELS: Final = ("hot", "warm", "shared")
# Why nothing kept was looked for: what is asked for cannot be kept, may not be by the settings, or the caller says so.
BYPASS_REASONS: Final = (
    "method", "form", "body", "not_deterministic", "tools", "conversation", "stateful", "directive", "route", "session",
)  # fmt: skip
# What is asked for, as cache.expiry tells it apart.
CACHE_KINDS: Final = ("answers", "tool_results", "conversations", "embeddings", "models", "tools")
# Who makes a call.
ORIGINS: Final = ("caller", "warming", "refresh")
# What may refuse a call.
RATE_WINDOWS: Final = ("second", "minute", "hour", "day")
BUDGET_WINDOWS: Final = ("day", "month")
HALTED: Final = "stopped"
LIMITS: Final = (
    *(f"{scope}{what}_{window}" for scope in ("", "all_") for what in ("requests", "tokens") for window in RATE_WINDOWS),
    *(f"{scope}budget_{window}" for scope in ("", "all_") for window in BUDGET_WINDOWS),
    HALTED,
)  # fmt: skip
