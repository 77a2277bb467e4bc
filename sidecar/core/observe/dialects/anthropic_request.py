"""What a request of the Anthropic form asks for, as GenAI request attributes (conventions v1.41)."""

from typing import Any, Final

import msgspec

from sidecar.core.observe.attributes import Readers, read_attributes, read_integer, read_number, read_stops
from sidecar.core.observe.salvage import UNREADABLE, parse_leniently, salvage
from sidecar.core.observe.text import read_identifier
from sidecar.exchange import Asked

_NOT_JSON: Final = Asked(readable=False)


class _Request(msgspec.Struct, gc=False, omit_defaults=True):
    """The members that are looked at. Of a large request all else is skipped, not decoded."""

    model: Any = None
    stream: Any = None
    max_tokens: Any = None
    output_config: Any = None
    service_tier: Any = None
    stop_sequences: Any = None
    temperature: Any = None
    top_k: Any = None
    top_p: Any = None


def _read_tier(value: object) -> str | None:
    return None if value == "auto" else read_identifier(value)


def _read_effort(value: object) -> str | None:
    return read_identifier(value.get("effort")) if isinstance(value, dict) else None


_READERS: Final[Readers] = {
    "max_tokens": ("gen_ai.request.max_tokens", read_integer),
    "output_config": ("gen_ai.request.reasoning.level", _read_effort),
    "service_tier": ("llm_sidecar.request.service_tier", _read_tier),
    "stop_sequences": ("gen_ai.request.stop_sequences", read_stops),
    "temperature": ("gen_ai.request.temperature", read_number),
    "top_k": ("gen_ai.request.top_k", read_integer),
    "top_p": ("gen_ai.request.top_p", read_number),
}

_decode: Final = msgspec.json.Decoder(_Request).decode


def read_request(body: bytes) -> Asked:
    """Peek at a request body. Never raises; what is not well-typed is as if it were absent."""
    try:
        request = _decode(body)
    except UNREADABLE:
        try:
            request = salvage(parse_leniently(body), _Request)
        except ValueError:
            return _NOT_JSON
    params = read_attributes(request, _READERS)
    config = request.output_config
    if isinstance(config, dict) and isinstance(config.get("format"), dict) and config["format"].get("type") == "json_schema":
        params["gen_ai.output.type"] = "json"
    return Asked(read_identifier(request.model), request.stream is True, False, True, params)
