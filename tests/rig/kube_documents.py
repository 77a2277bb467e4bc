"""Kubernetes objects as documents: read strictly, named for people, and the pods within them."""

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import yaml

Document = dict[str, Any]

# Where the template of a pod stands in each kind that has one.
TEMPLATES: Final[dict[str, tuple[str, ...]]] = {
    "Pod": (),
    "PodTemplate": ("template",),
    "Deployment": ("spec", "template"),
    "StatefulSet": ("spec", "template"),
    "DaemonSet": ("spec", "template"),
    "ReplicaSet": ("spec", "template"),
    "Job": ("spec", "template"),
    "CronJob": ("spec", "jobTemplate", "spec", "template"),
}
CONTAINER_LISTS: Final = ("initContainers", "containers", "ephemeralContainers")


class _Loader(yaml.SafeLoader):
    """A loader that takes no key twice: of two, kubectl would keep one without a word."""


def _build_mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    keys = [loader.construct_object(key, deep=True) for key, _ in node.value]  # type: ignore[no-untyped-call]
    if twice := sorted({str(key) for key in keys if keys.count(key) > 1}):
        raise ValueError(f"line {node.start_mark.line + 1}: keys that are there twice: {', '.join(twice)}")
    if strange := [key for key in keys if not isinstance(key, str)]:
        raise ValueError(f"line {node.start_mark.line + 1}: keys that YAML 1.1 takes for something else: {strange}")
    loader.flatten_mapping(node)
    return {loader.construct_object(key, deep=True): loader.construct_object(value, deep=True) for key, value in node.value}  # type: ignore[no-untyped-call]


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _build_mapping)
_Loader.add_constructor("tag:yaml.org,2002:value", yaml.SafeLoader.construct_yaml_str)  # `=`, of matchers


def read_documents(text: str) -> list[Document]:
    """Return the objects of a YAML text, those of a List one by one. Raises ValueError for a key that is there twice or no string."""
    found: list[Document] = []
    for tree in yaml.load_all(text, Loader=_Loader):
        if tree is None:
            continue
        if not isinstance(tree, dict) or not isinstance(tree.get("kind"), str) or not isinstance(tree.get("apiVersion"), str):
            raise ValueError(f"no Kubernetes object: {str(tree)[:80]}")
        found += tree["items"] if tree["kind"] == "List" else [tree]
    return found


def name_document(document: Document) -> str:
    """Return `Kind/name`."""
    return f"{document.get('kind')}/{(document.get('metadata') or {}).get('name', '(no name)')}"


def read_labels(document: Document) -> dict[str, str]:
    """Return an object's labels, or a template's."""
    return dict((document.get("metadata") or {}).get("labels") or {})


class PodOf(NamedTuple):
    """The pod that an object makes: whose it is, metadata of the template, specification, where that stands."""

    owner: Document
    metadata: Document
    spec: Document
    path: str

    @property
    def labels(self) -> dict[str, str]:
        """Labels that each of its pods has."""
        return dict(self.metadata.get("labels") or {})

    @property
    def containers(self) -> Iterator[tuple[str, Document]]:
        """Each container with its path, init and ephemeral ones too."""
        for part in CONTAINER_LISTS:
            for index, container in enumerate(self.spec.get(part) or ()):
                yield f"{self.path}.{part}[{index}]({container.get('name')})", container


def find_pods(documents: list[Document]) -> Iterator[PodOf]:
    """Yield the pod of each object that makes any."""
    for document in documents:
        if (way := TEMPLATES.get(document["kind"])) is None:
            continue
        template = document
        for step in way:
            template = template.get(step) or {}
        path = ".".join([*way, "spec"])
        yield PodOf(document, template.get("metadata") or {}, template.get("spec") or {}, f"{name_document(document)}: {path}")


def matches(selector: Document | None, labels: dict[str, str]) -> bool:
    """Whether a label selector (matchLabels, matchExpressions) takes these labels; an empty one takes all, none takes nothing."""
    if selector is None:
        return False
    for key, value in (selector.get("matchLabels") or {}).items():
        if labels.get(key) != value:
            return False
    for term in selector.get("matchExpressions") or ():
        has, values = term["key"] in labels, term.get("values") or []
        good = {
            "In": has and labels.get(term["key"]) in values,
            "NotIn": labels.get(term["key"]) not in values,
            "Exists": has,
            "DoesNotExist": not has,
        }[term["operator"]]
        if not good:
            return False
    return True
