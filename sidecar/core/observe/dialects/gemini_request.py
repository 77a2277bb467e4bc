"""What a request to Gemini asks for, as GenAI request attributes (conventions v1.41).

The model stands in the path. Members have two spellings, as in all JSON of Protocol Buffers: `topP` and `top_p`.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final
from urllib.parse import unquote

import msgspec

from sidecar.core.observe.attributes import Readers, read_attributes, read_integer, read_number, read_stops
from sidecar.core.observe.salvage import UNREADABLE, parse_leniently, salvage
from sidecar.core.observe.text import read_identifier
from sidecar.exchange import Asked

_CAPITAL: Final = re.compile(r"(?=[A-Z])")


def _spell(member: str) -> tuple[str, ...]:
    """Both spellings of a member, or the one."""
    return tuple(dict.fromkeys((member, _CAPITAL.sub("_", member).lower())))


def _define(name: str, fields: Iterable[tuple[str, Any]]) -> type[msgspec.Struct]:
    """Return a struct of the only members that are looked at, in both spellings: all else is skipped, not decoded."""
    return msgspec.defstruct(
        name, [(spelt, kind, None) for member, kind in fields for spelt in _spell(member)], gc=False, omit_defaults=True
    )


def _read_whole_number(value: object) -> int | None:
    return read_integer(int(value) if type(value) is float and value.is_integer() else value)


def _read_choice_count(value: object) -> int | None:
    return None if value == 1 else _read_whole_number(value)


def _read_output_type(value: object) -> str | None:
    if not isinstance(value, str):
        return None
    return "json" if value == "application/json" else "text" if value.startswith("text/") else None


def _read_modalities(value: object) -> str | None:
    if not isinstance(value, list):
        return None
    return "speech" if "AUDIO" in value else "image" if "IMAGE" in value else None


def _read_level(value: object) -> str | None:
    level = (value.get("thinkingLevel") or value.get("thinking_level")) if isinstance(value, dict) else None
    return read_identifier(level)


_CONFIG: Final[dict[str, tuple[str, Callable[[object], Any]]]] = {
    "candidateCount": ("gen_ai.request.choice.count", _read_choice_count),
    "frequencyPenalty": ("gen_ai.request.frequency_penalty", read_number),
    "maxOutputTokens": ("gen_ai.request.max_tokens", _read_whole_number),
    "presencePenalty": ("gen_ai.request.presence_penalty", read_number),
    "responseMimeType": ("gen_ai.output.type", _read_output_type),
    "responseModalities": ("gen_ai.output.type", _read_modalities),
    "seed": ("gen_ai.request.seed", _read_whole_number),
    "stopSequences": ("gen_ai.request.stop_sequences", read_stops),
    "temperature": ("gen_ai.request.temperature", read_number),
    "thinkingConfig": ("gen_ai.request.reasoning.level", _read_level),
    "topK": ("gen_ai.request.top_k", _read_whole_number),
    "topP": ("gen_ai.request.top_p", read_number),
}
_EMBEDDING: Final[dict[str, tuple[str, Callable[[object], Any]]]] = {
    "outputDimensionality": ("gen_ai.embeddings.dimension.count", _read_whole_number),
}


def _spell_all(readers: Readers) -> Readers:
    return {spelt: reader for member, reader in readers.items() for spelt in _spell(member)}


_CONFIG_READERS: Final = _spell_all(_CONFIG)
_EMBEDDING_READERS: Final = _spell_all(_EMBEDDING)
_Config: Final = _define("_Config", ((member, Any) for member in _CONFIG))
_Generation: Final = _define("_Generation", [("generationConfig", _Config | None)])
_Embedding: Final = _define("_Embedding", ((member, Any) for member in _EMBEDDING))
_MEMBERS: Final[list[tuple[str, Any]]] = [("embedContentConfig", _Embedding | None), ("requests", list[_Embedding] | None)]  # type: ignore[valid-type]
_Embeddings: Final = _define("_Embeddings", [*((member, Any) for member in _EMBEDDING), *_MEMBERS])
_decode_generation: Final = msgspec.json.Decoder(_Generation).decode
_decode_embeddings: Final = msgspec.json.Decoder(_Embeddings).decode


def read_generation(body: bytes, path: str, *, stream: bool) -> Asked:
    """Peek at a request for content. Never raises; what is not well-typed is as if it were absent."""
    model = read_model(path)
    request = _read(body, _decode_generation, _Generation)
    if request is None:
        return Asked(model, stream, readable=False)
    params: dict[str, Any] = {}
    for config in _present(request, "generationConfig"):
        params |= read_attributes(config, _CONFIG_READERS)
    return Asked(model, stream, params=params)


def read_embedding(body: bytes, path: str) -> Asked:
    """Peek at a request for embeddings, of one content or of several. Never raises."""
    model = read_model(path)
    request = _read(body, _decode_embeddings, _Embeddings)
    if request is None:
        return Asked(model, readable=False)
    params: dict[str, Any] = {}
    for several in _present(request, "requests"):
        if several:  # they have it alike
            params |= read_attributes(several[0], _EMBEDDING_READERS)
    for config in _present(request, "embedContentConfig"):
        params |= read_attributes(config, _EMBEDDING_READERS)
    return Asked(model, params=params | read_attributes(request, _EMBEDDING_READERS))


def read_model(path: str) -> str | None:
    """Return the model that a path names: its last segment, without the method after the colon."""
    return read_identifier(unquote(path.rpartition("/")[2].rpartition(":")[0]))


def _read(body: bytes, decode: Callable[[bytes], Any], kind: type[msgspec.Struct]) -> msgspec.Struct | None:
    try:
        request: msgspec.Struct = decode(body)
        return request
    except UNREADABLE:
        pass
    try:
        return salvage(parse_leniently(body), kind)
    except ValueError:
        return None


def _present(request: msgspec.Struct, member: str) -> Iterator[Any]:
    """The member's values, by either spelling."""
    for spelt in _spell(member):
        value = getattr(request, spelt)
        if value is not None:
            yield value
