"""What Kubernetes objects name in each other: is it there, and does each selector find what it is for?"""

from collections.abc import Collection, Iterator
from typing import Any, Final

from tests.rig.kube_documents import Document, PodOf, find_pods, matches, name_document

_SCALABLE: Final = ("Deployment", "StatefulSet", "ReplicaSet")


def find_link_faults(documents: list[Document], theirs: Collection[str] = ()) -> Iterator[str]:
    """Yield each name that leads nowhere. `theirs`: what users bring themselves, as `Secret/name`."""
    there = {name_document(document) for document in documents} | set(theirs)
    names = [(name_document(document), (document.get("metadata") or {}).get("namespace", "")) for document in documents]
    for name, namespace in sorted({key for key in names if names.count(key) > 1}):
        yield f"{name}: is there more than once{f' in {namespace}' if namespace else ''}"
    pods = list(find_pods(documents))
    for pod in pods:
        yield from _check_volumes(pod)
        yield from _check_template(pod)
        for reference, place in _list_references(pod):
            if reference not in there:
                yield f"{place}: {reference} is nowhere"
    for document in documents:
        yield from _check_selectors(document, pods, documents, there)


def _check_template(pod: PodOf) -> Iterator[str]:
    selector = (pod.owner.get("spec") or {}).get("selector")
    if pod.owner["kind"] in ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet") and not matches(selector, pod.labels):
        yield f"{name_document(pod.owner)}: its selector does not find its own pods"
    for term in pod.spec.get("topologySpreadConstraints") or ():
        if not matches(term.get("labelSelector"), pod.labels):
            yield f"{pod.path}.topologySpreadConstraints({term.get('topologyKey')}): does not count its own pods"
    if pod.owner["kind"] in ("Job", "CronJob") and pod.spec.get("restartPolicy") not in ("Never", "OnFailure"):
        yield f"{pod.path}.restartPolicy: must be Never or OnFailure"


def _check_volumes(pod: PodOf) -> Iterator[str]:
    volumes = [volume.get("name") for volume in pod.spec.get("volumes") or ()]
    claims = [claim["metadata"]["name"] for claim in (pod.owner.get("spec") or {}).get("volumeClaimTemplates") or ()]
    for name in sorted({name for name in volumes if volumes.count(name) > 1}):
        yield f"{pod.path}.volumes: {name} is there twice"
    containers = [container.get("name") for _, container in pod.containers]
    for name in sorted({name for name in containers if containers.count(name) > 1}):
        yield f"{pod.path}: two containers are called {name}"
    used = set()
    for path, container in pod.containers:
        mounts = container.get("volumeMounts") or []
        for mount in mounts:
            used.add(mount["name"])
            if mount["name"] not in (*volumes, *claims):
                yield f"{path}.volumeMounts: no volume {mount['name']}"
            if "subPath" in mount or "subPathExpr" in mount:
                yield f"{path}.volumeMounts({mount['name']}): what is mounted by subPath is never updated"
        places = [mount["mountPath"] for mount in mounts]
        for place in sorted({place for place in places if places.count(place) > 1}):
            yield f"{path}.volumeMounts: {place} is mounted twice"
        yield from _check_variables(path, container)
    for name in volumes:
        if name not in used:
            yield f"{pod.path}.volumes: nobody mounts {name}"


def _check_variables(path: str, container: Document) -> Iterator[str]:
    """Variables are set once, and $(NAME) stands for one that was set before: any other stays as it is written."""
    seen: set[str] = set()
    for variable in container.get("env") or ():
        if variable["name"] in seen:
            yield f"{path}.env: {variable['name']} is set twice"
        value = str(variable.get("value", "")).replace("$$", "")
        for part in value.split("$(")[1:]:
            if (name := part.split(")")[0]) not in seen:
                yield f"{path}.env({variable['name']}): $({name}) is not set before it"
        seen.add(variable["name"])


