"""What Gemini answers, as far as it is looked at, and what is read of it."""

from collections.abc import Sequence
from typing import Any, Final, TypeVar

import msgspec

from sidecar.core.observe.dialects.openai_form import CHOICES_MAX
from sidecar.core.observe.dialects.openai_usage import Count
from sidecar.core.observe.salvage import parse_leniently, salvage
from sidecar.core.observe.text import name_reason, read_code
from sidecar.core.observe.usage import read_count, split_usage
from sidecar.exchange import Usage

_UNSPECIFIED: Final = "_UNSPECIFIED"  # how the name of a Protocol Buffers enumeration's zero ends: nothing is said

_TIERS: Final = {
    "ON_DEMAND": "standard", "ON_DEMAND_FLEX": "flex", "ON_DEMAND_PRIORITY": "priority", "ON_DEMAND_OFFPEAK": "offpeak",
    "PROVISIONED_THROUGHPUT": "provisioned_throughput",
}  # fmt: skip


class Tokens(msgspec.Struct, gc=False):
    """UsageMetadata. What is zero is left out, as in all JSON of Protocol Buffers."""

    promptTokenCount: Count = 0  # cached tokens included
    candidatesTokenCount: Count = 0  # thoughts not included
    thoughtsTokenCount: Count = 0
    toolUsePromptTokenCount: Count = 0
    cachedContentTokenCount: Count = 0
    totalTokenCount: Count = 0
    serviceTier: Any = None  # of Google AI
    trafficType: Any = None  # of Vertex AI


_COUNTS: Final = tuple(member for member in Tokens.__struct_fields__ if member.endswith("Count"))


class Blob(msgspec.Struct, gc=False):
    """An object that is there, and may be large."""


class Part(msgspec.Struct, gc=False):
    text: Any = None
    functionCall: Any = None
    toolCall: Any = None
    inlineData: Blob | None = None
    executableCode: Blob | None = None

    @property
    def is_output(self) -> bool:
        """Whether the part holds tokens. A signature, empty text, and the result of a tool hold none."""
        return bool(self.text or self.functionCall or self.toolCall) or self.inlineData is not None or self.executableCode is not None


class Content(msgspec.Struct, gc=False):
    parts: tuple[Part, ...] | None = None


class Candidate(msgspec.Struct, gc=False):
    index: int = 0
    finishReason: Any = None


class OpeningCandidate(Candidate, gc=False):
    content: Content | None = None


class Feedback(msgspec.Struct, gc=False):
    blockReason: Any = None


class Chunk(msgspec.Struct, gc=False):
    """An event of a stream, once its beginning is known."""

    candidates: Sequence[Candidate] | None = None
    usageMetadata: Tokens | None = None
    promptFeedback: Feedback | None = None
    error: Any = None


class Answer(Chunk, gc=False):
    """A whole answer."""

    modelVersion: Any = None
    responseId: Any = None


class Opening(Answer, gc=False):
    """An event near the beginning of a stream."""

    candidates: Sequence[OpeningCandidate] | None = None


_AnyChunk = TypeVar("_AnyChunk", bound=Chunk)
decode_chunk: Final = msgspec.json.Decoder(Chunk).decode
decode_answer: Final = msgspec.json.Decoder(Answer).decode
decode_opening: Final = msgspec.json.Decoder(Opening).decode


def has_token(chunk: Opening) -> bool:
    """Whether an event carries output: text, thoughts, a call, code or data."""
    for candidate in chunk.candidates or ():
        if candidate.content is not None and any(part.is_output for part in candidate.content.parts or ()):
            return True
    return False


def read_reason(value: object) -> str | None:
    """Return a finish reason as it is sent, or None where none is told."""
    reason = name_reason(value)
    return None if reason is None or reason.endswith(_UNSPECIFIED) else reason


def read_tier(tokens: Tokens) -> str | None:
    """Return how the call was served, in the words of Google AI; tiers have prices of their own."""
    traffic = read_code(tokens.trafficType)
    if traffic in _TIERS:
        return _TIERS[traffic]
    tier = (read_code(tokens.serviceTier) or "").lower().removeprefix("service_tier_")
    return None if tier in ("", "unspecified") else tier


def read_usage(tokens: Tokens) -> Usage | None:
    """Return the counts as disjoint kinds; None where there are none.

    The total is prompt + tool use + candidates + thoughts, and gives away what is missing of a single one of them.
    """
    prompt, tool_use = tokens.promptTokenCount, tokens.toolUsePromptTokenCount
    candidates, thoughts = tokens.candidatesTokenCount, tokens.thoughtsTokenCount
    if not prompt and not candidates and not thoughts:
        return None
    missing = max(0, tokens.totalTokenCount - prompt - tool_use - candidates - thoughts)
    if not prompt:
        prompt = missing
    elif not candidates:
        candidates = missing
    return split_usage(prompt + tool_use, tokens.cachedContentTokenCount, 0, candidates + thoughts, thoughts)


def salvage_event(event: bytes) -> Opening:
    """Return what can be read of an event that the decoders refuse. Never raises."""
    try:
        return _salvage(parse_leniently(event), Opening, OpeningCandidate)
    except ValueError:
        return Opening()


def salvage_answer(body: bytes) -> Answer:
    """Return what can be read of a whole answer that the decoder refuses. Raises ValueError where it is not JSON."""
    return _salvage(parse_leniently(body), Answer, Candidate)


def _salvage(value: Any, kind: type[_AnyChunk], candidate: type[Candidate]) -> _AnyChunk:
    if isinstance(value, list) and value:
        value = value[0]  # errors are wrapped so where an array was to come
    answer = salvage(value, kind)
    if not isinstance(value, dict):
        return answer
    if answer.candidates is None and isinstance(value.get("candidates"), list):
        answer.candidates = tuple(salvage(each, candidate) for each in value["candidates"][:CHOICES_MAX])
    tokens = value.get("usageMetadata")
    if answer.usageMetadata is None and isinstance(tokens, dict):
        counts = {member: read_count(tokens.get(member)) or 0 for member in _COUNTS}
        answer.usageMetadata = Tokens(**counts, serviceTier=tokens.get("serviceTier"), trafficType=tokens.get("trafficType"))
    return answer
