"""Charts rendered by Helm's own engine.

By the Python package that carries it (Helm 4), or by the program that LLM_SIDECAR_TEST_HELM names, of whatever version: the tests are
the same for both.
"""

import importlib.util
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from tests.house.source import ROOT
from tests.rig.kube_documents import Document, read_documents

CHARTS: Final = ROOT / "deploy" / "helm"
CHART: Final = CHARTS / "llm-sidecar"
LIBRARY: Final = CHARTS / "llm-sidecar-library"
EXAMPLE: Final = CHARTS / "example"
KUBERNETES: Final = "1.36.0"
_PROGRAM: Final = os.environ.get("LLM_SIDECAR_TEST_HELM")
needs_helm = pytest.mark.skipif(not _PROGRAM and importlib.util.find_spec("helm_python") is None, reason="Helm's engine is not installed")


class RefusedError(Exception):
    """Helm does not take these values; the text is its own."""


def render_chart(chart: Path, values: dict[str, Any] | None = None, name: str = "one", namespace: str = "llm") -> str:
    """Return the manifests that a chart makes of values, hooks included, as `helm template` prints them. Raises RefusedError."""
    if _PROGRAM:
        command = [_PROGRAM, "template", name, str(chart), "--namespace", namespace, "--kube-version", KUBERNETES, "--values", "-"]
        return _run(command, values)
    rendered = _render_by_package(chart, values, name, namespace)
    return "\n---\n".join(text for file, text in sorted(rendered.items()) if not file.endswith("NOTES.txt"))


def print_notes(chart: Path, values: dict[str, Any] | None = None, name: str = "one", namespace: str = "llm") -> str:
    """Return what Helm tells after an installation."""
    if _PROGRAM:
        command = [_PROGRAM, "install", name, str(chart), "--namespace", namespace, "--dry-run=client", "--values", "-"]
        try:
            return _run(command, values).split("NOTES:\n", 1)[1]
        except RefusedError as error:
            if "cluster unreachable" not in str(error):
                raise
            pytest.skip("Helm 3 shows notes only where there is a cluster")
    return next(text for file, text in _render_by_package(chart, values, name, namespace).items() if file.endswith("NOTES.txt"))


def lint_chart(chart: Path, values: dict[str, Any] | None = None) -> list[str]:
    """Return what `helm lint --strict` finds wrong."""
    if _PROGRAM:
        try:
            _run([_PROGRAM, "lint", str(chart), "--strict", "--quiet", "--kube-version", KUBERNETES, "--values", "-"], values)
        except RefusedError as error:
            return [str(error)]
        return []
    import helm_python

    report = helm_python.lint(chart, values or {}, strict=True, kube_version=f"v{KUBERNETES}")
    return [*report["errors"], *(f"{one['path']}: {one['error']}" for one in report["messages"] if one["severity"] >= 2)]


def package_chart(chart: Path, folder: Path) -> Path:
    """Package a chart into a folder; return the archive."""
    if _PROGRAM:
        _run([_PROGRAM, "package", str(chart), "--destination", str(folder)], None)
        return next(folder.glob("*.tgz"))
    import helm_python

    return Path(helm_python.package(chart, destination=folder))


def copy_example(folder: Path) -> Path:
    """Return the example with its dependency beside it, as `helm dependency build` leaves it."""
    chart = shutil.copytree(EXAMPLE, folder / "example")
    shutil.copytree(LIBRARY, chart / "charts" / LIBRARY.name)
    return chart


def read_values(file: Path) -> dict[str, Any]:
    """Return the values of a file."""
    return yaml.safe_load(file.read_text(encoding="utf-8")) or {}


def read_chart(values: dict[str, Any] | None = None, **more: Any) -> list[Document]:
    """Return the objects that the chart makes of values."""
    return read_documents(render_chart(CHART, values, **more))


def pick_object(documents: list[Document], kind: str) -> Document:
    """Return the only object of a kind."""
    (found,) = [document for document in documents if document["kind"] == kind]
    return found


def switch_on(*paths: str) -> dict[str, Any]:
    """Return values that set each path, such as `gateway.enabled`, to true, and all that is on by default to false."""
    values: dict[str, Any] = {"dashboards": {"enabled": False}}
    for path in paths:
        *sections, last = path.split(".")
        place = values
        for section in sections:
            place = place.setdefault(section, {})
        place[last] = True
    return values


def _render_by_package(chart: Path, values: dict[str, Any] | None, name: str, namespace: str) -> dict[str, str]:
    import helm_python

    try:
        rendered: dict[str, str] = helm_python.Chart.load(chart).render(values or {}, name=name, namespace=namespace)
    except helm_python.HelmError as error:
        raise RefusedError(str(error)) from None
    return rendered


def _run(command: list[str], values: dict[str, Any] | None) -> str:
    done = subprocess.run(command, input=json.dumps(values or {}), capture_output=True, text=True, check=False)
    if done.returncode:
        raise RefusedError(done.stdout + done.stderr)
    return done.stdout
