"""Token counts as providers report them, made into disjoint kinds."""

from sidecar.exchange import Usage

COUNT_MAX = 2**53  # beyond it a JSON number is no longer exact


def read_count(value: object) -> int | None:
    """Return a token count, or None where `value` is not one."""
    if type(value) is int and 0 <= value <= COUNT_MAX:
        return value
    if type(value) is float and 0 <= value <= COUNT_MAX and value.is_integer():
        return int(value)
    return None


def read_totals(prompt: object, completion: object) -> tuple[int, int] | None:
    """Return both counts, or None where one is unknown: what is no count is not zero.

    A prompt has tokens; what makes no tokens, such as embeddings, leaves out the other count.
    """
    given, made = read_count(prompt), 0 if completion is None else read_count(completion)
    return None if given is None or made is None else (given, made)


def read_usd(value: object) -> float | None:
    """Return an amount of money, or None where `value` is not one."""
    if type(value) in (int, float) and 0 <= value <= COUNT_MAX:  # type: ignore[operator]
        return float(value)  # type: ignore[arg-type]
    return None


def split_usage(prompt: int, cache_read: int, cache_write: int, completion: int, reasoning: int) -> Usage:
    """Return disjoint kinds where `prompt` includes the cache's share and `completion` the reasoning.

    Details that exceed their total are cut to it: the totals are what is billed.
    """
    if cache_read > prompt:
        cache_read = prompt
    if cache_write > prompt - cache_read:
        cache_write = prompt - cache_read
    if reasoning > completion:
        reasoning = completion
    return Usage(prompt - cache_read - cache_write, cache_read, cache_write, completion - reasoning, reasoning)
