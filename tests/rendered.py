"""The boards as they are rendered: for the terms that are committed, and for others, with which everything must hold, too."""

from functools import cache
from typing import Any, Final

from sidecar.render.board import build_board
from sidecar.render.boards import list_boards
from sidecar.thresholds import Band, Links, Terms, Thresholds

Json = dict[str, Any]

_THRESHOLDS: Final = Thresholds()
# Other limits than those that are committed, each the edge of a bucket, as a file of thresholds may have them.
OTHER: Final = Terms(
    thresholds=_THRESHOLDS._replace(
        mean_latency=_THRESHOLDS.mean_latency._replace(warning=2.0, critical=3.0, grades=(1.28, 2.0, 3.0)),
        latency_p95=_THRESHOLDS.latency_p95._replace(warning=2.0, critical=5.0),
        error_ratio=_THRESHOLDS.error_ratio._replace(warning=0.02, critical=0.1, grades=(0.005, 0.02, 0.1)),
        cache_hit_ratio=_THRESHOLDS.cache_hit_ratio._replace(info=0.3),
        time_to_first_token_p95=_THRESHOLDS.time_to_first_token_p95._replace(
            warning=2.56, bands=(Band("excellent", 0.64), Band("good", 2.56), Band("slow", None))
        ),
        output_tokens_per_second=_THRESHOLDS.output_tokens_per_second._replace(
            warning=20.0, bands=(Band("excellent", 75.0), Band("good", 50.0), Band("acceptable", 20.0), Band("slow", None))
        ),
        response_time=_THRESHOLDS.response_time._replace(
            bands=(Band("excellent", 1.28), Band("good", 3.0), Band("slow", 5.0), Band("very slow", None))
        ),
        ratelimit_remaining=_THRESHOLDS.ratelimit_remaining._replace(info=0.3, warning=0.1),
        budget_spent=_THRESHOLDS.budget_spent._replace(warning=0.7),
        tool_error_ratio=_THRESHOLDS.tool_error_ratio._replace(warning=0.2),
        spans_dropped_ratio=_THRESHOLDS.spans_dropped_ratio._replace(warning=0.02),
        tenant_limited_ratio=_THRESHOLDS.tenant_limited_ratio._replace(warning=0.1),
        memory_used=_THRESHOLDS.memory_used._replace(warning=0.7, critical=0.9),
        overhead_p99=_THRESHOLDS.overhead_p99._replace(warning=0.025),
    ),
    links=Links(runbook="https://runbooks.example/llm", dashboards="https://grafana.example"),
)
TERMS: Final[dict[str, Terms]] = {"committed": Terms(), "other": OTHER}


@cache
def build_boards(terms: str) -> dict[str, Json]:
    """Return every board for the terms of that name, by its file name."""
    return {name: build_board(board) for name, board in list_boards(TERMS[terms]).items()}
