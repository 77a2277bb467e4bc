"""OpenAI's official SDK for Node, in a process of its own. tests/run installs it.

Version 6 runs on the Node that Debian has; 7 wants a newer one, and sees the same where it is installed.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import pytest

FOLDER: Final = os.environ.get("LLM_SIDECAR_TEST_NODE", "")
_SCRIPT: Final = Path(__file__).resolve().parents[1] / "e2e/node/calls.mjs"
_PATIENCE_S: Final = 60.0

needs_node = pytest.mark.skipif(
    shutil.which("node") is None or not FOLDER or not (Path(FOLDER) / "node_modules/openai").is_dir(),
    reason="Node or its SDK is not installed (LLM_SIDECAR_TEST_NODE)",
)


def make_calls(folder: Path, base_url: str, calls: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Make calls one after the other; return of each the parts of its answer, and its error or None."""
    folder.mkdir()
    shutil.copy(_SCRIPT, folder)
    (folder / "node_modules").symlink_to(Path(FOLDER).resolve() / "node_modules")  # looked for beside the script
    told = json.dumps({"baseURL": base_url, "calls": calls})
    done = subprocess.run(["node", "calls.mjs"], cwd=folder, input=told, capture_output=True, text=True, timeout=_PATIENCE_S, check=False)
    assert done.returncode == 0, done.stderr
    seen: list[dict[str, Any]] = json.loads(done.stdout)
    return seen
