"""What attempts are made of: what is asked for, what is needed, and what one that failed came to."""

from typing import Final

from sidecar.config import Ask
from sidecar.core.attempt.causes import Cause
from sidecar.core.attempt.endings import end_with_answer, end_with_fault
from sidecar.core.attempt.plan import Action, Plan, Step
from sidecar.core.choose.holds import mark_credential
from sidecar.core.choose.needs import Needs
from sidecar.core.identify.renaming import name_model, rename
from sidecar.core.observe.asking import add_usage_request
from sidecar.core.observe.dialects import OPAQUE
from sidecar.errors import INTERNAL, Fault, SidecarFault
from sidecar.exchange import Attempt, Ending, Headers
from sidecar.progress import Exchange, Trial

_ASKING: Final = "openai_chat"  # the one form in which usage comes only if asked for
_CREDENTIALS: Final = frozenset({b"authorization", b"x-api-key", b"api-key", b"x-goog-api-key"})
IDEMPOTENT: Final = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"})  # RFC 9110 section 9.2.2


def address(trial: Trial, exchange: Exchange, ask: Ask) -> None:
    """Work out the path and the body that go to the trial's upstream. `ask`: whether usage may be asked for."""
    match, asked, place = exchange.match, exchange.asked, trial.place
    trial.path = exchange.path if match is None else match.path
    trial.body = exchange.body
    trial.asked_model = asked.model
    if not exchange.held or exchange.call.wanted.content_encoding:
        return
    name = name_model(place.models, asked.model)
    if name is not None:
        trial.model = name
        trial.path, trial.body = rename(exchange.dialect.name, trial.path, trial.body, name)
    if asked.stream and not asked.usage_asked and place.answers_usage and exchange.dialect.name == _ASKING and ask is Ask.AUTO:
        added = add_usage_request(trial.body, place.provider, exchange.query)
        if added is not None:
            trial.body = added
            trial.usage_added = True


def is_repeatable(exchange: Exchange) -> bool:
    """Tell whether a call may be made again that may have been carried out.

    A model's answer has no effect but its cost. Of all else, HTTP and the operator's word tell.
    """
    match = exchange.match
    if exchange.call.method in IDEMPOTENT:
        return True
    if exchange.tool is not None:
        return match is not None and match.idempotent
    return exchange.dialect is not OPAQUE and exchange.session is None


def list_needs(exchange: Exchange, salt: bytes) -> Needs:
    """Return what the first attempt of a call needs. `salt`: of this process, for marks of credentials."""
    match = exchange.match
    if match is None or len(match.upstreams) == 1:
        return Needs(exchange.asked.model, exchange.wishes, streamed=exchange.asked.stream)
    return Needs(exchange.asked.model, exchange.wishes, credential=_mark(exchange.call.headers, salt), streamed=exchange.asked.stream)


def _mark(headers: Headers, salt: bytes) -> str:
    """Return what stands for the caller's credential: a limit that one caller has reached is no limit of another."""
    for name, value in headers:
        if name.lower() in _CREDENTIALS:
            return mark_credential(value, salt)
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


def name_candidates(exchange: Exchange, step: Step | None) -> tuple[str, tuple[str, ...]]:
    """Return the pool and the upstreams among which to choose. `step`: what comes after an attempt that failed."""
    match = exchange.match
    if match is None:
        raise SidecarFault(INTERNAL, "nowhere to go")
    if step is not None and step.action is Action.SAME:
        return "", (exchange.trial.place.name,)
    return match.pool, match.upstreams


def could_follow(exchange: Exchange, plan: Plan) -> bool:
    """Tell whether anything could be tried if this answer were not to do: only then is it held back."""
    limits, match = plan.limits, exchange.match
    if exchange.rival is not None:
        return True
    has_others = limits.fails_over and match is not None and len(match.upstreams) > 1
    return (has_others or limits.repeats_answered) and exchange.held and plan.begun < limits.attempts_max


def name_outcome(trial: Trial, fault: Fault | None) -> Ending:
    """Return how an attempt ended that is not the last."""
    if fault is not None:
        return end_with_fault(fault.kind)
    observer = trial.observer
    return end_with_answer(200 if trial.head is None else trial.head.status, None if observer is None else observer.seen.error_type)


def tell_start(attempt: Attempt) -> float:
    """Return when an attempt began."""
    return attempt.started
