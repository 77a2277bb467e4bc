"""The judge of manifests: a good set has no fault, and each thing that is spoilt in it is found."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest

from tests.rig.kube_documents import Document, matches, read_documents
from tests.rig.kube_schemas import needs_definitions
from tests.rig.manifests import find_faults
from tests.rig.operator_objects import translate_alertmanager_config
from tests.rig.prometheus import needs_promtool

GOOD = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: app}
spec:
  replicas: 2
  selector: {matchLabels: {app: app}}
  template:
    metadata: {labels: {app: app}}
    spec:
      serviceAccountName: app
      terminationGracePeriodSeconds: 60
      securityContext: {runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}}
      topologySpreadConstraints:
        - {maxSkew: 1, topologyKey: zone, whenUnsatisfiable: ScheduleAnyway, labelSelector: {matchLabels: {app: app}}}
      initContainers:
        - name: llm-sidecar
          image: llm-sidecar:0.1.0
          restartPolicy: Always
          env:
            - {name: LLM_SIDECAR_CONFIG, value: /etc/llm-sidecar/sidecar.yaml}
            - {name: LLM_SIDECAR_ADMIN_LISTEN, value: "0.0.0.0:9464"}
            - {name: POD_NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
            - {name: OTEL_RESOURCE_ATTRIBUTES, value: "k8s.pod.name=$(POD_NAME)"}
          ports: [{name: admin, containerPort: 9464}]
          startupProbe: {httpGet: {path: /-/ready, port: 9464}}
          readinessProbe: {httpGet: {path: /-/ready, port: 9464}}
          livenessProbe: {httpGet: {path: /-/healthy, port: 9464}}
          resources: {requests: {cpu: 50m, memory: 64Mi}, limits: {memory: 128Mi}}
          securityContext: &restricted {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}
          volumeMounts:
            - {name: config, mountPath: /etc/llm-sidecar, readOnly: true}
            - {name: keys, mountPath: /run/secrets/llm-sidecar, readOnly: true}
            - {name: data, mountPath: /var/lib/llm-sidecar}
      containers:
        - name: app
          image: app:1
          envFrom: [{configMapRef: {name: llm-sidecar}}]
          resources: {requests: {cpu: 50m, memory: 64Mi}, limits: {memory: 128Mi}}
          securityContext: *restricted
      volumes:
        - {name: config, configMap: {name: llm-sidecar}}
        - {name: keys, secret: {secretName: keys}}
        - {name: data, persistentVolumeClaim: {claimName: data}}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: llm-sidecar}
data:
  sidecar.yaml: |
    upstreams: {openai: {api_key_file: /run/secrets/llm-sidecar/openai}}
    routes: [{prefix: /openai/, upstream: openai}]
    journal: {directory: /var/lib/llm-sidecar}
---
apiVersion: v1
kind: Secret
metadata: {name: keys}
stringData: {openai: a-key}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: app}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
---
apiVersion: v1
kind: Service
metadata: {name: app, labels: {app: app}}
spec: {selector: {app: app}, ports: [{name: admin, port: 80, targetPort: 9464}]}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: app}
spec: {minAvailable: 1, selector: {matchLabels: {app: app}}}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: app}
spec: {podSelector: {matchLabels: {app: app}}, policyTypes: [Ingress], ingress: [{ports: [{port: 9464}]}]}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: app}
spec: {scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: app}, maxReplicas: 3}
"""
OPERATED = """
apiVersion: monitoring.coreos.com/v1
kind: PodMonitor
metadata: {name: app}
spec: {selector: {matchLabels: {app: app}}, podMetricsEndpoints: [{portNumber: 9464, path: /metrics}]}
---
apiVersion: monitoring.coreos.com/v1
kind: ServiceMonitor
metadata: {name: app}
spec: {selector: {matchLabels: {app: app}}, endpoints: [{port: admin, interval: 15s}]}
---
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata: {name: app}
spec: {groups: [{name: app, rules: [{alert: Down, expr: up == 0, for: 5m, labels: {severity: critical}}]}]}
---
apiVersion: monitoring.coreos.com/v1alpha1
kind: AlertmanagerConfig
metadata: {name: app}
spec:
  route:
    {receiver: team, groupBy: [alertname], groupWait: 30s, routes: [{receiver: team, matchers: [{name: a, value: b, matchType: "=~"}]}]}
  receivers:
    - name: team
      webhookConfigs: [{urlSecret: {name: hooks, key: team}, sendResolved: true}]
      slackConfigs: [{apiURL: {name: hooks, key: slack}, channel: "#team"}]
  inhibitRules:
    - sourceMatch: [{name: severity, value: critical, matchType: =}]
      targetMatch: [{name: severity, value: warning}]
      equal: [alertname]
"""

