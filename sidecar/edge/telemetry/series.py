"""The children that exchanges of one kind count in, looked up once and kept.

One dictionary lookup finds them all, so that what remains of measuring a call is additions.
Children of streams and of usage are made when the first such exchange ends: a histogram of what
never happens would only be noise.
"""

from typing import NamedTuple

from sidecar.catalogue import ENDINGS, TOKEN_TYPES
from sidecar.edge.telemetry.families import Families
from sidecar.edge.telemetry.instruments import Counter, Histogram
from sidecar.exchange import UsageSource


class SeriesKey(NamedTuple):
    """The label values of an exchange; what is absent is ""."""

    route: str
    template: str
    provider: str
    operation: str
    model: str
    response_model: str
    address: str
    port: str
    method: str
    status: str
    error_type: str
    ending: str


class StreamSeries(NamedTuple):
    """What only streams have."""

    first_chunk: Histogram
    gaps: Histogram
    first_token: Histogram
    rate: Histogram


class Series:
    """The children of one combination of label values."""

    __slots__ = ("_cost", "_families", "_genai", "_key", "_stream", "_tokens", "_usage", "duration", "http", "overflow", "requests")

    def __init__(self, families: Families, key: SeriesKey, overflow: tuple[Counter, ...], *, is_genai: bool, reached: bool) -> None:
        """`key` is cleaned and bounded; `overflow` counts what the bounds replaced."""
        self._families = families
        self._key = key
        self._genai = (key.operation, key.provider, key.model, key.response_model, key.address, key.port)
        self._stream: StreamSeries | None = None
        self._usage: tuple[Histogram, Histogram] | None = None
        self._tokens: dict[str, tuple[Counter, ...]] = {}
        self._cost: dict[str, Counter] = {}
        before = families.requests.collapsed + families.operation_duration.collapsed + families.http_server_duration.collapsed
        for ending in ENDINGS:  # at 0 from the start: a counter born at 1 hides its first failure from rate()
            families.requests.child(key.route, key.provider, key.model, ending)
        self.requests = families.requests.child(key.route, key.provider, key.model, key.ending)
        self.http: Histogram | None = None
        self.duration: Histogram | None = None
        if reached:
            self.http = families.http_server_duration.child(key.method, key.template, key.status, "http", key.error_type)
            if is_genai:
                self.duration = families.operation_duration.child(*self._genai, key.error_type)
        after = families.requests.collapsed + families.operation_duration.collapsed + families.http_server_duration.collapsed
        self.overflow = (*overflow, families.label_overflow.child("series")) if after > before else overflow

    def stream(self) -> StreamSeries:
        """Return the histograms of streamed answers."""
        if self._stream is None:
            families, provider, model = self._families, self._key.provider, self._key.model
            self._stream = StreamSeries(
                families.time_to_first_chunk.child(*self._genai), families.time_per_output_chunk.child(*self._genai),
                families.time_to_first_token.child(provider, model), families.tokens_per_second.child(provider, model),
            )  # fmt: skip
        return self._stream

    def usage(self) -> tuple[Histogram, Histogram]:
        """Return the histograms of input and output tokens."""
        if self._usage is None:
            family = self._families.token_usage
            self._usage = (family.child(*self._genai, "input"), family.child(*self._genai, "output"))
        return self._usage

    def tokens(self, source: UsageSource) -> tuple[Counter, ...]:
        """Return the counters of each token type, in the order of exchange.Usage."""
        found = self._tokens.get(source)
        if found is None:
            family, provider, model = self._families.tokens, self._key.provider, self._key.model
            found = self._tokens[source] = tuple(family.child(provider, model, kind, source) for kind in TOKEN_TYPES)
        return found

    def cost(self, source: str) -> Counter:
        """Return the counter of cost from `source`."""
        found = self._cost.get(source)
        if found is None:
            found = self._cost[source] = self._families.cost.child(self._key.provider, self._key.model, source)
        return found
