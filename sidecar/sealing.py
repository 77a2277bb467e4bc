"""What is sent on for an exchange, and the record it is sealed into."""

from collections.abc import Callable
from typing import Final

from sidecar.catalogue import DEGRADATION_STEPS, EXECUTE_TOOL, STALE
from sidecar.core.attempt.compose import SWITCH_FIELDS, address_request, replaced_fields, trace_fields
from sidecar.core.attempt.endings import name_error
from sidecar.core.attempt.heads import EXTENSIONS
from sidecar.core.observe.contents.transcript import Transcript
from sidecar.core.observe.dialects import OPAQUE
from sidecar.core.observe.estimation import estimate
from sidecar.core.observe.overhearing import Listening, hand_over
from sidecar.core.observe.paths import show_path, show_tool_path
from sidecar.core.observe.pricing import PriceTable
from sidecar.core.observe.sampling import keeps
from sidecar.errors import BAD_REQUEST
from sidecar.exchange import Cost, Ending, Record, Said, Seen, Usage, UsageSource
from sidecar.ports import Answer
from sidecar.progress import NOTHING_ASKED, Exchange, Trial

EMERGENCY: Final = DEGRADATION_STEPS[-1]
_COMPLETED, _UNENDED = Ending.COMPLETED, Ending.SIDECAR_FAULT
_ABSENT, _REPORTED, _ESTIMATED, _APPORTIONED = UsageSource.ABSENT, UsageSource.REPORTED, UsageSource.ESTIMATED, UsageSource.APPORTIONED


def compose_request(exchange: Exchange, trial: Trial, *, propagates: bool) -> tuple[bytes, bool]:
    """Return the head of a trial's request, and whether its body goes out in chunks."""
    call, trace = exchange.call, None
    if exchange.trace is not None:
        trace = trace_fields(exchange.trace, trial.index) if propagates else b""
    extra, dropped = replaced_fields(
        call, trial.place, trace, observed=exchange.dialect is not OPAQUE, plain=trial.usage_added
    )  # fmt: skip
    size = len(trial.body) if exchange.whole else call.wanted.content_length
    if exchange.session is not None:
        extra, dropped = [*extra, *SWITCH_FIELDS], dropped | {EXTENSIONS}
    return address_request(call, trial.place, trial.path, exchange.query, extra, dropped, size), size is None


def seal(
    exchange: Exchange, now: float, prices: PriceTable, *, slow_s: float, has_room: Callable[[bool], bool],
    listening: Listening | None = None,
) -> Record:  # fmt: skip
    """Return what happened, once and for all: its attempts are over. `listening`: None where nobody listens.

    `has_room`: whether one more trace can be exported, an important one or an ordinary one. One that
    cannot is not kept, so that no exemplar points at it.
    """
    trace, trial = exchange.trace, exchange.trial
    call, place, match, answer, observer = exchange.call, trial.place, exchange.match, trial.answer, trial.observer or exchange.reader
    ending = exchange.ending or _UNENDED
    told = exchange.told
    seen = told if told is not None else observer.seen if observer is not None else Seen()
    usage, source = (seen.usage, _REPORTED) if exchange.share is None else (exchange.share, _APPORTIONED)
    if usage is None:
        source = _ABSENT
        if listening is not None and listening.estimates and (usage := _estimate(exchange)) is not None:
            source = _ESTIMATED
    became = exchange.became
    if became is None or exchange.session is None:
        cost, unpriced = price(prices, place.provider, exchange.asked.model, seen, usage, source)
    else:
        cost, unpriced = exchange.session.tally.cost
    first_byte_at, sent_bytes = exchange.first_byte_at, exchange.sent_bytes
    if answer is not None and not exchange.is_shared:
        first_byte_at, sent_bytes = answer.first_byte_at, answer.sent_bytes
    answered = now if became is None else became.opened  # a long session is not a slow call
    took_s = 0.0 if exchange.endless else answered - call.accepted
    important = trace is not None and keeps(ending, took_s, slow_s=slow_s, sampled=False)
    wanted = important or (trace is not None and trace.sampled)
    kept = wanted and has_room(important)
    return Record(
        call.id, "" if match is None else match.route, place.name, place.host, place.port, place.provider,
        exchange.dialect.operation if exchange.asked.tool is None else EXECUTE_TOOL, exchange.dialect.name, call.method,
        exchange.status, ending, None if exchange.kind is None else exchange.kind.id,
        None if ending is _COMPLETED else name_error(ending, exchange.status, exchange.kind, seen.error_type),
        trial.streamed, exchange.asked, seen, usage, source, cost, unpriced,
        call.accepted, call.accepted_ns, now, first_byte_at, exchange.request_bytes, sent_bytes,
        *_overheads(exchange, answer),
        tuple(exchange.attempts), answer is not None and answer.observer_failed, trial.usage_added, trace,
        kept,
        _show_path(exchange), "" if match is None else match.template, None if observer is None else observer.skipped, wanted and not kept,
        () if trial.head is None else trial.head.limits, exchange.batched, exchange.endless, became,
        None if listening is None else _take_down(exchange, listening, is_kept=kept),
        "" if match is None else match.pool, exchange.queued_s, _name_degradation(exchange),
        exchange.decision, exchange.shed, exchange.tenant.account, exchange.cache, exchange.cache_level, exchange.bypass, exchange.saved,
        exchange.limited, exchange.origin, exchange.bundled,
    )  # fmt: skip