# Where to go: the object's place in the text, then keys; a callable puts what is there in order for the worse.
Way = tuple[int | str, ...]
POD: Way = (0, "spec", "template", "spec")
OURS: Way = (*POD, "initContainers", 0)
APP: Way = (*POD, "containers", 0)
CONTEXT: Way = (*APP, "securityContext")
DATA: Way = (1, "data", "sidecar.yaml")
GONE: Any = object()


def spoil(documents: list[Document], way: Way, value: Any) -> list[Document]:
    """Return the objects with one member set, or taken out (GONE)."""
    spoilt = deepcopy(documents)
    node: Any = spoilt
    for step in way[:-1]:
        node = node.setdefault(step, {}) if isinstance(node, dict) else node[step]
    if value is GONE:
        del node[way[-1]]
    else:
        node[way[-1]] = value
    return spoilt


SPOILT: list[tuple[Way, Any, str]] = [
    # schemas
    ((*POD, "contianers"), [], "contianers"),
    ((*OURS, "restartPolicy"), 1, "restartPolicy"),
    ((0, "spec", "replicas"), "two", "spec.replicas"),
    ((0, "apiVersion"), "apps/v1beta1", "has no Deployment"),
    ((8, "spec", "maxReplicas"), GONE, "maxReplicas"),
    # Pod Security
    ((*POD, "hostNetwork"), True, "hostNetwork"),
    ((*POD, "hostPID"), True, "hostPID"),
    ((*POD, "hostIPC"), True, "hostIPC"),
    ((*POD, "volumes", 2), {"name": "data", "hostPath": {"path": "/"}}, "hostPath is no kind of volume"),
    ((*POD, "securityContext", "sysctls"), [{"name": "kernel.msgmax", "value": "1"}], "kernel.msgmax is not safe"),
    ((*POD, "securityContext", "runAsNonRoot"), GONE, "runAsNonRoot: must be true"),
    ((*POD, "securityContext", "seccompProfile"), GONE, "seccompProfile: must be RuntimeDefault"),
    ((*POD, "securityContext", "seccompProfile"), {"type": "Unconfined"}, "seccompProfile: Unconfined is not allowed"),
    ((*POD, "securityContext", "runAsUser"), 0, "runAsUser"),
    ((*POD, "securityContext", "windowsOptions"), {"hostProcess": True}, "hostProcess"),
    ((*POD, "securityContext", "seLinuxOptions"), {"role": "sysadm_r"}, "seLinuxOptions"),
    ((0, "spec", "template", "metadata", "annotations"), {"container.apparmor.security.beta.kubernetes.io/app": "unconfined"}, "apparmor"),
    ((*CONTEXT, "appArmorProfile"), {"type": "Unconfined"}, "appArmorProfile"),
    ((*CONTEXT, "runAsNonRoot"), False, "runAsNonRoot: must not be false"),
    ((*CONTEXT, "runAsUser"), 0, "runAsUser"),
    ((*CONTEXT, "seccompProfile"), {"type": "Unconfined"}, "seccompProfile"),
    ((*CONTEXT, "privileged"), True, "privileged"),
    ((*CONTEXT, "allowPrivilegeEscalation"), GONE, "allowPrivilegeEscalation"),
    ((*CONTEXT, "procMount"), "Unmasked", "procMount"),
    ((*CONTEXT, "capabilities"), {"drop": ["NET_RAW"]}, "capabilities.drop"),
    ((*CONTEXT, "capabilities"), {"drop": ["ALL"], "add": ["SYS_ADMIN"]}, "SYS_ADMIN must not be added"),
    ((*OURS, "securityContext", "capabilities"), {}, "initContainers[0](llm-sidecar).securityContext.capabilities.drop"),
    ((*APP, "ports"), [{"containerPort": 80, "hostPort": 80}], "hostPort 80"),
    ((*APP, "livenessProbe"), {"httpGet": {"port": 80, "host": "10.0.0.1"}}, "httpGet.host"),
    ((*APP, "lifecycle"), {"preStop": {"tcpSocket": {"port": 80, "host": "10.0.0.1"}}}, "lifecycle.preStop.tcpSocket.host"),
    # conduct
    ((*CONTEXT, "readOnlyRootFilesystem"), GONE, "readOnlyRootFilesystem"),
    ((*APP, "image"), "registry.example/app:1", "names a registry's host"),
    ((*APP, "image"), "localhost/app:1", "names a registry's host"),
    ((*APP, "image"), "app", "has no version"),
    ((*APP, "image"), "team/app@sha256:12", "has no version"),
    ((*APP, "image"), "app:latest", "another one tomorrow"),
    ((*APP, "resources", "limits"), GONE, "limits.memory"),
    ((*APP, "resources", "requests", "cpu"), GONE, "requests.cpu"),
    ((*APP, "readinessProbe"), {"httpGet": {"path": "/", "port": "web"}}, "port web is a name"),
    ((*OURS, "startupProbe"), GONE, "startupProbe: must be httpGet of /-/ready"),
    ((*OURS, "livenessProbe", "httpGet", "path"), "/-/ready", "livenessProbe: must be httpGet of /-/healthy"),
    ((*OURS, "resources", "limits", "cpu"), "1", "throttled"),
    ((*OURS, "command"), ["llm-sidecar"], "the image knows its own"),
    ((*OURS, "restartPolicy"), GONE, "a native sidecar is an init container"),
    ((1, "immutable"), True, "is immutable"),
    ((1, "data", "more"), "x" * 1024 * 1024, "bytes, and"),
    ((1, "metadata", "creationTimestamp"), None, "the server's to set"),
    # settings
    (DATA, "listne: x", "listne"),
    ((1, "data"), {"other.yaml": ""}, "/etc/llm-sidecar/sidecar.yaml is nowhere"),
    (DATA, "upstreams: {openai: {api_key_file: /run/secrets/llm-sidecar/gone}}", "is not among openai"),
    (DATA, "upstreams: {openai: {api_key_file: /run/keys/openai}}", "is mounted by nobody"),
    (DATA, "alerts: {webhook_file: /run/hooks/team}", "alerts.webhook_file: /run/hooks/team is mounted by nobody"),
    (DATA, "journal: {directory: /etc/llm-sidecar/journal}", "can be written to"),
    (DATA, "timeouts: {shutdown: 2m}", "end before timeouts.shutdown"),
    ((*OURS, "env", 1, "value"), "127.0.0.1:9464", "out of reach of probes"),
    ((*OURS, "ports"), [], "9464 of the admin side is missing"),
    (DATA, 'listen: "0.0.0.0:4000"', "every pod of the cluster"),
    ((*OURS, "env", 1), {"name": "LLM_SIDECAR__LISTNE", "value": "x"}, "LLM_SIDECAR__LISTNE"),
    # links
    ((0, "spec", "selector"), {"matchLabels": {"app": "other"}}, "does not find its own pods"),
    ((*POD, "topologySpreadConstraints", 0, "labelSelector"), {"matchLabels": {"app": "x"}}, "does not count its own pods"),
    ((*POD, "serviceAccountName"), "other", "ServiceAccount/other is nowhere"),
    ((*POD, "imagePullSecrets"), [{"name": "pull"}], "Secret/pull is nowhere"),
    ((*POD, "volumes", 0, "configMap", "name"), "other", "ConfigMap/other is nowhere"),
    ((*POD, "volumes", 1, "secret", "secretName"), "other", "Secret/other is nowhere"),
    ((*POD, "volumes", 2, "persistentVolumeClaim", "claimName"), "other", "PersistentVolumeClaim/other is nowhere"),
    ((*POD, "volumes", 2, "name"), "keys", "is there twice"),
    ((*POD, "volumes", 1), {"name": "keys", "projected": {"sources": [{"secret": {"name": "other"}}]}}, "Secret/other is nowhere"),
    ((*APP, "envFrom", 0, "configMapRef", "name"), "other", "ConfigMap/other is nowhere"),
    ((*APP, "env"), [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "other", "key": "a"}}}], "Secret/other is nowhere"),
    ((*APP, "env"), [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}], "A is set twice"),
    ((*APP, "env"), [{"name": "A", "value": "$(B)"}], "$(B) is not set before it"),
    ((*APP, "name"), "llm-sidecar", "two containers are called"),
    ((*APP, "volumeMounts"), [{"name": "gone", "mountPath": "/x"}], "no volume gone"),
    ((*OURS, "volumeMounts", 0, "subPath"), "sidecar.yaml", "is never updated"),
    ((*OURS, "volumeMounts", 1, "mountPath"), "/etc/llm-sidecar", "is mounted twice"),
    ((*POD, "volumes"), [*({"name": name, "emptyDir": {}} for name in ("config", "keys", "data", "more"))], "nobody mounts more"),
    ((5, "spec", "selector"), {"app": "other"}, "its selector finds no pod"),
    ((5, "spec", "ports", 0, "targetPort"), "admin", "is a name"),
    ((5, "spec", "ports", 0, "targetPort"), 1234, "has port 1234"),
    ((6, "spec", "selector"), {"matchLabels": {"app": "x"}}, "its selector finds no pod"),
    ((7, "spec", "podSelector"), {"matchLabels": {"app": "x"}}, "its selector finds no pod"),
    ((7, "spec", "ingress", 0, "ports", 0, "port"), "admin", "is a name"),
    ((8, "spec", "scaleTargetRef", "name"), "x", "scales nothing"),
    ((1, "metadata", "name"), "data", "ConfigMap/llm-sidecar is nowhere"),
]


