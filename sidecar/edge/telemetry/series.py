"""The children that exchanges of one kind count in, looked up once and kept.

One dictionary lookup finds them all, so that what remains of measuring a call is additions.
Children of streams and of usage are made when the first such exchange ends: a histogram of what
never happens would only be noise.
"""

from typing import NamedTuple

from sidecar.catalogue import ENDINGS, TOKEN_TYPES
from sidecar.edge.telemetry.families import Families
from sidecar.edge.telemetry.instruments import Child, Counter, Family, Histogram
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
    tool: str = ""


class SavedSeries(NamedTuple):
    """What answers would have used and cost that were another call's."""

    tokens: tuple[Counter, ...]  # in the order of exchange.Usage
    usd: Counter


class StreamSeries(NamedTuple):
    """What only streams have."""

    first_chunk: Histogram
    gaps: Histogram
    first_token: Histogram
    rate: Histogram


class Series:
    """The children of one combination of label values."""

    __slots__ = (
        "_cost",
        "_families",
        "_genai",
        "_is_collapsed",
        "_key",
        "_saved",
        "_stream",
        "_tokens",
        "_usage",
        "duration",
        "execution",
        "http",
        "overflow",
        "requests",
    )

    def __init__(
        self, families: Families, key: SeriesKey, overflow: tuple[Counter, ...], *, is_genai: bool, reached: bool, is_tool: bool = False
    ) -> None:  # fmt: skip
        """`key` is cleaned and bounded; `overflow` counts what the bounds replaced."""
        self._families = families
        self._key = key
        self._genai = (key.operation, key.provider, key.model, key.response_model, key.address, key.port)
        self._stream: StreamSeries | None = None
        self._usage: tuple[Histogram, Histogram] | None = None
        self._tokens: dict[str, tuple[Counter, ...]] = {}
        self._cost: dict[str, Counter] = {}
        self._saved: SavedSeries | None = None
        self._is_collapsed = False
        self.overflow = overflow
        for ending in ENDINGS:  # at 0 from the start: a counter born at 1 hides its first failure from rate()
            families.requests.child(key.route, key.provider, key.model, ending)
        self.requests = self._child(families.requests, key.route, key.provider, key.model, key.ending)
        self.http: Histogram | None = None
        self.duration: Histogram | None = None
        self.execution: Histogram | None = None
        if reached:
            self.http = self._child(families.http_server_duration, key.method, key.template, key.status, "http", key.error_type)
            if is_genai:
                self.duration = self._child(families.operation_duration, *self._genai, key.error_type)
            elif is_tool:
                self.execution = self._child(families.tool_duration, key.tool, key.error_type)

    def _child(self, family: Family[Child], *values: str) -> Child:
        """Return the child of these label values; note it as overflow if there was no room for them."""
        before = family.collapsed
        child = family.child(*values)
        if family.collapsed > before and not self._is_collapsed:
            self._is_collapsed = True
            self.overflow = (*self.overflow, self._families.label_overflow.child("series"))
        return child

    def stream(self) -> StreamSeries:
        """Return the histograms of streamed answers."""
        if self._stream is None:
            families, provider, model = self._families, self._key.provider, self._key.model
            self._stream = StreamSeries(
                self._child(families.time_to_first_chunk, *self._genai), self._child(families.time_per_output_chunk, *self._genai),
                self._child(families.time_to_first_token, provider, model), self._child(families.tokens_per_second, provider, model),
            )  # fmt: skip
        return self._stream

    def usage(self) -> tuple[Histogram, Histogram]:
        """Return the histograms of input and output tokens."""
        if self._usage is None:
            family = self._families.token_usage
            self._usage = (self._child(family, *self._genai, "input"), self._child(family, *self._genai, "output"))
        return self._usage

    def tokens(self, source: UsageSource) -> tuple[Counter, ...]:
        """Return the counters of each token type, in the order of exchange.Usage."""
        found = self._tokens.get(source)
        if found is None:
            family, provider, model = self._families.tokens, self._key.provider, self._key.model
            found = self._tokens[source] = tuple(self._child(family, provider, model, kind, source) for kind in TOKEN_TYPES)
        return found

    def replayed(self) -> Counter:
        """Return the counter of answers that the provider repeated."""
        return self._child(self._families.replayed, self._key.provider, self._key.model)

    def saved(self) -> SavedSeries:
        """Return the counters of what was saved."""
        if self._saved is None:
            families, provider, model = self._families, self._key.provider, self._key.model
            tokens = tuple(self._child(families.cache_saved_tokens, provider, model, kind) for kind in TOKEN_TYPES)
            self._saved = SavedSeries(tokens, self._child(families.cache_saved_usd, provider, model))
        return self._saved

    def tool_lookups(self) -> tuple[Counter, Counter]:
        """Return the counters of kept results of this tool that were looked for, and that were found."""
        families, tool = self._families, self._key.tool
        return self._child(families.tool_lookups, tool), self._child(families.tool_hits, tool)

    def cost(self, source: str) -> Counter:
        """Return the counter of cost from `source`."""
        found = self._cost.get(source)
        if found is None:
            found = self._cost[source] = self._child(self._families.cost, self._key.provider, self._key.model, source)
        return found
