"""Every kind of log line."""

from typing import Final

from sidecar.catalogue.kinds import LogEvent

STARTED: Final = LogEvent("started", "info", "Both ports are open.")
STOPPING: Final = LogEvent("stopping", "info", "No new calls are taken; those in progress are finished.")
STOPPED: Final = LogEvent("stopped", "info", "Everything is closed.")
EXCHANGE_FAILED: Final = LogEvent("exchange_failed", "error", "The sidecar's own fault ended an exchange.", 10.0)
OBSERVER_FAILED: Final = LogEvent("observer_failed", "warning", "Reading an answer failed; it was relayed unread.", 10.0)
SINK_FAILED: Final = LogEvent("sink_failed", "error", "A reader failed to take an exchange's record.", 10.0)
SPAN_EXPORT_FAILED: Final = LogEvent("span_export_failed", "warning", "The collector did not take spans; they are lost.", 60.0)
SPANS_LOST: Final = LogEvent("spans_dropped", "warning", "More spans than can be exported; the rest are lost.", 60.0)
CONTENT_LOST: Final = LogEvent("content_dropped", "warning", "Captured content could not be written; it is lost.", 60.0)
LIBRARY: Final = LogEvent("library", "warning", "What a library logged.", 60.0)
LOG_EVENTS: Final = (
    STARTED, STOPPING, STOPPED, EXCHANGE_FAILED, OBSERVER_FAILED, SINK_FAILED, SPAN_EXPORT_FAILED, SPANS_LOST, CONTENT_LOST, LIBRARY,
)  # fmt: skip
