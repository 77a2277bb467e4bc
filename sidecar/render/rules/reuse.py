"""Alerts on what is kept: a cache that finds little."""

from sidecar.render.alerting import Alert, Article, Severity
from sidecar.render.figures import print_percentage
from sidecar.render.rules import recordings
from sidecar.render.rules.forms import Step, make_tiers, print_limits
from sidecar.thresholds import Terms


def list_rules(terms: Terms) -> tuple[Alert, ...]:
    """Return the alerts on cache and shared work."""
    return (_low_cache_hit_ratio(terms),)


def _low_cache_hit_ratio(terms: Terms) -> Alert:
    threshold, least = terms.thresholds.cache_hit_ratio, terms.traffic.cache_lookups
    steps = {Severity.INFO: Step("30m", "The cache finds little of what is looked for.")}
    return Alert(
        "LLMLowCacheHitRatio",
        make_tiers(threshold, recordings.CACHE_HIT_RATIO, f"and {recordings.CACHE_LOOKUPS} >= {least}", print_percentage, steps),
        "{{ $value | humanizePercentage }} of the answers that {{ $labels.job }} looked for in the last 30 minutes were kept, "
        "below the limit of {limit}.",
        "llm-sidecar-cache",
        Article(
            f"Less than {print_limits(threshold, print_percentage)} of the answers that were looked for in the last 30 minutes were kept, "
            f"of at least {least}; and that for 30 minutes.",
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
