"""What is done about a failed attempt, by its cause: the policy, as data. `plan` carries it out.

Two things are always on: to repeat what can have done nothing, and to go to the next upstream of a pool. To repeat an
answered failure on the same upstream is asked for by `features.retries`: SDKs do so already, and two layers multiply.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final, NamedTuple

from sidecar.core.attempt.causes import Cause


class Same(StrEnum):
    """When the same upstream is asked again."""

    NEVER = "never"
    ALONE = "if there is no other, unless the failure will last"
    KEPT = "once, if a kept connection had just been closed; else with features.retries, if there is no other"
    ASKED = "with features.retries, if there is no other"
    TOLD = "with features.retries, after Retry-After, or if there is no other"


class Next(StrEnum):
    """Which other upstream of the pool may be asked."""

    NEVER = "never"
    ANY = "any"
    OTHER_CREDENTIALS = "one with other credentials"
    LARGER_CONTEXT = "one that declares a larger context"


class Waits(StrEnum):
    """How long is waited before it."""

    NONE = "no"
    AT_ONCE = "the first time not at all, then backs off"
    BACK_OFF = "backs off"


class Conduct(NamedTuple):
    """What is done about one cause."""

    same: Same
    next: Next
    waits: Waits
    may_be_done: bool  # the upstream may have carried the call out: only what may be done twice is repeated


_NOTHING: Final = Conduct(Same.NEVER, Next.NEVER, Waits.NONE, may_be_done=False)

CONDUCT: Final[Mapping[Cause, Conduct]] = {
    Cause.NEVER_SENT: Conduct(Same.ALONE, Next.ANY, Waits.AT_ONCE, may_be_done=False),
    Cause.RESET: Conduct(Same.KEPT, Next.ANY, Waits.AT_ONCE, may_be_done=True),
    Cause.SILENCE: Conduct(Same.NEVER, Next.ANY, Waits.AT_ONCE, may_be_done=True),
    Cause.MALFORMED: Conduct(Same.ASKED, Next.ANY, Waits.AT_ONCE, may_be_done=True),
    Cause.IN_BAND: Conduct(Same.ASKED, Next.ANY, Waits.BACK_OFF, may_be_done=True),
    Cause.RATE_LIMITED: Conduct(Same.TOLD, Next.ANY, Waits.BACK_OFF, may_be_done=False),
    Cause.OVERLOADED: Conduct(Same.TOLD, Next.ANY, Waits.BACK_OFF, may_be_done=True),
    Cause.SERVER_ERROR: Conduct(Same.ASKED, Next.ANY, Waits.BACK_OFF, may_be_done=True),
    Cause.CREDENTIALS: Conduct(Same.NEVER, Next.OTHER_CREDENTIALS, Waits.AT_ONCE, may_be_done=False),
    Cause.CONTEXT_TOO_LONG: Conduct(Same.NEVER, Next.LARGER_CONTEXT, Waits.AT_ONCE, may_be_done=False),
    Cause.CONTENT_REFUSED: _NOTHING,
    Cause.REJECTED: _NOTHING,
    Cause.NO_ROOM: Conduct(Same.NEVER, Next.ANY, Waits.AT_ONCE, may_be_done=False),
}


def draw_conduct() -> str:
    """Return the policy as a Markdown table, for the docs."""
    rows = ["| cause | same upstream | next upstream | waits | only what may be done twice |", "|---|---|---|---|---|"]
    for cause, conduct in CONDUCT.items():
        twice = "yes" if conduct.may_be_done else "no"
        rows.append(f"| `{cause.value}` | {conduct.same.value} | {conduct.next.value} | {conduct.waits.value} | {twice} |")
    return "\n".join(rows) + "\n"
