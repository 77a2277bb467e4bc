"""Errors in answering: the upstream had the call, or a part of it, and did not answer well or in time."""

from collections.abc import Mapping
from typing import Final

from sidecar.render.alerting import Article
from sidecar.render.articles.counting import count_attempts, count_calls

_FIRST_TOKEN: Final = (
    "histogram_quantile(0.95, sum by (job, provider, model, le) (rate(llm_sidecar_time_to_first_token_seconds_bucket[5m])))"
)
_PAID: Final = "The provider may have done the work, and bill it."

ANSWERS: Final[Mapping[str, Article]] = {
    "upstream_reset": Article(
        meaning="A connection was closed with no byte of an answer on it. The message tells whether it was a new or an idle one.",
        impact=f"In a pool the next upstream is asked, where the call may be made again; else the caller gets 502. {_PAID}",
        diagnosis="""\
`an idle connection was closed`: something on the way closes idle connections sooner than `upstreams.NAME.keep_alive`, a load balancer
or NAT. `no answer came`, in bursts: a deployment or crash of the upstream. On every call: it wants another protocol, such as TLS.
The span attribute `llm_sidecar.connection.reused` tells the first from the rest.""",
        mitigation="Set `upstreams.NAME.keep_alive` below what the middlebox allows; else look at the upstream's own log.",
        queries=(*count_calls("reset", "upstream_reset"), count_attempts("reset")),
    ),
    "upstream_malformed": Article(
        meaning="What came is not HTTP/1.1, has a head above `limits.head`, or is no answer to a WebSocket's handshake.",
        impact="The caller gets 502, or the next upstream of a pool is asked. Such bytes are never passed on.",
        diagnosis="""\
On every call: the `url` has the wrong scheme or port (TLS answered to plain HTTP begins with byte 21), or leads to HTTP/2 only. Now
and then: a middlebox that answers in the upstream's place. Long heads: cookies, or a policy header that grew.""",
        mitigation="Correct the `url`; raise `limits.head` where the message says that the head is too large.",
        queries=(*count_calls("malformed", "upstream_malformed"), count_attempts("malformed")),
    ),
    "first_byte_timeout": Article(
        meaning="""\
The request was sent, and no byte of an answer came within `timeouts.first_byte`. Calls that are not streamed wait for all of it.""",
        impact=f"The caller waited that long, and gets 504 where no other upstream answers. {_PAID}",
        diagnosis="""\
One model only: it thinks, or writes much, before it sends anything; compare with "Time to first token". All models of a provider: its
queue; look at its status page. "Attempts by outcome" shows whether it is one upstream of a pool.""",
        mitigation="""\
Stream; raise `timeouts.first_byte` for models that are known to be slow; lower it in a pool, to ask the next one sooner.""",
        queries=(*count_calls("first_byte_timeout", "first_byte_timeout"), count_attempts("first_byte_timeout"), _FIRST_TOKEN),
    ),
    "first_token_timeout": Article(
        meaning="""\
A stream of a pool began and held no token within `timeouts.first_token` (by default `timeouts.first_byte`), while another upstream
could have answered. It counts under the same ending as `first_byte_timeout`.""",
        impact=f"Nothing of that stream has gone to the caller; the next upstream is asked, or the caller gets 504. {_PAID}",
        diagnosis="""\
Role-only chunks, pings and empty chunks are no tokens: a reasoning model can send those for long. Look at "Time to first token" of
the model before the failures, against the limit.""",
        mitigation="Raise `timeouts.first_token` for pools with reasoning models, or ask for less reasoning effort.",
        queries=(*count_calls("first_byte_timeout", "first_token_timeout"), count_attempts("first_byte_timeout"), _FIRST_TOKEN),
    ),
    "idle_timeout": Article(
        meaning="""\
Within an answer nothing came for `timeouts.idle`; of a WebSocket, neither side sent anything for `timeouts.websocket_idle`. A caller
that stopped reading is not this, it ends as `client_gone`.""",
        impact="The caller has a part of the answer, an error event where the form knows one, and an aborted connection.",
        diagnosis="""\
"Gaps between chunks" before it happened. Gaps that end at a round number of seconds are a middlebox that buffers or drops: proxies
that do not know streams. Otherwise the provider stalled: its status page.""",
        mitigation="Raise `timeouts.idle` if the model is known to pause this long; switch buffering off on the way.",
        queries=(
            *count_calls("idle_timeout", "idle_timeout"),
            count_attempts("idle_timeout"),
            "histogram_quantile(0.99, sum by (job, gen_ai_request_model, le) (\n"
            "  rate(gen_ai_client_operation_time_per_output_chunk_seconds_bucket[5m])\n))",
        ),
    ),
    "total_timeout": Article(
        meaning="""\
All of the call, its queueing and all of its attempts, took longer than `timeouts.total`, or than the caller's `x-sidecar-timeout`.""",
        impact=f"Before the answer began the caller gets 504; after that, a part of it and an aborted connection. {_PAID}",
        diagnosis="""\
`GET /debug/exchanges` shows where the time went: `queued_s`, and of each attempt when it connected, had its head and ended. Many
attempts: what failed before is the cause. One long attempt: a long answer, or a caller that asks for very little time.""",
        mitigation="Raise `timeouts.total`, or have the caller send a longer `x-sidecar-timeout`; ask for shorter answers.",
        queries=(
            *count_calls("total_timeout", "total_timeout"),
            "histogram_quantile(0.95, sum by (job, le) (rate(llm_sidecar_queue_wait_seconds_bucket[5m])))",
        ),
    ),
    "stream_cut": Article(
        meaning="""\
An answer broke off: its connection was lost, or it ended without the end mark of its form. It never ends cleanly for the caller, is
never kept in the cache, and is the matter of LLMAnswersCut.""",
        impact=f"The caller has a part of the answer and knows it. {_PAID}",
        diagnosis="""\
Compare in the traces after how long they break off: always the same time is an idle or total limit of something on the way, at random
the provider. Of a batch's entry: the call was ended before its answer was whole.""",
        mitigation="""\
Raise the limit of the middlebox, or have it let streams through; else the provider has to mend it. Callers repeat the call.""",
        queries=(*count_calls("cut", "stream_cut"), count_attempts("cut")),
    ),
    "circuit_open": Article(
        meaning="""\
No upstream was asked: the breakers of all that could take the call are open. The answer has `Retry-After`. LLMCircuitBreakerOpen and
LLMNoUpstreamAvailable tell of it.""",
        impact="Calls on the route fail at once, until a breaker lets probes through.",
        diagnosis="""\
"Openings by reason" tells why: failures in a row, a share of errors, slow beginnings, or an operator. "Attempts by outcome" shows what
failed before. `GET /api/upstreams` has each breaker, when it will next let calls through, and what it has seen.""",
        mitigation="""\
Mend what failed; the breaker closes by itself. If it is wrong: `upstreams.NAME.breaker: closed`, or raise `breaker.consecutive`,
`breaker.error_share` or `breaker.slow`. With a second upstream in a pool, one that is gone is no outage.""",
        queries=(
            count_calls("unavailable", "circuit_open")[0],
            "max by (job, upstream) (llm_sidecar_circuit_breaker_state) == 2",
            "sum by (job, upstream, reason) (increase(llm_sidecar_circuit_breaker_openings_total[1h])) > 0",
        ),
    ),
}
