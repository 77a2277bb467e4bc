"""Alerts on the sidecar itself, beside what cases of promtool show of them."""

from sidecar.catalogue import METRICS, Kind
from sidecar.render.alerting import list_alerts
from sidecar.render.rules import list_files
from sidecar.thresholds import Terms

# Labels of the target that alerts on one process carry.
ONE_PROCESS = {"LLMSidecarDown", "LLMSidecarRestarting", "LLMSidecarMemoryHigh"}


def test_alerts_on_one_process_name_it_and_choose_it_on_their_board() -> None:
    """Whoever is called at night is told which one it is; whoever is told of a job is not led to one of its sidecars."""
    for alert in (alert for groups in list_files(Terms()).values() for alert in list_alerts(groups)):
        is_one = alert.name in ONE_PROCESS
        assert (("instance", "instance") in alert.choose) is is_one, alert.name
        assert ("{{ $labels.instance }}" in alert.description) is is_one, alert.name


def test_what_is_compared_is_read_from_the_process_and_its_limit() -> None:
    """Both are gauges in bytes of the same target: divided, they need no labels to be matched."""
    limit = next(metric for metric in METRICS if metric.name == "llm_sidecar_memory_limit_bytes")
    assert limit.kind is Kind.GAUGE and limit.unit == "bytes" and limit.labels == ()
