"""Every metric, its labels and its buckets."""

from typing import Final

from sidecar import thresholds
from sidecar.catalogue.kinds import Kind, Label, Metric
from sidecar.catalogue.resilience import ATTEMPT_OUTCOMES_ONLY, RESILIENCE_METRICS
from sidecar.catalogue.reuse import ACCOUNT_METRICS, REUSE_METRICS
from sidecar.exchange import Ending, UsageSource


def _edges(*parts: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(sorted({edge for part in parts for edge in part}))


# Edges of the GenAI conventions end at 81.92 s; reasoning models and long streams do not.
GENAI_SECONDS: Final = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
LONG_SECONDS: Final = (163.84, 327.68, 655.36)
HTTP_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
LATENCY_LIMITS: Final = _edges(thresholds.MEAN_LATENCY.limits, thresholds.LATENCY_P95.limits, thresholds.RESPONSE_TIME.limits)
DURATION_EDGES: Final = _edges(GENAI_SECONDS, LONG_SECONDS, LATENCY_LIMITS)
HTTP_EDGES: Final = _edges(HTTP_SECONDS, LATENCY_LIMITS, GENAI_SECONDS[-3:], LONG_SECONDS)
FIRST_TOKEN_EDGES: Final = _edges(GENAI_SECONDS, LONG_SECONDS, thresholds.TIME_TO_FIRST_TOKEN_P95.limits)
GAP_EDGES: Final = _edges(GENAI_SECONDS, LONG_SECONDS)
TOKEN_EDGES: Final = tuple(float(4**power) for power in range(14))
RATE_EDGES: Final = _edges(
    (1.0, 2.0, 5.0, 30.0, 75.0, 100.0, 150.0, 200.0, 300.0, 500.0, 1000.0), thresholds.OUTPUT_TOKENS_PER_SECOND.limits
)
OVERHEAD_EDGES: Final = (0.00001, 0.00002, 0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)
LAG_EDGES: Final = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)

QUALITY_EDGES: Final = _edges((0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 0.95, 1.0), thresholds.QUALITY.limits, (0.9,))

SESSION_EDGES: Final = (1.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 1800.0, 3600.0)  # providers' longest is an hour

OTHER: Final = "other"  # what a value beyond its label's bound becomes

