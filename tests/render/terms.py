"""Terms of which everything is other than by default: what is rendered with them must change in every place together.

Shares are no whole percentages, so that one that is rounded where it is told is found.
"""

from typing import Final

from sidecar.core.settings.terms import read_terms
from sidecar.core.settings.tree import Document
from sidecar.thresholds import Terms

_FILE: Final = {
    "thresholds": {
        "mean_latency": {"warning": 5, "critical": "10s", "grades": [3, 5, 10]},
        "latency_p95": {"warning": 5, "critical": 20.48},
        "error_ratio": {"warning": 0.025, "critical": 0.125, "grades": [0.0075, 0.025, 0.125]},
        "cache_hit_ratio": {"info": 0.345},
        "time_to_first_token_p95": {"warning": 5.12, "bands": {"excellent": "1280ms", "good": 5.12}},
        "output_tokens_per_second": {"warning": 20, "bands": {"excellent": 75, "good": 30, "acceptable": 20}},
        "response_time": {"bands": {"excellent": 3, "good": 10, "slow": 20.48}},
        "ratelimit_remaining": {"info": 0.275, "warning": 0.075},
        "budget_spent": {"warning": 0.725, "critical": 0.925},
        "rate_limited_ratio": {"warning": 0.085},
        "tenant_limited_ratio": {"warning": 0.115},
        "cut_ratio": {"warning": 0.035},
        "tool_error_ratio": {"warning": 0.255},
        "spans_dropped_ratio": {"warning": 0.045},
        "memory_used": {"warning": 0.725, "critical": 0.925},
        "overhead_p99": {"warning": "100ms"},
        "cost_spike": {"warning": 5},
        "requests_per_minute": {"warning": 20, "target": 500},
        "quality": {"warning": 0.6, "target": 0.8},
    },
    "traffic": {"calls": 50, "timed_calls": 30, "cut_answers": 7, "events": 25, "cache_lookups": 120, "cost_usd_per_hour": 4.5},
    "objective": {"success_ratio": 0.995},
    "links": {"runbook": "https://wiki.example/runbook.md", "dashboards": "https://grafana.example"},
}

DEFAULT: Final = Terms()
OTHER: Final = read_terms(Document("other.yaml", _FILE, {}))
BOTH: Final = {"by default": DEFAULT, "others": OTHER}
