"""Errors of the sidecar itself: it had no room, was stopping, or failed."""

from collections.abc import Mapping
from typing import Final

from sidecar.render.alerting import Article
from sidecar.render.articles.counting import count_calls

_REFUSED: Final = count_calls("refused", "stopping")[0]

ITSELF: Final[Mapping[str, Article]] = {
    "overloaded": Article(
        meaning="""\
All upstreams that could take the call have as many calls as they are given at once, and the queue was full (`queue_full`), would have
kept it too long (`too_long`), or did (`gave_up`). LLMCallsShed tells of it.""",
        impact="Calls are refused at once with `Retry-After`; those in progress are not touched.",
        diagnosis="""\
"Pending calls and concurrency limit" shows which upstream is full, "Queue wait" for how long. A limit that fell by itself is
`upstreams.NAME.adaptive_concurrency` at work: the upstream became slow. More calls than ever: who makes them, by tenant and model.""",
        mitigation="""\
Raise `upstreams.NAME.concurrency`, or `limits.concurrency` where that is the bound, if the provider takes more; add an upstream; have
callers send less at once. `queue.size` and `queue.wait` help against bursts only.""",
        queries=(
            count_calls("overloaded", "overloaded")[0],
            "sum by (job, reason) (rate(llm_sidecar_shed_requests_total[5m])) > 0",
            "llm_sidecar_upstream_pending / llm_sidecar_upstream_concurrency_limit",
        ),
    ),
    "pool_full": Article(
        meaning="""\
Each of the upstream's connections (`upstreams.NAME.connections`) is busy, and none fell free within `timeouts.connect`, or very many
calls wait for one already. It counts under the same ending as `overloaded`.""",
        impact="In a pool the next upstream is asked; else the caller gets 503 with `Retry-After`.",
        diagnosis="""\
"Connections" at the limit while `llm_sidecar_upstream_pending` is below it: connections are held by long streams, which the concurrency
limit no longer counts once they have begun, or by callers that read slowly.""",
        mitigation="Raise `upstreams.NAME.connections`, or lower `upstreams.NAME.concurrency`, so that calls wait in the queue instead.",
        queries=(
            *count_calls("overloaded", "pool_full"),
            "sum by (job, upstream, state) (llm_sidecar_upstream_connections)",
        ),
    ),
    "websockets_full": Article(
        meaning="As many sessions are open as `limits.websockets` allows, handshakes included.",
        impact="New sessions get 503 with `Retry-After: 1`; open ones and all other calls go on.",
        diagnosis="""\
"Open WebSocket sessions" over the last day: a slow rise is sessions that nobody closes, a jump is callers that open one per request.
Sessions on which nothing moves end after `timeouts.websocket_idle`.""",
        mitigation="""\
Close sessions that are not needed, lower `timeouts.websocket_idle`, or raise `limits.websockets`: each takes two connections.""",
        queries=("sum by (job, instance) (llm_sidecar_websocket_sessions)", _REFUSED),
    ),
    "batch_overflow": Article(
        meaning="""\
The answer of one entry is longer than `limits.observed`, or the answers of the batch together are longer than `limits.body`.""",
        impact="That entry has this error in place of its answer; the tool was called, and may have done what it does.",
        diagnosis="`http.response.body.size` of the entry's span, against both limits.",
        mitigation="Make that call on its own, where answers have no bound, ask the tool for less, or raise the limit that was hit.",
        queries=(_REFUSED,),
    ),
    "stopping": Article(
        meaning="The sidecar was told to stop, and the call was not finished within `timeouts.shutdown`.",
        impact="Calls that had not begun to be answered get 503; of others, the rest is missing, and the connection is aborted.",
        diagnosis="""\
The log lines `stopping` and `stopped`, and how far they are apart. Less than `timeouts.shutdown`: it was killed before, as by a
`terminationGracePeriodSeconds` that is shorter. Often: the pod restarts, see its last state and LLMSidecarDown.""",
        mitigation="""\
Make the grace period longer than `timeouts.shutdown`, and that longer than most answers. Run it as a native sidecar, so that it ends
after the application.""",
        queries=(_REFUSED, "changes(process_start_time_seconds[1h]) > 0"),
    ),
    "internal": Article(
        meaning="An exception that nobody foresaw ended the call. It is a fault of the sidecar, whatever the upstream did.",
        impact="That call fails with 500; the process and all other calls go on.",
        diagnosis="""\
The log line `exchange_failed` has the request's id, the exception's type and where in the code it was raised, never what was said in the
call. `GET /debug/exchanges` and the trace show how far the call came.""",
        mitigation="""\
Report it with the log line and the version of `llm_sidecar_build_info`. If every call of one kind fails so, send them past the sidecar
until it is mended.""",
        queries=(*count_calls("sidecar_fault", "internal"), "sum by (job, version) (llm_sidecar_build_info)"),
    ),
}
