"""The shapes of queries."""

import pytest

from sidecar.catalogue import METRICS, PROCESS_METRICS, Metric
from sidecar.render.queries import CHOSEN_BY, Scope, find_metric
from sidecar.thresholds import OUTPUT_TOKENS_PER_SECOND, TIME_TO_FIRST_TOKEN_P95

SCOPE = Scope(("provider", "model"))
TARGET = 'namespace=~"$namespace",job=~"$job",instance=~"$instance"'


def test_selectors_follow_the_variables_that_the_metric_has_labels_for() -> None:
    """Each metric calls what is chosen by its own label, and one that has none is not narrowed; matchers come last."""
    assert SCOPE.select("llm_sidecar_tokens_total", 'type="input"') == (
        f'llm_sidecar_tokens_total{{{TARGET},provider=~"$provider",model=~"$model",type="input"}}'
    )
    assert 'gen_ai_provider_name=~"$provider",gen_ai_request_model=~"$model"' in SCOPE.select("gen_ai_client_token_usage_bucket")
    assert SCOPE.select("llm_sidecar_in_flight_requests") == f"llm_sidecar_in_flight_requests{{{TARGET}}}"
    assert Scope(()).select("llm_sidecar_tokens_total") == f"llm_sidecar_tokens_total{{{TARGET}}}"
    assert SCOPE.select("up") == f"up{{{TARGET}}}"


@pytest.mark.parametrize("metric", [*METRICS, *PROCESS_METRICS], ids=lambda metric: metric.name)
def test_every_metric_is_found_by_its_series(metric: Metric) -> None:
    """A family by its own name and by those of a histogram's series."""
    name = metric.name
    assert {find_metric(name), *(find_metric(f"{name}{end}") for end in ("_bucket", "_sum", "_count"))} == {name}


@pytest.mark.parametrize("series", ["llm_sidecar_request_total", "llm_sidecar_overhead_seconds_total", "_bucket", "node_load1"])
def test_unknown_series_are_an_error(series: str) -> None:
    """What is not declared cannot be put on a board."""
    with pytest.raises(KeyError):
        SCOPE.rate(series)


def test_every_choice_is_of_a_label() -> None:
    """Each variable chooses by labels that metrics have."""
    labels = {label.name for metric in METRICS for label in metric.labels}
    assert {name for names in CHOSEN_BY.values() for name in names} <= labels


def test_rates_are_summed_but_for_the_named_labels() -> None:
    """Sums over all else; a quantile keeps the bounds of buckets."""
    scope = Scope(())
    rate = f"rate(llm_sidecar_overhead_seconds_bucket{{{TARGET}}}[$__rate_interval])"
    assert scope.rate("llm_sidecar_overhead_seconds_bucket") == f"sum({rate})"
    assert scope.quantile(0.99, "llm_sidecar_overhead_seconds", by="side") == f"histogram_quantile(0.99, sum by (side, le) ({rate}))"
    assert scope.quantile(0.5, "llm_sidecar_overhead_seconds") == f"histogram_quantile(0.5, sum by (le) ({rate}))"
    assert scope.over("max", "llm_sidecar_circuit_breaker_state", by="upstream") == (
        f"max by (upstream) (llm_sidecar_circuit_breaker_state{{{TARGET}}})"
    )


def test_the_whole_time_is_a_growth() -> None:
    """A table asks by how much counters grew in the chosen time; what is made of them follows."""
    scope = SCOPE._replace(whole=True)
    assert "increase(" in scope.rate("llm_sidecar_tokens_total") and "[$__range]" in scope.rate("llm_sidecar_tokens_total")
    for text in (scope.quantile(0.5, "llm_sidecar_overhead_seconds"), scope.mean("llm_sidecar_overhead_seconds")):
        assert "rate(" not in text and "increase(" in text


def test_names_that_others_have_are_confined_to_sidecars() -> None:
    """What an application or an exporter measures under the same name is left out; our own names need no such care."""
    ours = f"and on (job, instance) llm_sidecar_build_info{{{TARGET}}}"
    assert ours in SCOPE.rate("http_server_request_duration_seconds_count")
    assert ours in SCOPE.quantile(0.5, "gen_ai_client_operation_duration_seconds")
    assert SCOPE.over("min", "process_max_fds").endswith(f"{ours})")
    assert "build_info" not in SCOPE.rate("llm_sidecar_tokens_total")


def test_bands_are_between_their_ends() -> None:
    """Shares in the order of the bands, each between the ends of its neighbours; of speed, where more is better, from the top."""
    first = SCOPE.bands("llm_sidecar_time_to_first_token_seconds", TIME_TO_FIRST_TOKEN_P95)
    speed = SCOPE.bands("llm_sidecar_output_tokens_per_second", OUTPUT_TOKENS_PER_SECOND)
    assert [name for name, _ in first] == [band.name for band in TIME_TO_FIRST_TOKEN_P95.bands]
    assert [name for name, _ in speed] == [band.name for band in OUTPUT_TOKENS_PER_SECOND.bands]
    for bands, parts in ((first, [["1.0"], ["3.0", "1.0"], ["3.0"]]), (speed, [["50.0"], ["50.0", "20.0"], ["20.0", "10.0"], ["10.0"]])):
        told = [[part.split('"')[0] for part in text.split('le="')[1:]] for _, text in bands]
        assert told == parts
    assert first[0][1].startswith("clamp((sum(rate(") and speed[-1][1].startswith("clamp((sum(rate(")
