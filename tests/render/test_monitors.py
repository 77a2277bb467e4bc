"""Whom Prometheus asks: found by label, asked at the port by its number."""

import yaml

from sidecar.config import Admin
from sidecar.render.monitors import ADMIN_PORT, ADMIN_PORT_NAME, GATEWAY, INJECTED, render_pod_monitor, render_service_monitor


def test_pods_are_found_by_the_label_of_injection() -> None:
    """The port has a number and no name: names of ports of native sidecars are not found everywhere."""
    tree = yaml.safe_load(render_pod_monitor())
    assert (tree["apiVersion"], tree["kind"], tree["metadata"]["name"]) == ("monitoring.coreos.com/v1", "PodMonitor", "llm-sidecar")
    assert tree["spec"]["selector"] == {"matchLabels": INJECTED}
    (endpoint,) = tree["spec"]["podMetricsEndpoints"]
    assert endpoint["portNumber"] == ADMIN_PORT and "port" not in endpoint and "targetPort" not in endpoint
    assert endpoint["path"] == "/metrics" and endpoint["honorLabels"] is False


def test_the_port_is_the_admin_ports() -> None:
    """What is scraped is where the sidecar tells of itself."""
    assert Admin().listen.rsplit(":", 1)[1] == str(ADMIN_PORT)


def test_services_are_told_apart_by_what_their_pods_are_called() -> None:
    """Boards and rules go by `job`: one for all applications would throw them together."""
    assert yaml.safe_load(render_pod_monitor())["spec"]["jobLabel"] == "app.kubernetes.io/name"


def test_a_gateway_is_found_by_its_service() -> None:
    """One Service for each gateway, whose name is the job."""
    tree = yaml.safe_load(render_service_monitor())
    assert (tree["kind"], tree["spec"]["selector"]) == ("ServiceMonitor", {"matchLabels": GATEWAY})
    (endpoint,) = tree["spec"]["endpoints"]
    assert endpoint["port"] == ADMIN_PORT_NAME and "jobLabel" not in tree["spec"]
