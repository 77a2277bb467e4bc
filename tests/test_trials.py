"""What attempts are made of: what is asked for, what is needed, what could follow, and what one that failed came to."""

from dataclasses import replace
from typing import Any

import pytest

from sidecar.config import Ask, Features, Limits, Retries
from sidecar.core.attempt.causes import Cause
from sidecar.core.attempt.heads import read_answer
from sidecar.core.attempt.plan import Action, Plan, Step, Why, set_limits
from sidecar.core.attempt.retry_budget import RetryBudget
from sidecar.core.choose.needs import NO_NEEDS, Needs
from sidecar.core.choose.places import read_place
from sidecar.core.choose.verdicts import Verdict
from sidecar.core.identify.peek import peek
from sidecar.core.identify.router import Router
from sidecar.core.identify.wishes import Wishes
from sidecar.core.observe.contract import Observer
from sidecar.core.observe.observer import observe
from sidecar.core.observe.sessions import SessionObserver
from sidecar.errors import IDLE_TIMEOUT, UNREACHABLE, SidecarFault, UpstreamFault
from sidecar.exchange import Attempt, Ending
from sidecar.progress import Exchange, Trial
from sidecar.trials import address, could_follow, is_repeatable, list_needs, name_candidates, name_outcome, narrow, tell_start, weigh
from tests.core.attempt.calls import make_call
from tests.filled import fill
from tests.path import PlayedAnswer, PlayedClient
from tests.pooled import ASKED, CHAT, SETTINGS, STREAMED

ROUTER = Router(SETTINGS.routes, SETTINGS.pools)
LIMITS = set_limits(Retries(), Features())


def exchange_of(
    target: str = "/two/" + CHAT, *headers: tuple[bytes, bytes], body: bytes = ASKED, method: str = "POST", **more: Any
) -> Exchange:
    """Return a call that has come in whole."""
    call = make_call(*headers, target=target, method=method, has_body=bool(body))
    match = ROUTER.match(method, target)
    assert match is not None
    asked = peek(match.dialect, body, target, call.wanted.content_encoding, 1024)
    return fill(Exchange(PlayedClient(call), call, None), path=target, match=match, dialect=match.dialect, tool=match.tool, body=body,
                asked=asked, **more)  # fmt: skip


def trial_at(name: str = "a", **more: Any) -> Trial:
    """Return an attempt at an upstream that may have more to it."""
    return Trial(read_place(name, replace(SETTINGS.upstreams[name], **more), None), 100.0)


def addressed(exchange: Exchange, ask: Ask = Ask.AUTO, **more: Any) -> Trial:
    """Return an attempt that knows what it asks for."""
    trial = trial_at(**more)
    address(trial, exchange, ask)
    return trial


def test_what_was_asked_is_asked() -> None:
    """Without the route's prefix; the body is the very same."""
    exchange = exchange_of()
    trial = addressed(exchange)
    assert (trial.path, trial.model, trial.asked_model, trial.usage_added) == ("/" + CHAT, None, "gpt-4o-mini", False)
    assert trial.body is exchange.body


def test_a_model_has_the_name_that_the_upstream_has_for_it() -> None:
    """That of the caller where there is none; `*` is any other."""
    exchange = exchange_of()
    for models, name in (({"gpt-4o-mini": "theirs"}, "theirs"), ({"gpt-4o": "theirs"}, None), ({"*": "any"}, "any")):
        trial = addressed(exchange, models=models)
        assert (trial.model, trial.asked_model) == (name, "gpt-4o-mini")
        assert trial.body == (ASKED if name is None else ASKED.replace(b"gpt-4o-mini", name.encode()))
    assert exchange.body == ASKED


def test_usage_is_asked_for_on_top_of_the_new_name() -> None:
    """Both alterations are in what is sent, neither in what came."""
    exchange = exchange_of(body=STREAMED)
    trial = addressed(exchange, models={"*": "theirs"})
    assert trial.usage_added
    assert b'"theirs"' in trial.body
    assert b'"include_usage":true' in trial.body.replace(b" ", b"")
    assert exchange.body == STREAMED


@pytest.mark.parametrize(
    ("change", "ask", "more"),
    [
        ({"held": False}, Ask.AUTO, {}),
        ({}, Ask.NEVER, {}),
        ({}, Ask.AUTO, {"provider": "mistral_ai"}),
    ],
    ids=["not held", "never", "not known to answer that"],
)
def test_usage_is_not_asked_for_everywhere(change: dict[str, Any], ask: Ask, more: dict[str, Any]) -> None:
    """Then the body is as it came."""
    exchange = exchange_of(body=STREAMED, **change)
    trial = addressed(exchange, ask, **more)
    assert (trial.usage_added, trial.body) == (False, STREAMED)


def test_what_is_not_held_or_packed_is_not_altered() -> None:
    """Its model is not renamed either."""
    for exchange in (exchange_of(held=False), exchange_of("/two/" + CHAT, (b"Content-Encoding", b"gzip"))):
        trial = addressed(exchange, models={"*": "theirs"})
        assert (trial.model, trial.body) == (None, ASKED)


