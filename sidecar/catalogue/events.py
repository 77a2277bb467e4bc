"""Every kind of log line."""

from typing import Final

from sidecar.catalogue.calls import CALL_ENDED, CALL_FAILED, LINES_LOST
from sidecar.catalogue.kinds import LogEvent

STARTED: Final = LogEvent("started", "info", "Both ports are open.")
STOPPING: Final = LogEvent("stopping", "info", "It was told to stop: calls in progress come to their end (drain).")
STOPPED: Final = LogEvent("stopped", "info", "Everything is closed.")
RELOADED: Final = LogEvent("configuration_reloaded", "info", "The configuration was loaded anew, and is in force.")
REFUSED: Final = LogEvent(
    "configuration_refused", "error", "What is on disk cannot be used; what was loaded before stays in force. One line for each problem."
)
RESTART_NEEDED: Final = LogEvent("configuration_needs_restart", "warning", "Settings that were changed wait for a restart.")
EXCHANGE_FAILED: Final = LogEvent("exchange_failed", "error", "The sidecar's own fault ended an exchange.", 10.0)
OBSERVER_FAILED: Final = LogEvent("observer_failed", "warning", "Reading an answer failed; it was relayed unread.", 10.0)
SINK_FAILED: Final = LogEvent("sink_failed", "error", "A reader failed to take an exchange's record.", 10.0)
SPAN_EXPORT_FAILED: Final = LogEvent("span_export_failed", "warning", "The collector did not take spans; they are lost.", 60.0)
SPANS_LOST: Final = LogEvent("spans_dropped", "warning", "More spans than can be exported; the rest are lost.", 60.0)
CONTENT_LOST: Final = LogEvent("content_dropped", "warning", "Captured content could not be written; it is lost.", 60.0)
# One line each for the breaker of an upstream and a group of models, and each reason.
BREAKER_OPENED: Final = LogEvent("circuit_breaker_opened", "warning", "An upstream failed too often; it is left alone for a while.", 10.0)
BREAKER_HALF_OPENED: Final = LogEvent("circuit_breaker_half_opened", "info", "A few calls find out whether the upstream is back.", 10.0)
BREAKER_CLOSED: Final = LogEvent("circuit_breaker_closed", "info", "The upstream is back; it gets calls as before.", 10.0)
FOUND_UNHEALTHY: Final = LogEvent("upstream_unhealthy", "warning", "An upstream no longer answers its probes.", 60.0)
FOUND_HEALTHY: Final = LogEvent("upstream_healthy", "info", "An upstream answers its probes again.", 60.0)
SHARED_AWAY: Final = LogEvent("shared_store_away", "warning", "The shared store does not answer; the sidecar goes on without.", 10.0)
SHARED_BACK: Final = LogEvent("shared_store_back", "info", "The shared store answers again.", 10.0)
LEDGER_REPLAYED: Final = LogEvent("ledger_replayed", "info", "What was spent before the start is known again.")
LEDGER_DAMAGED: Final = LogEvent(
    "ledger_damaged", "error", "Lines of the ledger of budgets cannot be read; the file is kept aside, and what could be read counts."
)
LEDGER_FAILED: Final = LogEvent(
    "ledger_failed", "error", "The ledger of budgets cannot be written; calls go on, and a restart would forget what they cost.", 60.0
)
LEDGER_WRITABLE: Final = LogEvent("ledger_written_again", "info", "What is spent is on disk again, and what was missed as well.", 60.0)
BUDGET_WARNED: Final = LogEvent("budget_soft_limit_reached", "warning", "So much of a budget is spent that it is warned of.")
BUDGET_EXHAUSTED: Final = LogEvent(
    "budget_spent", "warning", "Too little is left of a budget: a call was refused, and others will be until its window ends."
)
SPENDING_HALTED: Final = LogEvent("spending_stopped", "warning", "An operator stopped the spending of a tenant, or of all.")
SPENDING_RESUMED: Final = LogEvent("spending_resumed", "info", "An operator let the spending of a tenant, or of all, go on.")
WARMING_LINE: Final = LogEvent("warming_line_skipped", "warning", "A line of warming.file cannot be used.")
WARMED: Final = LogEvent(
    "warming_ended", "info", "All prompts of warming.file were asked once; llm_sidecar_cache_warmed_total tells with what success."
)
ALERT_FIRED: Final = LogEvent("alert_fired", "warning", "Something is beyond its threshold, and has been for long enough.")
ALERT_RESOLVED: Final = LogEvent("alert_resolved", "info", "What was beyond its threshold is no more.")
ALERTS_UNJUDGED: Final = LogEvent("alerts_not_judged", "error", "The sidecar's own fault kept it from judging its alerts.", 60.0)
WEBHOOK_FAILED: Final = LogEvent(
    "alert_webhook_failed", "warning", "A message of an alert did not reach the address in alerts.webhook_file.", 60.0
)
JOURNAL_FAILED: Final = LogEvent(
    "journal_failed", "warning", "The journal cannot be written; calls go on, and are kept in memory for it, for two days at most.", 60.0
)
JOURNAL_WRITABLE: Final = LogEvent("journal_written_again", "info", "The journal is on disk again, and what was missed as well.", 60.0)
JOURNAL_DAMAGED: Final = LogEvent("journal_damaged", "warning", "A file of the journal cannot be read; it is kept aside.")
JOURNAL_LOST: Final = LogEvent("journal_lost", "error", "Calls will never be in the journal: it could not be written for too long.", 60.0)
APPLICATION_EVENT: Final = LogEvent("application_event", "info", "An application told of an event (POST /api/events).", 1.0)
WEB_CONFIG_RELOADED: Final = LogEvent("web_config_reloaded", "info", "What admin.web_config_file holds now is in force.")
WEB_CONFIG_REFUSED: Final = LogEvent(
    "web_config_refused", "error", "What admin.web_config_file holds, or a file it names, cannot be used; what was read before is in force."
)
WEB_CONFIG_REMARK: Final = LogEvent("web_config_remark", "info", "A part of admin.web_config_file that is not followed to the letter.")
PASSWORD_REFUSED: Final = LogEvent("password_refused", "warning", "Somebody gave a wrong password at the admin port.", 60.0)
DATA_PORT_OPEN: Final = LogEvent("data_port_open", "warning", "Other machines can make calls; gateway: true says that it is meant.")
ADMIN_PORT_OPEN: Final = LogEvent("admin_port_open", "info", "Other machines can read what the admin port tells, and change nothing.")
LIBRARY: Final = LogEvent("library", "warning", "What a library logged.", 60.0)
LOG_EVENTS: Final = (
    STARTED, STOPPING, STOPPED, RELOADED, REFUSED, RESTART_NEEDED,
    EXCHANGE_FAILED, OBSERVER_FAILED, SINK_FAILED, SPAN_EXPORT_FAILED, SPANS_LOST, CONTENT_LOST,
    BREAKER_OPENED, BREAKER_HALF_OPENED, BREAKER_CLOSED, FOUND_UNHEALTHY, FOUND_HEALTHY, SHARED_AWAY, SHARED_BACK,
    LEDGER_REPLAYED, LEDGER_DAMAGED, LEDGER_FAILED, LEDGER_WRITABLE, BUDGET_WARNED, BUDGET_EXHAUSTED, SPENDING_HALTED, SPENDING_RESUMED,
    WARMING_LINE, WARMED, JOURNAL_FAILED, JOURNAL_WRITABLE, JOURNAL_DAMAGED, JOURNAL_LOST, CALL_ENDED, CALL_FAILED, LINES_LOST,
    WEB_CONFIG_RELOADED, WEB_CONFIG_REFUSED, WEB_CONFIG_REMARK, PASSWORD_REFUSED, DATA_PORT_OPEN, ADMIN_PORT_OPEN,
    APPLICATION_EVENT, ALERT_FIRED, ALERT_RESOLVED, ALERTS_UNJUDGED, WEBHOOK_FAILED, LIBRARY,
)  # fmt: skip
