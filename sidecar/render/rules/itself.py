"""Alerts on the sidecar itself: whether it is there, and has what it needs."""

from typing import Final

from sidecar.render.alerting import TARGET, Alert, Article, Recording, Severity, Tier
from sidecar.render.figures import print_duration, print_percentage, write_number
from sidecar.render.rules import recordings
from sidecar.render.rules.forms import Step, list_limits, make_tiers, print_limits, sum_over_target
from sidecar.thresholds import Terms

_OVERHEAD_COUNT: Final = "job:llm_sidecar_request_overhead_seconds_count:rate5m"
_OVERHEAD_P99: Final = "job:llm_sidecar_request_overhead_seconds:p99_5m"
# What the alerts below read, in their group: what the sidecar adds to the slowest hundredth of calls before they go out.
RECORDINGS: Final = (
    Recording(_OVERHEAD_COUNT, sum_over_target('rate(llm_sidecar_overhead_seconds_count{side="request"}[5m])', "side")),
    Recording(
        _OVERHEAD_P99,
        "histogram_quantile(0.99, " + sum_over_target('rate(llm_sidecar_overhead_seconds_bucket{side="request"}[5m])', "side") + ")",
    ),
)
# Restarts within 15 minutes beyond which a process does not come up: one is a deployment, two a deployment taken back.
RESTARTS: Final = 2
_SIDECAR: Final = "llm-sidecar-sidecar"
_INSTANCE: Final = (("instance", "instance"),)


def list_rules(terms: Terms) -> tuple[Alert, ...]:
    """Return the alerts on the sidecar's own state."""
    return (_down(), _restarting(), _memory_high(terms), _overhead_high(terms), _config_reload_failed(), _shared_store_down())


def _down() -> Alert:
    # `up` knows no sidecars: what was one within the last day is one.
    expr = "up == 0\nand on (job, instance) last_over_time(llm_sidecar_build_info[1d])"
    return Alert(
        "LLMSidecarDown",
        (Tier(Severity.CRITICAL, expr, "5m", "A sidecar cannot be scraped."),),
        "The sidecar {{ $labels.instance }} of {{ $labels.job }} has not answered Prometheus for 5 minutes.",
        _SIDECAR,
        Article(
            "Prometheus has not reached a sidecar for 5 minutes that it had seen within the last day.",
            "If the process is down, the application beside it cannot call any model through it. If only the admin port is out of reach, "
            "calls work and are not seen.",
            "`curl http://ADDRESS:9464/-/healthy` from the same host or pod; the process's exit code and last log lines (`start_failed` "
            "says what it could not use); network policies between Prometheus and the admin port.",
            "Restart it. Without the sidecar, the application can be pointed at the provider itself.",
            (
                "up == 0 and on (job, instance) last_over_time(llm_sidecar_build_info[1d])",
                "time() - process_start_time_seconds and on (job, instance) llm_sidecar_build_info",
            ),
        ),
        choose=_INSTANCE,
    )


def _restarting() -> Alert:
    expr = f"changes(process_start_time_seconds[15m]) > {RESTARTS}\nand on (job, instance) last_over_time(llm_sidecar_build_info[15m])"
    return Alert(
        "LLMSidecarRestarting",
        (Tier(Severity.WARNING, expr, "", "A sidecar starts again and again.", str(RESTARTS)),),
        "The sidecar {{ $labels.instance }} of {{ $labels.job }} started anew {{ $value | humanize }} times in the last 15 minutes, above "
        "the limit of {limit}.",
        _SIDECAR,
        Article(
            f"A sidecar started anew more than {RESTARTS} times within 15 minutes. A deployment is one start.",
            "Calls in progress break at each end of the process, and none is taken until it is up again. What is kept in memory is lost.",
            "The exit code and last log lines of the process before: `start_failed` is a configuration, port or file that cannot be used. "
            'Killed without a last line: most often for memory, see "Memory" and LLMSidecarMemoryHigh. Or a liveness probe that asks for '
            "more than `/-/healthy`, or gives it too little time.",
            "Mend what it says. If a change came before, take it back; `llm-sidecar check FILE` lists every problem of a configuration.",
            (
                "changes(process_start_time_seconds[15m]) and on (job, instance) llm_sidecar_build_info",
                "max_over_time(process_resident_memory_bytes[15m]) / llm_sidecar_memory_limit_bytes",
            ),
        ),
        choose=_INSTANCE,
    )


def _memory_high(terms: Terms) -> Alert:
    threshold = terms.thresholds.memory_used
    warning, critical = list_limits(threshold).values()
    used = "process_resident_memory_bytes / llm_sidecar_memory_limit_bytes"
    return Alert(
        "LLMSidecarMemoryHigh",
        (
            Tier(Severity.WARNING, f"{used} > {write_number(warning)}", "10m", "A sidecar uses much memory.", print_percentage(warning)),
            Tier(
                Severity.CRITICAL, f"{used} > {write_number(critical)}", "2m", "A sidecar runs out of memory.", print_percentage(critical)
            ),
        ),
        "The sidecar {{ $labels.instance }} of {{ $labels.job }} uses {{ $value | humanizePercentage }} of the memory that it may take, "
        "above the limit of {limit}.",
        _SIDECAR,
        Article(
            f"A sidecar's resident memory is above {print_percentage(warning)} for 10 minutes (warning) or {print_percentage(critical)} "
            "for 2 minutes (critical) of what its control group, or the machine, allows it.",
            "At the limit the system ends the process, and all calls in progress with it.",
            '"Memory" shows whether it grows with calls or by itself, "In flight" how many calls there are, "Memory by level" what kept '
            "answers take. Long prompts and slow readers of streams cost most. A container that was given less than the cache may take "
            "(`cache.warm`) fills up without any fault; memory that grows by itself for days is a fault of the sidecar: please report it.",
            "Give the container more memory. Or make `cache.warm` or `limits.body` smaller, or let fewer calls in at once "
            "(`upstreams.NAME.concurrency`).",
            (
                used,
                "sum by (job, instance, level) (llm_sidecar_cache_bytes)",
                "llm_sidecar_in_flight_requests",
                "deriv(process_resident_memory_bytes[1h]) and on (job, instance) llm_sidecar_build_info",
            ),
        ),
        keep="10m",
        choose=_INSTANCE,
    )


