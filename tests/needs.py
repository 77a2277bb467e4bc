"""What the tests need, read from pyproject.toml, and what their report says. Standard library only.

needs.py                  the requirements, one per line, the project itself first
needs.py --installed      exit code 0 where the environment has them all
needs.py --count REPORT   passed, failed and skipped tests of a JUnit report
"""

import importlib.metadata
import re
import sys
import tomllib
import xml.etree.ElementTree as ET
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def read_needs() -> list[str]:
    """Return the requirements of the package and of its tests."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return [*project["dependencies"], *project["optional-dependencies"]["test"]]


def is_installed(need: str) -> bool:
    """Whether a distribution of the requirement's name is there, at least as new as it says."""
    name = re.split(r"[^A-Za-z0-9._-]", need, maxsplit=1)[0]
    try:
        version = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    floor = re.search(r"[>~=]=\s*([0-9.]+)", need)
    return floor is None or read_numbers(version) >= read_numbers(floor[1])


def read_numbers(version: str) -> list[int]:
    """Return the leading numbers of a version: [1, 45] of 1.45rc1."""
    return [int(number) for number in re.findall(r"[0-9]+", re.split(r"[^0-9.]", version, maxsplit=1)[0])]


def count(report: Path) -> tuple[int, int, int]:
    """Return passed, failed (errors included) and skipped tests."""
    suites = list(ET.parse(report).getroot().iter("testsuite"))
    columns = ("tests", "failures", "errors", "skipped")
    total, failures, errors, skipped = (sum(int(suite.get(column, 0)) for suite in suites) for column in columns)
    return total - failures - errors - skipped, failures + errors, skipped


def main(arguments: list[str]) -> int:
    """Run one of the three forms above."""
    if arguments[:1] == ["--count"]:
        print(*count(Path(arguments[1])))
        return 0
    if arguments == ["--installed"]:
        return 0 if all(map(is_installed, read_needs())) else 1
    print(*read_needs(), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