@pytest.mark.parametrize(
    ("target", "method", "repeatable"),
    [
        ("/two/" + CHAT, "POST", True),
        ("/two/v1/audio/speech", "POST", False),
        ("/two/v1/models", "GET", True),
        ("/two/v1/files", "PUT", True),
        ("/two/v1/files/1", "DELETE", True),
        ("/two/v1/files/1", "PATCH", False),
        ("/tools/t/x", "POST", False),
        ("/tools/t/x", "GET", True),
        ("/tools/safe/x", "POST", True),
    ],
)
def test_what_may_be_made_again(target: str, method: str, repeatable: bool) -> None:
    """An answer of a model, an idempotent method, and what the operator says."""
    assert is_repeatable(exchange_of(target, method=method)) is repeatable


def test_a_session_is_not_made_again_for_its_form() -> None:
    """What it did is not known."""
    exchange = exchange_of()
    exchange.session = SessionObserver(None, "", 1024)
    assert not is_repeatable(exchange)


def test_who_calls_is_known_by_a_mark() -> None:
    """Of whatever credential it sends; the same for the same one within a process, and of no use elsewhere. Only pools need it."""
    marks = []
    for field in (b"Authorization", b"x-api-key", b"api-key", b"X-Goog-Api-Key"):
        needs = list_needs(exchange_of("/two/" + CHAT, (b"Accept", b"*/*"), (field, b"secret")), b"salt")
        marks.append(needs.credential)
    assert len(set(marks)) == 1
    assert marks[0]
    assert "secret" not in marks[0]
    other = exchange_of("/two/" + CHAT, (b"Authorization", b"another"))
    assert list_needs(other, b"salt").credential not in (marks[0], list_needs(other, b"pepper").credential, "")
    assert list_needs(exchange_of(), b"salt").credential == ""
    assert list_needs(exchange_of("/one/" + CHAT, (b"Authorization", b"secret")), b"salt").credential == ""


def test_the_first_attempt_needs_what_was_asked_and_wished() -> None:
    """Alone and in a pool."""
    wishes = Wishes(min_quality=0.5)
    for target in ("/one/" + CHAT, "/two/" + CHAT):
        assert list_needs(exchange_of(target, body=STREAMED, wishes=wishes), b"") == Needs("gpt-4o-mini", wishes)


@pytest.mark.parametrize("cause", list(Cause))
def test_a_failure_narrows_what_comes_next(cause: Cause) -> None:
    """Whoever has failed is not asked again; silence, credentials and a context that was too small say more."""
    needs = narrow(NO_NEEDS._replace(tried=frozenset("x")), "a", cause, 10)
    assert needs.tried == frozenset("xa")
    assert needs.no_longer == (frozenset("a") if cause is Cause.SILENCE else frozenset())
    assert needs.other_credentials_than == (frozenset("a") if cause is Cause.CREDENTIALS else None)
    assert needs.context_above == (10 if cause is Cause.CONTEXT_TOO_LONG else None)


def test_what_was_learned_is_kept() -> None:
    """Over several failures; the largest context that was too small counts."""
    needs = NO_NEEDS
    for upstream, cause, context in (
        ("a", Cause.SILENCE, None), ("b", Cause.CREDENTIALS, None), ("c", Cause.SILENCE, None), ("d", Cause.CREDENTIALS, None),
        ("e", Cause.CONTEXT_TOO_LONG, 20), ("f", Cause.CONTEXT_TOO_LONG, 10), ("g", Cause.CONTEXT_TOO_LONG, None),
    ):  # fmt: skip
        needs = narrow(needs, upstream, cause, context)
    assert needs == Needs(
        tried=frozenset("abcdefg"), no_longer=frozenset("ac"), other_credentials_than=frozenset("bd"), context_above=20
    )  # fmt: skip
    assert narrow(NO_NEEDS, "a", Cause.CONTEXT_TOO_LONG, None).context_above == 0, "any that declares one is larger"


def test_the_same_again_means_nobody_else() -> None:
    """All else is the route's to say; without one there is nowhere to go."""
    exchange = exchange_of("/three/" + CHAT)
    exchange.trial = trial_at("b")
    same, following = (Step(action, 0.0, Cause.RESET, Why.SAME_AGAIN) for action in (Action.SAME, Action.NEXT))
    assert name_candidates(exchange, same) == ("", ("b",))
    assert name_candidates(exchange, following) == name_candidates(exchange, None) == ("three", ("a", "b", "c"))
    assert name_candidates(exchange_of("/one/" + CHAT), None) == ("", ("a",))
    exchange.match = None
    with pytest.raises(SidecarFault):
        name_candidates(exchange, None)


def plan_of(begun: int = 1, **features: bool) -> Plan:
    """Return a plan of which so many attempts have begun."""
    limits = set_limits(Retries(attempts=3), Features(**features))
    plan = Plan(limits, RetryBudget(0.2, 10.0, 10.0), 1000.0, True)
    for _ in range(begun):
        plan.begin(100.0)
    return plan


