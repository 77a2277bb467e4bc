"""Requests for embeddings put together to one, and its answer taken apart again, byte for byte.

What a caller sent besides its inputs is the same, to the byte, for all who go together (`Inputs.form`). So the joined
request says to the provider exactly what each of them said. Vectors are copied as they were written, in numbers or in
base64 (`encoding_format`); only their numbering, and the counts of what was used, are each caller's own.

Forms: OpenAI's /embeddings (Azure, OpenRouter and vLLM too), Ollama's /api/embed, Gemini's :batchEmbedContents, and its
:embedContent, which asks for one and goes along as one of a batch.
"""

import re
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import msgspec

from sidecar.core.identify.members import Span, find_items, find_member
from sidecar.core.observe.contract import Dialect
from sidecar.core.observe.dialects import GEMINI_EMBED, OLLAMA_EMBED, OPENAI_EMBEDDINGS
from sidecar.core.observe.salvage import UNREADABLE
from sidecar.core.reuse.apportioning import apportion_number
from sidecar.exchange import Seen

_TEXT, _TOKENS = "text", "tokens"
_QUOTE, _BRACKET, _BRACE = b'"', b"[", b"{"
_OLLAMA_PATH: Final = "/api/embed"  # and not /api/embeddings before it, which takes one prompt
_ONE, _SEVERAL = ":embedContent", ":batchEmbedContents"
_BATCH: Final = (b'{"requests":', b"}")  # where nothing is said besides
_LIST_KEY, _SINGLE_KEY = b'"embeddings"', b'"embedding"'
# Google AI's paths. Vertex AI's models (publishers/…) do not all take batches.
_MODEL_PATH: Final = re.compile(r"/(?:[^/]+/)?((?:models|tunedModels)/[A-Za-z0-9._-]+):embedContent")
# A text, which is passed over, or a number.
_NUMBERS: Final = re.compile(rb'"(?:[^"\\]|\\.)*"|(-?[0-9][0-9.eE+-]*)')