def _list_references(pod: PodOf) -> Iterator[tuple[str, str]]:
    """Yield what the pod cannot start without, and where that is said."""
    account = pod.spec.get("serviceAccountName", "default")
    if account != "default":
        yield f"ServiceAccount/{account}", f"{pod.path}.serviceAccountName"
    for secret in pod.spec.get("imagePullSecrets") or ():
        yield f"Secret/{secret['name']}", f"{pod.path}.imagePullSecrets"
    for volume in pod.spec.get("volumes") or ():
        place = f"{pod.path}.volumes({volume.get('name')})"
        if claim := volume.get("persistentVolumeClaim"):
            yield f"PersistentVolumeClaim/{claim['claimName']}", place
        for source in (volume, *((volume.get("projected") or {}).get("sources") or ())):
            yield from _list_sources(source, place, "configMap", "secret")
    for path, container in pod.containers:
        for variable in container.get("env") or ():
            yield from _list_sources(variable.get("valueFrom") or {}, f"{path}.env({variable['name']})", "configMapKeyRef", "secretKeyRef")
        for source in container.get("envFrom") or ():
            yield from _list_sources(source, f"{path}.envFrom", "configMapRef", "secretRef")


def _list_sources(source: Document, place: str, config_map: str, secret: str) -> Iterator[tuple[str, str]]:
    for key, kind in ((config_map, "ConfigMap"), (secret, "Secret")):
        found: dict[str, Any] | None = source.get(key)
        if found is not None and not found.get("optional"):
            yield f"{kind}/{found.get('name') or found.get('secretName')}", place


def _check_selectors(document: Document, pods: list[PodOf], documents: list[Document], there: Collection[str]) -> Iterator[str]:
    spec, kind, name = document.get("spec") or {}, document["kind"], name_document(document)
    if kind == "Service" and spec.get("selector"):
        found = [pod for pod in pods if matches({"matchLabels": spec["selector"]}, pod.labels)]
        if not found:
            yield f"{name}: its selector finds no pod"
        for port in spec.get("ports") or ():
            yield from _check_service_port(name, port, found)
    if kind == "PodDisruptionBudget" and not any(matches(spec.get("selector"), pod.labels) for pod in pods):
        yield f"{name}: its selector finds no pod"
    if kind == "NetworkPolicy" and not any(matches(spec.get("podSelector"), pod.labels) for pod in pods):
        yield f"{name}: its selector finds no pod"
    if kind == "NetworkPolicy":
        for rule in (*(spec.get("ingress") or ()), *(spec.get("egress") or ())):
            for port in rule.get("ports") or ():
                if not isinstance(port.get("port", 0), int):
                    yield f"{name}: port {port['port']} is a name; of a native sidecar's ports not every network knows it"
    if kind == "HorizontalPodAutoscaler":
        target = spec.get("scaleTargetRef") or {}
        if f"{target.get('kind')}/{target.get('name')}" not in there or target.get("kind") not in _SCALABLE:
            yield f"{name}: scales nothing that is there"
    if kind == "StatefulSet" and (service := spec.get("serviceName")) and f"Service/{service}" not in there:
        yield f"{name}: Service/{service} is nowhere"
    if pods and kind == "PodMonitor" and not any(matches(spec.get("selector"), pod.labels) for pod in pods):
        yield f"{name}: its selector finds no pod"
    if pods and kind == "ServiceMonitor":
        yield from _check_service_monitor(document, documents)


def _check_service_port(name: str, port: Document, pods: list[PodOf]) -> Iterator[str]:
    target = port.get("targetPort", port.get("port"))
    if not isinstance(target, int):
        yield f"{name}: targetPort {target} is a name; of a native sidecar's ports Kubernetes before 1.32 does not know it"
        return
    for pod in pods:
        if not any(target == own.get("containerPort") for _, container in pod.containers for own in container.get("ports") or ()):
            yield f"{name}: no container of {name_document(pod.owner)} has port {target}"


def _check_service_monitor(monitor: Document, documents: list[Document]) -> Iterator[str]:
    spec = monitor.get("spec") or {}
    services = [
        one for one in documents if one["kind"] == "Service" and matches(spec.get("selector"), dict(one["metadata"].get("labels") or {}))
    ]
    if not services:
        yield f"{name_document(monitor)}: its selector finds no Service"
    for service in services:
        names = {port.get("name") for port in service["spec"].get("ports") or ()}
        for endpoint in spec.get("endpoints") or ():
            if "port" in endpoint and endpoint["port"] not in names:
                yield f"{name_document(monitor)}: {name_document(service)} has no port {endpoint['port']}"
