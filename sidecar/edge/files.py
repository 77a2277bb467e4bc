"""Files that settings come from or point at."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from sidecar.config import Capture, Settings
from sidecar.core.settings.environment import FILE_VARIABLE
from sidecar.core.settings.resolution import Loaded, resolve
from sidecar.core.settings.tree import Document
from sidecar.edge.documents import parse_value, read_document
from sidecar.errors import ConfigProblem

DEFAULT_FILE: Final = "sidecar.yaml"
_SECRET_BYTES_MAX: Final = 16 * 1024


def load(path: str | None, environ: Mapping[str, str]) -> Loaded:
    """Return the effective settings: file `path`, else `$LLM_SIDECAR_CONFIG`, else `./sidecar.yaml` if there, else none.

    The environment goes over the file. Raises ConfigError with all that is wrong. Files that settings name are not
    opened: see `find_unreadable`.
    """
    chosen = path or environ.get(FILE_VARIABLE) or (DEFAULT_FILE if Path(DEFAULT_FILE).exists() else None)
    document = read_document(chosen) if chosen else Document("built-in defaults", {}, {})
    return resolve(document, environ, parse_value)


def find_unreadable(settings: Settings) -> list[ConfigProblem]:
    """Return a problem for each file that settings name and that cannot be used now."""
    problems = []
    secrets = {f"upstreams.{name}.api_key_file": upstream.api_key_file for name, upstream in settings.upstreams.items()}
    for path, file in {**secrets, "admin.token_file": settings.admin.token_file}.items():
        if file is not None:
            try:
                read_secret(file)
            except ValueError as error:
                problems.append(ConfigProblem(path, str(error), "a readable file with one line in it"))
    content = settings.content
    if content.capture is Capture.FILE and content.file is not None and not Path(content.file).absolute().parent.is_dir():
        problems.append(ConfigProblem("content.file", "a path in no directory that is there", "the path of a file to write"))
    if settings.prices.file is not None and not Path(settings.prices.file).is_file():
        problems.append(ConfigProblem("prices.file", "no such file", "a readable price table"))
    return problems


def read_secret(path: str) -> str:
    """Return the one line of a secret's file, without white space around it.

    Raises ValueError with a sentence that tells neither the secret nor the path: a key may have been put in its place.
    """
    try:
        with Path(path).open("rb") as file:
            data = file.read(_SECRET_BYTES_MAX + 1).strip()
    except OSError as error:
        raise ValueError(f"a file that cannot be read ({error.strerror})") from None
    if not data or len(data) > _SECRET_BYTES_MAX:
        raise ValueError("an empty file" if not data else "a file that is too large")
    # It becomes a header's value: visible ASCII only (RFC 9110, section 5.5).
    if not data.isascii() or not all(33 <= byte <= 126 for byte in data):
        raise ValueError("a file with more than one visible ASCII line in it")
    return data.decode("ascii")
