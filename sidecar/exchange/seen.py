"""What an observer saw of one answer."""

from typing import Any

from sidecar.exchange.usage import Usage


class Seen:
    """What an observer saw of one answer, filled in while it passes."""

    model: str | None = None
    response_id: str | None = None
    service_tier: str | None = None
    usage: Usage | None = None
    running: Any = None  # what was last told of usage, where each event tells it anew: only the last is worth reading, at the end
    cache_write_1h: int = 0  # of usage.cache_write, what is kept for an hour: it has a price of its own
    cost_usd: float | None = None  # as the provider reported it
    unpriced: str | None = None  # why one model's prices do not tell what the usage cost, as in Record
    error_type: str | None = None  # an error inside the answer
    replayed: bool = False  # the provider repeated an earlier answer from a cache of its own, and billed nothing
    served_by: str | None = None  # whom a broker such as OpenRouter names as the true provider
    terminated: bool = False  # the dialect's own end was seen (finish reason, terminator)
    answered: bool = False  # all that was asked for has come: who leaves now has missed nothing
    resumable: bool = False  # the rest can be asked for by another call, so that it need not come in this one
    first_chunk: float | None = None
    first_token: float | None = None
    last_chunk: float | None = None
    chunks: int = 0
    gaps: list[int] | None = None  # counts per bucket of catalogue.GAP_EDGES, last is +Inf
    gap_sum: float = 0.0

    def __init__(self) -> None:
        self.finish_reasons: list[str] = []  # by choice index; "error" where an expected one never came
        self.choices: dict[int, str | None] = {}  # of a stream: finish reason by choice index, None while open
