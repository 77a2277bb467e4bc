"""Azure's deployments: a name of the caller's own for a model, in the path in place of the body."""

from typing import Final
from urllib.parse import unquote

from sidecar.core.observe.text import read_identifier

_BEFORE: Final = "/deployments/"


def read_deployment(path: str) -> str | None:
    """Return the deployment that a path names (`/openai/deployments/NAME/chat/completions`), or None."""
    _, found, rest = path.partition(_BEFORE)
    return read_identifier(unquote(rest.partition("/")[0], errors="replace")) if found else None
