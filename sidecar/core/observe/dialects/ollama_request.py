"""What a request of Ollama's form asks for, as GenAI request attributes (conventions v1.41)."""

from typing import Any, Final

import msgspec

from sidecar.core.observe.attributes import Readers, read_attributes, read_integer, read_number, read_stops
from sidecar.core.observe.salvage import UNREADABLE, parse_leniently, salvage
from sidecar.core.observe.text import read_identifier
from sidecar.exchange import Asked

_NOT_JSON: Final = Asked(readable=False)


class _Options(msgspec.Struct, gc=False, omit_defaults=True):
    frequency_penalty: Any = None
    num_predict: Any = None
    presence_penalty: Any = None
    seed: Any = None
    stop: Any = None
    temperature: Any = None
    top_k: Any = None
    top_p: Any = None


class _Request(msgspec.Struct, gc=False, omit_defaults=True):
    """The members that are looked at. Of a large request all else is skipped, not decoded."""

    model: Any = None
    stream: Any = None
    options: _Options | None = None
    dimensions: Any = None
    format: Any = None
    think: Any = None


def _read_most(value: object) -> int | None:
    """Negative numbers stand for no limit, and for as much as the context holds."""
    most = read_integer(value)
    return None if most is None or most < 0 else most


def _read_output_type(value: object) -> str | None:
    """`json`, or the JSON schema itself."""
    return "json" if value == "json" or (isinstance(value, dict) and value) else None


_OPTIONS: Final[Readers] = {
    "frequency_penalty": ("gen_ai.request.frequency_penalty", read_number),
    "num_predict": ("gen_ai.request.max_tokens", _read_most),
    "presence_penalty": ("gen_ai.request.presence_penalty", read_number),
    "seed": ("gen_ai.request.seed", read_integer),
    "stop": ("gen_ai.request.stop_sequences", read_stops),
    "temperature": ("gen_ai.request.temperature", read_number),
    "top_k": ("gen_ai.request.top_k", read_integer),
    "top_p": ("gen_ai.request.top_p", read_number),
}
_MEMBERS: Final[Readers] = {
    "dimensions": ("gen_ai.embeddings.dimension.count", read_integer),
    "format": ("gen_ai.output.type", _read_output_type),
    "think": ("gen_ai.request.reasoning.level", read_identifier),  # true and false are no level
}

_decode = msgspec.json.Decoder(_Request).decode


def read_request(body: bytes, *, can_stream: bool) -> Asked:
    """Peek at a request body. Never raises; what is not well-typed is as if it were absent.

    An interface that can stream does so unless `stream` is false.
    """
    try:
        request = _decode(body)
    except UNREADABLE:
        try:
            tree = parse_leniently(body)
        except ValueError:
            return _NOT_JSON
        request = salvage(tree, _Request)
        if request.options is None and isinstance(tree, dict):
            request.options = salvage(tree.get("options"), _Options)
    params = read_attributes(request, _MEMBERS)
    if request.options is not None:
        params |= read_attributes(request.options, _OPTIONS)
    return Asked(read_identifier(request.model), can_stream and request.stream is not False, params=params)
