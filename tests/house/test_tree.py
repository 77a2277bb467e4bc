"""What lies at the top of the repository, and what the package ships."""

import tomllib

from tests.house.source import ROOT, tracked

TOP = {
    ".ci", ".gitignore", "CHANGELOG.md", "LICENSE", "README.md", "alerts", "dashboards", "deploy", "pyproject.toml", "sidecar", "tests",
}  # fmt: skip
FILE_BYTES_MAX = 512 * 1024


def test_the_top_holds_only_what_is_agreed() -> None:
    """A new thing at the top is a decision."""
    assert sorted({path.split("/")[0] for path in tracked()} - TOP) == []


def test_the_top_holds_all_that_others_point_at() -> None:
    """Nothing that others point at is missing."""
    assert sorted(TOP - {path.split("/")[0] for path in tracked()}) == []


def test_no_large_files() -> None:
    """What is large is made, not kept."""
    assert [path for path in tracked() if (ROOT / path).stat().st_size > FILE_BYTES_MAX] == []


def test_dependencies_have_floors() -> None:
    """Each dependency names the oldest version it is good with."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert [need for need in project["dependencies"] if ">=" not in need and "~=" not in need] == []


def test_the_changelog_knows_the_version() -> None:
    """What is released is described."""
    from sidecar import __version__

    assert f"## [{__version__}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
