"""The shapes of the OpenAI form: what of its JSON is decoded, by msgspec, which skips all else.

Apart from those who read them, which may be compiled.
"""

from typing import Annotated, Any, Literal

import msgspec

from sidecar.core.observe.dialects.openai_usage import Count, Counts, Timings
from sidecar.core.observe.text import IDENTIFIER_CHARS_MAX

_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=IDENTIFIER_CHARS_MAX)]


class Choice(msgspec.Struct, gc=False):
    """One of `choices`, as far as every form has it."""

    index: int = 0
    finish_reason: Any = None
    usage: Any = None  # Moonshot puts it here
    error: Any = None  # OpenRouter


class Chunk(msgspec.Struct, gc=False):
    """An event of a stream, once its beginning is known.

    Some servers tell a running total with each: what is told last is read at the end.
    """

    choices: tuple[Choice, ...] | None = None
    usage: Counts | None = None
    error: Any = None
    service_tier: Any = None
    x_groq: Any = None  # Groq puts usage and errors inside
    timings: Timings | None = None  # llama.cpp, whose counts are there unasked


class Answer(Chunk, gc=False):
    """A whole answer, or an event near the beginning of a stream."""

    id: Any = None
    model: Any = None
    provider: Any = None  # OpenRouter
    usage: Any = None
    timings: Any = None


class ChatChoice(Choice, gc=False):
    """A choice of a chat's event, while what it brings is still looked at."""

    delta: Any = None


class ChatOpening(Answer, gc=False):
    """An event near the beginning of a chat."""

    choices: tuple[ChatChoice, ...] | None = None


class TextChoice(Choice, gc=False):
    """A choice of a completion's event, while what it brings is still looked at."""

    text: Any = None


class TextOpening(Answer, gc=False):
    """An event near the beginning of a completion."""

    choices: tuple[TextChoice, ...] | None = None


class _PromptDetails(msgspec.Struct, frozen=True, gc=False):
    cached_tokens: Count = 0
    cache_write_tokens: Count = 0


class _CompletionDetails(msgspec.Struct, frozen=True, gc=False):
    reasoning_tokens: Count = 0


class _PlainUsage(msgspec.Struct, gc=False):
    prompt_tokens: Count
    total_tokens: Count
    completion_tokens: Count = 0
    prompt_tokens_details: _PromptDetails = _PromptDetails()
    completion_tokens_details: _CompletionDetails = _CompletionDetails()
    prompt_cache_hit_tokens: Count = 0
    cached_tokens: None = None
    cost: None = None
    cost_in_usd_ticks: None = None


class _PlainChoice(msgspec.Struct, gc=False):
    finish_reason: Literal["stop", "length", "tool_calls", "content_filter"]
    index: Literal[0] = 0
    usage: None = None
    error: None = None


class PlainAnswer(msgspec.Struct, gc=False):
    """An ordinary whole answer of one choice, in exactly the types that the documentation says."""

    id: _Name
    model: _Name
    choices: tuple[_PlainChoice]
    usage: _PlainUsage
    service_tier: Literal["default", "auto", "flex", "priority", "scale"] | None = None
    error: None = None
    x_groq: None = None


class _ResponseFormat(msgspec.Struct, gc=False, omit_defaults=True):
    type: Any = None


class _Text(msgspec.Struct, gc=False, omit_defaults=True):
    format: _ResponseFormat | None = None


class Request(msgspec.Struct, gc=False, omit_defaults=True):
    """The members of all forms that are looked at. Of a large request all else is skipped, not decoded.

    Where two mean the same, the later one here wins.
    """

    model: Any = None
    stream: Any = None
    stream_options: Any = None
    conversation: Any = None
    dimensions: Any = None
    encoding_format: Any = None
    frequency_penalty: Any = None
    max_tokens: Any = None
    max_completion_tokens: Any = None
    max_output_tokens: Any = None
    modalities: Any = None
    n: Any = None
    presence_penalty: Any = None
    previous_response_id: Any = None
    reasoning: Any = None
    reasoning_effort: Any = None
    response_format: _ResponseFormat | None = None
    seed: Any = None
    service_tier: Any = None
    stop: Any = None
    temperature: Any = None
    text: _Text | None = None
    top_k: Any = None
    top_p: Any = None
