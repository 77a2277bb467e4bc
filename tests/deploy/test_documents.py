"""What the documents of deploy/ say: links lead somewhere, and what they show is read as it is meant."""

import re

import pytest
import yaml

from tests.rig.kustomize import DEPLOY
from tests.rig.process import ROOT

DOCUMENTS = sorted(file.relative_to(ROOT).as_posix() for file in DEPLOY.rglob("*.md"))
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
BLOCK = re.compile(r"^```yaml\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_lead_somewhere(document: str) -> None:
    """Each names a file or a folder that is there."""
    file = ROOT / document
    links = [link for link in LINK.findall(file.read_text(encoding="utf-8")) if "://" not in link]
    assert [link for link in links if not (file.parent / link).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_yaml_in_documents_is_yaml(document: str) -> None:
    """Whoever copies it can use it."""
    for block in BLOCK.findall((ROOT / document).read_text(encoding="utf-8")):
        assert list(yaml.safe_load_all(block))
