"""Boards drawn with Grafana's own components in Chromium: tests/viewer, in a process of Node. tests/run installs what it needs."""

import json
import os
import shutil
import struct
import subprocess
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import httpx
import pytest

from tests.rig.asking import ask_board
from tests.rig.boards import Json

SOURCES: Final = Path(__file__).resolve().parents[1] / "viewer"
FOLDER: Final = os.environ.get("LLM_SIDECAR_TEST_VIEWER", "")
PICTURES: Final = os.environ.get("LLM_SIDECAR_TEST_PICTURES", "")
# What is left of a laptop's 1,680 px beside Grafana's menu.
_WIDTH_PX: Final = 1440
_PATIENCE_S: Final = 300.0  # it takes some 20 s where nothing else runs
_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"

_MODULES: Final = Path(FOLDER).resolve() / "node_modules"
_IS_THERE: Final = shutil.which("node") is not None and FOLDER != "" and (_MODULES / "@grafana/ui").is_dir()

needs_grafana = pytest.mark.skipif(not _IS_THERE, reason="Node or Grafana's packages are not installed (LLM_SIDECAR_TEST_VIEWER)")
needs_viewer = pytest.mark.skipif(
    not _IS_THERE or shutil.which("chromium") is None,
    reason="Node, Grafana's packages (LLM_SIDECAR_TEST_VIEWER) or Chromium are not installed",
)


class PanelSeen(NamedTuple):
    """What one panel looks like. `scrolled` are texts that can only be seen after scrolling, `empty` the targets without a number."""

    title: str
    type: str
    drawn: bool
    text: str
    problems: list[str]
    empty: list[str]
    scrolled: list[str]


class BoardSeen(NamedTuple):
    """A board's picture, its panels, and what the browser complained about."""

    picture: Path
    panels: list[PanelSeen]
    console: list[str]

    @property
    def problems(self) -> dict[str, list[str]]:
        """Return what is wrong, by the panel's title."""
        return {panel.title: panel.problems for panel in self.panels if panel.problems}


def prepare(folder: Path) -> Path:
    """Put the viewer into a folder of its own, beside the packages it is made of; return it."""
    place = folder / "viewer"
    shutil.copytree(SOURCES, place)
    (place / "node_modules").symlink_to(_MODULES)  # looked for beside the scripts
    return place


def run_script(place: Path, script: str, told: Any) -> Any:
    """Run one of the viewer's scripts with JSON on its standard input; return the JSON that it wrote."""
    done = subprocess.run(
        ["node", script], cwd=place, input=json.dumps(told), capture_output=True, text=True, timeout=_PATIENCE_S, check=False
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def draw(folder: Path, asked: Mapping[str, Json]) -> dict[str, BoardSeen]:
    """Draw boards with answers that were fetched before (`ask_board`)."""
    place = prepare(folder)
    pictures = Path(PICTURES) if PICTURES else folder
    pictures.mkdir(parents=True, exist_ok=True)
    boards = []
    for name, board in asked.items():
        file = folder / f"{name}.json"
        file.write_text(json.dumps(board), encoding="utf-8")
        boards.append({"name": name, "asked": str(file.resolve()), "picture": str((pictures / f"{name}.png").resolve())})
    told = {"chromium": shutil.which("chromium"), "width": _WIDTH_PX, "boards": boards}
    drawn = run_script(place, "draw.mjs", told)
    return {
        name: BoardSeen(pictures / f"{name}.png", [PanelSeen(**panel) for panel in board["panels"]], board["console"])
        for name, board in drawn.items()
    }


def draw_boards(
    folder: Path, prometheus_url: str, boards: Mapping[str, Json], began_s: float, ended_s: float
) -> dict[str, BoardSeen]:  # fmt: skip
    """Draw boards (name: Classic JSON) with what a Prometheus saw between two moments (Unix time)."""
    with httpx.Client(base_url=prometheus_url) as client:
        return draw(folder, {name: ask_board(client, board, began_s, ended_s) for name, board in boards.items()})


def count_rows(picture: Path) -> int:
    """Return how many different rows of pixels a PNG has, as they are stored: a picture of one colour has at most two."""
    data, at, packed = picture.read_bytes(), len(_SIGNATURE), b""
    assert data.startswith(_SIGNATURE)
    while at < len(data):
        (length,) = struct.unpack_from(">I", data, at)
        if data[at + 4 : at + 8] == b"IDAT":
            packed += data[at + 8 : at + 8 + length]
        at += length + 12
    assert data[24] == 8 and data[25] in (2, 6)  # eight bits, RGB with or without alpha
    (width,) = struct.unpack_from(">I", data, 16)
    rows, line = zlib.decompress(packed), width * (3 if data[25] == 2 else 4) + 1
    return len({rows[start : start + line] for start in range(0, len(rows), line)})
