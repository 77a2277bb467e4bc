"""The component and the examples for Kustomize: what they become, judged by every rule that is known of manifests."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from sidecar import __version__
from sidecar.config import Settings, Timeouts
from sidecar.config.upstreams import BUILT_IN_ROUTES
from sidecar.core.settings.environment import FILE_VARIABLE
from sidecar.edge.telemetry.otlp import read_resource
from tests.rig.kube_documents import Document, PodOf, find_pods, name_document, read_documents
from tests.rig.kube_settings import read_settings
from tests.rig.kustomize import DEPLOY, build, needs_kustomize
from tests.rig.manifests import find_faults
from tests.rig.process import ROOT

COMPONENT = DEPLOY / "kustomize/component"
EXAMPLES = DEPLOY / "kustomize/examples"
FOLDERS = sorted(file.parent.relative_to(ROOT).as_posix() for file in DEPLOY.rglob("kustomization.yaml") if file.parent != COMPONENT)
MARGIN_S = 30
# What is the user's to bring: keys.
THEIRS = {
    "deploy/kustomize/examples/app": ["Secret/assistant"],
    "deploy/kustomize/examples/providers": ["Secret/llm-sidecar"],
    "deploy/kustomize/examples/job": ["Secret/summaries"],
    "deploy/kustomize/examples/classic": ["Secret/assistant"],
    "deploy/kustomize/examples/gateway": ["Secret/llm-sidecar"],
}
KINDS = ("Deployment", "StatefulSet", "DaemonSet", "Job", "CronJob")
INJECTED = {"llm-sidecar/inject": "true"}


def read_yaml(path: Path) -> Any:
    """Return the one document of a file."""
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def read_component() -> Document:
    """Return the pod of the component: metadata and spec."""
    template: Document = read_yaml(COMPONENT / "sidecar.yaml")["spec"]["template"]
    return template


def find_sidecar(pod: PodOf) -> Document:
    """Return the container of the sidecar."""
    return next(container for _, container in pod.containers if container["name"] == "llm-sidecar")


def make_workload(kind: str, name: str, labels: dict[str, str], **pod: Any) -> Document:
    """Return a workload of a kind, small, with two containers unless told otherwise."""
    spec = {"containers": [{"name": "first", "image": "app:1"}, {"name": "second", "image": "app:1"}], **pod}
    template = {"metadata": {"labels": {"app": name}}, "spec": spec}
    body: Document = {"template": template}
    if kind == "CronJob":
        body = {"schedule": "0 3 * * *", "jobTemplate": {"spec": body}}
    elif kind != "Job":
        body["selector"] = {"matchLabels": {"app": name}}
    version = "batch/v1" if "Job" in kind else "apps/v1"
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name, "labels": labels}, "spec": body}


def inject(tmp_path: Path, *workloads: Document, **more: Any) -> dict[str, PodOf]:
    """Build a kustomization with the component over some workloads; return their pods by the workload's name."""
    component = tmp_path / "component"
    for source in (*COMPONENT.glob("*.yaml"), *COMPONENT.glob("*/*.yaml")):
        target = component / source.relative_to(COMPONENT)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(source.read_bytes())
    folder = tmp_path / "own"
    folder.mkdir()
    tree = {"resources": ["workloads.yaml"], "components": ["../component"], **more}
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(tree), encoding="utf-8")
    (folder / "workloads.yaml").write_text(yaml.safe_dump_all(workloads), encoding="utf-8")
    return {pod.owner["metadata"]["name"]: pod for pod in find_pods(build(folder))}


@needs_kustomize
@pytest.mark.parametrize("folder", FOLDERS)
def test_every_folder_becomes_manifests_without_a_fault(folder: str) -> None:
    """Schemas, Pod Security, links and configurations are right."""
    documents = build(ROOT / folder)
    assert documents
    assert find_faults(documents, THEIRS.get(folder, ())) == []


@needs_kustomize
@pytest.mark.parametrize("folder", sorted(THEIRS))
def test_what_users_have_to_bring_is_told(folder: str) -> None:
    """Without it the example is not complete, and the README says what it is."""
    assert any(theirs.split("/")[1] in fault for theirs in THEIRS[folder] for fault in find_faults(build(ROOT / folder)))
    readme = (DEPLOY / "kustomize/README.md").read_text(encoding="utf-8")
    for theirs in THEIRS[folder]:
        assert f"`{theirs.split('/')[1]}`" in next(line for line in readme.splitlines() if f"(examples/{Path(folder).name})" in line)


def test_a_cron_job_gets_what_the_others_get() -> None:
    """The two patches are one, at two depths."""
    assert read_yaml(COMPONENT / "cronjob.yaml")["spec"]["jobTemplate"]["spec"]["template"] == read_component()


