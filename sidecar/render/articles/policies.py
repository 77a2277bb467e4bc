"""Errors by which a policy declined a call: they count as `refused`, and in no error ratio."""

from collections.abc import Mapping
from typing import Final

from sidecar.render.alerting import Article
from sidecar.render.articles.counting import count_calls

_REFUSED: Final = count_calls("refused", "wish_unmet")[0]
_BY_LIMIT: Final = "sum by (job, tenant, limit) (rate(llm_sidecar_rate_limited_requests_total[5m])) > 0"
_LEFT: Final = "llm_sidecar_budget_limit_usd - llm_sidecar_budget_spent_usd - llm_sidecar_budget_reserved_usd"

POLICIES: Final[Mapping[str, Article]] = {
    "websocket_refused": Article(
        meaning="The route has `websocket: false`.",
        impact="Callers that insist on a WebSocket (realtime, live) cannot use the route; its other calls go on.",
        diagnosis="`llm-sidecar explain` shows `routes[].websocket` and where it was set.",
        mitigation="Take the setting out if sessions are wanted there: they are bounded by `limits.websockets`. Otherwise use HTTP or SSE.",
        queries=(_REFUSED,),
    ),
    "wish_unmet": Article(
        meaning="""\
The call has wishes (`x-sidecar-max-response-time`, `x-sidecar-min-quality`, `x-sidecar-min-reliability`, `x-sidecar-exclude`) that
none of the route's upstreams meets. The message lists each upstream and why not.""",
        impact="These calls get 503, others of the same route do not.",
        diagnosis="""\
"Wishes that nobody met" tells which wish. What is not known of an upstream is held against nobody: quality is as configured
(`upstreams.NAME.quality`) and as rated (`POST /api/feedback`), response time and reliability are those measured of late
(`GET /api/upstreams`), so if nothing was changed, the provider has become slower or worse.""",
        mitigation="""\
Have the caller ask for less, or send `x-sidecar-urgency: high`, which takes the nearest. Configure `quality`, or add an upstream that
meets the wishes.""",
        queries=("sum by (job, wish) (rate(llm_sidecar_wishes_refused_total[5m])) > 0",),
    ),
    "rate_limited": Article(
        meaning="""\
A limit of the sidecar's own: the answer has `Retry-After` and `x-ratelimit-` fields of ours. A 429 of the provider has no
`x-sidecar-error`, counts as the ending `rate_limited`, and is the matter of LLMUpstreamRateLimited.""",
        impact="The tenant's callers wait; those of others do not. Calls that a kept answer would serve count as well.",
        diagnosis="""\
"Calls refused by limit" names the tenant and the limit; those that begin with `all_` are those of everybody together. One tenant
alone: a loop, or repeats without a pause. `other` is everyone whom nobody named in `tenants.names` or `tenants.keys`.""",
        mitigation="""\
Raise the limit in `limits.rates`, name the tenant and give it one of its own, or have its callers heed `Retry-After`. Without
`redis.url`, each of several sidecars counts alone.""",
        queries=(_BY_LIMIT, "topk by (job) (5, sum by (job, tenant) (rate(llm_sidecar_tenant_requests_total[5m])))"),
    ),
    "budget_spent": Article(
        meaning="""\
The tenant's, or everybody's (`*`), budget of the day or month (UTC) has no room for what the call is likely to cost. What calls in
progress have reserved counts as spent until they end.""",
        impact="Calls that would cost are refused until the window ends; kept answers are still given.",
        diagnosis="""\
"Budget spent of limit" and "Spent, reserved and limit". Much reserved and little spent: calls without `max_tokens`, for which
`budgets.output_tokens` is set aside. The log line `budget_spent` tells when it was first so.""",
        mitigation="Raise `budgets`, have callers set `max_tokens`, lower `budgets.output_tokens`, or wait for `Retry-After`.",
        queries=(_LEFT, _BY_LIMIT),
    ),
    "spending_stopped": Article(
        meaning="""\
An operator's `POST /api/budgets` with `stopped: true` holds, for the tenant or for all (`*`). With `budgets.file` it outlives a
restart.""",
        impact="Every call that would cost is refused with 429 and no `Retry-After`; kept answers are still given.",
        diagnosis="`GET /api/budgets` lists who is stopped; the log line `spending_stopped` tells since when. LLMSpendingStopped reminds.",
        mitigation='`POST /api/budgets` with `{"tenant": "acme", "stopped": false}`, or with `null` in place of a name for all.',
        queries=("llm_sidecar_spending_stopped == 1",),
    ),
    "not_cached": Article(
        meaning="""\
The caller asked for a kept answer or none (`x-sidecar-cache: only-if-cached`, or that directive in `Cache-Control`), and there is
none, or calls like it are not kept at all.""",
        impact="None that the caller did not ask for.",
        diagnosis="""\
"Bypass by reason" shows calls for which nothing is ever kept: `not_deterministic`, `tools`, `conversation` and so on. Others expired
(`cache.expiry`), were evicted, or were never asked: "Hit ratio over time" and "Evictions".""",
        mitigation="Leave the directive out, widen what is kept (`cache.what`, `cache.expiry`), or warm the cache from a list of prompts.",
        queries=("sum by (job, reason) (rate(llm_sidecar_cache_bypass_total[5m])) > 0",),
    ),
}