METHODS: Final[tuple[str, ...]] = ("GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "_OTHER")
TOKEN_TYPES: Final = ("input", "cache_read", "cache_write", "output", "reasoning")
ENDINGS: Final = tuple(map(str, Ending))
SPAN_LOSSES: Final = ("queue_full", "export_failed", "shutdown")
# What is limited, as providers name it; the window where they do.
RATELIMIT_KINDS: Final = (
    "requests", "tokens", "input_tokens", "output_tokens", "priority_input_tokens", "priority_output_tokens", "project_tokens",
    "requests_minute", "requests_hour", "requests_day", "requests_month", "tokens_minute", "tokens_hour", "tokens_day", "tokens_month",
)  # fmt: skip
CONTENT_LOSSES: Final = ("queue_full", "too_large", "unreadable", "write_failed", "shutdown")
BOUNDS: Final = ("model", "response_model", "error_type", "status_code", "http_route", "tool", "event")
_NO_ATTEMPT: Final = (Ending.CLIENT_FAULT, Ending.UNAVAILABLE)  # of an exchange that asked nobody
_ATTEMPT_OUTCOMES: Final = (*(ending for ending in ENDINGS if ending not in _NO_ATTEMPT), *ATTEMPT_OUTCOMES_ONLY)
EXECUTE_TOOL: Final = "execute_tool"  # gen_ai.operation.name


_COUNTED: Final = tuple(source for source in UsageSource if source is not UsageSource.ABSENT)
_closed, _known, _open = Label.closed, Label.known, Label.open
_ROUTE, _UPSTREAM, _PROVIDER, _MODEL = _known("route"), _known("upstream"), _known("provider"), _open("model", "model")
_ERROR_TYPE = _open("error_type", "error_type")
_GENAI = (
    _closed("gen_ai_operation_name", "chat", "text_completion", "generate_content", "embeddings", "fetch_response"),
    _known("gen_ai_provider_name"),
    _open("gen_ai_request_model", "model"), _open("gen_ai_response_model", "response_model"),
    _known("server_address"), _known("server_port"),
)  # fmt: skip

OPERATION_DURATION: Final = Metric(
    "gen_ai_client_operation_duration_seconds", Kind.HISTOGRAM,
    "Time from accepting a GenAI call to its last byte, error or cancellation.", "seconds", (*_GENAI, _ERROR_TYPE), DURATION_EDGES,
)  # fmt: skip
TOKEN_USAGE: Final = Metric(
    "gen_ai_client_token_usage", Kind.HISTOGRAM,
    "Billable tokens of a GenAI call, cached ones in input and reasoning in output; where the provider reported them, estimates never.",
    "tokens", (*_GENAI, _closed("gen_ai_token_type", "input", "output")), TOKEN_EDGES,
)  # fmt: skip
TIME_TO_FIRST_CHUNK: Final = Metric(
    "gen_ai_client_operation_time_to_first_chunk_seconds", Kind.HISTOGRAM,
    "Time from accepting a streamed GenAI call to the first chunk of its answer.", "seconds", _GENAI, FIRST_TOKEN_EDGES,
)  # fmt: skip
TIME_PER_OUTPUT_CHUNK: Final = Metric(
    "gen_ai_client_operation_time_per_output_chunk_seconds", Kind.HISTOGRAM,
    "Time between one chunk of a streamed GenAI answer and the next.", "seconds", _GENAI, GAP_EDGES,
)  # fmt: skip
TOOL_DURATION: Final = Metric(
    "gen_ai_execute_tool_duration_seconds", Kind.HISTOGRAM,
    "Time from accepting a call of a tool to its last byte, error or cancellation.", "seconds",
    (_open("gen_ai_tool_name", "tool"), _ERROR_TYPE), DURATION_EDGES,
)  # fmt: skip
HTTP_SERVER_DURATION: Final = Metric(
    "http_server_request_duration_seconds", Kind.HISTOGRAM,
    "Time from accepting any call for an upstream to its last byte, error or cancellation; of a WebSocket, its handshake; not of streams "
    "that have no end.", "seconds",
    (_closed("http_request_method", *METHODS), _open("http_route", "http_route"), _open("http_response_status_code", "status_code"),
     _known("url_scheme"), _ERROR_TYPE), HTTP_EDGES,
)  # fmt: skip
REQUESTS: Final = Metric(
    "llm_sidecar_requests_total", Kind.COUNTER, "Exchanges, by how they ended.", "",
    (_ROUTE, _PROVIDER, _MODEL, _closed("ending", *ENDINGS)),
)  # fmt: skip
BATCHED: Final = Metric("llm_sidecar_batched_requests_total", Kind.COUNTER, "Exchanges that came as entries of a batch.")
TIME_TO_FIRST_TOKEN: Final = Metric(
    "llm_sidecar_time_to_first_token_seconds", Kind.HISTOGRAM,
    "Time from accepting a streamed call to the first token of content; role-only chunks do not count.",
    "seconds", (_PROVIDER, _MODEL), FIRST_TOKEN_EDGES,
)  # fmt: skip
TOKENS_PER_SECOND: Final = Metric(
    "llm_sidecar_output_tokens_per_second", Kind.HISTOGRAM,
    "Output tokens of a streamed answer divided by the time from its first token to its last chunk; answers of 10 tokens or more "
    "without reasoning, which may have been done before the first token came.",
    "", (_PROVIDER, _MODEL), RATE_EDGES,
)  # fmt: skip
TOKENS: Final = Metric(
    "llm_sidecar_tokens_total", Kind.COUNTER, "Billable tokens as disjoint types: their sum is the total.", "tokens",
    (_PROVIDER, _MODEL, _closed("type", *TOKEN_TYPES), _closed("source", *_COUNTED)),
)  # fmt: skip
USAGE_RECORDS: Final = Metric(
    "llm_sidecar_usage_records_total", Kind.COUNTER, "GenAI exchanges, by where their token counts came from; fetch_response has none.", "",
    (_closed("source", *map(str, UsageSource)),),
)  # fmt: skip
COST: Final = Metric(
    "llm_sidecar_cost_usd_total", Kind.COUNTER,
    "Cost in US dollars, as the provider reported it or by the price table; for estimated tokens apart.", "usd",
    (_PROVIDER, _MODEL, _closed("source", "provider", "table", "estimated")),
)  # fmt: skip
UNPRICED: Final = Metric(
    "llm_sidecar_unpriced_requests_total", Kind.COUNTER, "Exchanges whose usage is known or estimated and could not be priced.", "",
    (_closed("reason", "unknown_model", "unknown_service_tier", "modality", "several_models"),),
)  # fmt: skip
OVERHEAD: Final = Metric(
    "llm_sidecar_overhead_seconds", Kind.HISTOGRAM, "Time the sidecar itself added to an exchange, on either side.", "seconds",
    (_closed("side", "request", "response"),), OVERHEAD_EDGES,
)  # fmt: skip
IN_FLIGHT: Final = Metric("llm_sidecar_in_flight_requests", Kind.GAUGE, "Exchanges in progress.")
WEBSOCKETS: Final = Metric("llm_sidecar_websocket_sessions", Kind.GAUGE, "Open WebSocket sessions, those in their handshake included.")
WEBSOCKET_DURATION: Final = Metric(
    "llm_sidecar_websocket_session_duration_seconds", Kind.HISTOGRAM,
    "Time from a WebSocket's handshake to its close; no other histogram of durations holds it.", "seconds", (_ROUTE,), SESSION_EDGES,
)  # fmt: skip
WEBSOCKET_MESSAGES: Final = Metric(
    "llm_sidecar_websocket_messages_total", Kind.COUNTER, "Messages of WebSocket sessions, counted when the session ends.", "",
    (_ROUTE, _closed("direction", "to_upstream", "to_client")),
)  # fmt: skip
ATTEMPTS: Final = Metric(
    "llm_sidecar_attempts_total", Kind.COUNTER, "Attempts against upstreams, by how they ended.", "",
    (_UPSTREAM, _closed("outcome", *_ATTEMPT_OUTCOMES)),
)  # fmt: skip
UPSTREAM_CONNECTIONS: Final = Metric(
    "llm_sidecar_upstream_connections", Kind.GAUGE, "Open connections to an upstream.", "", (_UPSTREAM, _closed("state", "active", "idle"))
)
RATELIMIT_REMAINING: Final = Metric(
    "llm_sidecar_upstream_ratelimit_remaining", Kind.GAUGE,
    "What the upstream last said is left of a rate limit; with several keys or models behind it, the last answer's.", "",
    (_UPSTREAM, _closed("kind", *RATELIMIT_KINDS)),
)  # fmt: skip
RATELIMIT_LIMIT: Final = Metric(
    "llm_sidecar_upstream_ratelimit_limit", Kind.GAUGE,
    "What the upstream last said a rate limit is; with several keys or models behind it, the last answer's.", "",
    (_UPSTREAM, _closed("kind", *RATELIMIT_KINDS)),
)  # fmt: skip
REPLAYED: Final = Metric(
    "llm_sidecar_replayed_answers_total", Kind.COUNTER,
    "Answers that the provider repeated from a cache of its own, unbilled; they are in no histogram of tokens or of streams.", "",
    (_PROVIDER, _MODEL),
)  # fmt: skip
LABEL_OVERFLOW: Final = Metric(
    "llm_sidecar_label_overflow_total", Kind.COUNTER, "Exchanges counted under other because a bound on labels or series was reached.", "",
    (_closed("label", *BOUNDS, "series"),),
)  # fmt: skip
SPANS_EXPORTED: Final = Metric("llm_sidecar_spans_exported_total", Kind.COUNTER, "Spans the collector took.")
SPANS_DROPPED: Final = Metric(
    "llm_sidecar_spans_dropped_total", Kind.COUNTER, "Spans of kept traces that were lost.", "", (_closed("reason", *SPAN_LOSSES),)
)
OBSERVER_FAILURES: Final = Metric(
    "llm_sidecar_observer_failures_total", Kind.COUNTER, "Answers whose observation failed and was switched off; their bytes were relayed."
)
UNREADABLE: Final = Metric(
    "llm_sidecar_unreadable_requests_total", Kind.COUNTER, "Requests whose body claims to be JSON and is not; they were forwarded."
)
UNREAD: Final = Metric(
    "llm_sidecar_unread_answers_total", Kind.COUNTER, "Answers that were relayed and, wholly or in part, could not be read.", "",
    (_closed("reason", "encoding", "too_large", "corrupt", "not_json"),),
)  # fmt: skip
CONTENT_DROPPED: Final = Metric(
    "llm_sidecar_content_dropped_total", Kind.COUNTER, "Calls whose captured content was lost, wholly or in part.", "",
    (_closed("reason", *CONTENT_LOSSES),),
)  # fmt: skip
CONTENT_WITHHELD: Final = Metric(
    "llm_sidecar_content_withheld_total", Kind.COUNTER, "Texts withheld because a pattern of content.redact ran out of time on them.", "",
    (_known("pattern"),),
)  # fmt: skip
QUALITY_SCORE: Final = Metric(
    "llm_sidecar_quality_score", Kind.HISTOGRAM, "Answers as applications rated them, from 0 to 1 (POST /api/feedback).", "",
    (_PROVIDER, _MODEL), QUALITY_EDGES,
)  # fmt: skip
EVENTS: Final = Metric(
    "llm_sidecar_events_total", Kind.COUNTER, "Events that applications told of (POST /api/events).", "", (_open("name", "event"),)
)
SINK_FAILURES: Final = Metric(
    "llm_sidecar_sink_failures_total", Kind.COUNTER, "Exchange records that a reader failed to take.", "",
    (_closed("sink", "metrics", "statistics", "journal", "lines", "feedback", "traces", "content"),),
)  # fmt: skip
LOOP_LAG: Final = Metric(
    "llm_sidecar_event_loop_lag_seconds", Kind.HISTOGRAM, "How late the event loop woke a sampling timer.", "seconds", (), LAG_EDGES
)
RELOAD_SUCCESSFUL: Final = Metric(
    "llm_sidecar_config_last_reload_successful", Kind.GAUGE, "Whether the last load of the configuration succeeded (1) or not (0)."
)
RELOAD_TIMESTAMP: Final = Metric(
    "llm_sidecar_config_last_reload_success_timestamp_seconds", Kind.GAUGE,
    "When the configuration was last loaded with success, as Unix time.", "seconds",
)  # fmt: skip
MEMORY_LIMIT: Final = Metric(
    "llm_sidecar_memory_limit_bytes", Kind.GAUGE,
    "Memory that the process may take: the least that a control group it is in, or the machine, allows. Absent where not known (Linux).",
    "bytes",
)  # fmt: skip
BUILD_INFO: Final = Metric("llm_sidecar_build_info", Kind.GAUGE, "Always 1; what is running.", "", (_known("version"), _known("python")))

METRICS: Final[tuple[Metric, ...]] = (
    OPERATION_DURATION, TOKEN_USAGE, TIME_TO_FIRST_CHUNK, TIME_PER_OUTPUT_CHUNK, TOOL_DURATION, HTTP_SERVER_DURATION,
    REQUESTS, BATCHED, TIME_TO_FIRST_TOKEN, TOKENS_PER_SECOND, TOKENS, USAGE_RECORDS, COST, UNPRICED, OVERHEAD, IN_FLIGHT,
    WEBSOCKETS, WEBSOCKET_DURATION, WEBSOCKET_MESSAGES, ATTEMPTS, UPSTREAM_CONNECTIONS, RATELIMIT_REMAINING, RATELIMIT_LIMIT, REPLAYED,
    LABEL_OVERFLOW, SPANS_EXPORTED, SPANS_DROPPED, OBSERVER_FAILURES, UNREADABLE, UNREAD, CONTENT_DROPPED, CONTENT_WITHHELD,
    QUALITY_SCORE, EVENTS, SINK_FAILURES,
    LOOP_LAG, RELOAD_SUCCESSFUL, RELOAD_TIMESTAMP, MEMORY_LIMIT, BUILD_INFO, *RESILIENCE_METRICS, *REUSE_METRICS,
    *ACCOUNT_METRICS,
)  # fmt: skip
# Read from the operating system at each scrape (Linux).
PROCESS_METRICS: Final[tuple[Metric, ...]] = (
    Metric("process_virtual_memory_bytes", Kind.GAUGE, "Virtual memory size in bytes."),
    Metric("process_resident_memory_bytes", Kind.GAUGE, "Resident memory size in bytes."),
    Metric("process_start_time_seconds", Kind.GAUGE, "Start time of the process since unix epoch in seconds."),
    Metric("process_cpu_seconds_total", Kind.COUNTER, "Total user and system CPU time spent in seconds."),
    Metric("process_open_fds", Kind.GAUGE, "Number of open file descriptors."),
    Metric("process_max_fds", Kind.GAUGE, "Maximum number of open file descriptors."),
)