def _name_degradation(exchange: Exchange) -> str | None:
    if exchange.cache == STALE:
        return EMERGENCY
    return None if exchange.trial.decision is None else exchange.degraded


def _show_path(exchange: Exchange) -> str:
    match = exchange.match
    if exchange.tool is None or match is None:
        return show_path(exchange.path)
    return show_tool_path(match.prefix, match.path)


def seal_malformed(now: float, now_ns: int) -> Record:
    """Return the record of a request that the parser refused: it never became a call."""
    return Record(
        "", "", "", "", 0, "", OPAQUE.operation, OPAQUE.name, "", BAD_REQUEST.status, Ending.CLIENT_FAULT, BAD_REQUEST.id, BAD_REQUEST.id,
        False, NOTHING_ASKED, Seen(), None, UsageSource.ABSENT, None, None, now, now_ns, now, None, 0, 0, None, None, (), False, False,
        None, False,
    )  # fmt: skip


def _estimate(exchange: Exchange) -> Usage | None:
    """Return the likely usage where an answer began that could be read, whatever became of it."""
    trial = exchange.trial
    transcript, observer = trial.transcript, trial.observer
    if transcript is None or observer is None or observer.skipped or exchange.status is None or exchange.status >= 400:
        return None
    if trial.answer is None or trial.answer.observer_failed or not exchange.held:
        return None
    seen = observer.seen
    if seen.replayed or (seen.error_type is not None and transcript.is_empty):
        return None  # nothing is billed for a repeated answer, nor is that likely for an error in place of one
    return estimate(exchange.dialect.name, exchange.body, exchange.call.wanted.content_encoding, transcript)


def _take_down(exchange: Exchange, listening: Listening, *, is_kept: bool) -> Said | None:
    """Return what was said, where it is captured."""
    if not (listening.to_file or (listening.to_spans and is_kept)) or exchange.became is not None:
        return None  # what is said over a WebSocket is not captured
    body = exchange.body if exchange.held else b""
    return hand_over(exchange.dialect.name, body, exchange.call.wanted.content_encoding, exchange.trial.transcript)


def price_lost(prices: PriceTable, exchange: Exchange, trial: Trial) -> Cost | None:
    """Return what an attempt cost that was given up for a rival, as far as that is known.

    Providers bill the input at least: what they reported of it so far, else an estimate.
    """
    observer, model = trial.observer, exchange.asked.model
    seen = Seen() if observer is None else observer.seen
    if not trial.has_sent:
        return None
    if seen.usage is not None:
        return price(prices, trial.place.provider, model, seen, seen.usage, _REPORTED)[0]
    usage = estimate(exchange.dialect.name, exchange.body, exchange.call.wanted.content_encoding, Transcript(0))
    return None if usage is None else price(prices, trial.place.provider, model, seen, usage, _ESTIMATED)[0]


def price(
    prices: PriceTable, provider: str, model: str | None, seen: Seen, usage: Usage | None, source: UsageSource
) -> tuple[Cost | None, str | None]:
    """Return the cost, or why there is none. The provider's own figure is preferred to our table's."""
    if seen.cost_usd is not None:
        return Cost(seen.cost_usd, "provider"), None
    if usage is None:
        return None, None
    if seen.replayed:  # that nothing is billed is what the provider means by saying so
        return Cost(0.0, "provider"), None
    if seen.unpriced is not None:
        return None, seen.unpriced
    cost, unpriced = prices.charge(provider, (seen.model, model), usage, seen.service_tier, seen.cache_write_1h)
    if cost is not None and source is _ESTIMATED:
        cost = Cost(cost.usd, "estimated")
    return cost, unpriced


def _overheads(exchange: Exchange, answer: Answer | None) -> tuple[float | None, float | None]:
    """Return the seconds that we added to a call before and after its upstream's; None where it had none of its own."""
    if answer is None or exchange.told is not None:
        return None, None
    committed_at, head_at = exchange.committed_at, answer.head_at
    return _request_overhead(exchange, answer), None if committed_at is None or head_at is None else committed_at - head_at


def _request_overhead(exchange: Exchange, answer: Answer) -> float | None:
    """Return the seconds spent on the request by us.

    Without waiting for its body, for room or for a connection, and without attempts that failed before.
    """
    if answer.sent_at is None:
        return None
    began = exchange.trial.began
    spent_s = answer.sent_at - exchange.call.accepted - exchange.waited_s - (answer.connected_at - began)
    if exchange.attempts_made > 1:
        spent_s -= began - exchange.attempts[0].started
    return spent_s if spent_s > 0.0 else 0.0
