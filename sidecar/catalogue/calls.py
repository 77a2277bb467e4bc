"""What the line of one call tells."""

from typing import Final

from sidecar.catalogue.kinds import LogEvent, LogField

CALL_ENDED: Final = LogEvent("call", "info", "A call has ended well, or its caller left (log.calls: all).")
CALL_FAILED: Final = LogEvent(
    "call_failed", "warning",
    "A call has failed (log.calls: failed or all). With failed, of those that end alike at one upstream five are told within 10 s; "
    "`repeated` says how many were not.",
)  # fmt: skip
LINES_LOST: Final = LogEvent("log_lines_dropped", "warning", "Whoever reads the log was too slow: so many lines before this one are lost.")
CALL_FIELDS: Final = (
    LogField("request_id", "string", "As in x-sidecar-request-id."),
    LogField("trace_id", "string", "Of the call's trace."),
    LogField("span_id", "string", "Of the span of the call that came in."),
    LogField("route", "string", "The name of the route."),
    LogField("pool", "string", "The pool, where there was a choice."),
    LogField("upstream", "string", "Who answered, or was asked last."),
    LogField("provider", "string", "gen_ai.provider.name."),
    LogField("operation", "string", "gen_ai.operation.name; http where nothing is known of the form."),
    LogField("model", "string", "The model that was asked for."),
    LogField("response_model", "string", "The model that answered."),
    LogField("tool", "string", "The tool that was called."),
    LogField("tenant", "string", "On whose account it ran."),
    LogField("origin", "string", "Who made it, where that was no caller."),
    LogField("status", "int", "The status the caller got."),
    LogField("ending", "string", "How it ended, as in llm_sidecar_requests_total."),
    LogField("error_id", "string", "The sidecar's own error."),
    LogField("error_type", "string", "error.type: the provider's code, a status, or an error id."),
    LogField("streamed", "boolean", "The answer came in pieces."),
    LogField("duration_s", "double", "From accept to the end; of a WebSocket, to its opening."),
    LogField("session_s", "double", "How long a WebSocket was open."),
    LogField("ttft_s", "double", "From accept to the first token."),
    LogField("queued_s", "double", "Waited for room at an upstream."),
    LogField("input_tokens", "int", "All of the input, cached ones among them."),
    LogField("output_tokens", "int", "All of the output, reasoning among it."),
    LogField("tokens_source", "string", "reported, apportioned or estimated."),
    LogField("tokens_per_s", "double", "Output tokens from the first to the last."),
    LogField("cost_usd", "double", "What it cost."),
    LogField("cost_source", "string", "provider, table or estimated."),
    LogField("saved_usd", "double", "What another call's answer saved."),
    LogField("attempts", "int", "How often an upstream was asked."),
    LogField("tried", "string", "Each attempt's upstream and outcome, where there were several; of one that timed out its phase and time."),
    LogField("cache", "string", "What became of it in the cache."),
    LogField("cache_level", "string", "Where the kept answer was."),
    LogField("limited", "string", "Which limit refused it."),
    LogField("degraded", "string", "The step below the full policy."),
    LogField("phase", "string", "Where its time ran out: request, queue, connect, first_byte, idle or answer."),
    LogField("phase_s", "double", "The time it spent there."),
    LogField("repeated", "int", "So many calls that ended alike had no line since the last one."),
)