def _overhead_high(terms: Terms) -> Alert:
    threshold, least = terms.thresholds.overhead_p99, terms.traffic.timed_calls
    steps = {Severity.WARNING: Step("10m", "The sidecar itself makes calls slow.")}
    guard = f"and {_OVERHEAD_COUNT} * 300 >= {least}"
    return Alert(
        "LLMSidecarOverheadHigh",
        make_tiers(threshold, _OVERHEAD_P99, guard, print_duration, steps),
        "1% of the calls of {{ $labels.job }} were held up by the sidecar itself for more than {{ $value | humanizeDuration }} in the last "
        "5 minutes, before they went out; the limit is {limit}.",
        _SIDECAR,
        Article(
            f"The sidecar itself added more than {print_limits(threshold, print_duration)} to one call in a hundred before it went out, in "
            f"at least {least} calls over 5 minutes, for 10 minutes. Waiting for the request's body, for room, for a connection "
            "and for attempts that failed before is not counted.",
            "Every call is that much slower than without the sidecar.",
            '"Event-loop lag" and "CPU": a process that has too little of its processor is late with everything. Of a container with a '
            'limit on its processor look at how often it is held back. "Added by the sidecar" on both sides, "Calls per second" and long '
            "prompts tell whether it is the load.",
            "Give the sidecar more of a processor, or take the limit on it away; run more sidecars. Redaction of content and spans take "
            "what `content.cpu_share` and `tracing.cpu_share` allow: lower them.",
            (
                "histogram_quantile(0.99, sum by (job, instance, side, le) (rate(llm_sidecar_overhead_seconds_bucket[5m])))",
                "histogram_quantile(0.99, sum by (job, instance, le) (rate(llm_sidecar_event_loop_lag_seconds_bucket[5m])))",
                "rate(process_cpu_seconds_total[5m]) and on (job, instance) llm_sidecar_build_info",
            ),
        ),
        keep="10m",
    )


def _config_reload_failed() -> Alert:
    expr = f"min without ({TARGET}) (max_over_time(llm_sidecar_config_last_reload_successful[5m])) == 0"
    return Alert(
        "LLMConfigReloadFailed",
        (Tier(Severity.WARNING, expr, "10m", "A changed configuration could not be loaded."),),
        "A sidecar of {{ $labels.job }} goes on with its former configuration: the last one could not be loaded, 10 minutes ago or more.",
        _SIDECAR,
        Article(
            "The configuration of at least one sidecar was to be loaded anew, and was refused: its file, or one that it names, such as a "
            "secret, is wrong or missing. It is loaded whole or not at all.",
            "Calls go on by the former configuration. What was meant to change has not, and a restart would fail.",
            "Each problem is a line `configuration_refused` of the sidecar's log, with path, value found and those allowed; `GET /health` "
            "on the admin port tells them under `configuration`, and so does `llm-sidecar check FILE` of the file alone. "
            "`llm_sidecar_config_last_reload_success_timestamp_seconds` tells when it last succeeded.",
            "Mend the file, or take its last change back. It is loaded as soon as it is right, in Kubernetes once the change has reached "
            "the volume, a minute or so; with `reload.watch: false` send SIGHUP, or POST `/-/reload`.",
            (
                "llm_sidecar_config_last_reload_successful == 0",
                "time() - llm_sidecar_config_last_reload_success_timestamp_seconds",
            ),
        ),
    )


def _shared_store_down() -> Alert:
    # Nobody knows of a store that nobody asks: silent without commands.
    expr = f"min without ({TARGET}) (llm_sidecar_shared_up) == 0\nand {recordings.SHARED_COMMANDS} > 0"
    return Alert(
        "LLMSharedStoreDown",
        (Tier(Severity.WARNING, expr, "2m", "The shared store does not answer."),),
        "A sidecar of {{ $labels.job }} has gone on without the shared store for 2 minutes.",
        "llm-sidecar-cache",
        Article(
            "For 2 minutes a sidecar has left the store of `redis.url` alone most of the time, because it fails or is late.",
            "Calls go on. Each sidecar has its own cache, limits count in each one apart, and budgets know what the others had spent when "
            "they were last heard of: together more may go through than is allowed.",
            '"Commands by outcome": `late` is a slow store or network against `redis.timeout`, `failed` is a refusal, such as a wrong '
            'password, a store that is full or one that only reads. "Shared store" tells whether all sidecars see it so.',
            "Mend the store; sidecars find it again within 30 seconds of traffic, without a restart.",
            (
                "min by (job, instance) (llm_sidecar_shared_up)",
                "sum by (job, outcome) (rate(llm_sidecar_shared_commands_total[5m]))",
            ),
        ),
        keep="5m",
    )