_decode_text: Final = msgspec.json.Decoder(str).decode
_decode_tokens: Final = msgspec.json.Decoder(list[int]).decode
_decode_index: Final = msgspec.json.Decoder(int).decode
_decode_members: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class _Part(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    text: str  # and nothing else: what an image or a file uses cannot be told by characters


class _Content(msgspec.Struct, gc=False):
    parts: list[_Part]


class _Request(msgspec.Struct, gc=False):
    content: _Content
    model: Any = None


_decode_request: Final = msgspec.json.Decoder(_Request).decode


class _Form(NamedTuple):
    """Where one wire format has what. `inputs_max`: what providers take in one call, as they document it."""

    dialect: Dialect
    vectors: str  # the answer's member with the list of them
    used: tuple[str, ...]  # its members that tell what was used: all numbers in them are sums over the inputs
    inputs_max: int | None


_FORMS: Final = {
    form.dialect.name: form
    for form in (
        _Form(OPENAI_EMBEDDINGS, "data", ("usage",), 2048),
        _Form(OLLAMA_EMBED, "embeddings", ("prompt_eval_count",), None),
        _Form(GEMINI_EMBED, "embeddings", ("usageMetadata", "metadata"), 100),
    )
}


class Inputs(NamedTuple):
    """What one caller wants to have embedded."""

    dialect_name: str
    path: str  # where a call for several callers goes
    kind: str  # texts, or lists of token numbers: one call has one of them
    items: tuple[bytes, ...]  # the inputs in their order, as they were written
    weight: int  # of all of them: characters, or tokens
    prefix: bytes  # what the request says besides: before its inputs
    suffix: bytes  # and after them
    is_single: bool = False  # its answer holds one vector, and no list

    @property
    def form(self) -> tuple[str, str, str, bytes, bytes]:
        """What must be equal of all who go together."""
        return self.dialect_name, self.path, self.kind, self.prefix, self.suffix

    @property
    def size_bytes(self) -> int:
        """How long its inputs are as they were written; of texts never less than they have tokens."""
        return sum(map(len, self.items))

    @property
    def inputs_max(self) -> int | None:
        """How many inputs a provider takes in one call; None where none is documented."""
        return _FORMS[self.dialect_name].inputs_max


class Share(NamedTuple):
    """What one caller gets of a common answer."""

    body: bytes
    seen: Seen  # what that body says; `seen.usage` is this caller's share


def read_inputs(dialect_name: str, path: str, body: bytes) -> Inputs | None:
    """Return what a whole, decoded request body wants embedded; `path` is the one at the upstream, without query.

    None where it cannot go together with others: it is no request for embeddings that is understood, or one that a
    provider would refuse, such as an empty text. Never raises.
    """
    if dialect_name == GEMINI_EMBED.name:
        return _read_one(path, body) if path.endswith(_ONE) else _read_several(path, body) if path.endswith(_SEVERAL) else None
    if dialect_name not in _FORMS or (dialect_name == OLLAMA_EMBED.name and not path.endswith(_OLLAMA_PATH)):
        return None
    spans = find_member(body, "input")
    if len(spans) != 1:
        return None
    (span,) = spans
    found = _read_input(body[span.start : span.end])
    if found is None:
        return None
    kind, items, weight = found
    if kind == _TOKENS and dialect_name == OLLAMA_EMBED.name:
        return None
    return Inputs(dialect_name, path, kind, items, weight, body[: span.start], body[span.end :])


def join(callers: Sequence[Inputs]) -> bytes:
    """Return the one request body for callers whose `form` is the same, at `path` of any of them."""
    first = callers[0]
    return b"".join((first.prefix, b"[", b",".join(item for caller in callers for item in caller.items), b"]", first.suffix))


def split(callers: Sequence[Inputs], answer: bytes) -> list[Share] | None:
    """Return what each caller of a joined request gets of its whole, decoded answer, in their order.

    Counts are shared in proportion to `weight`, so that the shares sum up exactly to what was reported. None where the
    answer does not tell which vector is whose, or what was used cannot be shared: then each must ask by itself. Never raises.
    """
    form = _FORMS[callers[0].dialect_name]
    spans = find_member(answer, form.vectors)
    if len(spans) != 1:
        return None
    (span,) = spans
    array = answer[span.start : span.end]
    stand = find_items(array)
    vectors = _put_in_order([array[item.start : item.end] for item in stand])
    counts = _share_counts(answer, form.used, [caller.weight for caller in callers])
    if vectors is None or counts is None or len(vectors) != sum(len(caller.items) for caller in callers):
        return None
    opening, closing = array[: stand[0].start], array[stand[-1].end :]
    separator = array[stand[0].end : stand[1].start] if len(stand) > 1 else b""
    shares = []
    at = 0
    for number, caller in enumerate(callers):
        own = [_number(vector, place) for place, vector in enumerate(vectors[at : at + len(caller.items)])]
        at += len(caller.items)
        edits = [(where, texts[number]) for where, texts in counts]
        if caller.is_single:
            key = _find_key(answer, span)
            if key is None:
                return None
            edits += [(key, _SINGLE_KEY), (span, own[0])]
        else:
            edits.append((span, opening + separator.join(own) + closing))
        body = _edit(answer, edits)
        seen = Seen()
        try:
            form.dialect.read_whole(body, seen)
        except ValueError:
            return None
        shares.append(Share(body, seen))
    return shares


def _read_input(given: bytes) -> tuple[str, tuple[bytes, ...], int] | None:
    """One text, one list of tokens, or a list of either."""
    spans = find_items(given)
    items = tuple(given[span.start : span.end] for span in spans)
    if given[:1] == _QUOTE:
        kind, items = _TEXT, (given,)
    elif not items:
        return None
    elif all(item[:1] == _QUOTE for item in items):
        kind = _TEXT
    elif all(item[:1] == _BRACKET for item in items):
        kind = _TOKENS
    else:
        kind, items = _TOKENS, (given,)
    try:
        lengths = [len(_decode_text(item) if kind == _TEXT else _decode_tokens(item)) for item in items]
    except UNREADABLE:
        return None
    return (kind, items, sum(lengths)) if all(lengths) else None


def _read_several(path: str, body: bytes) -> Inputs | None:
    spans = find_member(body, "requests")
    if len(spans) != 1:
        return None
    (span,) = spans
    array = body[span.start : span.end]
    items = tuple(array[item.start : item.end] for item in find_items(array))
    weights = [_weigh(item) for item in items]
    if not items or not all(weights):
        return None
    prefix, suffix = body[: span.start], body[span.end :]
    try:
        if len(_decode_members(body)) == 1:  # white space makes no difference
            prefix, suffix = _BATCH
    except UNREADABLE:
        return None
    return Inputs(GEMINI_EMBED.name, path, _TEXT, items, sum(weights), prefix, suffix)


def _read_one(path: str, body: bytes) -> Inputs | None:
    """A batch names the model in each of its requests; alone, the path does."""
    found = _MODEL_PATH.fullmatch(path)
    weight = _weigh(body)
    if found is None or not weight:
        return None
    item = body.strip()
    if not find_member(item, "model"):
        item = b'{"model":"' + found[1].encode() + b'",' + item[1:]
    return Inputs(
        GEMINI_EMBED.name, path.removesuffix(_ONE) + _SEVERAL, _TEXT, (item,), weight, *_BATCH, is_single=True
    )  # fmt: skip


def _weigh(request: bytes) -> int:
    """Return the characters of a Gemini request's text; 0 where it has none, or more than text."""
    try:
        return sum(len(part.text) for part in _decode_request(request).content.parts)
    except UNREADABLE:
        return 0


def _put_in_order(vectors: list[bytes]) -> list[bytes] | None:
    """Return vectors by their own numbers where they have any; None where these are not one for each."""
    found = [find_member(vector, "index") if vector[:1] == _BRACE else [] for vector in vectors]
    if not any(found):
        return vectors
    placed: list[bytes | None] = [None] * len(vectors)
    for vector, spans in zip(vectors, found, strict=True):
        if len(spans) != 1:
            return None
        try:
            index = _decode_index(vector[spans[0].start : spans[0].end])
        except UNREADABLE:
            return None
        if not 0 <= index < len(placed) or placed[index] is not None:
            return None
        placed[index] = vector
    return [vector for vector in placed if vector is not None]


def _number(vector: bytes, place: int) -> bytes:
    """Return a vector with its number among those of its caller."""
    spans = find_member(vector, "index") if vector[:1] == _BRACE else []
    return _edit(vector, [(span, b"%d" % place) for span in spans])


def _find_key(answer: bytes, value: Span) -> Span | None:
    """Return where the key of the list stands; None where it is spelled with escapes."""
    start = answer.rfind(_LIST_KEY, 0, value.start)
    end = start + len(_LIST_KEY)
    return Span(start, end) if start >= 0 and answer[end : value.start].strip() == b":" else None


def _share_counts(answer: bytes, members: Sequence[str], weights: Sequence[int]) -> list[tuple[Span, list[bytes]]] | None:
    """Return where each number stands that tells what was used, and what each caller reads there instead."""
    shared = []
    for member in members:
        spans = find_member(answer, member)
        if len(spans) > 1:
            return None
        for span in spans:
            for found in _NUMBERS.finditer(answer, span.start, span.end):
                if found[1] is not None:
                    texts = apportion_number(found[1], weights)
                    if texts is None:
                        return None
                    shared.append((Span(*found.span(1)), texts))
    return shared


def _edit(data: bytes, edits: list[tuple[Span, bytes]]) -> bytes:
    """Return bytes with each of these places, which do not overlap, replaced."""
    pieces = []
    at = 0
    for span, text in sorted(edits):
        pieces += [data[at : span.start], text]
        at = span.end
    return b"".join([*pieces, data[at:]])
