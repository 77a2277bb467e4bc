"""The sidecar's configuration within Kubernetes objects: as good as `llm-sidecar check` finds it, and all that it names is mounted."""

import tempfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, Final, NamedTuple

from sidecar.config import Settings
from sidecar.core.settings.environment import FILE_VARIABLE
from sidecar.edge.files import load
from sidecar.errors import ConfigError
from tests.rig.kube_conduct import SIDECAR
from tests.rig.kube_documents import Document, PodOf, name_document

GRACE_MARGIN_S: Final = 5  # after the sidecar's own grace: it ends within 3 s of that
_GRACE_S: Final = 30  # of Kubernetes, where nothing is said
_WRITABLE: Final = ("emptyDir", "persistentVolumeClaim", "ephemeral")


class Mounted(NamedTuple):
    """What a container finds below a path: its keys, if they are known, and whether it may write there."""

    volume: str
    keys: dict[str, str] | None
    writable: bool


def find_setting_faults(pod: PodOf, documents: list[Document]) -> Iterator[str]:
    """Yield what is wrong with the configuration of each sidecar of a pod."""
    for path, container in pod.containers:
        if container.get("name") != SIDECAR:
            continue
        try:
            settings = read_settings(pod, container, documents)
        except LookupError as error:
            yield f"{path}.env({FILE_VARIABLE}): {error.args[0]} is nowhere"
        except ConfigError as error:
            yield f"{path}: {error}"
        else:
            yield from _check_files(path, settings, _find_mounts(pod, container, documents))
            yield from _check_listeners(path, pod, container, settings)


def read_settings(pod: PodOf, container: Document, documents: list[Document]) -> Settings:
    """Return the settings of a sidecar: its file, and its environment over that.

    Raises ConfigError as `llm-sidecar check` does, and LookupError with the file's name where nothing mounts it. What is in a
    ConfigMap that is not among the objects counts as empty.
    """
    environ = {one["name"]: str(one.get("value", "of-the-pod")) for one in container.get("env") or ()}
    name, text = environ.pop(FILE_VARIABLE, None), ""
    if name is not None:
        found = _read_mounted(_find_mounts(pod, container, documents), name)
        if found is None or (found.keys is not None and PurePosixPath(name).name not in found.keys):
            raise LookupError(name)
        text = "" if found.keys is None else found.keys[PurePosixPath(name).name]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "sidecar.yaml"
        file.write_text(text, encoding="utf-8")
        return load(str(file), environ).settings


def _find_mounts(pod: PodOf, container: Document, documents: list[Document]) -> dict[str, Mounted]:
    return {mount["mountPath"]: _find_volume(pod, mount, documents) for mount in container.get("volumeMounts") or ()}


def _find_volume(pod: PodOf, mount: Document, documents: list[Document]) -> Mounted:
    volume = next((one for one in pod.spec.get("volumes") or () if one.get("name") == mount["name"]), None)
    if volume is None:
        return Mounted(mount["name"], None, writable=True)  # a claim's template
    keys: dict[str, str] | None = None
    for kind, source in (("ConfigMap", volume.get("configMap")), ("Secret", volume.get("secret"))):
        if source is not None:
            wanted = source.get("name") or source.get("secretName")
            owner = next((one for one in documents if name_document(one) == f"{kind}/{wanted}"), None)
            keys = None if owner is None else {**(owner.get("data") or {}), **(owner.get("stringData") or {})}
    return Mounted(mount["name"], keys, any(kind in volume for kind in _WRITABLE) and not mount.get("readOnly"))


def _read_mounted(mounts: dict[str, Mounted], file: str) -> Mounted | None:
    return next((found for place, found in mounts.items() if PurePosixPath(place) in PurePosixPath(file).parents), None)


def _list_read(settings: Settings) -> Iterator[tuple[str, str | None]]:
    yield from ((f"upstreams.{name}.api_key_file", one.api_key_file) for name, one in settings.upstreams.items())
    for section in ("admin", "alerts", "redis", "warming", "prices"):
        tree: Any = getattr(settings, section)
        for key in ("token_file", "webhook_file", "web_config_file", "password_file", "ca_file", "encryption_key_file", "key_file", "file"):
            yield f"{section}.{key}", getattr(tree, key, None)


def _check_files(path: str, settings: Settings, mounts: dict[str, Mounted]) -> Iterator[str]:
    for setting, file in _list_read(settings):
        if file is None or file.startswith("/etc/ssl/"):
            continue
        found = _read_mounted(mounts, file)
        if found is None:
            yield f"{path}: {setting}: {file} is mounted by nobody"
        elif found.keys is not None and PurePosixPath(file).name not in found.keys:
            yield f"{path}: {setting}: {file} is not among {', '.join(sorted(found.keys))}"
    journal = settings.journal.directory
    written = {
        "journal.directory": f"{journal}/x" if journal else None,
        "budgets.file": settings.budgets.file,
        "content.file": settings.content.file,
    }
    for setting, file in written.items():
        if file is not None and not ((found := _read_mounted(mounts, file)) and found.writable):
            yield f"{path}: {setting}: {file.removesuffix('/x')} is in no volume that can be written to"


def _check_listeners(path: str, pod: PodOf, container: Document, settings: Settings) -> Iterator[str]:
    ports = {port.get("containerPort") for port in container.get("ports") or ()}
    admin_host, _, admin_port = settings.admin.listen.rpartition(":")
    if admin_host in ("127.0.0.1", "localhost", "[::1]"):
        yield f"{path}: admin.listen {settings.admin.listen} is out of reach of probes and scrapes"
    if int(admin_port) not in ports:
        yield f"{path}.ports: {admin_port} of the admin side is missing"
    host, _, port = settings.listen.rpartition(":")
    alone = [one.get("name") for one in pod.spec.get("containers") or ()] == [SIDECAR]
    if alone and (host == "127.0.0.1" or int(port) not in ports):
        yield f"{path}: a gateway listens at {settings.listen}, with ports {sorted(ports, key=str)}: nobody reaches it"
    if alone and not settings.gateway:
        yield f"{path}: a gateway without gateway: true, which would warn of being one"
    if not alone and host != "127.0.0.1":
        yield f"{path}: listens at {settings.listen}: every pod of the cluster could use the credentials of this one"
    grace_s = pod.spec.get("terminationGracePeriodSeconds", _GRACE_S)
    if grace_s < settings.timeouts.shutdown + GRACE_MARGIN_S:
        yield f"{pod.path}.terminationGracePeriodSeconds: {grace_s} s end before timeouts.shutdown ({settings.timeouts.shutdown:g} s)"
