"""What attempts are made of: what is asked for, what is needed, and what one that failed came to."""

from typing import Final

from sidecar.config import Ask, Settings, Timeouts
from sidecar.core.attempt import causes
from sidecar.core.attempt.causes import Cause
from sidecar.core.attempt.endings import end_with_answer, end_with_fault
from sidecar.core.attempt.plan import Action, Plan, Step
from sidecar.core.choose.holds import mark_credential
from sidecar.core.choose.needs import Needs
from sidecar.core.choose.verdicts import Verdict, judge, mark_slow
from sidecar.core.identify.renaming import name_model, rename
from sidecar.core.identify.wishes import NO_WISHES
from sidecar.core.observe.asking import add_usage_request
from sidecar.core.observe.dialects import OPAQUE
from sidecar.errors import INTERNAL, Fault, SidecarFault
from sidecar.exchange import Attempt, Ending
from sidecar.progress import Exchange, Trial

_ERRORS: Final = 400  # and above
_NEARLY: Final = 0.9  # of the operator's time: what is ours took the rest
_ASKING: Final = "openai_chat"  # the one form in which usage comes only if asked for
_CREDENTIALS: Final = frozenset({b"authorization", b"x-api-key", b"api-key", b"x-goog-api-key"})
_NEEDS_MAX: Final = 256  # models come from callers
_needs: dict[str | None, Needs] = {}  # of calls to one upstream, by model: the usual ones
_IDEMPOTENT: Final = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"})  # RFC 9110 section 9.2.2


def address(trial: Trial, exchange: Exchange, ask: Ask) -> None:
    """Work out the path and the body that go to the trial's upstream. `ask`: whether usage may be asked for."""
    match, asked, place = exchange.match, exchange.asked, trial.place
    trial.path = exchange.path if match is None else match.path
    trial.body = exchange.body
    trial.asked_model = asked.model
    if not exchange.held or exchange.call.wanted.content_encoding:
        return
    name = name_model(place.models, asked.model) if place.models else None
    if name is not None:
        trial.model = name
        trial.path, trial.body = rename(exchange.dialect.name, trial.path, trial.body, name)
    if asked.stream and not asked.usage_asked and place.answers_usage and exchange.dialect.name == _ASKING and ask is Ask.AUTO:
        added = add_usage_request(trial.body, place.provider, exchange.query)
        if added is not None:
            trial.body = added
            trial.usage_added = True


def mark_upstream(trial: Trial) -> str:
    """Return what is noted of an attempt's upstream by: its name alone may have become another's meanwhile."""
    return trial.place.name if trial.grant is None else trial.grant.standing.post.mark


def is_repeatable(exchange: Exchange) -> bool:
    """Tell whether a call may be made again that may have been carried out.

    A model's answer has no effect but its cost. Of all else, HTTP and the operator's word tell.
    """
    match = exchange.match
    if exchange.call.method in _IDEMPOTENT:
        return True
    if exchange.tool is not None:
        return match is not None and match.idempotent
    return exchange.dialect is not OPAQUE and exchange.session is None


def list_needs(exchange: Exchange, salt: bytes) -> Needs:
    """Return what the first attempt of a call needs. `salt`: of this process, for marks of credentials."""
    match = exchange.match
    if match is None or len(match.upstreams) == 1:
        if exchange.wishes is not NO_WISHES:
            return Needs(exchange.asked.model, exchange.wishes)
        known = _needs.get(exchange.asked.model)
        if known is None:
            known = Needs(exchange.asked.model)
            if len(_needs) < _NEEDS_MAX:
                _needs[known.model] = known
        return known
    return Needs(exchange.asked.model, exchange.wishes, credential=_mark(exchange, salt))


def _mark(exchange: Exchange, salt: bytes) -> str:
    """Return what stands for the caller's credential: a limit that one caller has reached is no limit of another."""
    for name, value in exchange.call.headers:
        if name.lower() in _CREDENTIALS:
            return mark_credential(value, salt)
    if "key=" in exchange.query:  # Google's
        for part in exchange.query.split("&"):
            if part.startswith("key="):
                return mark_credential(part.encode(), salt)
    return ""


