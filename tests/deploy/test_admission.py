"""The admission policy: what it makes of pods, and that its sidecar is the component's."""

from copy import deepcopy
from typing import Any

import pytest
import yaml

from tests.rig.admission import PROGRAM, admit_by_expression, admit_by_program
from tests.rig.kube_documents import Document, find_pods, matches, read_documents
from tests.rig.kustomize import DEPLOY, build, needs_kustomize
from tests.rig.manifests import find_faults

FILE = DEPLOY / "admission/policy.yaml"
COMPONENT = DEPLOY / "kustomize/component"
(POLICY,) = read_documents(FILE.read_text(encoding="utf-8"))
BINDINGS = read_documents((DEPLOY / "admission/bindings.yaml").read_text(encoding="utf-8"))
TEMPLATE: Document = yaml.safe_load((COMPONENT / "sidecar.yaml").read_text(encoding="utf-8"))["spec"]["template"]
VARIABLES: dict[str, str] = yaml.safe_load((COMPONENT / "variables.yaml").read_text(encoding="utf-8"))["data"]


def admit(pod: Document) -> Document | None:
    """Return what becomes of a pod: by the expressions, and where it can be asked as Kubernetes' own code says, the same."""
    admitted = admit_by_expression(POLICY, pod)
    if PROGRAM:
        (answer,) = admit_by_program(FILE, [pod])
        assert "error" not in answer, answer["error"]
        assert answer["matched"] is (admitted is not None)
        assert admitted is None or drop_empty(answer["pod"]) == drop_empty(admitted)
    return admitted


def drop_empty(tree: Any) -> Any:
    """Return a tree without members that a server writes though they say nothing, such as an empty status."""
    if isinstance(tree, dict):
        return {key: drop_empty(value) for key, value in tree.items() if value not in ({}, None) or key == "emptyDir"}
    return [drop_empty(item) for item in tree] if isinstance(tree, list) else tree


def make_pod(**spec: Any) -> Document:
    """Return a pod with one container, as the server has filled it in."""
    body = {"containers": [{"name": "app", "image": "app:1", "resources": {}}], "terminationGracePeriodSeconds": 30, **spec}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "app-1", "namespace": "shop", "labels": {"app": "app"}}, "spec": body}


def admit_some(**spec: Any) -> Document:
    """Return the specification that a pod has afterwards."""
    admitted = admit(make_pod(**spec))
    assert admitted is not None
    found: Document = admitted["spec"]
    return found


def test_policy_and_bindings_have_no_fault() -> None:
    """As the schemas of Kubernetes 1.36 and newer have them."""
    assert find_faults([POLICY, *BINDINGS]) == []
    assert {binding["spec"]["policyName"] for binding in BINDINGS} == {POLICY["metadata"]["name"]}


def test_the_sidecar_is_the_components() -> None:
    """Container, volumes, label, annotations, time to end and variables: not one is written otherwise."""
    admitted = admit(make_pod())
    assert admitted is not None
    assert admitted["spec"]["initContainers"] == TEMPLATE["spec"]["initContainers"]
    assert admitted["spec"]["volumes"] == TEMPLATE["spec"]["volumes"]
    assert admitted["spec"]["terminationGracePeriodSeconds"] == TEMPLATE["spec"]["terminationGracePeriodSeconds"]
    assert admitted["metadata"]["labels"] == {"app": "app", **TEMPLATE["metadata"]["labels"]}
    assert admitted["metadata"]["annotations"] == TEMPLATE["metadata"]["annotations"]
    assert {one["name"]: one["value"] for one in admitted["spec"]["containers"][0]["env"]} == VARIABLES


