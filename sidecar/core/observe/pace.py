"""How fast a streamed answer came."""

from typing import Final

from sidecar.exchange import Record, UsageSource

_REPORTED: Final = UsageSource.REPORTED
# Below this many tokens the quotient says more about scheduling than about the model.
_RATED_TOKENS_MIN: Final = 10


def measure_pace(record: Record) -> tuple[float | None, float | None]:
    """Return the seconds from accept to the first token, and the output tokens per second from it to the last chunk; None: not known."""
    seen = record.seen
    first_token = seen.first_token
    if first_token is None:
        return None, None
    waited_s = first_token - record.accepted
    usage = record.usage if record.usage_source is _REPORTED else None  # a rate of guesses would be a guess
    if usage is None or usage.reasoning:  # reasoning that is not shown was done before the first token came
        return waited_s, None
    if usage.output_total >= _RATED_TOKENS_MIN and seen.last_chunk is not None and seen.last_chunk > first_token:
        return waited_s, usage.output_total / (seen.last_chunk - first_token)
    return waited_s, None