@needs_kustomize
@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_is_injected(kind: str, tmp_path: Path) -> None:
    """What is there stays, the sidecar is first, and each container of the application has each variable."""
    pods = inject(
        tmp_path,
        make_workload(
            kind, "one", INJECTED, initContainers=[{"name": "migrate", "image": "app:1"}], volumes=[{"name": "v", "emptyDir": {}}]
        ),
    )
    pod, wanted = pods["one"], read_component()
    assert pod.metadata == {"labels": {"app": "one", **INJECTED}, "annotations": wanted["metadata"]["annotations"]}
    assert pod.spec["initContainers"] == [wanted["spec"]["initContainers"][0], {"name": "migrate", "image": "app:1"}]
    assert sorted(volume["name"] for volume in pod.spec["volumes"]) == sorted([*(one["name"] for one in wanted["spec"]["volumes"]), "v"])
    assert pod.spec["terminationGracePeriodSeconds"] == wanted["spec"]["terminationGracePeriodSeconds"]
    variables = read_yaml(COMPONENT / "variables.yaml")["data"]
    for container in pod.spec["containers"]:
        assert {one["name"]: one["value"] for one in container["env"]} == variables


@needs_kustomize
def test_only_what_is_chosen_is_injected(tmp_path: Path) -> None:
    """Without the label, or with another value, nothing changes."""
    others = [
        make_workload(kind, f"{kind.lower()}-{n}", labels) for kind in KINDS for n, labels in enumerate(({}, {"llm-sidecar/inject": "no"}))
    ]
    pods = inject(tmp_path, *others)
    assert len(pods) == len(others)
    for pod in pods.values():
        assert "initContainers" not in pod.spec and not any("env" in one for one in pod.spec["containers"])


@needs_kustomize
def test_variables_are_added_to_those_that_are_there(tmp_path: Path) -> None:
    """One of the same name is replaced, others stay; who wants none says so."""
    mine = [{"name": "OPENAI_BASE_URL", "value": "https://api.openai.com/v1"}, {"name": "MINE", "value": "1"}]
    pods = inject(
        tmp_path,
        make_workload("Deployment", "takes", INJECTED, containers=[{"name": "app", "image": "app:1", "env": mine}]),
        make_workload("Deployment", "leaves", {**INJECTED, "llm-sidecar/variables": "false"}),
    )
    env = {one["name"]: one["value"] for one in pods["takes"].spec["containers"][0]["env"]}
    assert env == {**read_yaml(COMPONENT / "variables.yaml")["data"], "MINE": "1"}
    assert "env" not in pods["leaves"].spec["containers"][0] and pods["leaves"].spec["initContainers"]


@needs_kustomize
def test_the_image_and_the_configuration_can_be_ones_own(tmp_path: Path) -> None:
    """`images` reaches the sidecar; a ConfigMap with a suffix is mounted by its full name, so that a change starts new pods."""
    pods = inject(
        tmp_path,
        *(make_workload(kind, kind.lower(), INJECTED) for kind in KINDS),
        images=[{"name": "llm-sidecar", "newName": "registry.example/llm-sidecar", "newTag": "9.9.9"}],
        configMapGenerator=[{"name": "llm-sidecar", "literals": ["sidecar.yaml="]}],
    )
    for pod in pods.values():
        assert find_sidecar(pod)["image"] == "registry.example/llm-sidecar:9.9.9"
        config = next(one for one in pod.spec["volumes"] if one["name"] == "llm-sidecar-config")["configMap"]["name"]
        assert config.startswith("llm-sidecar-") and len(config) > len("llm-sidecar-")


def test_the_image_is_of_this_version() -> None:
    """Wherever it is named."""
    files = [file for file in DEPLOY.rglob("*") if file.suffix in (".yaml", ".md")]
    named = {found for file in files for found in re.findall(r"\bllm-sidecar:(\d[\w.]*\w)", file.read_text(encoding="utf-8"))}
    assert named == {__version__}


def test_variables_lead_to_built_in_routes() -> None:
    """What SDKs are pointed at exists without any configuration, and OpenAI's alone ends with the version."""
    for name, url in read_yaml(COMPONENT / "variables.yaml")["data"].items():
        prefix = url.removeprefix(f"http://{Settings().listen}").removesuffix("/v1") + "/"
        assert prefix in {route.prefix for route in BUILT_IN_ROUTES}, name
        assert url.endswith("/v1") is (name == "OPENAI_BASE_URL")
        readme = (ROOT / "README.md").read_text(encoding="utf-8")
        assert f"{name}={url}" in readme


@needs_kustomize
@pytest.mark.parametrize("folder", sorted(THEIRS))
def test_pods_have_time_for_the_longest_call(folder: str) -> None:
    """A native sidecar's application has it; a sidecar that serves on has it for itself, its hook and a margin included."""
    documents = build(ROOT / folder)
    for pod in find_pods(documents):
        if not any(container["name"] == "llm-sidecar" for _, container in pod.containers):
            continue
        settings = read_settings(pod, find_sidecar(pod), documents)
        grace_s = pod.spec["terminationGracePeriodSeconds"]
        if find_sidecar(pod).get("restartPolicy") == "Always":
            assert grace_s >= settings.timeouts.total + MARGIN_S
        else:
            assert settings.drain.mode == "serve"
            assert grace_s >= settings.timeouts.shutdown + MARGIN_S
            assert settings.timeouts.shutdown >= settings.timeouts.total


