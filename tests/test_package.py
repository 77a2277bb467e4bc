"""The published package: what wheel and sdist hold. Installing and running it is the last part of tests/run."""

import email
import re
import subprocess
import sys
import tarfile
import zipfile
from email.message import Message
from pathlib import Path

import pytest

from sidecar import __version__
from tests.house.source import ROOT, tracked

# Folders of the repository, and where they are in the package.
SHIPPED = {"sidecar/": "sidecar/", "dashboards/": "sidecar/dashboards/", "alerts/": "sidecar/alerts/"}
AT_THE_TOP = {"README.md", "CHANGELOG.md", "LICENSE", "pyproject.toml"}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an sdist of this tree, and a wheel made from that sdist alone."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def wheel(built: Path) -> zipfile.ZipFile:
    """The wheel, opened."""
    return zipfile.ZipFile(built / f"llm_sidecar-{__version__}-py3-none-any.whl")


def read_metadata(wheel: zipfile.ZipFile) -> Message:
    """Return the wheel's core metadata."""
    return email.message_from_bytes(wheel.read(f"llm_sidecar-{__version__}.dist-info/METADATA"))


def test_the_wheel_holds_the_package_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    """Every file of the package, the boards and the rules is in it, byte for byte; no tests, nothing by accident."""
    expected = {
        target + path.removeprefix(source): (ROOT / path).read_bytes()
        for source, target in SHIPPED.items()
        for path in tracked()
        if path.startswith(source)
    }
    found = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert found == expected.keys()
    assert [name for name in found if wheel.read(name) != expected[name]] == []


@pytest.mark.parametrize(
    "name",
    [
        "sidecar/py.typed", "sidecar/data/prices.yaml", "sidecar/page/index.html", "sidecar/dashboards/overview.json",
        "sidecar/dashboards/resilience.json", "sidecar/dashboards/cache.json", "sidecar/dashboards/cost.json",
        "sidecar/alerts/rules.yml", "sidecar/alerts/runbook.md",
    ],
)  # fmt: skip
def test_what_is_not_code_is_there(wheel: zipfile.ZipFile, name: str) -> None:
    """Files that the program, a type checker or an operator looks for are in their places."""
    assert name in wheel.namelist()


def test_metadata(wheel: zipfile.ZipFile) -> None:
    """Name, version, oldest Python, licence and description are told, and the console script leads to the command line."""
    told = read_metadata(wheel)
    assert (told["Name"], told["Version"], told["Requires-Python"]) == ("llm-sidecar", __version__, ">=3.11")
    assert (told["License-Expression"], told["License-File"]) == ("Apache-2.0", "LICENSE")
    assert told.get_payload(decode=True) == (ROOT / "README.md").read_bytes()
    scripts = wheel.read(f"llm_sidecar-{__version__}.dist-info/entry_points.txt").decode()
    assert re.findall(r"^(\S+) = (\S+)$", scripts, re.MULTILINE) == [("llm-sidecar", "sidecar.cli:main")]


def test_tests_need_nothing_of_the_package(wheel: zipfile.ZipFile) -> None:
    """What only tests need is not installed with the package."""
    needs = read_metadata(wheel).get_all("Requires-Dist") or []
    always = {re.split(r"[^A-Za-z0-9._-]", need)[0] for need in needs if "extra ==" not in need}
    assert not always & {"pytest", "hypothesis", "mypy", "ruff", "openai", "httpx", "rotel", "psutil", "build", "hatchling"}
    assert "aiohttp" in always


def test_the_sdist_is_whole(built: Path) -> None:
    """It holds package, boards, rules, what deploys them, and tests: enough to build and test it, and nothing else."""
    with tarfile.open(built / f"llm_sidecar-{__version__}.tar.gz") as archive:
        found = {name.partition("/")[2] for name in archive.getnames()}
    expected = {path for path in tracked() if path.startswith((*SHIPPED, "deploy/", "tests/")) or path in AT_THE_TOP}
    assert found - {"PKG-INFO", ".gitignore"} == expected
