"""Folders that Kustomize takes as bases: an overlay names them and adds its namespace and labels."""

from collections.abc import Sequence
from typing import Final

from sidecar.render.yaml_text import dump_yaml

_HEAD: Final = "{what}, as a base for Kustomize: name this folder among the `resources` of yours."


def render_kustomization(what: str, files: Sequence[str]) -> str:
    """Return a kustomization.yaml of these files beside it; `what` begins its comment."""
    tree = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", "resources": list(files)}
    return dump_yaml(tree, _HEAD.format(what=what))
