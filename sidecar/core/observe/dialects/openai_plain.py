"""The ordinary whole answer of the OpenAI form, read in one step.

Almost every answer has exactly the types that the documentation says. Such a one is decoded and
checked by the JSON library alone; whatever it refuses, be it a cost, an error or a surprising type,
is read by the patient way of `openai_form`.
"""

from typing import Annotated, Final, Literal

import msgspec

from sidecar.core.observe.dialects.openai_usage import Count
from sidecar.core.observe.text import IDENTIFIER_CHARS_MAX
from sidecar.core.observe.usage import split_usage
from sidecar.exchange import Seen

_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=IDENTIFIER_CHARS_MAX)]


class _PromptDetails(msgspec.Struct, frozen=True, gc=False):
    cached_tokens: Count = 0
    cache_write_tokens: Count = 0


class _CompletionDetails(msgspec.Struct, frozen=True, gc=False):
    reasoning_tokens: Count = 0


class _Usage(msgspec.Struct, gc=False):
    prompt_tokens: Count
    total_tokens: Count
    completion_tokens: Count = 0
    prompt_tokens_details: _PromptDetails = _PromptDetails()
    completion_tokens_details: _CompletionDetails = _CompletionDetails()
    prompt_cache_hit_tokens: Count = 0
    cached_tokens: None = None
    cost: None = None
    cost_in_usd_ticks: None = None


class _Choice(msgspec.Struct, gc=False):
    finish_reason: Literal["stop", "length", "tool_calls", "content_filter"]
    index: Literal[0] = 0
    usage: None = None
    error: None = None


class _Answer(msgspec.Struct, gc=False):
    id: _Name
    model: _Name
    choices: tuple[_Choice]
    usage: _Usage
    service_tier: Literal["default", "auto", "flex", "priority", "scale"] | None = None
    error: None = None
    x_groq: None = None


_decode: Final = msgspec.json.Decoder(_Answer).decode


def read_plain(body: bytes, seen: Seen) -> bool:
    """Note what an ordinary answer of one choice says; False where it is not one. Never raises."""
    try:
        answer = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    usage = answer.usage
    prompt, completion, reasoning = usage.prompt_tokens, usage.completion_tokens, usage.completion_tokens_details.reasoning_tokens
    if usage.total_tokens != prompt + completion or not (answer.model.isprintable() and answer.id.isprintable()):
        return False
    seen.model, seen.response_id, seen.service_tier = answer.model, answer.id, answer.service_tier
    seen.finish_reasons = [answer.choices[0].finish_reason]
    seen.terminated = True
    details = usage.prompt_tokens_details
    cached = details.cached_tokens or usage.prompt_cache_hit_tokens  # the latter is DeepSeek's
    seen.usage = split_usage(prompt, cached, details.cache_write_tokens, completion, reasoning)
    return True
