"""What Grafana reads at its start: where the boards are, and data sources under the addresses that links between them use."""

from typing import Any, Final

from sidecar.render.yaml_text import dump_yaml

FOLDER: Final = "LLM sidecar"
_BOARDS_HEAD: Final = """\
For Grafana's provisioning/dashboards/. `path` is where the JSON files of this folder are on the host of Grafana."""
_SOURCES_HEAD: Final = """\
For Grafana's provisioning/datasources/: put your own addresses. Dots on latency panels lead to traces by `exemplarTraceIdDestinations`
(Prometheus needs --enable-feature=exemplar-storage), and `timeInterval` is the scrape interval: rates are taken over four of it."""


def render_board_provider() -> str:
    """Return the file that tells Grafana to load every board of a folder, and to let nobody edit them."""
    provider = {
        "name": "llm-sidecar", "folder": FOLDER, "folderUid": "llm-sidecar", "type": "file", "disableDeletion": True,
        "allowUiUpdates": False, "updateIntervalSeconds": 30, "options": {"path": "/var/lib/grafana/dashboards/llm-sidecar"},
    }  # fmt: skip
    return dump_yaml({"apiVersion": 1, "providers": [provider]}, _BOARDS_HEAD)


def render_data_sources() -> str:
    """Return the file of data sources: Prometheus, whose exemplars lead to Tempo, Tempo, whose spans lead back, and Alertmanager."""
    prometheus: dict[str, Any] = {
        "name": "Prometheus", "uid": "prometheus", "type": "prometheus", "access": "proxy", "url": "http://prometheus:9090",
        "isDefault": True,
        "jsonData": {
            "httpMethod": "POST", "timeInterval": "15s", "exemplarTraceIdDestinations": [{"name": "trace_id", "datasourceUid": "tempo"}],
        },
    }  # fmt: skip
    spans = [
        {
            "name": "Latency of the model",
            "query": "histogram_quantile(0.95, sum by (le) (rate(gen_ai_client_operation_duration_seconds_bucket{$$__tags}[5m])))",
        }
    ]
    tempo: dict[str, Any] = {
        "name": "Tempo", "uid": "tempo", "type": "tempo", "access": "proxy", "url": "http://tempo:3200",
        "jsonData": {
            "tracesToMetrics": {
                "datasourceUid": "prometheus", "spanStartTimeShift": "-10m", "spanEndTimeShift": "10m",
                "tags": [{"key": "gen_ai.request.model", "value": "gen_ai_request_model"}], "queries": spans,
            },
        },
    }  # fmt: skip
    alertmanager: dict[str, Any] = {
        "name": "Alertmanager", "uid": "alertmanager", "type": "alertmanager", "access": "proxy", "url": "http://alertmanager:9093",
        "jsonData": {"implementation": "prometheus", "handleGrafanaManagedAlerts": False},
    }  # fmt: skip
    return dump_yaml({"apiVersion": 1, "datasources": [prometheus, tempo, alertmanager]}, _SOURCES_HEAD)