def test_a_good_set_has_no_fault() -> None:
    """What is right is not complained of."""
    assert find_faults(read_documents(GOOD)) == []
    assert find_faults(read_documents(f"{GOOD}---{OPERATED}")) == []


@pytest.mark.parametrize(("way", "value", "told"), SPOILT, ids=[f"{number}-{row[2][:40]}" for number, row in enumerate(SPOILT)])
def test_what_is_spoilt_is_found(way: Way, value: Any, told: str) -> None:
    """Each rule finds a set that breaks it, and says what it is."""
    faults = find_faults(spoil(read_documents(GOOD), way, value))
    assert any(told in fault for fault in faults), faults


@pytest.mark.parametrize(
    ("way", "value", "told"),
    [
        ((0, "spec", "podMetricsEndpoint"), [], "podMetricsEndpoint"),
        ((0, "spec", "podMetricsEndpoints", 0, "intervall"), "15s", "intervall"),
        ((0, "spec", "podMetricsEndpoints", 0, "portNumber"), "9464", "portNumber"),
        ((0, "metadata", "lables"), {}, "lables"),
        ((1, "spec", "endpoints", 0, "interval"), "15 s", "interval"),
        ((1, "spec", "selector"), GONE, "selector"),
        ((1, "apiVersion"), "monitoring.coreos.com/v2", "has no ServiceMonitor"),
        ((2, "spec", "groups", 0, "rules", 0, "for"), "5 minutes", "for"),
        ((3, "spec", "receivers", 0, "webhookConfigs", 0, "urlSecrets"), {}, "urlSecrets"),
        ((3, "spec", "route", "groupWait"), "soon", "groupWait"),
    ],
)
@needs_definitions
def test_misspelt_objects_of_the_operator_are_found(way: Way, value: Any, told: str) -> None:
    """The operator's definitions are strict: of keys, types and patterns."""
    faults = find_faults(spoil(read_documents(OPERATED), way, value))
    assert any(told in fault for fault in faults), faults


