"""The ordinary whole answer of the OpenAI form, read in one step.

Almost every answer has exactly the types that the documentation says. Such a one is decoded and
checked by the JSON library alone; whatever it refuses, be it a cost, an error or a surprising type,
is read by the patient way of `openai_form`.
"""

from typing import Final

import msgspec

from sidecar.core.observe.dialects.openai_shapes import PlainAnswer
from sidecar.core.observe.usage import split_usage
from sidecar.exchange import Seen

_decode: Final = msgspec.json.Decoder(PlainAnswer).decode


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
