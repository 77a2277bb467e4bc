"""What an image holds: a table of its packages with their versions and sizes.

    python deploy/image/contents.py FOLDER

FOLDER is its root file system. Of Debian's packages, those whose files were taken; of Python's, those that are installed.
"""

import csv
import re
import sys
from collections.abc import Iterable, Iterator
from email.parser import HeaderParser
from pathlib import Path
from typing import NamedTuple


class Package(NamedTuple):
    """One package as it is in the image."""

    name: str
    version: str
    source: str  # Debian or Python
    size_bytes: int  # of its files, bytecode left out


def list_debian(root: Path) -> Iterator[Package]:
    """Yield Debian's packages, as scanners find them where there is no dpkg: one file each in status.d."""
    for status in sorted((root / "var/lib/dpkg/status.d").iterdir()):
        if status.suffix == ".md5sums":
            continue
        fields = HeaderParser().parsestr(status.read_text(encoding="utf-8"))
        sums = status.with_name(f"{status.name}.md5sums").read_text(encoding="utf-8").splitlines()
        yield Package(fields["Package"], fields["Version"], "Debian", _sum_sizes(root / line.split(None, 1)[1] for line in sums))


def list_python(root: Path) -> Iterator[Package]:
    """Yield Python's packages, as pip recorded them."""
    for record in sorted(root.glob("opt/*/lib/python3*/site-packages/*.dist-info/RECORD"), key=lambda found: found.parent.name.lower()):
        fields = HeaderParser().parsestr((record.parent / "METADATA").read_text(encoding="utf-8"))
        with record.open(encoding="utf-8", newline="") as file:
            files = [record.parent.parent / row[0] for row in csv.reader(file) if "__pycache__" not in row[0]]
        yield Package(re.sub(r"[-_.]+", "-", fields["Name"]).lower(), fields["Version"], "Python", _sum_sizes(files))


def measure_root(root: Path) -> int:
    """Return the bytes of all files."""
    return _sum_sizes(root.rglob("*"))


def _sum_sizes(files: Iterable[Path]) -> int:
    return sum(file.lstat().st_size for file in files if file.is_file() and not file.is_symlink())


def main(folder: str) -> None:
    """Print the table."""
    root = Path(folder)
    packages = [*list_debian(root), *list_python(root)]
    print("| package | version | of | MB |\n|---|---|---|---|")
    for package in packages:
        print(f"| {package.name} | {package.version} | {package.source} | {package.size_bytes / 1e6:.2f} |")
    bytecode = _sum_sizes(root.rglob("*.pyc"))
    print(f"| bytecode of all of them | | | {bytecode / 1e6:.2f} |\n\n{len(packages)} packages, {measure_root(root) / 1e6:.0f} MB")


if __name__ == "__main__":
    main(sys.argv[1])
