"""Errors that the caller made: they count as `client_fault`, in no error ratio, and nothing was asked of an upstream."""

from collections.abc import Mapping
from typing import Final

from sidecar.render.alerting import Article
from sidecar.render.articles.counting import count_calls

_OF_CALLERS: Final = count_calls("client_fault", "bad_request")[0]
_ONE_CALLER: Final = (
    "The call fails each time it is made so. Nothing was asked of an upstream, no other call is touched, and no alert fires."
)

CALLERS: Final[Mapping[str, Article]] = {
    "bad_request": Article(
        meaning="""\
It also stands for a header of ours that cannot be read (`x-sidecar-timeout` and the wishes), for a handshake of a WebSocket that is
none, and for a body that stopped for longer than `timeouts.idle`. The answer's message says which.""",
        impact="The caller gets 400. What could not even be parsed has no route, and its connection is closed.",
        diagnosis="""\
Calls with an empty `route` never became one: something that does not speak HTTP/1.1 is on the data port, such as TLS, HTTP/2 without
an upgrade, or a health check. With a route, `GET /debug/exchanges` on the admin port shows method, path and how far it came.""",
        mitigation="""\
Point TLS clients at `http://`, health checks at `/-/healthy` of the admin port. Mend the header that the message names. For bodies
that stop, look at the caller and what is between it and the sidecar.""",
        queries=(_OF_CALLERS,),
    ),
    "bad_target": Article(
        meaning="""\
The path holds a dot segment in some spelling (`..`, `%2e%2e`), a backslash, a control or non-ASCII character, or the target is an
absolute URL. Two servers could read it in two ways, so it is refused and not repaired.""",
        impact=_ONE_CALLER,
        diagnosis="""\
Few of them, from one caller: a URL that was put together by hand. Many, over paths that nobody has: somebody is looking for holes. The
span attribute `url.path` shows what was asked for.""",
        mitigation="""\
Encode path segments (`%20`, not a blank), and join base URL and path with one slash. A client that sends absolute URLs takes the
sidecar for a forward proxy: unset HTTP_PROXY for it and set its base URL.""",
        queries=(_OF_CALLERS,),
    ),
    "no_route": Article(
        meaning="""\
No prefix of `routes` fits, or the path is below `/x-sidecar/`, where there is nothing but the batch. The message lists all.""",
        impact="All calls of an application that was pointed at the wrong address fail with 404; others go on.",
        diagnosis="""\
Usually a base URL without the prefix: `http://127.0.0.1:4000/v1` in place of `http://127.0.0.1:4000/openai/v1`. `llm-sidecar explain`
lists the routes in effect; `GET /debug/exchanges` shows the paths that were asked for.""",
        mitigation="""\
Correct the base URL, add a route, or set LLM_SIDECAR_UPSTREAM so that every other path goes to one upstream. A route that was taken
out of the configuration on purpose needs its callers moved first.""",
        queries=(_OF_CALLERS,),
    ),
    "not_upgradable": Article(
        meaning="The call asks for a protocol other than `websocket`, such as `h2c`, or for a WebSocket from within a batch.",
        impact=_ONE_CALLER,
        diagnosis="The header `Upgrade` of the call. HTTP clients that offer `h2c` on their own do so on every call.",
        mitigation="Switch HTTP/2 without TLS off in the client; make WebSocket calls on their own, not in a batch.",
        queries=(_OF_CALLERS,),
    ),
    "bad_batch": Article(
        meaning="""\
The body of `POST /x-sidecar/batch` is no JSON list, does not call itself JSON, has more entries than `limits.batch`, or one entry is
not as it has to be. The message names the entry by its place in the list.""",
        impact="With a fault in the list none of its calls is made; with one in an entry, the others are.",
        diagnosis="""\
Read the message: it tells the member, and what is allowed. `llm_sidecar_batched_requests_total` counts entries that were taken.""",
        mitigation="Send `Content-Type: application/json`, split long lists, or raise `limits.batch`.",
        queries=(_OF_CALLERS, "sum by (job) (rate(llm_sidecar_batched_requests_total[5m]))"),
    ),
    "not_batchable": Article(
        meaning="An entry of a batch leads to a route that is not of `kind: tool`. Models are called one by one.",
        impact="That entry fails with 403, the others are made.",
        diagnosis="The path of the entry against `routes` in `llm-sidecar explain`.",
        mitigation="Make the call on its own; where the route does lead to a tool, give it `kind: tool`.",
        queries=(_OF_CALLERS,),
    ),
    "too_large": Article(
        meaning="Only the body of a batch is bound by `limits.body`: any other body beyond it is passed on, unobserved.",
        impact="None of the batch's calls is made.",
        diagnosis="`http.request.body.size` of the span against `limits.body`.",
        mitigation="Split the batch, or raise `limits.body`; as much memory as that may be taken by each batch.",
        queries=(_OF_CALLERS,),
    ),
    "bad_tenant": Article(
        meaning="""\
A tenant was told (`x-sidecar-tenant`, or the path behind `tenants.prefix`) that is no name, or the header came twice. It is never
taken for nobody's, since limits and budgets would then hold for somebody else.""",
        impact=_ONE_CALLER,
        diagnosis="""\
The header came twice: a proxy before the sidecar adds its own. A name with other characters: an e-mail address, or a template that
was not filled in.""",
        mitigation="Have exactly one place tell the tenant, with a name of letters, digits and . _ - : / of at most 64 characters.",
        queries=(_OF_CALLERS,),
    ),
}
