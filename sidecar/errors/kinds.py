"""Every kind of failure."""

from enum import StrEnum
from typing import Final, NamedTuple


class Origin(StrEnum):
    """Whose fault a failure is. Only `upstream` and `sidecar` count as errors of the service."""

    CLIENT = "client"
    POLICY = "policy"
    UPSTREAM = "upstream"
    SIDECAR = "sidecar"


class ErrorKind(NamedTuple):
    """One kind of failure: stable id, HTTP status of our answer, origin, and advice."""

    id: str
    status: int
    origin: Origin
    summary: str
    advice: str


_C, _U, _S = Origin.CLIENT, Origin.UPSTREAM, Origin.SIDECAR

BAD_REQUEST: Final = ErrorKind(
    "bad_request",
    400,
    _C,
    "The request is not well-formed HTTP.",
    "Check the client's HTTP library and any proxy between it and the sidecar.",
)
BAD_TARGET: Final = ErrorKind(
    "bad_target",
    400,
    _C,
    "The request target cannot be forwarded as it stands.",
    "Send an origin-form path without dot segments, backslashes or control characters.",
)
NO_ROUTE: Final = ErrorKind(
    "no_route",
    404,
    _C,
    "No route takes this path.",
    "Use one of the listed prefixes, or set LLM_SIDECAR_UPSTREAM to send every other path to one upstream.",
)
NOT_UPGRADABLE: Final = ErrorKind(
    "not_upgradable",
    501,
    _C,
    "Of protocol upgrades only those to a WebSocket are carried.",
    "Leave out the Upgrade field, or ask for a WebSocket.",
)
WEBSOCKET_REFUSED: Final = ErrorKind(
    "websocket_refused",
    403,
    Origin.POLICY,
    "WebSockets are not carried on this route.",
    "Use the provider's HTTP or SSE interface, or set the route's websocket to true.",
)
WEBSOCKETS_FULL: Final = ErrorKind(
    "websockets_full",
    503,
    _S,
    "As many WebSocket sessions are open as limits.websockets allows.",
    "Raise limits.websockets, or close sessions that are not needed.",
)
BAD_BATCH: Final = ErrorKind(
    "bad_batch",
    400,
    _C,
    "The batch cannot be read.",
    'POST a JSON list of {"path": "/tools/…", "method": "POST", "headers": {}, "body": …}, at most limits.batch of them.',
)
NOT_BATCHABLE: Final = ErrorKind(
    "not_batchable",
    403,
    _C,
    "Only tool routes can be called in a batch.",
    "Make this call on its own, or give its route kind: tool if it leads to a tool.",
)
TOO_LARGE: Final = ErrorKind(
    "too_large",
    413,
    _C,
    "The request's body is larger than limits.body.",
    "Send less at once, or raise limits.body.",
)
UNRESOLVED: Final = ErrorKind(
    "upstream_unresolved",
    502,
    _U,
    "The upstream's host name could not be resolved.",
    "Check the upstream's url, and DNS from this pod.",
)
UNREACHABLE: Final = ErrorKind(
    "upstream_unreachable",
    502,
    _U,
    "No connection to the upstream could be made.",
    "Check the upstream's url, its status, and egress rules.",
)
CONNECT_TIMEOUT: Final = ErrorKind(
    "connect_timeout",
    502,
    _U,
    "Connecting to the upstream took longer than timeouts.connect.",
    "Check egress rules and the upstream's status; timeouts.connect may be raised.",
)
TLS_FAILED: Final = ErrorKind(
    "upstream_tls",
    502,
    _U,
    "The TLS handshake with the upstream failed.",
    "Check the upstream's certificate, and SSL_CERT_FILE where a private authority is used.",
)
TUNNEL_REFUSED: Final = ErrorKind(
    "egress_proxy_refused",
    502,
    _U,
    "The egress proxy refused the tunnel to the upstream.",
    "Check HTTPS_PROXY, its credentials and NO_PROXY.",
)
UPSTREAM_RESET: Final = ErrorKind(
    "upstream_reset",
    502,
    _U,
    "The upstream closed the connection before it answered.",
    "Usually passing; if it lasts, check the upstream's status.",
)
UPSTREAM_MALFORMED: Final = ErrorKind(
    "upstream_malformed",
    502,
    _U,
    "The upstream's answer is not well-formed HTTP.",
    "Check that the upstream's url points at an HTTP/1.1 API.",
)
FIRST_BYTE_TIMEOUT: Final = ErrorKind(
    "first_byte_timeout",
    504,
    _U,
    "The upstream sent no answer within timeouts.first_byte.",
    "Reasoning models can be slow to begin: raise timeouts.first_byte, or stream the answer.",
)
FIRST_TOKEN_TIMEOUT: Final = ErrorKind(
    "first_token_timeout",
    504,
    _U,
    "The upstream began to answer, and sent no token within timeouts.first_token.",
    "Reasoning models can be slow to begin: raise timeouts.first_token.",
)
IDLE_TIMEOUT: Final = ErrorKind(
    "idle_timeout",
    504,
    _U,
    "The upstream went silent within an answer for longer than timeouts.idle.",
    "Raise timeouts.idle if the model is known to pause this long.",
)
TOTAL_TIMEOUT: Final = ErrorKind(
    "total_timeout",
    504,
    _U,
    "The call took longer than timeouts.total.",
    "Raise timeouts.total, or x-sidecar-timeout if the caller set it.",
)
STREAM_CUT: Final = ErrorKind(
    "stream_cut",
    502,
    _U,
    "The upstream's answer broke off before its end.",
    "What was received so far is incomplete; repeat the call.",
)
CIRCUIT_OPEN: Final = ErrorKind(
    "circuit_open",
    503,
    _U,
    "Every upstream that could take the call has failed too often and is left alone for a while.",
    "See which and why under /api/upstreams and in llm_sidecar_circuit_breaker_state; repeat the call after Retry-After.",
)
OVERLOADED: Final = ErrorKind(
    "overloaded",
    503,
    _S,
    "More calls than the upstreams' concurrency and the queue take.",
    "Send fewer calls at once, or raise upstreams.NAME.concurrency, limits.concurrency or the queue's size and wait.",
)
WISH_UNMET: Final = ErrorKind(
    "wish_unmet",
    503,
    Origin.POLICY,
    "No upstream meets what the caller's x-sidecar-* headers ask for.",
    "Ask for less, or send x-sidecar-urgency: high to be given the nearest.",
)
BAD_TENANT: Final = ErrorKind(
    "bad_tenant",
    400,
    _C,
    "The tenant's name is not one.",
    "Send 1 to 64 letters, digits, dots, dashes, underscores, colons or slashes; the first a letter or a digit.",
)
RATE_LIMITED: Final = ErrorKind(
    "rate_limited",
    429,
    Origin.POLICY,
    "More than limits.rates allows.",
    "Repeat the call after Retry-After; the fields beginning with x-ratelimit- tell what is left.",
)
BUDGET_SPENT: Final = ErrorKind(
    "budget_spent",
    429,
    Origin.POLICY,
    "What may be spent is spent, or reserved by calls in progress.",
    "Wait for the next day or month (Retry-After), or raise budgets.",
)
SPENDING_STOPPED: Final = ErrorKind(
    "spending_stopped",
    429,
    Origin.POLICY,
    "Spending was stopped by the operator.",
    "POST to /api/budgets to go on; answers from the cache are still given.",
)
NOT_CACHED: Final = ErrorKind(
    "not_cached",
    504,
    Origin.POLICY,
    "Only a kept answer was asked for, and there is none.",
    "Leave out only-if-cached.",
)
POOL_FULL: Final = ErrorKind(
    "pool_full",
    503,
    _S,
    "All connections to the upstream are busy.",
    "Raise upstreams.NAME.connections, or send fewer calls at once.",
)
BATCH_OVERFLOW: Final = ErrorKind(
    "batch_overflow",
    503,
    _S,
    "The answer is larger than a batch can hold.",
    "Make this call on its own, or raise limits.observed.",
)
STOPPING: Final = ErrorKind("stopping", 503, _S, "The sidecar is stopping.", "Repeat the call on another instance.")
INTERNAL: Final = ErrorKind(
    "internal",
    500,
    _S,
    "The sidecar failed to carry this call.",
    "A fault of the sidecar: please report it with the log line of the same request id.",
)

ERRORS: Final[tuple[ErrorKind, ...]] = (
    BAD_REQUEST, BAD_TARGET, NO_ROUTE, NOT_UPGRADABLE, WEBSOCKET_REFUSED, BAD_BATCH, NOT_BATCHABLE, TOO_LARGE,
    UNRESOLVED, UNREACHABLE, CONNECT_TIMEOUT, TLS_FAILED, TUNNEL_REFUSED,
    UPSTREAM_RESET, UPSTREAM_MALFORMED, FIRST_BYTE_TIMEOUT, FIRST_TOKEN_TIMEOUT, IDLE_TIMEOUT, TOTAL_TIMEOUT, STREAM_CUT,
    CIRCUIT_OPEN, OVERLOADED, WISH_UNMET,
    BAD_TENANT, RATE_LIMITED, BUDGET_SPENT, SPENDING_STOPPED, NOT_CACHED,
    POOL_FULL, WEBSOCKETS_FULL, BATCH_OVERFLOW, STOPPING, INTERNAL,
)  # fmt: skip
