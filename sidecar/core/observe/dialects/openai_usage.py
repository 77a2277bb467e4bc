"""Token counts and cost in the OpenAI form, as its many speakers tell them."""

from typing import Annotated, Any, Final

import msgspec

from sidecar.core.observe.salvage import UNREADABLE, parse_leniently, salvage
from sidecar.core.observe.usage import COUNT_MAX, read_count, read_totals, read_usd, split_usage
from sidecar.exchange import Seen, Usage

_TICKS_PER_USD: Final = 10_000_000_000  # of xAI's `cost_in_usd_ticks`
# Where those put the tokens read from their cache who put them beside the other counts: DeepSeek; Moonshot, Together.
_CACHE_READ: Final = ("prompt_cache_hit_tokens", "cached_tokens")

Count = Annotated[int, msgspec.Meta(ge=0, le=COUNT_MAX)]


class Counts(msgspec.Struct, gc=False):
    """A usage object, as far as it shows whether its counts are there, and are counts."""

    prompt_tokens: Count | None = None
    completion_tokens: Count | None = None


class Timings(msgspec.Struct, gc=False):
    """Likewise what llama.cpp tells of its work."""

    cache_n: Count | None = None
    prompt_n: Count | None = None
    predicted_n: Count | None = None

    @property
    def is_whole(self) -> bool:
        """Whether all of them are there."""
        return self.cache_n is not None and self.prompt_n is not None and self.predicted_n is not None


class _Told(msgspec.Struct, gc=False):
    usage: Any = None
    timings: Any = None


_decode_told: Final = msgspec.json.Decoder(_Told).decode


def settle_usage(seen: Seen) -> None:
    """Read what the event in `seen.running` tells of usage. Never raises."""
    try:
        told = _decode_told(seen.running)
    except UNREADABLE:
        try:
            told = salvage(parse_leniently(seen.running), _Told)
        except ValueError:
            return
    note_told(told.usage, told.timings, seen)


def note_told(usage: object, timings: object, seen: Seen) -> None:
    """Note what an event or answer tells. Of several usages the last counts: some servers send running totals."""
    if usage is not None:
        note_usage(usage, seen)
    elif timings is not None and (worked := read_timings(timings)) is not None:
        seen.usage, seen.running = worked, None


def note_usage(value: object, seen: Seen) -> None:
    """Note a usage object and the cost within, if it holds counts."""
    usage = read_usage(value)
    if usage is not None:
        seen.usage, seen.running = usage, None
        seen.cost_usd = read_cost(value)


def read_usage(value: object) -> Usage | None:
    """Return the OpenAI form's usage object as disjoint kinds; None where it holds no counts.

    prompt_tokens include cached ones, completion_tokens include reasoning. xAI adds reasoning on
    top, which total_tokens gives away.
    """
    if not isinstance(value, dict):
        return None
    totals = read_totals(value.get("prompt_tokens"), value.get("completion_tokens"))
    if totals is None:
        return None
    prompt, completion = totals
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
    told, details = value.get("cost"), value.get("cost_details")
    cost = read_usd(told.get("total_cost") if isinstance(told, dict) else told)
    if cost is not None:
        if value.get("is_byok") is True and isinstance(details, dict):
            cost += read_usd(details.get("upstream_inference_cost")) or 0.0
        return cost
    ticks = read_usd(value.get("cost_in_usd_ticks"))
    return None if ticks is None else ticks / _TICKS_PER_USD
