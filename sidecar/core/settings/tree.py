"""A parsed configuration: plain dicts, lists and scalars, and where each part was written."""

import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from sidecar.core.settings.redaction import DOTS, redact
from sidecar.core.settings.shapes import is_digest

KeyPath = tuple[str | int, ...]

_PLAIN_KEY: Final = re.compile(r"[\w./-]{1,64}")
_DIGESTS: Final = ("tenants", "keys")
_SHOWN_KEY_CHARS_MAX: Final = 200  # as long as a model's name may be: each has an origin of its own


class Fault(NamedTuple):
    """A problem before it is known where it was written: path, what was found, what is allowed."""

    path: KeyPath
    found: str
    allowed: str


class Document(NamedTuple):
    """One parsed file. `lines` holds the line, from 1, of each path; `faults` what YAML allows and we do not."""

    source: str
    tree: dict[Any, Any]
    lines: Mapping[KeyPath, int]
    faults: tuple[Fault, ...] = ()


def spell(path: KeyPath, start: int = 0) -> str:
    """Return a path, from its step `start` on, as an operator writes it: `routes[0].prefix`."""
    text = ""
    for at, step in enumerate(path[start:], start):
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            # Where the digest of a credential belongs, somebody may have put the credential itself.
            step = DOTS if path[:at] == _DIGESTS and not is_digest(step) else redact(step)
            shown = step if _PLAIN_KEY.fullmatch(step) else repr(step[:_SHOWN_KEY_CHARS_MAX])
            text += f".{shown}" if text else shown
    return text
