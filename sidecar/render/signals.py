"""The signals of calls that several boards show: what failed, and how well a service does."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

from sidecar.exchange import SERVICE_ERRORS, Ending
from sidecar.render.queries import Scope
from sidecar.thresholds import FAILING_ERROR_RATIO, Thresholds

CALLS: Final = "llm_sidecar_requests_total"
LATENCY: Final = "http_server_request_duration_seconds"
OPERATION: Final = "gen_ai_client_operation_duration_seconds"
NAMED: Final = "gen_ai_provider_name, gen_ai_request_model"  # what provider and model are in the metrics of the GenAI conventions
FAILED: Final = f'ending=~"{"|".join(sorted(SERVICE_ERRORS))}"'
# Every ending but completed, in classes that ask for different deeds.
CLASSES: Final[Mapping[str, tuple[Ending, ...]]] = MappingProxyType({
    "5xx of the provider": (Ending.UPSTREAM_ERROR,),
    "error within the answer": (Ending.IN_BAND_ERROR, Ending.MALFORMED),
    "cut or reset": (Ending.CUT, Ending.RESET),
    "no connection": (Ending.CONNECT_FAILED, Ending.CONNECT_TIMEOUT),
    "too slow": (Ending.FIRST_BYTE_TIMEOUT, Ending.IDLE_TIMEOUT, Ending.TOTAL_TIMEOUT),
    "no upstream or no room": (Ending.UNAVAILABLE, Ending.OVERLOADED),
    "fault of the sidecar": (Ending.SIDECAR_FAULT,),
    "429 of the provider": (Ending.RATE_LIMITED,),
    "refused by a policy": (Ending.REFUSED,),
    "mistake of the caller": (Ending.REJECTED, Ending.CLIENT_FAULT),
    "caller hung up": (Ending.CLIENT_GONE,),
})  # fmt: skip
# Grades in the order of their numbers, and their colours.
GRADES: Final = (("F", "dark-red"), ("D", "red"), ("C", "orange"), ("B", "semi-dark-green"), ("A", "green"))


def error_ratio(scope: Scope, by: str = "") -> str:
    """Return the share of calls that failed by fault of the service, for each set of the labels of `by`."""
    return scope.share(scope.rate(CALLS, FAILED, by=by), scope.rate(CALLS, by=by), by)


def rename(text: str) -> str:
    """Return values that are by NAMED by provider and model, as our own metrics call them."""
    for ours, theirs in zip(("provider", "model"), NAMED.split(", "), strict=True):
        text = f'label_join({text}, "{ours}", "", "{theirs}")'
    return f"max without ({NAMED}) ({text})"


def count_down(scope: Scope) -> str:
    """Return how many sidecars do not answer Prometheus: targets that were one within a day. Other targets of the job are none."""
    seen = scope.select("llm_sidecar_build_info")
    return f"sum({scope.select('up')} == bool 0 and on (job, instance) last_over_time({seen}[1d]))"


def grade(scope: Scope, thresholds: Thresholds) -> str:
    """Return the index within GRADES: the worse of what mean latency and error ratio come to; F when most calls fail."""
    errors, mean = f"({error_ratio(scope)})", f"({scope.mean(LATENCY)})"
    judged = {"latency": (mean, thresholds.mean_latency.grades), "errors": (errors, thresholds.error_ratio.grades)}
    graded = {name: _count_passed(value, limits) for name, (value, limits) in judged.items() if limits}
    named = (f'label_replace({expr}, "of", "{name}", "", "")' for name, expr in graded.items())
    best = len(GRADES) - 1
    failing = f"{best} * ({errors} > bool {FAILING_ERROR_RATIO:g})"
    return f"{best} - clamp_max(max({' or '.join(named)}) + {failing}, {best})"


def _count_passed(value: str, limits: Sequence[float]) -> str:
    # The limits as a vector, so that the value is worked out once.
    vector = " or ".join(f'label_replace(vector({limit:g}), "limit", "{limit:g}", "", "")' for limit in limits)
    return f"sum(({vector}) <= bool on () group_left () {value})"
