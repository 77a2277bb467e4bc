"""The chart llm-sidecar: every file of values renders to manifests without a fault, with what is rendered elsewhere unharmed."""

import base64
import gzip
import json
import tarfile
from pathlib import Path
from typing import Final

import pytest
import yaml

from sidecar import __version__
from tests.house.source import ROOT
from tests.rig.helm import (
    CHART,
    LIBRARY,
    lint_chart,
    needs_helm,
    package_chart,
    pick_object,
    read_chart,
    read_values,
    render_chart,
    switch_on,
)
from tests.rig.kube_documents import matches
from tests.rig.manifests import find_faults

pytestmark = needs_helm
VALUES: Final = sorted((CHART / "ci").glob("*-values.yaml"))
RELEASE_BYTES_MAX: Final = 1024 * 1024  # of the Secret in which Helm keeps a release
GATEWAY: Final = {"gateway": {"enabled": True}}
# What each file of values names and takes to be there.
THEIRS: Final = {
    "gateway": ("Secret/llm-keys", "Secret/images", "ConfigMap/llm-prices"),
    "admin-tls": ("Secret/llm-sidecar-web", "Secret/llm-sidecar-tls"),
    "admin-client-certificates": ("Secret/llm-sidecar-web", "Secret/llm-sidecar-tls"),
    "existing": ("ConfigMap/llm-configuration", "Secret/openai", "ServiceAccount/llm"),
    "providers": ("Secret/llm-keys",),
}
# Who asks everybody for a certificate can be probed by no request.
EXPECTED: Final = {"admin-client-certificates": 3}


@pytest.mark.parametrize("file", VALUES, ids=lambda file: file.name.removesuffix("-values.yaml"))
def test_each_file_of_values_makes_good_manifests(file: Path) -> None:
    """Schemas of all Kubernetes versions, definitions of the operator, Pod Security, links between objects, our configuration."""
    name = file.name.removesuffix("-values.yaml")
    faults = find_faults(read_chart(read_values(file)), THEIRS.get(name, ()))
    assert len([fault for fault in faults if "must be httpGet" in fault]) == EXPECTED.get(name, 0)
    assert [fault for fault in faults if "must be httpGet" not in fault] == []


@pytest.mark.parametrize("file", VALUES, ids=lambda file: file.name.removesuffix("-values.yaml"))
def test_lint_finds_nothing(file: Path) -> None:
    """Warnings count, too."""
    assert lint_chart(CHART, read_values(file)) == []


def test_there_is_a_file_of_values_for_each_way_of_use() -> None:
    """By default, what is shared alone, and gateways: with all, with TLS, with what exists, with several providers."""
    assert {file.name.removesuffix("-values.yaml") for file in VALUES} == {"default", "shared", *THEIRS}


@pytest.mark.parametrize(
    ("toggles", "kinds"),
    [
        ((), {}),
        (("dashboards.enabled",), {"ConfigMap": 6}),
        (("prometheusRule.enabled",), {"PrometheusRule": 1}),
        (("podMonitor.enabled",), {"PodMonitor": 1}),
        (("alertmanagerConfig.enabled",), {"AlertmanagerConfig": 1}),
        (("gateway.enabled",), {"ConfigMap": 1, "Deployment": 1, "NetworkPolicy": 1, "Pod": 1, "PodDisruptionBudget": 1, "Service": 1,
                                "ServiceAccount": 1}),
        (("gateway.serviceMonitor.enabled", "gateway.autoscaling.enabled"), {}),
        (("gateway.enabled", "gateway.persistence.enabled", "gateway.serviceMonitor.enabled", "gateway.autoscaling.enabled"),
         {"ConfigMap": 1, "HorizontalPodAutoscaler": 1, "NetworkPolicy": 1, "Pod": 1, "PodDisruptionBudget": 1, "Service": 1,
          "ServiceAccount": 1, "ServiceMonitor": 1, "StatefulSet": 1}),
    ],
)  # fmt: skip
def test_each_part_can_be_had_alone(toggles: tuple[str, ...], kinds: dict[str, int]) -> None:
    """What is not switched on is not there, and what is on is without a fault by itself."""
    documents = read_chart(switch_on(*toggles))
    found = [document["kind"] for document in documents]
    assert {kind: found.count(kind) for kind in found} == kinds
    assert find_faults(documents) == []


@pytest.mark.parametrize(("group", "file"), [("rules", "rules"), ("burnRate", "burn-rate"), ("lowTraffic", "low-traffic"),
                                             ("lowQuality", "low-quality"), ("watchdog", "watchdog")])  # fmt: skip
def test_rules_are_those_of_the_rule_file(group: str, file: str) -> None:
    """Word for word: what is in braces is for Prometheus, and no template of Helm's has touched it."""
    groups = {name: name == group for name in read_values(CHART / "values.yaml")["prometheusRule"]["groups"]}
    rules = pick_object(read_chart({"prometheusRule": {"enabled": True, "groups": groups}}), "PrometheusRule")
    assert rules["spec"] == yaml.safe_load((ROOT / "alerts" / f"{file}.yml").read_text(encoding="utf-8"))
    if group != "watchdog":
        assert "{{ $labels" in json.dumps(rules["spec"])


