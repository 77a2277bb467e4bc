"""The status page looked at in Chromium: tests/viewer, in a process of Node. tests/run installs what it needs."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from tests.rig.viewer import FOLDER, PICTURES, prepare, run_script

SIZES: Final = {"desktop": (1440, 900), "phone": (390, 844)}
SCHEMES: Final = ("light", "dark")
_SERIOUS: Final = ("serious", "critical")
_MODULES: Final = Path(FOLDER).resolve() / "node_modules"

needs_browser = pytest.mark.skipif(
    shutil.which("node") is None or FOLDER == "" or not (_MODULES / "axe-core").is_dir() or shutil.which("chromium") is None,
    reason="Node, axe-core (LLM_SIDECAR_TEST_VIEWER) or Chromium are not installed",
)


class View(NamedTuple):
    """What the page looks like in one size and scheme, and what the browser and axe-core complained about."""

    console: list[str]
    foreign: list[str]  # requests to anywhere else
    axe: list[dict[str, Any]]
    wide: bool  # it has to be scrolled sideways
    text: str
    labels: list[str]  # of the charts
    bytes: int  # that came over the network

    @property
    def barriers(self) -> list[dict[str, Any]]:
        """What keeps people with disabilities from using it."""
        return [found for found in self.axe if found["impact"] in _SERIOUS]


class Looked(NamedTuple):
    """All views, and how long it took until something appeared that was waited for."""

    views: dict[str, View]
    shown_ms: float | None
    said: str | None  # to those who do not see the page
    tried: dict[str, Any] | None  # what came of keys, of another tab, of no network, of no JavaScript


def look(
    folder: Path, url: str, awaited: str, trigger: Mapping[str, Any] | None = None, name: str = "page", user: tuple[str, str] | None = None
) -> Looked:
    """Look at the page in every size and scheme once a selector is there.

    `trigger`: {request: {url, headers, body}, times, shown}: requests that are made then, and the selector that is waited for. Where
    there is one, the page is tried out, too. `user`: name and password of whoever looks, where the page is behind TLS and a password.
    """
    pictures = Path(PICTURES) if PICTURES else folder
    pictures.mkdir(parents=True, exist_ok=True)
    views = [
        {"name": f"{size}-{scheme}", "width": width, "height": height, "scheme": scheme,
         "picture": str((pictures / f"{name}-{size}-{scheme}.png").resolve())}
        for size, (width, height) in SIZES.items() for scheme in SCHEMES
    ]  # fmt: skip
    told = {"chromium": shutil.which("chromium"), "url": url, "awaited": awaited, "views": views, "trigger": trigger}
    if user is not None:
        told["user"] = {"username": user[0], "password": user[1]}
    place = prepare(folder) if not os.path.lexists(folder / "viewer") else folder / "viewer"
    seen = run_script(place, "page.mjs", told)
    return Looked({each: View(**view) for each, view in seen["views"].items()}, seen.get("shown_ms"), seen.get("said"), seen.get("tried"))
