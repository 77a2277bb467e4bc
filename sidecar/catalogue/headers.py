"""Every HTTP header of our own. They are between callers and us: none goes to an upstream, and none is taken from one."""

from typing import Final

from sidecar.catalogue.kinds import Header

REQUEST_HEADERS: Final = (
    Header("x-sidecar-timeout", "request", "a number of seconds", "The call's total deadline, where that is sooner than timeouts.total."),
    Header("x-sidecar-max-response-time", "request", "a number of seconds", "Wish: an upstream that is expected to answer by then."),
    Header("x-sidecar-min-quality", "request", "0 to 1", "Wish: an upstream of this quality, as it is configured and rated."),
    Header("x-sidecar-min-reliability", "request", "0 to 1", "Wish: an upstream of which this share of calls has not failed."),
    Header("x-sidecar-prefer", "request", "names of upstreams", "Wish: one of these, if one can be asked."),
    Header("x-sidecar-exclude", "request", "names of upstreams", "Wish: none of these, whatever the urgency."),
    Header(
        "x-sidecar-urgency", "request", "low, medium or high",
        "Who waits less in the queue; and with high, the nearest upstream where none meets the wishes.",
    ),
    Header("x-sidecar-tenant", "request", "a name", "On whose account the call runs, where tenants.sources has header."),
    Header(
        "x-sidecar-cache", "request", "no-store, no-cache, only-if-cached, ttl=SECONDS",
        "What may be done with kept answers, and with the one to come. What is not understood is ignored.",
    ),
)  # fmt: skip
RESPONSE_HEADERS: Final = (
    Header("x-sidecar-request-id", "response", "16 hex digits", "The call, in spans and in the log."),
    Header("x-sidecar-upstream", "response", "a name, or nothing", "Who answered, or was asked last."),
    Header("x-sidecar-attempts", "response", "a number", "How many attempts were made."),
    Header("x-sidecar-degraded", "response", "simple or emergency", "The step below the full policy at which the call was served."),
    Header(
        "x-sidecar-cache", "response", "hit, stale, coalesced, miss or bypass",
        "How the call was answered, where answers may be kept or shared.",
    ),
    Header("x-sidecar-error", "response", "an error id", "On answers of the sidecar's own."),
)  # fmt: skip
HEADERS: Final = (*REQUEST_HEADERS, *RESPONSE_HEADERS)
