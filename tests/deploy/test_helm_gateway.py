"""The gateway of the chart llm-sidecar: its configuration, its environment, and what tells whether it is ready."""

import contextlib
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import pytest
import trustme
import yaml

from sidecar import __version__
from sidecar.edge.files import load
from tests.rig.helm import (
    CHART,
    needs_helm,
    pick_object,
    print_notes,
    read_chart,
    switch_on,
)
from tests.rig.kube_documents import Document
from tests.rig.manifests import find_faults

pytestmark = needs_helm
GATEWAY: Final = {"gateway": {"enabled": True}}


AWKWARD: Final = {
    "upstreams": {
        "y": {
            "url": "https://llm.example",
            "models": {"on": "no", "1:30": "0x1f", "1e3": "~", "null": "2026-11-21", "{{ .Values }}": "# c"},
        }
    },
    "routes": [{"prefix": "/y/", "upstream": "y", "name": "yes"}],
    "tenants": {"names": ["no", "off", "012", "1_000", "1:30", "1e3"]},
    "limits": {"body": 52428800, "observed": 16777216, "concurrency": 1000000},
    "tracing": {"ratio": 0.1, "slow": 12.5},
    "budgets": {"all": {"day": 1234567.89, "month": 100000000}},
}


def test_a_configuration_arrives_as_it_was_given() -> None:
    """Texts that YAML 1.1 takes for something else stay texts, large numbers whole ones, braces braces."""
    text = pick_object(read_chart({**switch_on("gateway.enabled"), "gateway": {"enabled": True, "config": AWKWARD}}), "ConfigMap")["data"][
        "sidecar.yaml"
    ]
    assert yaml.safe_load(text) == AWKWARD


def test_a_configuration_passes_the_check(tmp_path: Path) -> None:
    """The awkward one means to the sidecar what its author meant."""
    file = tmp_path / "sidecar.yaml"
    values = {"dashboards": {"enabled": False}, "gateway": {"enabled": True, "config": AWKWARD}}
    file.write_text(pick_object(read_chart(values), "ConfigMap")["data"]["sidecar.yaml"], encoding="utf-8")
    settings = load(str(file), {}).settings
    assert settings.upstreams["y"].models == AWKWARD["upstreams"]["y"]["models"]
    assert settings.limits.body == 52428800 and settings.tenants.names == tuple(AWKWARD["tenants"]["names"])


def test_what_is_said_of_the_environment_takes_the_charts_place() -> None:
    """Each name once, where the chart has it: what refers to it comes behind it."""
    extra = [{"name": "POD_NAME", "value": "me"}, {"name": "LLM_SIDECAR__LOG__LEVEL", "value": "debug"}]
    documents = read_chart({"gateway": {"enabled": True, "extraEnv": extra}})
    (container,) = pick_object(documents, "Deployment")["spec"]["template"]["spec"]["containers"]
    names = [one["name"] for one in container["env"]]
    assert [one for one in container["env"] if one["name"] in ("POD_NAME", "LLM_SIDECAR__LOG__LEVEL")] == extra
    assert names.index("POD_NAME") < names.index("OTEL_RESOURCE_ATTRIBUTES") and len(names) == len(set(names))


def read_gateway(**settings: Any) -> list[Document]:
    """Return the objects of a gateway with these settings, and nothing beside it."""
    return read_chart({"dashboards": {"enabled": False}, "gateway": {"enabled": True, **settings}})


@pytest.mark.parametrize(
    ("settings", "gone", "come"),
    [
        ({"networkPolicy": {"enabled": False}}, {"NetworkPolicy"}, set()),
        ({"podDisruptionBudget": {"enabled": False}}, {"PodDisruptionBudget"}, set()),
        ({"serviceAccount": {"create": False}}, {"ServiceAccount"}, set()),
        ({"existingConfigMap": "mine"}, {"ConfigMap"}, set()),
        ({"serviceMonitor": {"enabled": True}}, set(), {"ServiceMonitor"}),
        ({"autoscaling": {"enabled": True}}, set(), {"HorizontalPodAutoscaler"}),
        ({"persistence": {"enabled": True}}, {"Deployment"}, {"StatefulSet"}),
    ],
    ids=lambda one: next(iter(one)) if isinstance(one, dict) else "",
)
def test_each_part_comes_and_goes_alone(settings: dict[str, Any], gone: set[str], come: set[str]) -> None:
    """A switch is for one object, and all that is left is without a fault."""
    usual = {document["kind"] for document in read_gateway()}
    documents = read_gateway(**settings)
    assert {document["kind"] for document in documents} == usual - gone | come
    assert find_faults(documents, ("ConfigMap/mine",)) == []


