"""MutatingAdmissionPolicies, applied to pods.

Two ways. `admit_by_expression` evaluates the expressions with an implementation of CEL that is not Kubernetes' own, and joins what
comes out by the rules for pods' lists. `admit_by_program` asks Kubernetes' own code (tests/deploy/admission), if
LLM_SIDECAR_TEST_ADMISSION names that program; it takes minutes to build.
"""

import json
import os
import re
import subprocess
from copy import deepcopy
from pathlib import Path
from typing import Any, Final

import cel

from tests.rig.kube_documents import Document

PROGRAM: Final = os.environ.get("LLM_SIDECAR_TEST_ADMISSION", "")
_TYPE: Final = re.compile(r"\b(?:Object|JSONPatch)[\w.]*\{")
_MEMBER: Final = re.compile(r"([{,]\s*)([A-Za-z]\w*)\s*:(?!:)")


def admit_by_expression(policy: Document, pod: Document) -> Document | None:
    """Return what becomes of a pod; None where a condition says that the policy is not for it."""
    spec = policy["spec"]
    admitted = deepcopy(pod)
    for condition in spec.get("matchConditions") or ():
        if cel.evaluate(condition["expression"], {"object": pod}) is not True:
            return None
    for mutation in spec["mutations"]:
        scope: Document = {"object": admitted, "variables": {}}
        for variable in spec.get("variables") or ():
            scope["variables"][variable["name"]] = cel.evaluate(variable["expression"], scope)
        if mutation["patchType"] == "JSONPatch":
            for step in cel.evaluate(_spell_as_maps(mutation["jsonPatch"]["expression"]), scope):
                admitted = _take_step(admitted, step)
        else:
            admitted = _join(admitted, cel.evaluate(_spell_as_maps(mutation["applyConfiguration"]["expression"]), scope))
    return admitted


def admit_by_program(file: Path, pods: list[Document]) -> list[Document]:
    """Return {"matched", "pod", "error"} for each pod, as Kubernetes' own code says."""
    done = subprocess.run([PROGRAM, str(file)], input=json.dumps(pods), capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    answers: list[Document] = json.loads(done.stdout)
    return answers


def _spell_as_maps(expression: str) -> str:
    """Return an expression whose typed objects are maps: Object.spec{name: 1} is {"name": 1}. The types are Kubernetes' alone."""
    return _MEMBER.sub(r'\1"\2":', _TYPE.sub("{", expression))


def _take_step(tree: Document, step: Document) -> Document:
    """Return an object after one addition (RFC 6902, section 4.1)."""
    assert step["op"] == "add", step
    changed = deepcopy(tree)
    *way, last = [part.replace("~1", "/").replace("~0", "~") for part in step["path"].split("/")[1:]]
    node: Any = changed
    for part in way:
        node = node[int(part)] if isinstance(node, list) else node[part]
    if isinstance(node, list):
        node.insert(len(node) if last == "-" else int(last), step["value"])
    else:
        node[last] = step["value"]
    return changed


def _join(old: Any, new: Any, key: str = "") -> Any:
    """Return what an apply configuration makes of a value: maps by their members, lists of named things by the name."""
    if isinstance(old, dict) and isinstance(new, dict):
        return {**old, **{name: _join(old[name], value, name) if name in old else value for name, value in new.items()}}
    if isinstance(old, list) and isinstance(new, list):
        assert all("name" in item for item in (*old, *new)), f"{key} is no list of named things"
        added = {item["name"]: item for item in new}
        kept = [_join(item, added.pop(item["name"])) if item["name"] in added else item for item in old]
        return [*kept, *added.values()]
    return new
