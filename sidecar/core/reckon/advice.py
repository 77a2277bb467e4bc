"""What an operator might change, and why: read off the numbers of the last while."""

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from sidecar.core.reckon.tally import Tally
from sidecar.exchange import Ending
from sidecar.thresholds import Terms

# What to look at first, by how most failed calls ended.
_REMEDIES: Final[Mapping[Ending, str]] = {
    Ending.CONNECT_FAILED: "check its url, DNS and egress rules",
    Ending.CONNECT_TIMEOUT: "check egress rules; timeouts.connect is how long is waited for a connection",
    Ending.FIRST_BYTE_TIMEOUT: "it is slower than timeouts.first_byte: stream answers, or raise it if the model is known to be slow",
    Ending.IDLE_TIMEOUT: "its streams fall silent for longer than timeouts.idle",
    Ending.TOTAL_TIMEOUT: "calls take longer than timeouts.total allows",
    Ending.RESET: "it closes connections before it answers: see its status, and what lies on the way to it",
    Ending.MALFORMED: "its answers are not well-formed HTTP: see whether its url points at an API",
    Ending.CUT: "its answers break off: look for an idle limit of a proxy or load balancer on the way",
    Ending.UPSTREAM_ERROR: "it answers with 5xx: see its status page",
    Ending.IN_BAND_ERROR: "it reports errors within its answers: see error_type in the traces",
    Ending.UNAVAILABLE: "its circuit breaker is open: see /api/upstreams, or add a second upstream to the route's pool",
    Ending.OVERLOADED: "there is no room: raise upstreams.NAME.concurrency or the queue, or send fewer calls at once",
    Ending.SIDECAR_FAULT: "the sidecar itself failed: please report the log line exchange_failed",
}


class Situation(NamedTuple):
    """What advice is given on."""

    total: Tally
    upstreams: Mapping[str, Tally]
    models: Mapping[str, Tally]


def advise(situation: Situation, terms: Terms) -> list[str]:
    """Return sentences, what matters most first. None where too little happened to say anything."""
    return [
        *_look_at_errors(situation, terms), *_look_at_latency(situation, terms), *_look_at_streams(situation, terms),
        *_look_at_cache(situation, terms),
    ]  # fmt: skip


def _look_at_errors(situation: Situation, terms: Terms) -> Iterator[str]:
    limit = terms.thresholds.error_ratio.warning or 0.0
    for name, tally in _sort_by_errors(situation.upstreams):
        ratio = tally.error_ratio or 0.0
        if tally.requests < terms.traffic.calls or ratio <= limit:
            continue
        worst = max((ending for ending in tally.endings if ending in _REMEDIES), key=lambda ending: tally.endings[ending])
        subject = f"Upstream {name}" if name else "Calls that reached no upstream"
        yield f"{subject}: {ratio:.1%} of {tally.requests} calls failed, most of them as {worst}; {_REMEDIES[worst]}."


def _look_at_latency(situation: Situation, terms: Terms) -> Iterator[str]:
    limit = terms.thresholds.mean_latency.warning or 0.0
    total = situation.total.durations
    if total.count < terms.traffic.timed_calls or (total.mean or 0.0) <= limit:
        return
    slow = {name: tally for name, tally in situation.models.items() if tally.durations.count >= terms.traffic.timed_calls}
    if not slow:
        yield f"Calls take {total.mean or 0.0:.1f} s on average, above {limit:g} s."
        return
    name, tally = max(slow.items(), key=lambda one: one[1].durations.total)
    text = f"Calls take {total.mean or 0.0:.1f} s on average, above {limit:g} s; most of it is spent on model {name or '(not named)'}"
    fast = {other: each.durations.mean or 0.0 for other, each in slow.items() if other != name}
    other = min(fast, key=lambda each: fast[each], default=None)
    if other is not None and fast[other] < limit < (tally.durations.mean or 0.0):
        text += f"; {other} takes {fast[other]:.1f} s"
    yield f"{text}. Shorter prompts and a lower max_tokens help."


def _look_at_streams(situation: Situation, terms: Terms) -> Iterator[str]:
    limits, traffic = terms.thresholds, terms.traffic
    for name, tally in situation.models.items():
        if tally.first_tokens.count >= traffic.timed_calls:
            (late,) = tally.first_tokens.quantiles(0.95)
            limit = limits.time_to_first_token_p95.warning
            if late is not None and limit is not None and late > limit:
                yield (
                    f"Model {name}: one stream in twenty waits {late:.1f} s or longer for its first token. Keep the beginning of prompts "
                    "the same, so that the provider's own cache helps, or lower the reasoning effort."
                )
        if tally.speeds.count >= traffic.timed_calls:
            (median,) = tally.speeds.quantiles(0.5)
            slow = limits.output_tokens_per_second.warning
            if median is not None and slow is not None and median < slow:
                yield f"Model {name}: half of its streams write {median:.1f} tokens a second or fewer; another model or provider is faster."


def _look_at_cache(situation: Situation, terms: Terms) -> Iterator[str]:
    ratio, limit = situation.total.hit_ratio, terms.thresholds.cache_hit_ratio.info
    if ratio is None or limit is None or situation.total.lookups < terms.traffic.cache_lookups or ratio >= limit:
        return
    yield (
        f"The cache found {ratio:.1%} of {situation.total.lookups} answers that were looked for. Take out of prompts what changes each "
        "time, name headers that make no difference in cache.ignore_headers, or lengthen cache.expiry."
    )


def _sort_by_errors(tallies: Mapping[str, Tally]) -> list[tuple[str, Tally]]:
    return sorted(tallies.items(), key=lambda one: -one[1].errors)