@pytest.mark.parametrize(
    ("settings", "name", "value"),
    [
        ({"journal": {"enabled": True}}, "LLM_SIDECAR__JOURNAL__DIRECTORY", "/var/lib/llm-sidecar/journal"),
        ({"ledger": {"enabled": True}}, "LLM_SIDECAR__BUDGETS__FILE", "/var/lib/llm-sidecar/ledger"),
        ({"redis": {"url": "redis://redis:6379/0"}}, "LLM_SIDECAR__REDIS__URL", "redis://redis:6379/0"),
        ({"otlpEndpoint": "http://collector:4318"}, "OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318"),
        ({"drainSeconds": 60}, "LLM_SIDECAR__TIMEOUTS__SHUTDOWN", "60s"),
        ({"admin": {"webConfig": {"existingSecret": "web"}}}, "LLM_SIDECAR__ADMIN__WEB_CONFIG_FILE",
         "/run/secrets/llm-sidecar-admin/web-config.yml"),
    ],
    ids=lambda one: next(iter(one)) if isinstance(one, dict) else "",
)  # fmt: skip
def test_what_is_asked_for_reaches_the_sidecar(settings: dict[str, Any], name: str, value: str) -> None:
    """By the environment, which goes over the configuration; what is not asked for is not set."""

    def list_variables(**settings: Any) -> dict[str, Any]:
        (container,) = pick_object(read_gateway(**settings), "Deployment")["spec"]["template"]["spec"]["containers"]
        return {one["name"]: one.get("value") for one in container["env"]}

    silent = list_variables(**{name: {"enabled": False} for name in settings if name == "journal"})  # that is on by default
    assert list_variables(**settings)[name] == value and silent.get(name) != value


@pytest.mark.parametrize(
    ("image", "name"),
    [
        ({}, f"llm-sidecar:{__version__}"),
        ({"repository": "team/llm", "tag": "1"}, "team/llm:1"),
        ({"tag": "1", "digest": f"sha256:{'a' * 64}"}, f"llm-sidecar@sha256:{'a' * 64}"),
    ],
)
def test_the_image_is_the_packages_version_unless_another_is_named(image: dict[str, str], name: str) -> None:
    """A digest says more than a tag. The pod of `helm test` has the same."""
    documents = read_gateway(image=image)
    pods = [pick_object(documents, "Deployment")["spec"]["template"], pick_object(documents, "Pod")]
    assert [container["image"] for pod in pods for container in pod["spec"]["containers"]] == [name, name]


def test_pods_follow_a_configuration_only_where_that_is_asked() -> None:
    """The sidecar reloads by itself; an annotation with a checksum would restart every pod."""

    def annotate(**settings: Any) -> dict[str, str]:
        workload = pick_object(read_chart({"gateway": {"enabled": True, **settings}}), "Deployment")
        annotations: dict[str, str] = workload["spec"]["template"]["metadata"]["annotations"]
        return annotations

    one, other = {"log": {"calls": "all"}}, {"log": {"calls": "off"}}
    assert annotate(config=one) == annotate(config=other)
    assert annotate(config=one, restartOnConfigChange=True) != annotate(config=other, restartOnConfigChange=True)


def test_the_notes_say_what_to_do() -> None:
    """Where the gateway is, and a warning where everybody reaches it."""
    notes = print_notes(CHART, GATEWAY)
    assert "OPENAI_BASE_URL=http://one-llm-sidecar.llm:4000/openai/v1" in notes and "WARNING" not in notes
    assert "WARNING" in print_notes(CHART, {"gateway": {"enabled": True, "networkPolicy": {"enabled": False}}})
    assert "prometheusRule.enabled=true" in print_notes(CHART)


@pytest.mark.parametrize("scheme", ["HTTP", "HTTPS", "TCP"])
@pytest.mark.parametrize("status", [200, 503])
def test_helms_test_asks_whether_the_gateway_is_ready(scheme: str, status: int, tmp_path: Path) -> None:
    """What the pod runs, run here: it succeeds where the gateway is ready, and where all that can be done is to connect."""
    web = {"HTTP": {}, "HTTPS": {"tlsSecret": "tls"}, "TCP": {"tlsSecret": "tls", "clientCertificates": True}}[scheme]
    documents = read_chart({"gateway": {"enabled": True, "admin": {"webConfig": {"existingSecret": "web", **web}}}})
    (container,) = pick_object(documents, "Pod")["spec"]["containers"]
    assert container["command"] == ["python", "-c"] and container["args"][2] == pick_object(documents, "Service")["metadata"]["name"]
    with answer_at("/-/ready", status, tls=scheme == "HTTPS") as port:
        assert (run_script(container, port) == 0) == (status == 200 or scheme == "TCP")
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        assert run_script(container, closed.getsockname()[1]) != 0


def run_script(container: Document, port: int) -> int:
    """Run what a container runs, against a port of this machine; return its exit code."""
    script, scheme, _ = container["args"]
    command = [sys.executable, "-c", script.replace("9464", str(port)), scheme, "127.0.0.1"]
    return subprocess.run(command, capture_output=True, check=False, timeout=30).returncode


@contextlib.contextmanager
def answer_at(path: str, status: int, tls: bool) -> Iterator[int]:
    """Answer requests of a path on a port of this machine, which is yielded; any other path is not found."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == path else 404)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        trustme.CA().issue_cert("gateway.example").configure_cert(context)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