@pytest.mark.parametrize(
    ("target", "plan", "change", "could"),
    [
        ("/two/", plan_of(), {}, True),
        ("/one/", plan_of(), {}, False),
        ("/one/", plan_of(retries=True), {}, True),
        ("/two/", plan_of(failover=False), {}, False),
        ("/two/", plan_of(begun=2), {}, True),
        ("/two/", plan_of(begun=2), {"trial": trial_at("a"), "attempts": [trial_at("b").close(101.0, "reset")]}, False),
        ("/two/", plan_of(begun=2), {"trial": trial_at("a"), "attempts": [trial_at("a").close(101.0, "reset")]}, True),
        ("/two/", plan_of(begun=3), {}, False),
        ("/two/", plan_of(begun=3), {"rival": trial_at("b")}, True),
        ("/two/", plan_of(), {"held": False}, False),
    ],
)
def test_what_could_follow_an_answer(target: str, plan: Plan, change: dict[str, Any], could: bool) -> None:
    """Another upstream, the same once more, or a rival that is being asked already; never without the body, nor beyond the last."""
    assert could_follow(exchange_of(target + CHAT, **change), plan) is could


def observer_with(error_type: str | None) -> Observer:
    """Return one who has seen an error, or none."""
    observer = observe(exchange_of().dialect, status=200, media_type="application/json", content_encoding="", limits=Limits(), gap_edges=())
    observer.seen.error_type = error_type
    return observer


@pytest.mark.parametrize(
    ("status", "error_type", "ending"),
    [
        (429, None, Ending.RATE_LIMITED),
        (500, "x", Ending.UPSTREAM_ERROR),
        (401, "x", Ending.REJECTED),
        (200, "x", Ending.IN_BAND_ERROR),
        (200, None, Ending.COMPLETED),
    ],
)
def test_what_became_of_an_answer(status: int, error_type: str | None, ending: Ending) -> None:
    """As its head and the one who read it have it."""
    trial = trial_at()
    trial.head, trial.observer = read_answer("POST", status, b"HTTP/1.1 %d Said" % status), observer_with(error_type)
    assert name_outcome(trial, None) is ending
    assert name_outcome(trial, UpstreamFault(IDLE_TIMEOUT)) is Ending.IDLE_TIMEOUT, "a fault tells more"
    trial.observer = None
    assert name_outcome(trial, None) is (Ending.COMPLETED if status == 200 else ending)


def test_what_became_of_an_attempt_without_an_answer() -> None:
    """Its fault tells."""
    assert name_outcome(trial_at(), UpstreamFault(UNREACHABLE)) is Ending.CONNECT_FAILED


def test_attempts_stand_in_the_order_in_which_they_began() -> None:
    """Whichever ended first."""
    attempts = [Attempt(name, began, None, None, None, 9.0, False, None, "") for name, began in (("b", 2.0), ("a", 1.0))]
    assert [attempt.upstream for attempt in sorted(attempts, key=tell_start)] == ["a", "b"]


@pytest.mark.parametrize(
    ("began", "asked_at", "sent", "now", "verdict"),
    [
        (0.0, 0.0, 0.0, 60.0, Verdict.FAILURE),  # all the time that an answer has to begin
        (0.0, 0.0, 0.0, 59.0, Verdict.FAILURE),  # but for what we needed of it
        (0.0, 0.0, 0.0, 20.0, Verdict.IGNORED),  # the caller's own deadline
        (0.0, 50.0, 0.0, 60.0, Verdict.IGNORED),  # the caller took its time to ask
        (55.0, 0.0, 55.0, 60.0, Verdict.IGNORED),  # others had had the time
        (0.0, 0.0, None, 5.0, Verdict.FAILURE),  # no connection, for as long as one may take
        (0.0, 0.0, None, 1.0, Verdict.IGNORED),
    ],
)
def test_a_deadline_is_held_against_who_had_the_time(
    began: float, asked_at: float, sent: float | None, now: float, verdict: Verdict
) -> None:
    """A call's time may be short, or nearly over: that says nothing of the upstream that is asked then."""
    trial = trial_at()
    trial.began, trial.asked_at = began, asked_at
    if sent is not None:
        trial.answer = PlayedAnswer()
        trial.answer.sent_at = sent
    assert weigh(trial, Ending.TOTAL_TIMEOUT, SETTINGS, now) == (verdict, None)


@pytest.mark.parametrize(("asked_at", "verdict", "took_s"), [(0.0, Verdict.SLOW, 40.0), (35.0, Verdict.SUCCESS, 5.0)])
def test_a_slow_upload_is_no_slow_answer(asked_at: float, verdict: Verdict, took_s: float) -> None:
    """Time runs from the last byte of what is asked."""
    trial = trial_at()
    trial.asked_at, trial.head = asked_at, read_answer("POST", 200, b"HTTP/1.1 200 OK\r\nContent-Length: 2")
    trial.answer = PlayedAnswer()
    trial.answer.sent_at, trial.answer.head_at = 0.0, 40.0
    assert weigh(trial, Ending.COMPLETED, SETTINGS, 41.0) == (verdict, took_s)
