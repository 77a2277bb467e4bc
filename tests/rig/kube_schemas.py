"""Schemas of Kubernetes, and of the Prometheus operator's objects: strict, so that a misspelt key is found.

Built-in kinds: PyPI's kubernetes-validate, which brings the schemas. The operator's: its own CustomResourceDefinitions, in the folder
that LLM_SIDECAR_TEST_CRDS names, else in Go's module cache (`go mod download`). There every object whose members are known takes no
others, as the API server's strict field validation does (kubectl apply --validate=strict).
"""

import json
import os
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any, Final

import jsonschema
import kubernetes_validate
import pytest
import yaml

from tests.rig.kube_documents import Document, name_document

VERSIONS: Final = ("1.34", "1.35", "1.36", "1.37")
OPERATOR_GROUP: Final = "monitoring.coreos.com"
OPERATOR_MODULE: Final = "github.com/prometheus-operator/prometheus-operator@v0.93.0"
_CRD_FOLDER: Final = "example/prometheus-operator-crd"
# Since when there are kinds that the oldest of these versions does not have.
_SINCE: Final = {
    ("admissionregistration.k8s.io/v1", name): "1.36" for name in ("MutatingAdmissionPolicy", "MutatingAdmissionPolicyBinding")
}


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Large files, and `=` as a text: YAML 1.1 has a meaning for it that nobody uses."""


_Loader.add_constructor("tag:yaml.org,2002:value", yaml.SafeLoader.construct_yaml_str)


def find_definitions() -> Path | None:
    """Return the folder with the operator's CustomResourceDefinitions, if it is on this machine."""
    if named := os.environ.get("LLM_SIDECAR_TEST_CRDS"):
        return Path(named)
    if not (go := shutil.which("go")):
        return None
    done = subprocess.run([go, "env", "GOMODCACHE"], capture_output=True, text=True, check=False)
    folder = Path(done.stdout.strip()) / OPERATOR_MODULE / _CRD_FOLDER
    return folder if done.returncode == 0 and folder.is_dir() else None


DEFINITIONS: Final = find_definitions()
needs_definitions = pytest.mark.skipif(DEFINITIONS is None, reason="the CustomResourceDefinitions of the Prometheus operator are not there")


def find_schema_faults(document: Document) -> list[str]:
    """Return what a Kubernetes of any of VERSIONS that has the kind would refuse, or would drop without a word."""
    if document["apiVersion"].startswith(f"{OPERATOR_GROUP}/"):
        return _find_custom_faults(document)
    since = _SINCE.get((document["apiVersion"], document["kind"]), VERSIONS[0])
    text = json.dumps(document, sort_keys=True)
    return [fault for version in VERSIONS[VERSIONS.index(since) :] if (fault := _judge(text, version))]


@cache
def _judge(text: str, version: str) -> str:
    """Return what one version says of an object, as JSON; empty if nothing. Each takes milliseconds, and most come again."""
    document = json.loads(text)
    try:
        kubernetes_validate.validate(document, version, strict=True)
    except kubernetes_validate.ValidationError as error:
        return f"{name_document(document)}: {'.'.join(map(str, error.absolute_path))}: {error.message[:300]} (Kubernetes {version})"
    except kubernetes_validate.SchemaNotFoundError:
        return f"{name_document(document)}: Kubernetes {version} has no {document['kind']} of {document['apiVersion']}"
    return ""


def _find_custom_faults(document: Document) -> list[str]:
    if DEFINITIONS is None:
        return []
    schema = load_custom_schema(DEFINITIONS, document["kind"], document["apiVersion"].split("/")[1])
    if schema is None:
        return [f"{name_document(document)}: the Prometheus operator has no {document['kind']} of {document['apiVersion']}"]
    errors = jsonschema.Draft202012Validator(schema).iter_errors(document)
    return [f"{name_document(document)}: {'.'.join(map(str, error.absolute_path))}: {error.message[:300]}" for error in errors]


@cache
def load_custom_schema(folder: Path, kind: str, version: str) -> dict[str, Any] | None:
    """Return the strict schema of one of the operator's kinds; None where it serves no such kind or version."""
    files = sorted(folder.glob(f"{OPERATOR_GROUP}_{kind.lower()}*.yaml"))
    for file in files:
        tree = yaml.load(file.read_text(encoding="utf-8"), Loader=_Loader)
        if tree["spec"]["names"]["kind"] != kind:
            continue
        for served in tree["spec"]["versions"]:
            if served["name"] == version and served["served"]:
                schema = _tighten(served["schema"]["openAPIV3Schema"])
                # The definition leaves it open: it is the API server's own. What is written by hand has no more than these.
                metadata = {"name": {"type": "string"}, "namespace": {"type": "string"}}
                texts = {"type": "object", "additionalProperties": {"type": "string"}}
                members = {**metadata, "labels": texts, "annotations": texts}
                schema["properties"]["metadata"] = {"type": "object", "properties": members, "additionalProperties": False}
                return schema
    return None


def _tighten(node: Any) -> Any:
    """Return a structural schema (apiextensions.k8s.io/v1) as JSON Schema that takes no unknown members."""
    if isinstance(node, list):
        return [_tighten(item) for item in node]
    if not isinstance(node, dict):
        return node
    tight = {key: value for key, value in node.items() if key not in ("properties", "description", "default", "example")}
    tight = {key: _tighten(value) for key, value in tight.items()}
    if "properties" in node:
        tight["properties"] = {name: _tighten(member) for name, member in node["properties"].items()}
        # Of alternatives, the members are said beside them, and only what is demanded of each within.
        is_open = "additionalProperties" in node or node.get("x-kubernetes-preserve-unknown-fields") or "type" not in node
        if not is_open:
            tight["additionalProperties"] = False
    if node.get("x-kubernetes-int-or-string"):
        tight.pop("type", None)
    if node.get("nullable") and "type" in tight:
        tight["type"] = [tight["type"], "null"]
    return tight
