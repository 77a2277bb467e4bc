"""Every metric of the catalogue, live: one family each, and what exists before any traffic."""

from collections.abc import Iterable, Sequence
from functools import partial
from itertools import permutations

from sidecar import catalogue
from sidecar.catalogue import Metric
from sidecar.edge.telemetry.instruments import Counter, Family, Gauge, Histogram

AnyFamily = Family[Counter] | Family[Gauge] | Family[Histogram]


class Families:
    """The live families, by name, and all of them in the catalogue's order."""

    def __init__(self, series_max: int) -> None:
        self._series_max = series_max
        self.operation_duration = self._histograms(catalogue.OPERATION_DURATION)
        self.token_usage = self._histograms(catalogue.TOKEN_USAGE)
        self.time_to_first_chunk = self._histograms(catalogue.TIME_TO_FIRST_CHUNK)
        self.time_per_output_chunk = self._histograms(catalogue.TIME_PER_OUTPUT_CHUNK)
        self.tool_duration = self._histograms(catalogue.TOOL_DURATION)
        self.http_server_duration = self._histograms(catalogue.HTTP_SERVER_DURATION)
        self.requests = self._counters(catalogue.REQUESTS)
        self.batched = self._counters(catalogue.BATCHED)
        self.time_to_first_token = self._histograms(catalogue.TIME_TO_FIRST_TOKEN)
        self.tokens_per_second = self._histograms(catalogue.TOKENS_PER_SECOND)
        self.tokens = self._counters(catalogue.TOKENS)
        self.usage_records = self._counters(catalogue.USAGE_RECORDS)
        self.cost = self._counters(catalogue.COST)
        self.unpriced = self._counters(catalogue.UNPRICED)
        self.overhead = self._histograms(catalogue.OVERHEAD)
        self.in_flight = self._gauges(catalogue.IN_FLIGHT)
        self.websockets = self._gauges(catalogue.WEBSOCKETS)
        self.websocket_duration = self._histograms(catalogue.WEBSOCKET_DURATION)
        self.websocket_messages = self._counters(catalogue.WEBSOCKET_MESSAGES)
        self.attempts = self._counters(catalogue.ATTEMPTS)
        self.upstream_connections = self._gauges(catalogue.UPSTREAM_CONNECTIONS)
        self.ratelimit_remaining = self._gauges(catalogue.RATELIMIT_REMAINING)
        self.ratelimit_limit = self._gauges(catalogue.RATELIMIT_LIMIT)
        self.replayed = self._counters(catalogue.REPLAYED)
        self.label_overflow = self._counters(catalogue.LABEL_OVERFLOW)
        self.spans_exported = self._counters(catalogue.SPANS_EXPORTED)
        self.spans_dropped = self._counters(catalogue.SPANS_DROPPED)
        self.observer_failures = self._counters(catalogue.OBSERVER_FAILURES)
        self.unreadable = self._counters(catalogue.UNREADABLE)
        self.unread = self._counters(catalogue.UNREAD)
        self.content_dropped = self._counters(catalogue.CONTENT_DROPPED)
        self.content_withheld = self._counters(catalogue.CONTENT_WITHHELD)
        self.quality_score = self._histograms(catalogue.QUALITY_SCORE)
        self.events = self._counters(catalogue.EVENTS)
        self.sink_failures = self._counters(catalogue.SINK_FAILURES)
        self.loop_lag = self._histograms(catalogue.LOOP_LAG)
        self.reload_successful = self._gauges(catalogue.RELOAD_SUCCESSFUL)
        self.reload_timestamp = self._gauges(catalogue.RELOAD_TIMESTAMP)
        self.memory_limit = self._gauges(catalogue.MEMORY_LIMIT)
        self.build_info = self._gauges(catalogue.BUILD_INFO)
        self._add_resilience()
        self._add_reuse()
        self._add_accounts()
        self._create_closed()

    @property
    def all(self) -> list[AnyFamily]:
        """Every family, in the catalogue's order."""
        return [family for family in vars(self).values() if isinstance(family, Family)]

    def create_upstreams(self, upstreams: Iterable[str]) -> None:
        """Create the series of these upstreams at 0."""
        of_one = (self.breaker_state, self.breaker_rejected, self.upstream_pending)
        of_two = (self.attempts, self.upstream_connections, self.breaker_openings, self.probes)
        for upstream in upstreams:
            for family in of_one:
                family.child(upstream)
            for family in of_two:
                for value in family.metric.labels[1].values:
                    family.child(upstream, value)
            for before, after in permutations(catalogue.BREAKER_STATES, 2):
                self.breaker_transitions.child(upstream, before, after)

    def create_pools(self, pools: Iterable[Sequence[str]]) -> None:
        """Create the series of going from one upstream to another within each of these pools, at 0."""
        for upstreams in pools:
            for before, after in permutations(upstreams, 2):
                self.failovers.child(before, after)

    def create_routes(self, routes: Iterable[str]) -> None:
        """Create the series of these routes that other labels do not divide further, at 0."""
        for route in routes:
            for direction in catalogue.WEBSOCKET_MESSAGES.labels[1].values:
                self.websocket_messages.child(route, direction)

    def _add_resilience(self) -> None:
        self.breaker_state = self._gauges(catalogue.BREAKER_STATE)
        self.breaker_group_state = self._gauges(catalogue.BREAKER_GROUP_STATE)
        self.breaker_transitions = self._counters(catalogue.BREAKER_TRANSITIONS)
        self.breaker_openings = self._counters(catalogue.BREAKER_OPENINGS)
        self.breaker_rejected = self._counters(catalogue.BREAKER_REJECTED)
        self.retries = self._counters(catalogue.RETRIES)
        self.retry_budget_exhausted = self._counters(catalogue.RETRY_BUDGET_EXHAUSTED)
        self.retry_after_ignored = self._counters(catalogue.RETRY_AFTER_IGNORED)
        self.failovers = self._counters(catalogue.FAILOVERS)
        self.hedges = self._counters(catalogue.HEDGES)
        self.hedge_cost = self._counters(catalogue.HEDGE_COST)
        self.queued = self._gauges(catalogue.QUEUED)
        self.queue_wait = self._histograms(catalogue.QUEUE_WAIT)
        self.shed = self._counters(catalogue.SHED)
        self.degraded = self._counters(catalogue.DEGRADED)
        self.wishes_refused = self._counters(catalogue.WISHES_REFUSED)
        self.upstream_healthy = self._gauges(catalogue.UPSTREAM_HEALTHY)
        self.upstream_concurrency_limit = self._gauges(catalogue.UPSTREAM_CONCURRENCY_LIMIT)
        self.upstream_pending = self._gauges(catalogue.UPSTREAM_PENDING)
        self.probes = self._counters(catalogue.PROBES)
        self.feature_enabled = self._gauges(catalogue.FEATURE_ENABLED)

    def _add_reuse(self) -> None:
        self.cache_lookups = self._counters(catalogue.CACHE_LOOKUPS)
        self.cache_hits = self._counters(catalogue.CACHE_HITS)
        self.cache_stale = self._counters(catalogue.CACHE_STALE)
        self.cache_bypass = self._counters(catalogue.CACHE_BYPASS)
        self.cache_stored = self._counters(catalogue.CACHE_STORED)
        self.cache_not_stored = self._counters(catalogue.CACHE_NOT_STORED)
        self.cache_entries = self._gauges(catalogue.CACHE_ENTRIES)
        self.cache_bytes = self._gauges(catalogue.CACHE_BYTES)
        self.cache_evictions = self._counters(catalogue.CACHE_EVICTIONS)
        self.cache_damaged = self._counters(catalogue.CACHE_DAMAGED)
        self.cache_refreshes = self._counters(catalogue.CACHE_REFRESHES)
        self.cache_warmed = self._counters(catalogue.CACHE_WARMED)
        self.cache_saved_tokens = self._counters(catalogue.CACHE_SAVED_TOKENS)
        self.cache_saved_usd = self._counters(catalogue.CACHE_SAVED_USD)
        self.coalesced_requests = self._counters(catalogue.COALESCED_REQUESTS)
        self.coalesced_saved = self._counters(catalogue.COALESCED_SAVED)
        self.coalescing_detached = self._counters(catalogue.COALESCING_DETACHED)
        self.embedding_batches = self._counters(catalogue.EMBEDDING_BATCHES)
        self.embedding_inputs = self._counters(catalogue.EMBEDDING_INPUTS)
        self.shared_up = self._gauges(catalogue.SHARED_UP)
        self.shared_commands = self._counters(catalogue.SHARED_COMMANDS)
        self.shared_dropped = self._counters(catalogue.SHARED_DROPPED)
        self.tool_lookups = self._counters(catalogue.TOOL_LOOKUPS)
        self.tool_hits = self._counters(catalogue.TOOL_HITS)

    def _add_accounts(self) -> None:
        self.tenant_requests = self._counters(catalogue.TENANT_REQUESTS)
        self.tenant_tokens = self._counters(catalogue.TENANT_TOKENS)
        self.tenant_cost = self._counters(catalogue.TENANT_COST)
        self.rate_limited_requests = self._counters(catalogue.RATE_LIMITED_REQUESTS)
        self.budget_spent_usd = self._gauges(catalogue.BUDGET_SPENT_USD)
        self.budget_reserved_usd = self._gauges(catalogue.BUDGET_RESERVED_USD)
        self.budget_limit_usd = self._gauges(catalogue.BUDGET_LIMIT_USD)
        self.budget_soft_reached = self._gauges(catalogue.BUDGET_SOFT_REACHED)
        self.spending_stopped = self._gauges(catalogue.SPENDING_STOPPED_STATE)
        self.ledger_failures = self._counters(catalogue.LEDGER_FAILURES_TOTAL)

    def _create_closed(self) -> None:
        # A rate over a series that was born at 1 misses the first event: begin at 0.
        for family in self.all:
            labels = family.metric.labels
            if family is self.shared_up or family is self.memory_limit:
                continue  # no shared place is neither up nor down, and what is not known is not 0
            if not labels:
                family.child()
            elif len(labels) == 1:
                for value in labels[0].values:
                    family.child(value)

    def _counters(self, metric: Metric) -> Family[Counter]:
        return Family(metric, Counter, self._series_max)

    def _gauges(self, metric: Metric) -> Family[Gauge]:
        return Family(metric, Gauge, self._series_max)

    def _histograms(self, metric: Metric) -> Family[Histogram]:
        return Family(metric, partial(Histogram, edges=metric.buckets), self._series_max)
