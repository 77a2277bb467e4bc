"""What no schema knows: how containers of ours have to behave in a cluster, whoever wrote the manifest."""

import re
from collections.abc import Iterator
from typing import Final

from tests.rig.kube_documents import Document, PodOf, name_document

SIDECAR: Final = "llm-sidecar"
OBJECT_BYTES_MAX: Final = 1024 * 1024  # of a ConfigMap or Secret
PROBES: Final = {"startupProbe": "/-/ready", "readinessProbe": "/-/ready", "livenessProbe": "/-/healthy"}
ADMIN_PORT: Final = 9464
_TAG: Final = re.compile(r"^[\w][\w.-]{0,127}$")
_DIGEST: Final = re.compile(r"^sha256:[0-9a-f]{64}$")


def find_conduct_faults(pod: PodOf) -> Iterator[str]:
    """Yield each rule for containers that a pod breaks, and where."""
    for path, container in pod.containers:
        yield from _check_image(path, str(container.get("image", "")))
        yield from _check_resources(path, container)
        if (container.get("securityContext") or {}).get("readOnlyRootFilesystem") is not True:
            yield f"{path}.securityContext.readOnlyRootFilesystem: must be true"
        for name in ("startupProbe", "readinessProbe", "livenessProbe"):
            port = ((container.get(name) or {}).get("httpGet") or (container.get(name) or {}).get("tcpSocket") or {}).get("port", 0)
            if not isinstance(port, int):
                yield f"{path}.{name}: port {port} is a name, not a number"
        if container.get("name") == SIDECAR:
            yield from _check_sidecar(path, container)


def find_object_faults(document: Document) -> Iterator[str]:
    """Yield what is wrong with an object whatever it is for."""
    if document["kind"] in ("ConfigMap", "Secret"):
        entries = {**(document.get("data") or {}), **(document.get("stringData") or {}), **(document.get("binaryData") or {})}
        size = sum(len(key) + len(str(value).encode()) for key, value in entries.items())
        if size > OBJECT_BYTES_MAX:
            yield f"{name_document(document)}: {size} bytes, and {OBJECT_BYTES_MAX} are allowed"
        if document.get("immutable"):
            yield f"{name_document(document)}: is immutable, so nothing in it is ever reloaded"
    for key in document.get("metadata") or {}:
        if key in ("creationTimestamp", "uid", "resourceVersion", "managedFields", "selfLink"):
            yield f"{name_document(document)}: metadata.{key} is the server's to set"


def _check_image(path: str, image: str) -> Iterator[str]:
    """An image has a name without a host, and a version: whose registry it comes from is the user's to say."""
    name, _, digest = image.partition("@")
    parts = name.split("/")
    if len(parts) > 1 and ("." in parts[0] or ":" in parts[0] or parts[0] == "localhost"):
        yield f"{path}.image: {image} names a registry's host"
    _, _, tag = parts[-1].partition(":")
    if not image or not (_DIGEST.match(digest) if digest else _TAG.match(tag)):
        yield f"{path}.image: {image or 'nothing'} has no version"
    if tag == "latest":
        yield f"{path}.image: {image} is another one tomorrow"


def _check_resources(path: str, container: Document) -> Iterator[str]:
    resources = container.get("resources") or {}
    requests, limits = resources.get("requests") or {}, resources.get("limits") or {}
    for name in ("cpu", "memory"):
        if name not in requests:
            yield f"{path}.resources.requests.{name}: is missing"
    if "memory" not in limits:
        yield f"{path}.resources.limits.memory: is missing"


def _check_sidecar(path: str, container: Document) -> Iterator[str]:
    """What is ours, beside an application or alone."""
    for name, route in PROBES.items():
        get = (container.get(name) or {}).get("httpGet") or {}
        if (get.get("path"), get.get("port")) != (route, ADMIN_PORT):
            yield f"{path}.{name}: must be httpGet of {route} at {ADMIN_PORT}, is {get.get('path')} at {get.get('port')}"
    if "cpu" in ((container.get("resources") or {}).get("limits") or {}):
        yield f"{path}.resources.limits.cpu: what is throttled adds latency"
    if container.get("command"):
        yield f"{path}.command: the image knows its own"
    native = container.get("restartPolicy") == "Always"
    if native != (".initContainers[" in path):
        yield f"{path}.restartPolicy: a native sidecar is an init container with restartPolicy Always, no other has one"
