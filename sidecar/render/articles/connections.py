"""Errors on the way to an upstream: there was no connection, so that nothing of the call had reached it."""

from collections.abc import Mapping
from typing import Final

from sidecar.render.alerting import Article
from sidecar.render.articles.counting import count_attempts, count_calls

_ELSEWHERE: Final = (
    "In a pool the next upstream is asked, and the caller sees nothing of it; on a route to one upstream the call fails at once."
)

CONNECTIONS: Final[Mapping[str, Article]] = {
    "upstream_unresolved": Article(
        meaning="""\
The message names the host and what the resolver said. An address that was found once is used on while its name cannot be resolved, so
this is a name that has not been resolved since the start.""",
        impact=_ELSEWHERE,
        diagnosis="""\
`getent hosts NAME` in the sidecar's container. `Name or service not known` is a wrong `upstreams.NAME.url` or a search domain that is
missing; `Temporary failure in name resolution` is DNS itself: its server, or a network policy for port 53.""",
        mitigation="Correct the `url`; allow DNS for the pod; behind an egress proxy that resolves names, set HTTPS_PROXY.",
        queries=(*count_calls("connect_failed", "upstream_unresolved"), count_attempts("connect_failed")),
    ),
    "upstream_unreachable": Article(
        meaning="Each address of the host refused the connection or could not be routed to. The message has the system's own word for it.",
        impact=_ELSEWHERE,
        diagnosis="""\
`Connection refused`: nothing listens there, as with a local model that is not running, or a wrong port. `Network is unreachable`,
`No route to host`: egress rules, or an address family that this network does not have. If all upstreams fail at once it is this
host's network.""",
        mitigation="Start or mend the upstream, correct its `url`, allow egress to it. The breaker closes by itself when it is back.",
        queries=(*count_calls("connect_failed", "upstream_unreachable"), count_attempts("connect_failed")),
    ),
    "connect_timeout": Article(
        meaning="No connection, TLS included, within `timeouts.connect`: packets are dropped, not refused.",
        impact="Each such call waited for that long before the next upstream of a pool was asked, or the caller was told.",
        diagnosis="""\
A firewall or network policy that drops, a provider whose front end is overloaded, or a pod that is short of CPU ("Event-loop lag").
The span attribute `llm_sidecar.attempt.time_to_connection` shows what calls that succeed need.""",
        mitigation="""\
Allow egress; lower `timeouts.connect` in a pool, so that the next one is asked sooner; raise it only for far or slow networks.""",
        queries=(
            *count_calls("connect_timeout", "connect_timeout"),
            count_attempts("connect_timeout"),
            "histogram_quantile(0.99, sum by (job, le) (rate(llm_sidecar_event_loop_lag_seconds_bucket[5m])))",
        ),
    ),
    "upstream_tls": Article(
        meaning="The message says whether its certificate was not accepted, and why, or the handshake failed otherwise.",
        impact=f"{_ELSEWHERE} It does not pass by itself.",
        diagnosis="""\
`unable to get local issuer certificate`: a private authority, or a proxy that breaks TLS open. `certificate has expired`: theirs, or
this host's clock. `Hostname mismatch`: the `url` names an address or an alias. `openssl s_client -connect HOST:443 -servername HOST`
shows the chain.""",
        mitigation="Point SSL_CERT_FILE at a bundle with the authority in it, and restart; have the upstream's certificate renewed.",
        queries=(*count_calls("connect_failed", "upstream_tls"), count_attempts("connect_failed")),
    ),
    "egress_proxy_refused": Article(
        meaning="""\
HTTPS_PROXY is set, and the proxy answered CONNECT with another status than 2xx, or with nothing. The message has the status.""",
        impact="Every upstream behind that proxy is out of reach; those of NO_PROXY are not.",
        diagnosis="""\
407: its credentials are missing or wrong. 403: its policy does not allow the upstream's host. 502, 503 or 504: the proxy itself cannot
reach it. The proxy's own log has the rest.""",
        mitigation="Mend user and password in HTTPS_PROXY, have the host allowed, or list it in NO_PROXY; then restart the sidecar.",
        queries=(*count_calls("connect_failed", "egress_proxy_refused"), count_attempts("connect_failed")),
    ),
}
