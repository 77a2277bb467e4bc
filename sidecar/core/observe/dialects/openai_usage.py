"""Token counts and cost in the OpenAI form, as its many speakers tell them."""

from typing import Final

from sidecar.core.observe.usage import COUNT_MAX, read_count, read_usd, split_usage
from sidecar.exchange import Usage

_TICKS_PER_USD: Final = 10_000_000_000  # of xAI's `cost_in_usd_ticks`
# Where those put the tokens read from their cache who put them beside the other counts: DeepSeek; Moonshot, Together.
_CACHE_READ: Final = ("prompt_cache_hit_tokens", "cached_tokens")


def read_usage(value: object) -> Usage | None:
    """Return the OpenAI form's usage object as disjoint kinds; None where it holds no counts.

    prompt_tokens include cached ones, completion_tokens include reasoning. xAI adds reasoning on
    top, which total_tokens gives away.
    """
    if not isinstance(value, dict):
        return None
    prompt, completion = value.get("prompt_tokens"), value.get("completion_tokens")
    if len(value) == 3 and "total_tokens" in value and type(prompt) is type(completion) is int:  # a running total, with each chunk
        return Usage(prompt, 0, 0, completion, 0) if 0 <= prompt <= COUNT_MAX and 0 <= completion <= COUNT_MAX else None
    prompt, completion = read_count(prompt), read_count(completion)
    if prompt is None and completion is None:
        return None
    prompt, completion = prompt or 0, completion or 0
    read, written = _read_details(value.get("prompt_tokens_details"), "cached_tokens", "cache_write_tokens")
    if not read:
        read = next((count for name in _CACHE_READ if (count := read_count(value.get(name)))), 0)
    reasoning, _ = _read_details(value.get("completion_tokens_details"), "reasoning_tokens", "")
    if reasoning and read_count(value.get("total_tokens")) == prompt + completion + reasoning:
        completion += reasoning
    return split_usage(prompt, read, written, completion, reasoning)


def _read_details(details: object, first: str, second: str) -> tuple[int, int]:
    if not isinstance(details, dict):
        return 0, 0
    return read_count(details.get(first)) or 0, read_count(details.get(second)) or 0


def read_timings(value: object) -> Usage | None:
    """Return llama.cpp's counts, which it tells whether or not usage was asked for; None where they are not all there.

    `prompt_n` is what was read anew; older servers do not tell what came from their cache, so that
    the prompt's whole length is not known.
    """
    if not isinstance(value, dict):
        return None
    cached, read_anew, written = (read_count(value.get(name)) for name in ("cache_n", "prompt_n", "predicted_n"))
    if cached is None or read_anew is None or written is None:
        return None
    return split_usage(read_anew + cached, cached, 0, written, 0)


def read_cost(value: object) -> float | None:
    """Return what the provider says that it cost, in USD: OpenRouter's `cost`, xAI's ticks, Perplexity's `total_cost`.

    With the caller's own key at the true provider, OpenRouter's `cost` is only the broker's fee, and
    the rest stands in the details.
    """
    if not isinstance(value, dict):
        return None
    if "cost" not in value and "cost_in_usd_ticks" not in value:  # nearly always
        return None
    told, details = value.get("cost"), value.get("cost_details")
    cost = read_usd(told.get("total_cost") if isinstance(told, dict) else told)
    if cost is not None:
        if value.get("is_byok") is True and isinstance(details, dict):
            cost += read_usd(details.get("upstream_inference_cost")) or 0.0
        return cost
    ticks = read_usd(value.get("cost_in_usd_ticks"))
    return None if ticks is None else ticks / _TICKS_PER_USD
