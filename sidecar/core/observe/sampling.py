"""Which traces are exported, decided when an exchange has ended and everything is known.

Deciding at the end keeps what is worth looking at: every failure and every slow call, and of the
ordinary rest the share that was drawn when the trace began. A caller that hung up is no failure.
"""

from typing import Final

from sidecar.exchange import Ending

_ORDINARY: Final = (Ending.COMPLETED, Ending.CLIENT_GONE)


def keeps(ending: Ending, duration_s: float, *, slow_s: float, sampled: bool) -> bool:
    """Return whether the exchange's spans are exported.

    `sampled` is what the outgoing traceparent said. A kept failure of an unsampled trace shows
    only our own spans of it: better a fragment than no trace of the failure.
    """
    # Identity, not membership: an Enum's hash is a Python call.
    return sampled or duration_s > slow_s or (ending is not _ORDINARY[0] and ending is not _ORDINARY[1])
