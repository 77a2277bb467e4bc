"""Folders as bases: each names what lies in it, and everything that is an object is in one."""

from pathlib import PurePosixPath

import yaml

from sidecar.render.files import render_files
from sidecar.render.kustomization import render_kustomization
from tests.render.terms import DEFAULT


def test_it_names_its_files() -> None:
    """In the order given, under a comment that says what they are."""
    text = render_kustomization("Two things", ["b.yaml", "a.yaml"])
    assert text.startswith("# Two things, as a base")
    assert yaml.safe_load(text)["resources"] == ["b.yaml", "a.yaml"]


def test_each_object_is_in_the_base_of_its_folder() -> None:
    """No file is left out, and none is named that is not there."""
    files = render_files(DEFAULT)
    objects = {PurePosixPath(name) for name in files if "/kubernetes/" in name}
    bases = [name for name in objects if name.name == "kustomization.yaml"]
    named = {base.parent / file for base in bases for file in yaml.safe_load(files[str(base)])["resources"]}
    assert len(bases) == 8 and named == objects - set(bases)
