"""Terms of which everything is other than by default: what is rendered with them must change in every place together."""

from typing import Final

from sidecar.core.settings.terms import read_terms
from sidecar.core.settings.tree import Document
from sidecar.thresholds import Terms

_FILE: Final = {
    "thresholds": {
        "mean_latency": {"warning": 5, "critical": "10s", "grades": [3, 5, 10]},
        "latency_p95": {"warning": 5, "critical": 20.48},
        "error_ratio": {"warning": 0.02, "critical": 0.1, "grades": [0.005, 0.02, 0.1]},
        "cache_hit_ratio": {"info": 0.35},
        "time_to_first_token_p95": {"warning": 5.12, "bands": {"excellent": "1280ms", "good": 5.12}},
        "output_tokens_per_second": {"warning": 20, "bands": {"excellent": 75, "good": 30, "acceptable": 20}},
        "response_time": {"bands": {"excellent": 3, "good": 10, "slow": 20.48}},
        "ratelimit_remaining": {"info": 0.3, "warning": 0.1},
        "budget_spent": {"warning": 0.7, "critical": 0.9},
        "rate_limited_ratio": {"warning": 0.08},
        "tenant_limited_ratio": {"warning": 0.12},
        "cut_ratio": {"warning": 0.03},
        "tool_error_ratio": {"warning": 0.25},
        "spans_dropped_ratio": {"warning": 0.04},
        "memory_used": {"warning": 0.7, "critical": 0.9},
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
