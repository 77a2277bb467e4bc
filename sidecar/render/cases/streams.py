"""Cases of the alerts on answers as they stream."""

from collections.abc import Mapping
from typing import Final

from sidecar.catalogue import FIRST_TOKEN_EDGES, RATE_EDGES
from sidecar.exchange import Ending
from sidecar.render.alerting import Severity
from sidecar.render.cases.calls import draw_calls
from sidecar.render.cases.case import Case
from sidecar.render.cases.judged import Judged, judge
from sidecar.render.cases.series import Series, grow_histogram, spread
from sidecar.render.figures import print_duration, print_number, print_percentage
from sidecar.thresholds import Terms

_WARNING: Final = Severity.WARNING
_PROVIDER: Final = {"provider": "openai"}


def list_cases(terms: Terms) -> tuple[Case, ...]:
    """Return the cases of cut answers, late first tokens and slow generation."""
    thresholds, least = terms.thresholds, terms.traffic.timed_calls
    cut = Judged(
        "LLMAnswersCut", "Answers that break off", thresholds.cut_ratio, terms.traffic.cut_answers, print_percentage,
        {_WARNING: 5}, 10, "route", _draw_cut, {}, 15,
    )  # fmt: skip
    late = Judged(
        "LLMSlowFirstToken", "Streams that begin late", thresholds.time_to_first_token_p95, least, print_duration,
        {_WARNING: 10}, 10, "model", _draw_first_token, _PROVIDER,
    )  # fmt: skip
    slow = Judged(
        "LLMSlowGeneration", "Streams that are written slowly", thresholds.output_tokens_per_second, least, print_number,
        {_WARNING: 10}, 10, "model", _draw_speed, _PROVIDER,
    )  # fmt: skip
    return *judge(cut), *judge(late), *judge(slow)


def _draw_cut(labels: Mapping[str, str], value: float, per_minute: float, until: int | None = None) -> tuple[Series, ...]:
    """The least traffic is of answers that were cut, not of all."""
    return draw_calls(labels, {Ending.CUT: per_minute, Ending.COMPLETED: per_minute * (1 / value - 1)}, until)


def _draw_first_token(labels: Mapping[str, str], value: float, per_minute: float, until: int | None = None) -> tuple[Series, ...]:
    return grow_histogram("llm_sidecar_time_to_first_token_seconds", labels, spread(FIRST_TOKEN_EDGES, 0.95, value), per_minute, until)


def _draw_speed(labels: Mapping[str, str], value: float, per_minute: float, until: int | None = None) -> tuple[Series, ...]:
    return grow_histogram("llm_sidecar_output_tokens_per_second", labels, spread(RATE_EDGES, 0.5, value), per_minute, until)
