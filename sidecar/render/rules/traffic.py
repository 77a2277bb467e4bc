"""An alert on calls that stay away: low-traffic.yml, by choice, for where there is always traffic."""

from typing import Final

from sidecar.render.alerting import TARGET, Alert, Article, Severity, Tier
from sidecar.render.figures import print_number, write_number
from sidecar.render.rules.forms import list_limits
from sidecar.thresholds import Terms

HEAD: Final = """\
Few calls, or none at all.

By choice, for where there is always traffic: everywhere else a night without calls is not worth a message."""


def list_rules(terms: Terms) -> tuple[Alert, ...]:
    """Return the one alert. A job of which no sidecar can be scraped is LLMSidecarDown's."""
    limit = list_limits(terms.thresholds.requests_per_minute)[Severity.WARNING]
    # Nothing is counted before the first call: a sidecar that is there and has counted nothing carries 0.
    expr = (
        "(\n"
        f"  sum without ({TARGET}, route, provider, model, ending) (rate(llm_sidecar_requests_total[10m]))\n"
        f"  or 0 * max without ({TARGET}, version, python) (llm_sidecar_build_info)\n"
        f") * 60 < {write_number(limit)}"
    )
    return (
        Alert(
            "LLMLowTraffic",
            (Tier(Severity.WARNING, expr, "15m", "Fewer calls come than there always are.", print_number(limit)),),
            "{{ $labels.job }} carried {{ $value | humanize }} calls per minute in the last 10 minutes, below the limit of {limit}.",
            "llm-sidecar-overview",
            Article(
                f"The sidecars of a job carried fewer than {print_number(limit)} calls per minute for 15 minutes, all together.",
                "None by itself. Where there is always traffic, callers have failed, or go past the sidecar.",
                '"Calls per second" shows when it fell. At once: a deployment of the application, its base URL, a network policy; look '
                "whether the application still calls its provider, directly. Slowly: the application's own callers.",
                "Mend the callers, or their way to the sidecar. Where quiet hours are normal, take low-traffic.yml out.",
                (
                    "sum by (job) (rate(llm_sidecar_requests_total[10m])) * 60",
                    "sum by (job, instance) (rate(llm_sidecar_requests_total[10m])) * 60",
                ),
            ),
            keep="10m",
        ),
    )
