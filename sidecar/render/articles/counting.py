"""Queries that count calls and attempts by how they ended."""


def count_calls(ending: str, error_id: str) -> tuple[str, ...]:
    """Return the rate of calls with an ending, by route, and of those that ended so by one error id, by HTTP route.

    The second one lacks calls for which no upstream was chosen: their id is only on spans, and in what the caller got.
    """
    return (
        f'sum by (job, route) (rate(llm_sidecar_requests_total{{ending="{ending}"}}[5m])) > 0',
        f'sum by (job, http_route) (rate(http_server_request_duration_seconds_count{{error_type="{error_id}"}}[5m])) > 0',
    )


def count_attempts(outcome: str) -> str:
    """Return the rate of attempts that came to `outcome`, by upstream: also of those after which another one succeeded."""
    return f'sum by (job, upstream) (rate(llm_sidecar_attempts_total{{outcome="{outcome}"}}[5m])) > 0'
