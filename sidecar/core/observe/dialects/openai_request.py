"""What a request of OpenAI's forms asks for, as GenAI request attributes (conventions v1.41)."""

from typing import Final

import msgspec

from sidecar.core.observe.attributes import Readers, read_attributes, read_integer, read_number, read_stops
from sidecar.core.observe.dialects.openai_shapes import Request
from sidecar.core.observe.salvage import UNREADABLE, parse_leniently, salvage
from sidecar.core.observe.text import read_identifier
from sidecar.exchange import Asked

_NOT_JSON: Final = Asked(readable=False)


def _read_choice_count(value: object) -> int | None:
    return None if value == 1 else read_integer(value)


def _read_formats(value: object) -> tuple[str, ...] | None:
    name = read_identifier(value)
    return None if name is None else (name,)


def _read_output_type(value: object) -> str | None:
    kind = value.get("type") if isinstance(value, dict) else None
    if kind == "text":
        return "text"
    return "json" if kind in ("json_object", "json_schema") else None


def _read_text(value: object) -> str | None:
    return _read_output_type(value.get("format")) if isinstance(value, dict) else None


def _read_conversation(value: object) -> str | None:
    return read_identifier(value.get("id") if isinstance(value, dict) else value)


def _read_modalities(value: object) -> str | None:
    if not isinstance(value, list):
        return None
    return "speech" if "audio" in value else "image" if "image" in value else None


def _read_reasoning(value: object) -> str | None:
    return read_identifier(value.get("effort")) if isinstance(value, dict) else None


def _read_tier(value: object) -> str | None:
    return None if value == "auto" else read_identifier(value)


_ATTRIBUTES: Final[Readers] = {
    "conversation": ("gen_ai.conversation.id", _read_conversation),
    "dimensions": ("gen_ai.embeddings.dimension.count", read_integer),
    "encoding_format": ("gen_ai.request.encoding_formats", _read_formats),
    "frequency_penalty": ("gen_ai.request.frequency_penalty", read_number),
    "max_completion_tokens": ("gen_ai.request.max_tokens", read_integer),
    "max_output_tokens": ("gen_ai.request.max_tokens", read_integer),
    "max_tokens": ("gen_ai.request.max_tokens", read_integer),
    "modalities": ("gen_ai.output.type", _read_modalities),
    "n": ("gen_ai.request.choice.count", _read_choice_count),
    "presence_penalty": ("gen_ai.request.presence_penalty", read_number),
    "previous_response_id": ("gen_ai.request.previous_response.id", read_identifier),
    "reasoning": ("gen_ai.request.reasoning.level", _read_reasoning),
    "reasoning_effort": ("gen_ai.request.reasoning.level", read_identifier),
    "response_format": ("gen_ai.output.type", _read_output_type),
    "seed": ("gen_ai.request.seed", read_integer),
    "service_tier": ("openai.request.service_tier", _read_tier),
    "stop": ("gen_ai.request.stop_sequences", read_stops),
    "temperature": ("gen_ai.request.temperature", read_number),
    "text": ("gen_ai.output.type", _read_text),
    "top_k": ("gen_ai.request.top_k", read_integer),
    "top_p": ("gen_ai.request.top_p", read_number),
}

_decode = msgspec.json.Decoder(Request).decode


def read_request(body: bytes) -> Asked:
    """Peek at a request body. Never raises; what is not well-typed is as if it were absent."""
    try:
        request = _decode(body)
    except UNREADABLE:
        try:
            request = salvage(parse_leniently(body), Request)
        except ValueError:
            return _NOT_JSON
    options = request.stream_options
    usage_asked = options is not None and isinstance(options, dict) and options.get("include_usage") is True
    return Asked(read_identifier(request.model), request.stream is True, usage_asked, True, read_attributes(request, _ATTRIBUTES))
