"""Why an upstream could not be chosen, why one was, and why nobody was: closed lists of a few words each."""

from typing import Final

from sidecar.decision import Candidate, Decision

# Of a candidate that could not be chosen.
TRIED: Final = "tried"  # it has failed this call already
SILENT: Final = "silent"  # it has kept this call waiting already
CREDENTIALS: Final = "same_credentials"  # as those that were refused
CONTEXT: Final = "context"  # it declares no larger one
EXCLUDED: Final = "exclude"  # by the caller, as are the next three
TOO_SLOW: Final = "max_response_time"
TOO_PLAIN: Final = "min_quality"
TOO_UNRELIABLE: Final = "min_reliability"
CIRCUIT_OPEN: Final = "circuit_open"
NO_ROOM: Final = "no_room"
# Of one that is chosen only where no other is left.
ON_TRIAL: Final = "half_open"
HELD: Final = "held"  # it asked for a pause
EJECTED: Final = "ejected"
DOWN: Final = "probe_failed"
STARTING: Final = "slow_start"
NOT_PREFERRED: Final = "prefer"

# Of the one that was chosen.
ONLY: Final = "only_one"
TURN: Final = "its_turn"
SHARE: Final = "its_share"
FEWEST: Final = "fewest_pending"
BEST: Final = "best_score"
KEPT: Final = "kept"  # no other is better by the threshold
EXPLORED: Final = "explored"  # little is known of it
TRIAL: Final = "trial"  # its breaker is half-open
LAST: Final = "last_left"
PAUSE_ENDS: Final = "pause_ends_first"
NEAREST: Final = "nearest_to_wishes"
DUE: Final = "due_first"
QUEUED: Final = "first_with_room"  # the call waited in the queue

# Where nobody was: `circuit_open` and `no_room` as above, and these.
WISH_UNMET: Final = "wish_unmet"
EXHAUSTED: Final = "exhausted"  # all that could be asked have been

PER_CALL: Final = frozenset({TRIED, SILENT, CREDENTIALS, CONTEXT})
ESTIMATED_WISHES: Final = frozenset({TOO_SLOW, TOO_PLAIN, TOO_UNRELIABLE})


def explain(decision: Decision) -> str:
    """Return which upstreams could not be chosen and why, as a list of `name: reason`; "" where all could."""
    return ", ".join(
        f"{candidate.upstream}: {candidate.reason}{_show_estimate(candidate)}"
        for candidate in decision.candidates
        if candidate.reason is not None
    )


def _show_estimate(candidate: Candidate) -> str:
    """Return what a wish was compared with."""
    if candidate.reason == TOO_SLOW and candidate.response_time_s is not None:
        return f" ({candidate.response_time_s:.3g} s expected)"
    if candidate.reason == TOO_PLAIN and candidate.quality is not None:
        return f" ({candidate.quality:.3g})"
    if candidate.reason == TOO_UNRELIABLE and candidate.reliability is not None:
        return f" ({candidate.reliability:.3g})"
    return ""
