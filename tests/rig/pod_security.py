"""The Pod Security Standard "restricted", all of "baseline" included: every rule, for every container.

Source: Kubernetes, "Pod Security Standards" (as of 1.37). What it leaves open to Windows alone is not allowed here.
"""

from collections.abc import Iterator
from typing import Any, Final

from tests.rig.kube_documents import Document, PodOf

VOLUME_KINDS: Final = {
    "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret",
}  # fmt: skip
SYSCTLS: Final = {
    "kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.ip_unprivileged_port_start", "net.ipv4.tcp_syncookies",
    "net.ipv4.ping_group_range", "net.ipv4.ip_local_reserved_ports", "net.ipv4.tcp_keepalive_time", "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl", "net.ipv4.tcp_keepalive_probes", "net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem",
}  # fmt: skip
SELINUX_TYPES: Final = {"", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"}
_APPARMOR_ANNOTATION: Final = "container.apparmor.security.beta.kubernetes.io/"
_PROBES: Final = ("startupProbe", "readinessProbe", "livenessProbe")


def find_security_faults(pod: PodOf) -> Iterator[str]:
    """Yield each rule of "restricted" that a pod breaks, and where."""
    yield from _check_pod(pod)
    of_pod = pod.spec.get("securityContext") or {}
    yield from _check_shared(pod.path, of_pod)
    for path, container in pod.containers:
        own = container.get("securityContext") or {}
        yield from _check_shared(path, own)
        yield from _check_privileges(path, own)
        yield from _check_identity(path, own, of_pod)
        yield from _check_hosts(path, container)


def _check_pod(pod: PodOf) -> Iterator[str]:
    for key in ("hostNetwork", "hostPID", "hostIPC"):
        if pod.spec.get(key):
            yield f"{pod.path}.{key}: must not be true"
    for volume in pod.spec.get("volumes") or ():
        if strange := sorted(volume.keys() - VOLUME_KINDS - {"name"}):
            yield f"{pod.path}.volumes({volume.get('name')}): {', '.join(strange)} is no kind of volume that is allowed"
    for sysctl in (pod.spec.get("securityContext") or {}).get("sysctls") or ():
        if sysctl.get("name") not in SYSCTLS:
            yield f"{pod.path}.securityContext.sysctls: {sysctl.get('name')} is not safe"
    for key, value in (pod.metadata.get("annotations") or {}).items():
        if key.startswith(_APPARMOR_ANNOTATION) and not (value == "runtime/default" or value.startswith("localhost/")):
            yield f"{pod.path}: annotation {key}: {value} is not allowed"


def _check_shared(path: str, context: Document) -> Iterator[str]:
    """What may stand at the pod and at a container, and must be harmless at both."""
    path = f"{path}.securityContext"
    if (context.get("windowsOptions") or {}).get("hostProcess"):
        yield f"{path}.windowsOptions.hostProcess: must not be true"
    selinux = context.get("seLinuxOptions") or {}
    if selinux.get("type", "") not in SELINUX_TYPES or selinux.get("user") or selinux.get("role"):
        yield f"{path}.seLinuxOptions: type must be one of the containers' own, user and role empty"
    apparmor = context.get("appArmorProfile")
    if apparmor and apparmor.get("type") not in ("RuntimeDefault", "Localhost"):
        yield f"{path}.appArmorProfile: {apparmor.get('type')} is not allowed"
    if context.get("runAsUser") == 0:
        yield f"{path}.runAsUser: must not be 0"
    if context.get("runAsNonRoot") is False:
        yield f"{path}.runAsNonRoot: must not be false"
    seccomp = context.get("seccompProfile")
    if seccomp and seccomp.get("type") not in ("RuntimeDefault", "Localhost"):
        yield f"{path}.seccompProfile: {seccomp.get('type')} is not allowed"


def _check_privileges(path: str, own: Document) -> Iterator[str]:
    path = f"{path}.securityContext"
    if own.get("privileged"):
        yield f"{path}.privileged: must not be true"
    if own.get("allowPrivilegeEscalation") is not False:
        yield f"{path}.allowPrivilegeEscalation: must be false"
    if own.get("procMount", "Default") != "Default":
        yield f"{path}.procMount: must be Default"
    capabilities = own.get("capabilities") or {}
    if "ALL" not in (capabilities.get("drop") or ()):
        yield f"{path}.capabilities.drop: must have ALL"
    if added := sorted(set(capabilities.get("add") or ()) - {"NET_BIND_SERVICE"}):
        yield f"{path}.capabilities.add: {', '.join(added)} must not be added"


def _check_identity(path: str, own: Document, of_pod: Document) -> Iterator[str]:
    """What a container must have, of its own or from its pod."""

    def _read(key: str) -> Any:
        return own[key] if own.get(key) is not None else of_pod.get(key)

    if _read("runAsNonRoot") is not True:
        yield f"{path}.securityContext.runAsNonRoot: must be true here or at the pod"
    if (_read("seccompProfile") or {}).get("type") not in ("RuntimeDefault", "Localhost"):
        yield f"{path}.securityContext.seccompProfile: must be RuntimeDefault or Localhost here or at the pod"


def _check_hosts(path: str, container: Document) -> Iterator[str]:
    for port in container.get("ports") or ():
        if port.get("hostPort"):
            yield f"{path}.ports: hostPort {port['hostPort']} is not allowed"
    lifecycle = container.get("lifecycle") or {}
    handlers = {key: container.get(key) for key in _PROBES} | {f"lifecycle.{key}": lifecycle.get(key) for key in ("postStart", "preStop")}
    for name, handler in handlers.items():
        for kind in ("httpGet", "tcpSocket"):
            if ((handler or {}).get(kind) or {}).get("host"):
                yield f"{path}.{name}.{kind}.host: must not be set"