def test_the_component_has_time_for_the_longest_call_by_default() -> None:
    """As nobody has to configure anything."""
    assert read_component()["spec"]["terminationGracePeriodSeconds"] >= Timeouts().total + MARGIN_S


@needs_kustomize
def test_the_classic_sidecar_is_the_same_container() -> None:
    """But for what makes it native, and a hook."""
    native = read_component()["spec"]["initContainers"][0]
    (pod,) = find_pods(build(EXAMPLES / "classic"))
    classic = find_sidecar(pod)
    assert {key: value for key, value in classic.items() if key != "lifecycle"} == {
        key: value for key, value in native.items() if key != "restartPolicy"
    }
    assert [container["name"] for container in pod.spec["containers"]][-1] == "llm-sidecar"
    assert pod.metadata["annotations"]["kubectl.kubernetes.io/default-container"] == pod.spec["containers"][0]["name"]
    (native_app,) = find_pods(build(EXAMPLES / "app"))
    assert pod.spec["containers"][0] == native_app.spec["containers"][0]


@needs_kustomize
def test_the_gateway_is_the_same_program() -> None:
    """Variables, probes and privileges are those of the sidecar; ports and resources are its own."""
    native = read_component()["spec"]["initContainers"][0]
    documents = build(EXAMPLES / "gateway")
    gateway = next(find_sidecar(pod) for pod in find_pods(documents) if pod.owner["metadata"]["name"] == "llm-sidecar")
    for key in ("image", "env", "startupProbe", "readinessProbe", "livenessProbe"):
        assert gateway[key] == native[key], key
    kinds = {document["kind"] for document in documents}
    assert kinds >= {"Deployment", "Service", "PodDisruptionBudget", "HorizontalPodAutoscaler", "NetworkPolicy", "ServiceAccount"}
    assert next(one for one in documents if one["kind"] == "HorizontalPodAutoscaler")["spec"]["minReplicas"] >= 2


@needs_kustomize
def test_the_gateway_is_found_by_the_service_monitor() -> None:
    """The object that is rendered for gateways selects this one."""
    monitor = read_documents((ROOT / "alerts/kubernetes/service-monitor/service-monitor.yaml").read_text(encoding="utf-8"))
    assert find_faults([*build(EXAMPLES / "gateway"), *monitor], THEIRS["deploy/kustomize/examples/gateway"]) == []


@needs_kustomize
def test_injected_pods_are_found_by_the_pod_monitor() -> None:
    """The object that is rendered for sidecars selects those of each example, classic ones too."""
    monitor = [one for one in build(DEPLOY / "kustomize/monitoring") if one["kind"] == "PodMonitor"]
    assert monitor
    for name in ("app", "providers", "job", "classic"):
        folder = EXAMPLES / name
        assert find_faults([*build(folder), *monitor], THEIRS[folder.relative_to(ROOT).as_posix()]) == []


@needs_kustomize
def test_nothing_of_the_monitoring_is_written_twice() -> None:
    """What the folder becomes is what is rendered, and nothing else."""
    names = {name_document(one) for one in build(DEPLOY / "kustomize/monitoring")}
    rendered = [*(ROOT / "dashboards/kubernetes").glob("*.yaml"), *(ROOT / "alerts/kubernetes").glob("*.yaml")]
    assert names == {name_document(read_yaml(file)) for file in rendered if file.name != "kustomization.yaml"}


def test_a_sidecar_tells_collectors_where_it_runs() -> None:
    """Once Kubernetes has put values in their places, the text is read as it is meant."""
    env = {one["name"]: one.get("value") for one in read_component()["spec"]["initContainers"][0]["env"]}
    text = env["OTEL_RESOURCE_ATTRIBUTES"]
    for name, value in {"POD_NAME": "app-1", "POD_NAMESPACE": "shop", "POD_UID": "u-1", "NODE_NAME": "n-1"}.items():
        assert name in env
        text = text.replace(f"$({name})", value)
    assert "$" not in text
    resource = read_resource({"OTEL_RESOURCE_ATTRIBUTES": text}, version="1", instance_id="x")
    assert {key: value for key, value in resource.items() if key.startswith(("k8s.", "service.instance"))} == {
        "k8s.pod.name": "app-1", "k8s.namespace.name": "shop", "k8s.pod.uid": "u-1", "k8s.node.name": "n-1",
        "k8s.container.name": "llm-sidecar", "service.instance.id": "shop.app-1.llm-sidecar",
    }  # fmt: skip
    assert env[FILE_VARIABLE] == "/etc/llm-sidecar/sidecar.yaml"
