"""Metrics: reads each sealed record once and adds it up (ports.Sink)."""

from collections.abc import Callable, Collection, Iterable
from typing import Final

from sidecar import catalogue
from sidecar.config import Limits, Settings
from sidecar.core.identify.router import name_route
from sidecar.core.observe.pace import measure_pace
from sidecar.edge.telemetry.accounts import Accounts
from sidecar.edge.telemetry.families import Families
from sidecar.edge.telemetry.instruments import Counter, Gauge, Histogram, TracePoint
from sidecar.edge.telemetry.labels import LabelBounds
from sidecar.edge.telemetry.resilience import Resilience
from sidecar.edge.telemetry.reuse import Reuse
from sidecar.edge.telemetry.series import Series, SeriesKey
from sidecar.exchange import Record, Session, UsageSource

_ABSENT, _REPORTED = UsageSource.ABSENT, UsageSource.REPORTED  # a class's members cost five times a module's names
_CALLER: Final = catalogue.CALLER
_OPERATIONS: Final = frozenset(catalogue.OPERATION_DURATION.labels[0].values)
_METHODS: Final = frozenset(catalogue.METHODS)
_RETOLD: Final = "fetch_response"  # an answer told again: its tokens and its pace were counted when it was made
# Kept children are only a short cut: forget them all rather than let callers fill the memory.
_KEPT_MAX: Final = 2048
_KEY_CHARACTERS_MAX: Final = 128