@pytest.mark.parametrize(
    ("way", "value", "told"),
    [
        ((9, "spec", "selector"), {"matchLabels": {"app": "x"}}, "its selector finds no pod"),
        ((10, "spec", "selector"), {"matchLabels": {"app": "x"}}, "finds no Service"),
        ((10, "spec", "endpoints", 0, "port"), "http", "has no port http"),
    ],
)
def test_monitors_find_what_they_are_for(way: Way, value: Any, told: str) -> None:
    """A monitor that selects nothing, or a port that is not there, is found where there is something to select."""
    faults = find_faults(spoil(read_documents(f"{GOOD}---{OPERATED}"), way, value))
    assert any(told in fault for fault in faults), faults


@needs_promtool
def test_bad_rules_are_found() -> None:
    """No schema reads expressions: promtool does."""
    faults = find_faults(spoil(read_documents(OPERATED), (2, "spec", "groups", 0, "rules", 0, "expr"), "rate(up)"))
    assert any("promtool" in fault for fault in faults), faults


def test_an_alertmanager_config_is_translated() -> None:
    """Names, matchers and secrets become those of alertmanager.yml."""
    spec = read_documents(OPERATED)[3]["spec"]
    tree = translate_alertmanager_config(spec)
    assert tree["route"]["routes"][0]["matchers"] == ['a=~"b"']
    assert tree["receivers"][0]["slack_configs"] == [{"api_url": "https://secret.example/hook", "channel": "#team"}]
    assert tree["receivers"][0]["webhook_configs"] == [{"url": "https://secret.example/hook", "send_resolved": True}]


