"""Alerts on what is kept: a cache that finds little."""

from sidecar.render.alerting import Alert, Article, Severity, Tier, find_limit
from sidecar.render.figures import print_percentage, write_number
from sidecar.thresholds import Terms


def list_rules(terms: Terms) -> tuple[Alert, ...]:
    """Return the alerts on cache and shared work."""
    return (_low_cache_hit_ratio(terms),)


def _low_cache_hit_ratio(terms: Terms) -> Alert:
    limit = find_limit(terms.thresholds.cache_hit_ratio, Severity.INFO)
    expr = (
        f"job:llm_sidecar_cache_hits_per_lookups:ratio_increase30m < {write_number(limit)}\n"
        f"and job:llm_sidecar_cache_lookups:increase30m >= {terms.traffic.cache_lookups}"
    )
    return Alert(
        "LLMLowCacheHitRatio",
        (Tier(Severity.INFO, expr, "30m", "The cache finds little of what is looked for.", print_percentage(limit)),),
        "{{ $value | humanizePercentage }} of the answers that {{ $labels.job }} looked for in the last 30 minutes were kept, "
        "below the limit of {limit}.",
        "llm-sidecar-cache",
        Article(
            f"Less than {print_percentage(limit)} of the answers that were looked for in the last 30 minutes were kept, of at least "
            f"{terms.traffic.cache_lookups}; and that for 30 minutes.",
            "The cache costs memory and saves little. Nobody waits longer for it.",
            '"Not stored by reason" and "Evictions" tell whether answers are not kept, or not for long enough; where neither is much, '
            "calls are never the same. `unfit` is an answer that is not whole and good, or that its server does not want kept. Something "
            "that changes with each call, such as a time or an id in the prompt or in a header, makes each one a new one. "
            '"Commands by outcome" tells whether the shared store is there.',
            "Take out of prompts what makes no difference, name such headers in `cache.ignore_headers`, make `cache.warm` larger or "
            "`cache.expiry` longer. Where calls do not repeat, switch the cache off.",
            (
                "sum by (job, level) (increase(llm_sidecar_cache_hits_total[30m]))",
                "sum by (job, reason) (increase(llm_sidecar_cache_not_stored_total[30m]))",
                "sum by (job, level, reason) (increase(llm_sidecar_cache_evictions_total[30m]))",
            ),
        ),
        keep="10m",
    )