@needs_kustomize
@pytest.mark.parametrize("example", ["app", "providers", "job"])
def test_both_ways_lead_to_the_same_pod(example: str) -> None:
    """A pod of an example without the component, admitted, is what the component makes of it."""
    for pod in find_pods(build(DEPLOY / "kustomize/examples" / example)):
        wanted = {"metadata": pod.metadata, "spec": pod.spec}
        bare = deepcopy(wanted)
        del bare["metadata"]["annotations"], bare["metadata"]["labels"]["llm-sidecar/inject"]
        del bare["spec"]["initContainers"], bare["spec"]["volumes"]
        bare["spec"]["terminationGracePeriodSeconds"] = 30
        for container in bare["spec"]["containers"]:
            container["env"] = [one for one in container["env"] if one["name"] not in VARIABLES]
        admitted = admit({"apiVersion": "v1", "kind": "Pod", **bare})
        assert admitted is not None
        assert settle({"metadata": admitted["metadata"], "spec": admitted["spec"]}) == settle(wanted)


def settle(pod: Document) -> Document:
    """Return a pod without what its user is free to choose (the ConfigMap's name, that there has to be a Secret), and volumes in order."""
    settled: Document = deepcopy(pod)
    settled["spec"]["volumes"].sort(key=lambda volume: volume["name"])
    for volume in settled["spec"]["volumes"]:
        if volume["name"] == "llm-sidecar-config":
            volume["configMap"]["name"] = "llm-sidecar"
        if volume["name"] == "llm-sidecar-secrets":
            volume["secret"]["optional"] = True
    return settled


def test_what_is_there_stays() -> None:
    """Init containers come after the sidecar; volumes, variables and a longer time to end are kept."""
    mine = [
        {"name": "A", "value": "1"},
        {"name": "OPENAI_BASE_URL", "valueFrom": {"configMapKeyRef": {"name": "mine", "key": "url"}}},
    ]
    spec = admit_some(
        containers=[{"name": "app", "image": "app:1", "env": mine, "resources": {}}, {"name": "two", "image": "app:1", "resources": {}}],
        initContainers=[{"name": "migrate", "image": "app:1", "resources": {}}],
        volumes=[{"name": "mine", "emptyDir": {}}],
        terminationGracePeriodSeconds=3600,
    )
    assert [one["name"] for one in spec["initContainers"]] == ["llm-sidecar", "migrate"]
    assert [one["name"] for one in spec["volumes"]] == ["mine", *(one["name"] for one in TEMPLATE["spec"]["volumes"])]
    assert spec["terminationGracePeriodSeconds"] == 3600
    first, second = (container["env"] for container in spec["containers"])
    assert first[:2] == mine
    assert [one["name"] for one in first] == ["A", *VARIABLES]
    assert [one["name"] for one in second] == [*VARIABLES]


@pytest.mark.parametrize("part", ["initContainers", "containers"])
def test_a_pod_that_has_a_sidecar_is_left_alone(part: str) -> None:
    """Whether the component brought it or it is a classic one; so a second time changes nothing either."""
    pod = make_pod()
    pod["spec"][part] = [*pod["spec"].get(part, []), {"name": "llm-sidecar", "image": "llm-sidecar:0.1.0", "resources": {}}]
    assert admit(pod) is None
    once = admit(make_pod())
    assert once is not None and admit(once) is None


@pytest.mark.parametrize(
    ("namespace", "pod", "chosen"),
    [
        ({}, {}, 0),
        ({}, {"llm-sidecar/inject": "true"}, 1),
        ({}, {"llm-sidecar/inject": "false"}, 0),
        ({"llm-sidecar/inject": "true"}, {}, 1),
        ({"llm-sidecar/inject": "true"}, {"llm-sidecar/inject": "true"}, 1),
        ({"llm-sidecar/inject": "true"}, {"llm-sidecar/inject": "false"}, 0),
        ({"llm-sidecar/inject": "false"}, {"llm-sidecar/inject": "true"}, 1),
    ],
)
def test_bindings_choose_by_pod_or_by_namespace(namespace: dict[str, str], pod: dict[str, str], chosen: int) -> None:
    """Each pod that is meant is chosen once."""
    rules = [binding["spec"]["matchResources"] for binding in BINDINGS]
    assert sum(matches(one["namespaceSelector"], namespace) and matches(one["objectSelector"], pod) for one in rules) == chosen
