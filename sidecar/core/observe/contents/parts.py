"""Parts of messages in the form of the GenAI conventions, and safe looks into JSON of any shape.

The conventions' types are text, reasoning, tool_call, tool_call_response, blob, uri and file; what
is none of them is a part of its own type. Binary data is never kept: a blob says what it was and
how many bytes.
"""

from collections.abc import Callable
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from sidecar.core.observe.contents.contract import Message, Part
from sidecar.core.observe.salvage import UNREADABLE, parse_leniently

_BASE64: Final = ";base64"
_URL_CHARS_MAX: Final = 2048


def parse(data: bytes) -> Any:
    """Return the JSON value. Raises ValueError where there is none."""
    try:
        return msgspec.json.decode(data)
    except UNREADABLE:
        return parse_leniently(data)


def parse_text(text: object) -> Any:
    """Return the JSON value that a text spells, as tool calls have their arguments; else the text itself."""
    if not isinstance(text, str):
        return text
    if not text.lstrip()[:1] or text.lstrip()[0] not in "{[":
        return text
    try:
        return parse(text.encode("utf-8", "surrogatepass"))
    except ValueError:
        return text


def as_list(value: object) -> list[Any]:
    """Return a list as it is, and nothing for what is none."""
    return value if isinstance(value, list) else []


def as_dict(value: object) -> dict[str, Any]:
    """Return an object as it is, and an empty one for what is none."""
    return value if isinstance(value, dict) else {}


def as_index(value: object) -> int:
    """Return a choice's number, 0 for what is none."""
    return value if type(value) is int and 0 <= value < 2**31 else 0


def message(role: object, parts: list[Part], default: str = "user") -> Message:
    """Return a message."""
    return {"role": role if isinstance(role, str) and role else default, "parts": parts}


def text(content: object) -> list[Part]:
    """Return a text part, or nothing where there is no text."""
    return typed("text", content)


def reasoning(content: object) -> list[Part]:
    """Return a part of reasoning, or nothing where there is none."""
    return typed("reasoning", content)


def typed(kind: str, content: object) -> list[Part]:
    """Return a part of any type that holds text, or nothing where there is none."""
    return [{"type": kind, "content": content}] if isinstance(content, str) and content else []


def tool_call(name: object, arguments: object, id_: object = None) -> Part:
    """Return a tool call. Arguments that are JSON text become what they spell."""
    part: Part = {"type": "tool_call"}
    if isinstance(id_, str) and id_:
        part["id"] = id_
    part["name"] = name if isinstance(name, str) else ""
    if arguments is not None and arguments != "":
        part["arguments"] = parse_text(arguments)
    return part


def tool_response(response: object, id_: object = None) -> Part:
    """Return what a tool answered. JSON text becomes what it spells."""
    part: Part = {"type": "tool_call_response"}
    if isinstance(id_, str) and id_:
        part["id"] = id_
    part["response"] = parse_text(response)
    return part


def blob(mime_type: object, data: object) -> Part:
    """Return what stands for base64 data: its type and how many bytes it decodes to."""
    length = len(data) if isinstance(data, str) else 0
    padding = 0 if not isinstance(data, str) else 2 if data.endswith("==") else int(data.endswith("="))
    part: Part = {"type": "blob"}
    if isinstance(mime_type, str) and mime_type:
        part["mime_type"] = mime_type
    part["bytes"] = max(0, length * 3 // 4 - padding)
    return part


def file(file_id: object, mime_type: object = None) -> Part:
    """Return what points at a file that the provider has."""
    part: Part = {"type": "file", "file_id": file_id if isinstance(file_id, str) else ""}
    if isinstance(mime_type, str) and mime_type:
        part["mime_type"] = mime_type
    return part


def uri(url: object, mime_type: object = None) -> Part:
    """Return what points at a resource. A data URL becomes a blob; user, query and fragment of others are left out."""
    if not isinstance(url, str):
        return blob(mime_type, None)
    if url[:5].lower() == "data:":
        head, _, data = url[5:].partition(",")
        return blob(head.removesuffix(_BASE64) or mime_type, data)
    part: Part = {"type": "uri", "uri": _strip(url[:_URL_CHARS_MAX])}
    if isinstance(mime_type, str) and mime_type:
        part["mime_type"] = mime_type
    return part


def other(kind: object) -> Part:
    """Return what stands for a part of a type that is not known: only its type."""
    return {"type": kind if isinstance(kind, str) and kind else "unknown"}


def texts(value: object) -> list[Part]:
    """Return the text parts of what may be a text, or a list of texts and of objects with a `text`."""
    if isinstance(value, str):
        return text(value)
    return [part for item in as_list(value) for part in text(item if isinstance(item, str) else as_dict(item).get("text"))]


def mixed(value: object, read: Callable[[dict[str, Any]], list[Part]]) -> list[Part]:
    """Return the parts of what may be a text, or a list of texts and of objects that `read` reads."""
    if isinstance(value, str):
        return text(value)
    return [part for item in as_list(value) for part in (text(item) if isinstance(item, str) else read(as_dict(item)))]


def _strip(url: str) -> str:
    """A signed URL's query is a credential, and so may be its user."""
    try:
        pieces = urlsplit(url)
    except ValueError:
        return ""
    return pieces._replace(netloc=pieces.netloc.rpartition("@")[2], query="", fragment="").geturl()