def test_boards_are_those_of_the_folder() -> None:
    """Each as a ConfigMap, none changed."""
    data = [document["data"] for document in read_chart()]
    boards = {name: json.loads(text) for one in data for name, text in one.items()}
    files = [json.loads(file.read_text(encoding="utf-8")) for file in (ROOT / "dashboards").glob("*.json")]
    assert boards == {f"{board['uid']}.json": board for board in files}


def test_a_receiver_of_ones_own_takes_the_place_of_the_rendered_one() -> None:
    """Others stay; one without settings tells nobody; secrets are looked for under the name that was given."""
    documents = read_chart(read_values(CHART / "ci" / "shared-values.yaml"))
    receivers = {one["name"]: one for one in pick_object(documents, "AlertmanagerConfig")["spec"]["receivers"]}
    assert receivers["llm-sidecar-dead-man"] == {"name": "llm-sidecar-dead-man"}
    assert receivers["llm-sidecar-spending"]["emailConfigs"][0]["to"] == "budgets@mail.example"
    assert receivers["llm-sidecar-pager"]["pagerdutyConfigs"][0]["routingKey"] == {"name": "llm-alerts", "key": "pagerduty_key"}
    assert "llm-sidecar-alertmanager" not in json.dumps(receivers)


def test_the_package_carries_what_is_rendered_elsewhere(tmp_path: Path) -> None:
    """Files that are links in the repository are files in the archive, with the same content, and the archive renders the same."""
    archive = package_chart(CHART, tmp_path)
    assert archive.name == f"llm-sidecar-{__version__}.tgz"
    with tarfile.open(archive) as tar:
        assert not any(member.issym() or member.islnk() for member in tar)
        tar.extractall(tmp_path, filter="data")
    for link in (path for path in CHART.rglob("*") if path.is_symlink()):
        assert (tmp_path / "llm-sidecar" / link.relative_to(CHART)).read_text(encoding="utf-8") == link.read_text(encoding="utf-8")
    assert not (tmp_path / "llm-sidecar" / "ci").exists()
    values = {**read_values(CHART / "ci" / "shared-values.yaml"), **GATEWAY}
    assert render_chart(archive, values) == render_chart(CHART, values)


def test_every_rendered_object_is_in_the_chart() -> None:
    """What `render` makes anew has to be linked: nobody else would tell."""
    folders = [ROOT / "alerts" / "kubernetes", ROOT / "dashboards" / "kubernetes"]
    rendered = {file.resolve() for folder in folders for file in folder.rglob("*.yaml") if file.name != "kustomization.yaml"}
    assert {link.resolve() for link in (CHART / "files").rglob("*.yaml")} == rendered


def test_a_release_fits_into_its_secret(tmp_path: Path) -> None:
    """Helm keeps chart and manifests of a release, compressed, in one Secret."""
    values = {**read_values(CHART / "ci" / "shared-values.yaml"), **read_values(CHART / "ci" / "gateway-values.yaml")}
    chart = b"".join(base64.b64encode(file.read_bytes()) for file in sorted(CHART.rglob("*")) if file.is_file())
    release = base64.b64encode(base64.b64encode(gzip.compress(chart + render_chart(CHART, values).encode())))
    assert len(release) < RELEASE_BYTES_MAX / 1.5


@pytest.mark.parametrize("chart", [CHART, LIBRARY], ids=lambda chart: chart.name)
def test_the_version_is_the_packages(chart: Path) -> None:
    """Chart, what it installs, and the image that it names by default."""
    description = read_values(chart / "Chart.yaml")
    assert (description["version"], description["appVersion"]) == (__version__, __version__)
    assert read_values(LIBRARY / "values.yaml")["image"]["tag"] == __version__


def test_two_releases_do_not_meet() -> None:
    """Both have all that can be had; no object of one is called as one of the other's, and each gateway is found by its own only."""
    monitored = {"enabled": True, "serviceMonitor": {"enabled": True}, "autoscaling": {"enabled": True}}
    values = {**switch_on("prometheusRule.enabled", "podMonitor.enabled", "alertmanagerConfig.enabled"), "gateway": monitored}
    one, other = read_chart(values, name="one"), read_chart(values, name="other")
    assert {(document["kind"], document["metadata"]["name"]) for document in one}.isdisjoint(
        (document["kind"], document["metadata"]["name"]) for document in other
    )
    pods = [pick_object(documents, "Deployment")["spec"]["template"]["metadata"]["labels"] for documents in (one, other)]
    services = [pick_object(documents, "Service")["metadata"]["labels"] for documents in (one, other)]
    for documents, own in ((one, [True, False]), (other, [False, True])):
        assert [matches({"matchLabels": pick_object(documents, "Service")["spec"]["selector"]}, labels) for labels in pods] == own
        assert [matches(pick_object(documents, "NetworkPolicy")["spec"]["podSelector"], labels) for labels in pods] == own
        assert [matches(pick_object(documents, "PodDisruptionBudget")["spec"]["selector"], labels) for labels in pods] == own
        assert [matches(pick_object(documents, "ServiceMonitor")["spec"]["selector"], labels) for labels in services] == own


def test_long_names_stay_valid() -> None:
    """A release may have 53 characters; what is put behind its name still fits into a label."""
    documents = read_chart({**GATEWAY, "prometheusRule": {"enabled": True, "groups": {"burnRate": True}}}, name="a" * 53)
    assert max(len(document["metadata"]["name"]) for document in documents) <= 63
    assert find_faults(documents) == []
