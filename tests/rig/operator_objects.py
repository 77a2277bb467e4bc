"""Objects of the Prometheus operator, judged by those who will read what is in them: promtool and amtool."""

import re
import subprocess
import tempfile
from pathlib import Path
from typing import Any, Final

import yaml

from tests.rig.alertmanager import AMTOOL
from tests.rig.kube_documents import Document, name_document
from tests.rig.prometheus import PROMTOOL

_CAPITALS: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_ENDPOINT: Final = "https://secret.example/hook"

_RENAMED: Final = {"url_secret": "url", "source_match": "source_matchers", "target_match": "target_matchers"}


def find_operator_faults(document: Document) -> list[str]:
    """Return what promtool says of a PrometheusRule, and amtool of an AlertmanagerConfig; nothing where they are not installed."""
    if document["kind"] == "PrometheusRule" and PROMTOOL:
        return _run(document, document["spec"], [PROMTOOL, "check", "rules"])
    if document["kind"] == "AlertmanagerConfig" and AMTOOL:
        return _run(document, _embed(translate_alertmanager_config(document["spec"])), [AMTOOL, "check-config"])
    return []


def _embed(tree: Document) -> Document:
    """Return the whole configuration: the operator puts an object's route below one of its own, so that it may have matchers."""
    return {**tree, "route": {"receiver": "null", "routes": [tree["route"]]}, "receivers": [{"name": "null"}, *tree["receivers"]]}


def _run(document: Document, tree: Any, command: list[str]) -> list[str]:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "file.yml"
        file.write_text(yaml.safe_dump(tree, sort_keys=False), encoding="utf-8")
        done = subprocess.run([*command, str(file)], capture_output=True, text=True, check=False, timeout=60)
    if done.returncode == 0:
        return []
    return [f"{name_document(document)}: {Path(command[0]).name}: {(done.stderr + done.stdout).replace(str(file), 'spec').strip()[:500]}"]


def translate_alertmanager_config(spec: Document) -> Document:
    """Return the configuration that the operator makes of an AlertmanagerConfig's spec, with stand-ins for secrets.

    Its members are those of alertmanager.yml in camel case; matchers are objects; a secret is named by a SecretKeySelector.
    """
    tree: Document = _translate(spec)
    return tree


def _translate(node: Any) -> Any:
    if isinstance(node, list):
        return [_translate(item) for item in node]
    if not isinstance(node, dict):
        return node
    if "key" in node and node.keys() <= {"name", "key", "optional"}:
        return _ENDPOINT
    if {"name"} < node.keys() <= {"name", "value", "matchType", "regex"}:
        return f'{node["name"]}{node.get("matchType", "=~" if node.get("regex") else "=")}"{node.get("value", "")}"'
    found: Document = {}
    for key, value in node.items():
        name = _CAPITALS.sub("_", key).lower()
        if name in ("details", "labels", "headers"):  # of some receivers: a list of pairs stands for a mapping
            found[name] = {pair["key"]: pair["value"] for pair in value}
        elif key == "pagerDutyLinkConfigs":
            found["links"] = [{"href": link["href"], "text": link["alt"]} for link in value]
        else:
            found[_RENAMED.get(name, name)] = _translate(value)
    return found
