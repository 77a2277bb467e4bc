"""The library chart: what it puts into an application's pods, as the example uses it, and as the Kustomize component does it."""

from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from tests.house.source import ROOT
from tests.rig.helm import EXAMPLE, LIBRARY, RefusedError, copy_example, lint_chart, needs_helm, read_values, render_chart
from tests.rig.kube_documents import Document, read_documents
from tests.rig.manifests import find_faults

pytestmark = needs_helm
VALUES: Final = sorted((EXAMPLE / "ci").glob("*-values.yaml"))
COMPONENT: Final = ROOT / "deploy" / "kustomize" / "component"
THEIRS: Final = ("Secret/openai", "Secret/anthropic")


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example, its dependency beside it."""
    return copy_example(tmp_path_factory.mktemp("charts"))


def render(example: Path, file: str, more: dict[str, Any] | None = None) -> list[Document]:
    """Return the objects that the example makes of one of its files of values."""
    values = read_values(EXAMPLE / "ci" / f"{file}-values.yaml")
    return read_documents(render_chart(example, {**values, **(more or {})}, name="assistant"))


def find_pod(documents: list[Document]) -> Document:
    """Return the pod's template of the only Deployment."""
    (deployment,) = [document for document in documents if document["kind"] == "Deployment"]
    template: Document = deployment["spec"]["template"]
    return template


def find_sidecar(containers: list[Document]) -> Document:
    """Return our container."""
    (found,) = [container for container in containers if container["name"] == "llm-sidecar"]
    return found


@pytest.mark.parametrize("file", VALUES, ids=lambda file: file.name.removesuffix("-values.yaml"))
def test_each_file_of_values_makes_good_manifests(example: Path, file: Path) -> None:
    """Native and classic, with several providers and without a sidecar."""
    documents = read_documents(render_chart(example, read_values(file), name="assistant"))
    assert find_faults(documents, THEIRS) == []
    assert lint_chart(example, read_values(file)) == []


def test_a_native_sidecar_is_an_init_container(example: Path) -> None:
    """The only one, and it goes on running; the application's containers are its own."""
    pod = find_pod(render(example, "native"))["spec"]
    assert find_sidecar(pod["initContainers"])["restartPolicy"] == "Always"
    assert [container["name"] for container in pod["containers"]] == ["app"]


def test_it_is_what_the_component_puts_in(example: Path) -> None:
    """One sidecar, whoever injects it: container, volumes, labels, annotations, time to end, and what SDKs read."""
    template, reference = find_pod(render(example, "native")), yaml.safe_load((COMPONENT / "sidecar.yaml").read_text(encoding="utf-8"))
    wanted = reference["spec"]["template"]
    for part in ("labels", "annotations"):
        assert wanted["metadata"][part].items() <= template["metadata"][part].items()
        assert {name for name in template["metadata"][part] if "sidecar" in name or "prometheus" in name} == set(wanted["metadata"][part])
    pod = template["spec"]
    assert pod["initContainers"] == wanted["spec"]["initContainers"]
    assert pod["terminationGracePeriodSeconds"] == wanted["spec"]["terminationGracePeriodSeconds"]
    renamed = {**wanted["spec"]["volumes"][0], "configMap": {"name": "assistant-llm"}}  # the example's own
    assert pod["volumes"] == [renamed, *wanted["spec"]["volumes"][1:]]
    variables = yaml.safe_load((COMPONENT / "variables.yaml").read_text(encoding="utf-8"))["data"]
    assert {one["name"]: one["value"] for one in pod["containers"][0]["env"] if one["name"] != "LOG_LEVEL"} == variables


def test_a_classic_sidecar_is_a_second_container_that_serves_to_the_end(example: Path) -> None:
    """Told to stop together with the application, it goes on as long as that calls."""
    pod = find_pod(render(example, "classic"))["spec"]
    sidecar = find_sidecar(pod["containers"])
    assert "initContainers" not in pod and "restartPolicy" not in sidecar
    settings = {one["name"]: one.get("value") for one in sidecar["env"]}
    assert (settings["LLM_SIDECAR__DRAIN__MODE"], settings["LLM_SIDECAR__TIMEOUTS__SHUTDOWN"]) == ("serve", "60s")
    assert pod["terminationGracePeriodSeconds"] == 75


def test_a_classic_sidecar_is_that_of_the_example_for_kustomize(example: Path) -> None:
    """How it drains is said by the environment here, and by its configuration there."""
    text = (COMPONENT.parent / "examples" / "classic" / "app.yaml").read_text(encoding="utf-8")
    wanted = find_sidecar(find_pod(read_documents(text))["spec"]["containers"])
    sidecar = find_sidecar(find_pod(render(example, "native", {"llmSidecar": {"mode": "classic"}}))["spec"]["containers"])
    draining = ("LLM_SIDECAR__DRAIN__MODE", "LLM_SIDECAR__TIMEOUTS__SHUTDOWN")
    assert {**sidecar, "env": [one for one in sidecar["env"] if one["name"] not in draining]} == wanted


def test_without_a_sidecar_nothing_of_it_is_left(example: Path) -> None:
    """No variable, volume, label, annotation or configuration."""
    documents = render(example, "without")
    assert [document["kind"] for document in documents] == ["Deployment"]
    template = find_pod(documents)
    assert "llm" not in str(template).lower() and "prometheus.io" not in str(template) and "volumes" not in template["spec"]


def test_a_way_that_is_not_known_is_refused(example: Path) -> None:
    """With what is allowed."""
    with pytest.raises(RefusedError, match="sideways, allowed: native, classic"):
        render(example, "native", {"llmSidecar": {"mode": "sideways"}})


def test_the_libraries_name_is_as_good_as_an_alias(example: Path, tmp_path: Path) -> None:
    """A chart that gives the dependency no alias has its values under the dependency's name."""
    chart = copy_example(tmp_path)
    for file in ("Chart.yaml", "values.yaml", "templates/configmap.yaml"):
        text = (chart / file).read_text(encoding="utf-8").replace("    alias: llmSidecar\n", "").replace("llmSidecar:", f"{LIBRARY.name}:")
        for member in ("enabled", "configMap"):
            text = text.replace(f".Values.llmSidecar.{member}", f'(index .Values "{LIBRARY.name}").{member}')
        (chart / file).write_text(text, encoding="utf-8")
    assert find_pod(read_documents(render_chart(chart, {}, name="assistant"))) == find_pod(render(example, "native"))
