"""Kustomize, as kustomize or as kubectl has it within. LLM_SIDECAR_TEST_KUSTOMIZE names another one."""

import re
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Final

import pytest

from tests.rig.kube_documents import Document, read_documents
from tests.rig.process import ROOT
from tests.rig.prometheus import find_program

DEPLOY: Final = ROOT / "deploy"
_VERSION_LEAST: Final = 5  # replacements that select by label


def find_kustomize() -> tuple[str, ...]:
    """Return the command that builds a folder; empty if there is none that is new enough."""
    if program := find_program("LLM_SIDECAR_TEST_KUSTOMIZE", "kustomize"):
        return (program, "build")
    if kubectl := shutil.which("kubectl"):
        told = subprocess.run([kubectl, "version", "--client"], capture_output=True, text=True, check=False).stdout
        version = re.search(r"Kustomize Version: v(\d+)", told)
        if version and int(version[1]) >= _VERSION_LEAST:
            return (kubectl, "kustomize")
    return ()


KUSTOMIZE: Final = find_kustomize()
needs_kustomize = pytest.mark.skipif(not KUSTOMIZE, reason="Kustomize is not installed")


@cache
def build_text(folder: Path) -> str:
    """Return what a folder becomes."""
    done = subprocess.run([*KUSTOMIZE, str(folder)], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, f"{folder}: {done.stderr}"
    return done.stdout


def build(folder: Path) -> list[Document]:
    """Return the objects that a folder becomes. Fails the test where it does not."""
    return read_documents(build_text(folder))