class Meter:
    """Everything the scrape shows. Called on the event loop only."""

    def __init__(self, limits: Limits, upstreams: Iterable[str], *, version: str, python: str) -> None:
        """Create every series that is known before traffic, at 0. `upstreams`: their names."""
        self.families = families = Families(limits.series)
        families.create_upstreams(upstreams)
        families.build_info.child(version, python).set(1)
        self.in_flight: Gauge = families.in_flight.child()
        self.websockets: Gauge = families.websockets.child()
        self.loop_lag: Histogram = families.loop_lag.child()
        self.spans_exported: Counter = families.spans_exported.child()
        self._observer_failures = families.observer_failures.child()
        self._unreadable = families.unreadable.child()
        self._batched = families.batched.child()
        self._overhead_request = families.overhead.child("request")
        self._overhead_response = families.overhead.child("response")
        self._usage_records = {source: families.usage_records.child(source) for source in UsageSource}
        self._bounds = LabelBounds(limits.labels)
        self._kept: dict[tuple[object, ...], Series] = {}
        self._attempts: dict[tuple[str, str], Counter] = {}
        self.resilience = Resilience(families)
        self._limits = self.resilience.rate_limits
        self.reuse = Reuse(families)
        self.accounts = Accounts(families)
        self._refreshers: list[Callable[[], None]] = []

    def adopt(self, settings: Settings, kept: Collection[str]) -> None:
        """Show what there is by other settings: gauges of what is gone vanish, counters stay. `kept`: upstreams that are what they were."""
        self.families.create_routes(name_route(route) for route in settings.routes)
        self.resilience.adopt(settings, kept)
        self.reuse.adopt(settings)
        self.accounts.adopt(settings)

    def spans_dropped(self, reason: str) -> Counter:
        """Return the counter of spans lost for `reason`, one of catalogue.SPAN_LOSSES."""
        return self.families.spans_dropped.child(reason)

    def content_dropped(self, reason: str) -> Counter:
        """Return the counter of captured content lost for `reason`, one of catalogue.CONTENT_LOSSES."""
        return self.families.content_dropped.child(reason)

    def content_withheld(self, pattern: str) -> Counter:
        """Return the counter of texts withheld because of `pattern`."""
        return self.families.content_withheld.child(pattern)

    def sink_failures(self, sink: str) -> Counter:
        """Return the counter of records that `sink` failed to take."""
        return self.families.sink_failures.child(sink)

    def upstream_connections(self, upstream: str, state: str) -> Gauge:
        """Return the gauge of connections to `upstream` that are `active` or `idle`."""
        return self.families.upstream_connections.child(upstream, state)

    def note_reload(self, *, successful: bool, at_s: float) -> None:
        """Note that the configuration was loaded, or could not be, at `at_s` (Unix time)."""
        self.families.reload_successful.child().set(int(successful))
        if successful:
            self.families.reload_timestamp.child().set(at_s)

    def show_memory_limit(self, limit_bytes: int | None) -> None:
        """Show how much memory the process may take; None: not known, and what was known before stays."""
        if limit_bytes is not None:
            self.families.memory_limit.child().set(limit_bytes)

    def note_quality(self, provider: str, model: str, quality: float) -> None:
        """Count an answer of a model that was rated, from 0 to 1."""
        self.families.quality_score.child(provider, self._admit("model", model)).observe(quality)

    def note_event(self, name: str) -> None:
        """Count an event that an application told of."""
        self.families.events.child(self._admit("event", name)).add(1)

    def _admit(self, bound: str, value: str) -> str:
        shown, is_replaced = self._bounds.admit(bound, value)
        if is_replaced:
            self.families.label_overflow.child(bound).add(1)
        return shown

    def before_scrape(self, refresh: Callable[[], None]) -> None:
        """Have `refresh` called before each scrape, to bring gauges up to date."""
        self._refreshers.append(refresh)

    def refresh(self) -> None:
        """Bring the gauges up to date."""
        for refresh in self._refreshers:
            refresh()
        self._limits.refresh()

    def observe(self, record: Record) -> None:
        """Count one exchange that has ended."""
        series = self._find(record)
        series.requests.value += 1
        if not record.asked.readable:
            self._unreadable.value += 1
        if record.observer_failed:
            self._observer_failures.value += 1
        if record.unread is not None:
            self.families.unread.child(record.unread).value += 1
        if record.limits:
            self._limits.note(record.upstream, record.limits)
        if record.batched:
            self._batched.value += 1
        if series.http is not None:
            self._observe_answer(record, series, series.http)
        if len(record.attempts) != 1 or record.queued_s or record.degraded is not None or record.decision is not None:
            self.resilience.observe(record)
        if record.tenant:
            self.accounts.observe(record)
        if record.cache is not None or record.bundled or record.origin != _CALLER:
            self.reuse.observe(record, series)
        for counter in series.overflow:  # last: what was made on the way may have had no room
            counter.value += 1

    def _observe_answer(self, record: Record, series: Series, http: Histogram) -> None:
        session = record.session
        duration_s = (record.ended if session is None else session.opened) - record.accepted
        trace = record.trace if record.kept else None
        at_s = 0.0 if trace is None else record.accepted_ns * 1e-9 + duration_s
        if not record.endless:
            http.observe(duration_s, None if trace is None else TracePoint(trace.trace_id, trace.server_span_id, at_s))
        if record.overhead_request_s is not None:
            self._overhead_request.observe(record.overhead_request_s)
        if record.overhead_response_s is not None:
            self._overhead_response.observe(record.overhead_response_s)
        for attempt in record.attempts:
            key = (attempt.upstream, attempt.outcome)
            counted = self._attempts.get(key)
            if counted is None:
                counted = self._attempts[key] = self.families.attempts.child(*key)
            counted.value += 1
        if session is not None:
            self._observe_session(record, session, series)
        elif series.duration is not None:
            point = None if trace is None else TracePoint(trace.trace_id, trace.client_span_id, at_s)
            series.duration.observe(duration_s, point)
            if record.seen.replayed:
                series.replayed().value += 1
            elif record.streamed and record.operation != _RETOLD:
                _observe_stream(record, series, point)
            self._observe_usage(record, series)
        elif series.execution is not None:
            series.execution.observe(duration_s, None if trace is None else TracePoint(trace.trace_id, trace.client_span_id, at_s))

    def _observe_session(self, record: Record, session: Session, series: Series) -> None:
        """What a WebSocket adds: how long it lasted is nobody's latency, so it has a histogram of its own."""
        families, route = self.families, record.route
        families.websocket_duration.child(route).observe(record.ended - session.opened)
        families.websocket_messages.child(route, "to_upstream").value += session.to_upstream
        families.websocket_messages.child(route, "to_client").value += session.to_client
        if record.operation in _OPERATIONS:
            self._observe_usage(record, series)

    def _observe_usage(self, record: Record, series: Series) -> None:
        source = record.usage_source
        usage = record.usage
        if usage is None or source is _ABSENT:
            self._usage_records[_ABSENT].value += record.operation != _RETOLD
            return
        self._usage_records[source].value += 1
        if source is _REPORTED and not record.seen.replayed:  # what was not billed is no call of zero tokens
            inputs, outputs = series.usage()
            inputs.observe(usage.input_total)
            outputs.observe(usage.output_total)
        for counter, count in zip(series.tokens(source), usage, strict=True):
            if count:
                counter.value += count
        if record.cost is not None:
            series.cost(record.cost.source).value += record.cost.usd
        elif record.unpriced is not None:
            self.families.unpriced.child(record.unpriced).value += 1

    def _find(self, record: Record) -> Series:
        model = record.asked.model or ""
        response_model = record.seen.model or ""
        if len(model) > _KEY_CHARACTERS_MAX or len(response_model) > _KEY_CHARACTERS_MAX:
            model, response_model = model[:_KEY_CHARACTERS_MAX], response_model[:_KEY_CHARACTERS_MAX]
        method = record.method if record.method in _METHODS else "_OTHER"
        key = (
            record.route, record.template, record.provider, record.operation, model, response_model,
            record.server_address, record.server_port, method, record.status, record.error_type, record.ending,
            record.asked.tool, record.cache,
        )  # fmt: skip
        found = self._kept.get(key)
        if found is None:
            if len(self._kept) >= _KEPT_MAX:
                self._kept.clear()
            found = self._kept[key] = self._open(record, method, model, response_model)
        return found

    def _open(self, record: Record, method: str, model: str, response_model: str) -> Series:
        raw = {
            "model": model,
            "response_model": response_model,
            "error_type": record.error_type or "",
            "http_route": record.template,
            "status_code": "" if record.status is None else str(record.status),
            "tool": record.asked.tool or "",
        }
        admitted = {bound: self._bounds.admit(bound, value) for bound, value in raw.items()}
        overflow = tuple(self.families.label_overflow.child(bound) for bound, (_, replaced) in admitted.items() if replaced)
        key = SeriesKey(
            record.route, admitted["http_route"][0], record.provider, record.operation, admitted["model"][0],
            admitted["response_model"][0], record.server_address, str(record.server_port), method,
            admitted["status_code"][0], admitted["error_type"][0], record.ending, admitted["tool"][0],
        )  # fmt: skip
        is_told = record.cache in catalogue.CACHE_TOLD  # nobody was asked for it: it says nothing of models and tools
        is_genai = record.operation in _OPERATIONS and record.session is None and not is_told
        is_tool = record.operation == catalogue.EXECUTE_TOOL and not is_told
        return Series(self.families, key, overflow, is_genai=is_genai, is_tool=is_tool, reached=is_told or record.upstream != "")


def _observe_stream(record: Record, series: Series, point: TracePoint | None) -> None:
    seen = record.seen
    stream = series.stream()
    if seen.first_chunk is not None:
        stream.first_chunk.observe(seen.first_chunk - record.accepted, point)
    if seen.gaps is not None:
        stream.gaps.merge(seen.gaps, seen.gap_sum)
    first_token_s, tokens_per_s = measure_pace(record)
    if first_token_s is not None:
        stream.first_token.observe(first_token_s, point)
    if tokens_per_s is not None:
        stream.rate.observe(tokens_per_s)
