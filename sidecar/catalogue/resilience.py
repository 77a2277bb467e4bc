"""What can be seen of retries, failover, circuit breakers, balancing and queueing: metrics, and the words they use."""

from dataclasses import fields
from typing import Final

from sidecar.catalogue.kinds import Kind, Label, Metric
from sidecar.config import Features

BREAKER_STATES: Final = ("closed", "half_open", "open")  # in the order of llm_sidecar_circuit_breaker_state: 0, 1, 2
# Why a circuit breaker changed, and which of these open it.
BREAKER_REASONS: Final = (
    "consecutive_failures", "error_share", "slow_share", "open_time_over", "probe_succeeded", "probe_failed", "enough_successes", "forced",
    "released",
)  # fmt: skip
OPENING_REASONS: Final = ("consecutive_failures", "error_share", "slow_share", "probe_failed", "forced")
# What was wrong with an attempt after which another one may be made.
CAUSES: Final = (
    "never_sent", "reset", "silence", "malformed", "in_band", "rate_limited", "overloaded", "server_error", "credentials",
    "context_too_long", "content_refused", "rejected", "no_room",
)  # fmt: skip
# What an attempt may come to that an exchange cannot.
HEDGE_LOST: Final = "hedge_lost"
ATTEMPT_OUTCOMES_ONLY: Final = (HEDGE_LOST,)
# Won: its answer was the one passed on. Lost: given up. Failed: of itself. Refused: never made, for there were enough.
HEDGE_OUTCOMES: Final = ("won", "lost", "failed", "refused")
DEFAULT_GROUP: Final = "default"  # of models that no group names
DEGRADATION_STEPS: Final = ("full", "simple", "emergency")
SHED_REASONS: Final = ("queue_full", "too_long", "gave_up")
RETRY_AFTER_PROBLEMS: Final = ("capped", "unreadable")
PROBE_OUTCOMES: Final = ("succeeded", "failed")
# Why an upstream was chosen, why nobody was, and why another one could not be, or not before others.
CHOICE_REASONS: Final = (
    "only_one", "its_turn", "its_share", "fewest_pending", "best_score", "kept", "explored", "trial", "last_left", "pause_ends_first",
    "nearest_to_wishes", "due_first", "first_with_room",
)  # fmt: skip
REFUSAL_REASONS: Final = ("circuit_open", "no_room", "wish_unmet", "exhausted")
CANDIDATE_REASONS: Final = (
    "tried", "silent", "same_credentials", "context", "exclude", "max_response_time", "min_quality", "min_reliability", "circuit_open",
    "no_room", "half_open", "held", "ejected", "probe_failed", "slow_start", "prefer",
)  # fmt: skip
# Wishes that can leave nobody to choose: who is not preferred is chosen where no other is left.
WISHES: Final = ("max_response_time", "min_quality", "min_reliability", "exclude")
FEATURES: Final = tuple(feature.name for feature in fields(Features))
QUEUE_EDGES: Final = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 30.0)

_UPSTREAM: Final = Label.known("upstream")

