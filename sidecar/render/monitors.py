"""Whom Prometheus asks for metrics, for the Prometheus operator: pods with a sidecar in them, and gateways.

There is no Probe: it would ask through another exporter what every scrape tells already.
"""

from typing import Any, Final

from sidecar.render.kubernetes import NAME, label_object
from sidecar.render.yaml_text import dump_yaml

ADMIN_PORT: Final = 9464
ADMIN_PORT_NAME: Final = "admin"  # of the gateway's Service
INJECTED: Final = {"llm-sidecar/inject": "true"}  # on pods that have a sidecar
GATEWAY: Final = {"app.kubernetes.io/name": NAME, "app.kubernetes.io/component": "gateway"}  # on the gateway's Service
_PODS_HEAD: Final = """\
Pods that have a sidecar, for the Prometheus operator: those with the label llm-sidecar/inject. The port is given by its number, which
the container has to declare: names of ports of native sidecars are found by newer versions of Kubernetes only. What the pod is
called by app.kubernetes.io/name becomes the label `job`, by which boards and rules tell services apart.
Add the labels that your Prometheus selects such objects by (spec.podMonitorSelector), and for pods of all namespaces
spec.namespaceSelector: {any: true}."""
_SERVICE_HEAD: Final = """\
Gateways shared by several applications, for the Prometheus operator. The label `job` is the name of the Service.
Add the labels that your Prometheus selects such objects by (spec.serviceMonitorSelector)."""
# Classic histograms and exemplars by OpenMetrics need nothing said. As often as the data source of the boards takes for granted.
_SCRAPE: Final[dict[str, Any]] = {"path": "/metrics", "interval": "15s", "scrapeTimeout": "10s", "honorLabels": False}


def render_pod_monitor() -> str:
    """Return a PodMonitor (monitoring.coreos.com/v1) for pods with a sidecar."""
    spec = {
        "selector": {"matchLabels": INJECTED},
        "jobLabel": "app.kubernetes.io/name",
        "podMetricsEndpoints": [{"portNumber": ADMIN_PORT, **_SCRAPE}],
    }
    return _render("PodMonitor", spec, _PODS_HEAD)


def render_service_monitor() -> str:
    """Return a ServiceMonitor (monitoring.coreos.com/v1) for gateways."""
    spec = {"selector": {"matchLabels": GATEWAY}, "endpoints": [{"port": ADMIN_PORT_NAME, **_SCRAPE}]}
    return _render("ServiceMonitor", spec, _SERVICE_HEAD)


def _render(kind: str, spec: dict[str, Any], head: str) -> str:
    metadata = {"name": NAME, "labels": label_object("metrics")}
    return dump_yaml({"apiVersion": "monitoring.coreos.com/v1", "kind": kind, "metadata": metadata, "spec": spec}, head)
