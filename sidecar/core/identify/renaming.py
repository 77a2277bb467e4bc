"""The name of a model where an upstream has one of its own for it (`upstreams.NAME.models`).

A name is matched as the caller says it, in full and with its case; `*` stands for every other one. It is replaced where
it stands, in the body or in the path, and every other byte stays.
"""

from collections.abc import Mapping
from typing import Final
from urllib.parse import quote

import msgspec

from sidecar.core.identify.members import Span, find_items, find_member

ANY_OTHER: Final = "*"

_MODEL: Final = "model"
_REQUESTS: Final = "requests"
_GEMINI: Final = "gemini_"  # how the names of its dialects begin: the model stands in the path
_GEMINI_EMBED: Final = "gemini_embed"
_DEPLOYMENTS: Final = "/deployments/"
_QUOTE: Final = 0x22


def name_model(models: Mapping[str, str], asked: str | None) -> str | None:
    """Return what an upstream with these `models` calls the one that was asked for; None where there is nothing to change."""
    if not models or asked is None:
        return None
    name = models.get(asked)
    if name is None:
        name = models.get(ANY_OTHER)
    return None if name == asked else name


def rename(dialect_name: str, path: str, body: bytes, new: str) -> tuple[str, bytes]:
    """Return path and body of a request with its model called `new` wherever it is named."""
    if dialect_name.startswith(_GEMINI):
        renamed = _rename_gemini(body, new, has_requests=dialect_name == _GEMINI_EMBED)
    else:
        renamed = rename_model(body, new)
    return rename_in_path(dialect_name, path, new), body if renamed is None else renamed


def rename_model(body: bytes, new: str) -> bytes | None:
    """Return a JSON object with its own member `model` set to `new`, all other bytes as they were.

    None where there is none that is text, or where the body cannot be read: compressed, not JSON, or above 1 MiB and not
    quite JSON.
    """
    spans = [span for span in find_member(body, _MODEL) if body[span.start] == _QUOTE]
    return _replace(body, spans, msgspec.json.encode(new)) if spans else None


def rename_in_path(dialect_name: str, path: str, new: str) -> str:
    """Return the path with the model or deployment in it called `new`; as it is where it names none.

    Gemini's form has it in the last segment (`/v1beta/models/NAME:generateContent`), Azure's paths behind `/deployments/`.
    """
    if dialect_name.startswith(_GEMINI):
        above, _, segment = path.rpartition("/")
        _, colon, method = segment.rpartition(":")
        return f"{above}/{_quote(_name_in_gemini(new))}:{method}" if colon else path
    above, found, rest = path.partition(_DEPLOYMENTS)
    return f"{above}{found}{_quote(new)}{''.join(rest.partition('/')[1:])}" if found else path


def _quote(name: str) -> str:
    """As one segment of a path: a slash or a colon in it would be read as the path's own."""
    return quote(name, safe="@")


def _name_in_gemini(new: str) -> str:
    """Without the collection (`models/NAME`), which is the path's own."""
    return new.rpartition("/")[2]


def _rename_gemini(body: bytes, new: str, *, has_requests: bool) -> bytes | None:
    """Embeddings name it in the body too, with its collection: alone, or in each of several requests."""
    spans = _find_in_gemini(body)
    for several in find_member(body, _REQUESTS) if has_requests else ():
        array = body[several.start : several.end]
        for item in find_items(array):
            start = several.start + item.start
            spans += [Span(start + span.start, start + span.end) for span in _find_in_gemini(array[item.start : item.end])]
    return _replace(body, sorted(spans), msgspec.json.encode(_name_in_gemini(new))[1:-1]) if spans else None


def _find_in_gemini(data: bytes) -> list[Span]:
    """Return where the name stands within the member's text: behind the collection's slash, before the closing quote."""
    texts = [span for span in find_member(data, _MODEL) if data[span.start] == _QUOTE]
    return [Span(max(text.start, data.rfind(b"/", text.start, text.end)) + 1, text.end - 1) for text in texts]


def _replace(data: bytes, spans: list[Span], text: bytes) -> bytes:
    pieces = []
    at = 0
    for span in spans:
        pieces += [data[at : span.start], text]
        at = span.end
    return b"".join([*pieces, data[at:]])