BREAKER_STATE: Final = Metric(
    "llm_sidecar_circuit_breaker_state", Kind.GAUGE,
    "State of an upstream's circuit breaker, of several the worst: 0 closed, 1 half-open, 2 open.", "", (_UPSTREAM,),
)  # fmt: skip
BREAKER_GROUP_STATE: Final = Metric(
    "llm_sidecar_circuit_breaker_group_state", Kind.GAUGE,
    "State of the circuit breaker of each group of models, where groups are configured: 0 closed, 1 half-open, 2 open.", "",
    (_UPSTREAM, Label.known("group")),
)  # fmt: skip
BREAKER_TRANSITIONS: Final = Metric(
    "llm_sidecar_circuit_breaker_transitions_total", Kind.COUNTER, "Changes of state of an upstream's circuit breakers.", "",
    (_UPSTREAM, Label.closed("from", *BREAKER_STATES), Label.closed("to", *BREAKER_STATES)),
)  # fmt: skip
BREAKER_OPENINGS: Final = Metric(
    "llm_sidecar_circuit_breaker_openings_total", Kind.COUNTER, "Openings of an upstream's circuit breakers, by why.", "",
    (_UPSTREAM, Label.closed("reason", *OPENING_REASONS)),
)  # fmt: skip
BREAKER_REJECTED: Final = Metric(
    "llm_sidecar_circuit_breaker_rejected_total", Kind.COUNTER, "Calls that an upstream's circuit breaker did not let through.", "",
    (_UPSTREAM,),
)  # fmt: skip
RETRIES: Final = Metric(
    "llm_sidecar_retries_total", Kind.COUNTER, "Attempts that repeated one at the same upstream, by what was wrong with that.", "",
    (Label.closed("reason", *CAUSES),),
)  # fmt: skip
RETRY_BUDGET_EXHAUSTED: Final = Metric(
    "llm_sidecar_retry_budget_exhausted_total", Kind.COUNTER, "Attempts that were not made because the budget for further ones was used up."
)
RETRY_AFTER_IGNORED: Final = Metric(
    "llm_sidecar_retry_after_ignored_total", Kind.COUNTER,
    "Pauses an upstream asked for (Retry-After) that were longer than retries.retry_after_max, or could not be read.", "",
    (Label.closed("reason", *RETRY_AFTER_PROBLEMS),),
)  # fmt: skip
FAILOVERS: Final = Metric(
    "llm_sidecar_failovers_total", Kind.COUNTER, "Attempts made at another upstream of a pool after one had failed.", "",
    (Label.known("from"), Label.known("to")),
)  # fmt: skip
HEDGES: Final = Metric(
    "llm_sidecar_hedges_total", Kind.COUNTER, "Attempts made beside another one whose first token was late, by what became of them.", "",
    (Label.closed("outcome", *HEDGE_OUTCOMES),),
)  # fmt: skip
HEDGE_COST: Final = Metric(
    "llm_sidecar_hedge_cost_usd_total", Kind.COUNTER,
    "Cost in US dollars of attempts that lost against another one, where it is known; no other metric of cost holds it.", "usd",
    (Label.closed("source", "provider", "table", "estimated"),),
)  # fmt: skip
QUEUED: Final = Metric("llm_sidecar_queued_requests", Kind.GAUGE, "Exchanges that wait for room at an upstream.")
QUEUE_WAIT: Final = Metric(
    "llm_sidecar_queue_wait_seconds", Kind.HISTOGRAM,
    "Time an exchange waited for room at an upstream, got it or not; those that did not have to wait are not counted.", "seconds", (),
    QUEUE_EDGES,
)  # fmt: skip
SHED: Final = Metric(
    "llm_sidecar_shed_requests_total", Kind.COUNTER,
    "Exchanges refused for lack of room: the queue was full, the wait would have been too long, or it was.", "",
    (Label.closed("reason", *SHED_REASONS),),
)  # fmt: skip
DEGRADED: Final = Metric(
    "llm_sidecar_degraded_requests_total", Kind.COUNTER, "Exchanges that were served below the full policy, by the step.", "",
    (Label.closed("step", *DEGRADATION_STEPS[1:]),),
)  # fmt: skip
WISHES_REFUSED: Final = Metric(
    "llm_sidecar_wishes_refused_total", Kind.COUNTER,
    "Exchanges refused because no upstream meets what the caller wished, by each wish that was not met.", "",
    (Label.closed("wish", *WISHES),),
)  # fmt: skip
UPSTREAM_HEALTHY: Final = Metric(
    "llm_sidecar_upstream_healthy", Kind.GAUGE, "Whether an upstream is taken to be healthy (1) or not (0), by probes and by traffic.", "",
    (_UPSTREAM,),
)  # fmt: skip
UPSTREAM_CONCURRENCY_LIMIT: Final = Metric(
    "llm_sidecar_upstream_concurrency_limit", Kind.GAUGE, "How many calls an upstream is given at once; where adaptive, as of now.", "",
    (_UPSTREAM,),
)  # fmt: skip
UPSTREAM_PENDING: Final = Metric(
    "llm_sidecar_upstream_pending", Kind.GAUGE, "Attempts at an upstream that have no first byte of data yet.", "", (_UPSTREAM,)
)
PROBES: Final = Metric(
    "llm_sidecar_probes_total", Kind.COUNTER, "Active probes of an upstream; they are no calls.", "",
    (_UPSTREAM, Label.closed("outcome", *PROBE_OUTCOMES)),
)  # fmt: skip
FEATURE_ENABLED: Final = Metric(
    "llm_sidecar_feature_enabled", Kind.GAUGE, "Whether a feature is on (1) or off (0).", "", (Label.closed("feature", *FEATURES),)
)

RESILIENCE_METRICS: Final[tuple[Metric, ...]] = (
    BREAKER_STATE, BREAKER_GROUP_STATE, BREAKER_TRANSITIONS, BREAKER_OPENINGS, BREAKER_REJECTED, RETRIES, RETRY_BUDGET_EXHAUSTED,
    RETRY_AFTER_IGNORED, FAILOVERS, HEDGES, HEDGE_COST, QUEUED, QUEUE_WAIT, SHED, DEGRADED, WISHES_REFUSED, UPSTREAM_HEALTHY,
    UPSTREAM_CONCURRENCY_LIMIT, UPSTREAM_PENDING, PROBES, FEATURE_ENABLED,
)  # fmt: skip