@pytest.mark.parametrize("change", [lambda tree: tree["route"].update(receiver="nobody"), lambda tree: tree["receivers"].clear()])
def test_a_bad_alertmanager_config_is_found(change: Callable[[Document], None]) -> None:
    """Receivers that are nowhere are found by amtool."""
    from tests.rig.alertmanager import AMTOOL

    if not AMTOOL:
        pytest.skip("Alertmanager is not installed")
    documents = read_documents(OPERATED)
    change(documents[3]["spec"])
    faults = find_faults(documents)
    assert any("amtool" in fault for fault in faults), faults


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("apiVersion: v1\nkind: A\nkind: B", "twice"),
        ("apiVersion: v1\nkind: A\nmetadata: {labels: {a: b}}\ndata: {x: {on: 1}}", "YAML 1.1"),
        ("just text", "no Kubernetes object"),
        ("a: b", "no Kubernetes object"),
    ],
)
def test_texts_that_are_no_objects_are_refused(text: str, told: str) -> None:
    """What kubectl would read in another way than it looks is refused."""
    with pytest.raises(ValueError, match=told):
        read_documents(text)


def test_what_is_there_twice_is_found() -> None:
    """Two objects of one kind and name in one namespace are one to the server."""
    documents = read_documents(GOOD)
    assert any("ConfigMap/llm-sidecar: is there more than once" in fault for fault in find_faults([*documents, documents[1]]))


def test_a_job_ends_and_a_set_has_its_service() -> None:
    """A Job's pods are not started again for ever; a StatefulSet names a Service that is there."""
    pod = read_documents(GOOD)[0]["spec"]["template"]
    set_spec = {"serviceName": "nobody", "selector": {"matchLabels": {"app": "app"}}, "template": pod}
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "job"}, "spec": {"template": pod}}
    stateful = {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "set"}, "spec": set_spec}
    faults = "\n".join(find_faults([*read_documents(GOOD), job, stateful]))
    assert "restartPolicy: must be Never or OnFailure" in faults and "StatefulSet/set: Service/nobody is nowhere" in faults


def test_a_gateway_that_nobody_reaches_is_found() -> None:
    """Alone in its pod, a sidecar listens to others, on a port that is declared."""
    documents = read_documents(GOOD)
    pod = documents[0]["spec"]["template"]["spec"]
    (sidecar,) = pod.pop("initContainers")
    del sidecar["restartPolicy"]
    pod["containers"] = [sidecar]
    assert any("nobody reaches it" in fault for fault in find_faults(documents))
    documents[1]["data"]["sidecar.yaml"] = 'listen: "0.0.0.0:4000"'
    assert any("nobody reaches it" in fault for fault in find_faults(documents))
    sidecar["ports"].append({"name": "llm", "containerPort": 4000})
    (fault,) = find_faults(documents)
    assert "without gateway: true" in fault
    documents[1]["data"]["sidecar.yaml"] += "\ngateway: true"
    assert find_faults(documents) == []


def test_a_list_is_what_is_in_it() -> None:
    """Objects of a List are judged one by one."""
    assert [one["kind"] for one in read_documents("apiVersion: v1\nkind: List\nitems: [{apiVersion: v1, kind: Secret}]")] == ["Secret"]


@pytest.mark.parametrize(
    ("selector", "found"),
    [
        (None, False),
        ({}, True),
        ({"matchLabels": {"a": "1"}}, True),
        ({"matchLabels": {"a": "2"}}, False),
        ({"matchExpressions": [{"key": "a", "operator": "In", "values": ["1", "2"]}]}, True),
        ({"matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["1"]}]}, False),
        ({"matchExpressions": [{"key": "b", "operator": "NotIn", "values": ["1"]}]}, True),
        ({"matchExpressions": [{"key": "b", "operator": "Exists"}]}, False),
        ({"matchExpressions": [{"key": "b", "operator": "DoesNotExist"}]}, True),
    ],
)
def test_selectors_match_as_kubernetes_matches(selector: Document | None, found: bool) -> None:
    """Terms are joined by and; a label that is missing is in no set."""
    assert matches(selector, {"a": "1"}) is found
