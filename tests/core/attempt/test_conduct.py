"""What is done about a failed attempt, by its cause."""

from sidecar.core.attempt.causes import Cause
from sidecar.core.attempt.conduct import CONDUCT, Next, Same, Waits, draw_conduct
from tests.house.source import ROOT


def test_every_cause_has_its_conduct() -> None:
    """The table is whole."""
    assert set(CONDUCT) == set(Cause)


def test_what_would_fail_again_is_passed_on() -> None:
    """A refusal by policy is neither repeated nor routed around, and the caller's own mistake is his to know."""
    assert {cause for cause, conduct in CONDUCT.items() if conduct.same is Same.NEVER and conduct.next is Next.NEVER} == {
        Cause.CONTENT_REFUSED,
        Cause.REJECTED,
    }


def test_who_was_silent_is_never_asked_again() -> None:
    """Nor who does not know the credentials, has too small a context, or has no room."""
    assert {cause for cause, conduct in CONDUCT.items() if conduct.same is Same.NEVER and conduct.next is not Next.NEVER} == {
        Cause.SILENCE,
        Cause.CREDENTIALS,
        Cause.CONTEXT_TOO_LONG,
        Cause.NO_ROOM,
    }


def test_who_is_asked_next() -> None:
    """Other credentials where these were refused, a larger context where this one was too small, anybody else otherwise."""
    special = {cause: conduct.next for cause, conduct in CONDUCT.items() if conduct.next not in (Next.ANY, Next.NEVER)}
    assert special == {Cause.CREDENTIALS: Next.OTHER_CREDENTIALS, Cause.CONTEXT_TOO_LONG: Next.LARGER_CONTEXT}


def test_who_says_when_is_heard() -> None:
    """Retry-After comes with 429 and 503; both back off without it, as does whatever else was answered."""
    assert {cause for cause, conduct in CONDUCT.items() if conduct.same is Same.TOLD} == {Cause.RATE_LIMITED, Cause.OVERLOADED}
    assert {cause for cause, conduct in CONDUCT.items() if conduct.waits is Waits.BACK_OFF} == {
        Cause.RATE_LIMITED,
        Cause.OVERLOADED,
        Cause.SERVER_ERROR,
        Cause.IN_BAND,
    }


def test_what_may_have_been_carried_out() -> None:
    """All that is not certain to have been turned away."""
    assert {cause for cause, conduct in CONDUCT.items() if conduct.may_be_done} == {
        Cause.RESET,
        Cause.SILENCE,
        Cause.MALFORMED,
        Cause.IN_BAND,
        Cause.OVERLOADED,
        Cause.SERVER_ERROR,
    }


def test_the_table_for_the_docs() -> None:
    """One row for each cause, in Markdown."""
    rows = draw_conduct().splitlines()
    assert len(rows) == 2 + len(CONDUCT)
    assert {row.count("|") for row in rows} == {6}
    assert "| `silence` | never | any | the first time not at all, then backs off | yes |" in rows
    assert "| `content_refused` | never | never | no | no |" in rows


def test_the_docs_show_the_table_as_it_is() -> None:
    """README.md holds what the code would print."""
    assert draw_conduct() in (ROOT / "README.md").read_text(encoding="utf-8")
