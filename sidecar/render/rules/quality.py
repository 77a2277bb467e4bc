"""An alert on answers that applications rate low: low-quality.yml, by choice, for those who rate answers."""

from typing import Final

from sidecar.render.alerting import Alert, Article, Recording, Severity
from sidecar.render.figures import print_number
from sidecar.render.rules.forms import Step, make_tiers, print_limits, sum_over_target
from sidecar.thresholds import Terms

HEAD: Final = """\
Answers that are rated low.

By choice, for applications that rate answers (POST /api/feedback). The mean is over the ratings of 15 minutes."""
RATINGS: Final = "job_provider_model:llm_sidecar_quality_score_count:increase15m"
MEAN: Final = "job_provider_model:llm_sidecar_quality_score:mean15m"
RECORDINGS: Final = (
    Recording(RATINGS, sum_over_target("increase(llm_sidecar_quality_score_count[15m])")),
    Recording(MEAN, f"{sum_over_target('increase(llm_sidecar_quality_score_sum[15m])')}\n/ ({RATINGS} > 0)"),
)


def list_rules(terms: Terms) -> tuple[Alert, ...]:
    """Return the one alert."""
    threshold, least = terms.thresholds.quality, terms.traffic.events
    return (
        Alert(
            name="LLMLowQuality",
            tiers=make_tiers(
                threshold, MEAN, f"and {RATINGS} >= {least}", print_number,
                {Severity.WARNING: Step("10m", "Answers of a model are rated low.")},
            ),
            description="Answers of {{ $labels.model }} ({{ $labels.provider }}) for {{ $labels.job }} were rated "
            "{{ $value | humanize }} on average in the last 15 minutes, below the limit of {limit}.",
            board="llm-sidecar-overview",
            choose=(("provider", "provider"), ("model", "model")),
            keep="15m",
            article=Article(
                f"The mean of at least {least} ratings of a model's answers was below {print_limits(threshold, print_number)} over 15 "
                "minutes.",
                "Whoever uses the application gets answers that are of little use.",
                '"Quality by model" shows since when, and whether others are rated as low: then it is the application, or who rates. One '
                "model alone: a new version of it (`gen_ai.response.model`), a change of the prompt, answers that are cut short "
                "(`gen_ai.response.finish_reasons`). `GET /api/upstreams` tells what of it counts in balancing.",
                "Send calls to another model or upstream: pools with the strategy `performance` do so by themselves. Where a prompt has "
                "changed, change it back.",
                (
                    "sum by (job, provider, model) (increase(llm_sidecar_quality_score_count[15m])) > 0",
                    "sum by (job, provider, model) (increase(llm_sidecar_quality_score_sum[15m]))\n"
                    "/ sum by (job, provider, model) (increase(llm_sidecar_quality_score_count[15m]) > 0)",
                ),
            ),
        ),
    )  # fmt: skip