def narrow(needs: Needs, upstream: str, cause: Cause, context: int | None) -> Needs:
    """Return what the next attempt needs, after one at `upstream` failed. `context`: the tokens that it declares to take."""
    tried = needs.tried | {upstream}
    if cause is Cause.SILENCE:
        return needs._replace(tried=tried, no_longer=needs.no_longer | {upstream})
    if cause is Cause.CREDENTIALS:
        return needs._replace(tried=tried, other_credentials_than=(needs.other_credentials_than or frozenset()) | {upstream})
    if cause is Cause.CONTEXT_TOO_LONG:
        return needs._replace(tried=tried, context_above=max(context or 0, needs.context_above or 0))
    return needs._replace(tried=tried)


def is_worth_same(exchange: Exchange, fault: Fault | None) -> bool:
    """Tell whether the upstream of the current attempt may be asked again at once, after this fault; None: it has answered."""
    trial = exchange.trial
    reused = trial.answer is not None and trial.answer.reused
    idempotent = exchange.call.method in _IDEMPOTENT
    return fault is None or causes.is_worth_same(fault.kind, reused=reused, sent=trial.has_sent, idempotent=idempotent)


def name_candidates(exchange: Exchange, step: Step | None) -> tuple[str, tuple[str, ...]]:
    """Return the pool and the upstreams among which to choose. `step`: what comes after an attempt that failed."""
    match = exchange.match
    if match is None:
        raise SidecarFault(INTERNAL, "nowhere to go")
    if step is not None and step.action is Action.SAME:
        return "", (exchange.trial.place.name,)
    return match.pool, match.upstreams


def could_follow(exchange: Exchange, plan: Plan) -> bool:
    """Tell whether anything could be tried if this answer were not to do: only then is it held back.

    The last of a pool has the time that a single upstream has: to give it up helps nobody.
    """
    limits, match = plan.limits, exchange.match
    if exchange.rival is not None:
        return True
    asked = {exchange.trial.place.name, *(attempt.upstream for attempt in exchange.attempts)}  # one may have been asked twice
    has_others = limits.fails_over and match is not None and len(match.upstreams) > len(asked)
    return (has_others or limits.repeats_answered) and exchange.held and plan.begun < limits.attempts_max


def name_outcome(trial: Trial, fault: Fault | None) -> Ending:
    """Return how an attempt ended that is not the last."""
    if fault is not None:
        return end_with_fault(fault.kind)
    observer = trial.observer
    return end_with_answer(200 if trial.head is None else trial.head.status, None if observer is None else observer.seen.error_type)


def weigh(trial: Trial, outcome: str, settings: Settings, now: float) -> tuple[Verdict, float | None]:
    """Return what an attempt says of its upstream, and after how many seconds its answer began; None where there was none.

    An error may come fast: it is no answer, and so tells nothing of how fast answers come.
    """
    answer, observer, status = trial.answer, trial.observer, None if trial.head is None else trial.head.status
    seen = None if observer is None else observer.seen
    error_type = None if seen is None else seen.error_type
    verdict = judge(outcome, status, error_type)
    if verdict is Verdict.FAILURE and outcome == Ending.TOTAL_TIMEOUT and not _had_time(trial, settings.timeouts, now):
        return Verdict.IGNORED, None
    if answer is None or answer.sent_at is None or answer.head_at is None or status is None:
        return verdict, None
    began = answer.head_at if seen is None or seen.first_token is None else seen.first_token
    took_s = max(0.0, began - max(answer.sent_at, trial.asked_at))
    return mark_slow(verdict, took_s, settings.breaker.slow), took_s if status < _ERRORS else None


def _had_time(trial: Trial, timeouts: Timeouts, now: float) -> bool:
    """Tell whether an upstream was given the time that the operator gives it.

    A caller may want to wait for less, and it may have waited elsewhere before: neither is held against the upstream, or a few
    callers in a hurry would have its breaker opened for all others.
    """
    answer = trial.answer
    if answer is None or answer.sent_at is None:
        since, usual_s = trial.began, timeouts.connect
    else:
        since, usual_s = max(answer.sent_at, trial.asked_at), timeouts.first_byte
    return now - since >= min(usual_s, timeouts.total) * _NEARLY


def tell_start(attempt: Attempt) -> float:
    """Return when an attempt began."""
    return attempt.started
