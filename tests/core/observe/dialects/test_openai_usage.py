"""Token counts and cost in the OpenAI form."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.observe.dialects.openai_usage import read_cost, read_timings, read_usage
from sidecar.exchange import Usage

REASONED = "completion_tokens_details"
COUNTS: dict[str, Any] = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
NAMES = ("cost", "cost_details", "is_byok", "cost_in_usd_ticks", "prompt_tokens", "completion_tokens", "total_tokens", "cached_tokens",
         "prompt_tokens_details", "completion_tokens_details", "prompt_cache_hit_tokens", "cache_n", "prompt_n", "predicted_n")  # fmt: skip


@pytest.mark.parametrize(
    ("more", "usage"),
    [
        ({}, Usage(100, 0, 0, 20, 0)),
        ({"prompt_tokens_details": {"cached_tokens": 40, "cache_write_tokens": 10}}, Usage(50, 40, 10, 20, 0)),
        ({"prompt_cache_hit_tokens": 64, "prompt_cache_miss_tokens": 36}, Usage(36, 64, 0, 20, 0)),  # DeepSeek
        ({"prompt_cache_hit_tokens": 64, "prompt_tokens_details": {"cached_tokens": 64}}, Usage(36, 64, 0, 20, 0)),
        ({"cached_tokens": 30}, Usage(70, 30, 0, 20, 0)),  # Moonshot
        ({"prompt_tokens_details": None, "cached_tokens": "30"}, Usage(100, 0, 0, 20, 0)),
        ({"completion_tokens_details": {"reasoning_tokens": 15}}, Usage(100, 0, 0, 5, 15)),
        ({"completion_tokens_details": {"reasoning_tokens": 15}, "total_tokens": 135}, Usage(100, 0, 0, 20, 15)),  # xAI
        ({"prompt_cache_hit_tokens": 500}, Usage(0, 100, 0, 20, 0)),
    ],
)
def test_kinds_are_disjoint_wherever_they_are_told(more: dict[str, Any], usage: Usage) -> None:
    """The cache's share is told in the details by most, beside the other counts by some."""
    assert read_usage(COUNTS | more) == usage


@pytest.mark.parametrize(
    ("value", "usage"),
    [
        ({"prompt_tokens": 10, "completion_tokens": 5}, (10, 0, 0, 5, 0)),
        ({"prompt_tokens": 10}, (10, 0, 0, 0, 0)),
        ({"prompt_tokens": 10, "prompt_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 3}}, (3, 4, 3, 0, 0)),
        ({"prompt_tokens": 10, "completion_tokens": 9, "completion_tokens_details": {"reasoning_tokens": 4}}, (10, 0, 0, 5, 4)),
        ({"prompt_tokens": 10, "completion_tokens": 9, "total_tokens": 19, REASONED: {"reasoning_tokens": 9}}, (10, 0, 0, 0, 9)),
        ({"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 19, REASONED: {"reasoning_tokens": 7}}, (10, 0, 0, 2, 7)),
        ({"prompt_tokens": 3, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 9}}, (0, 3, 0, 2, 0)),
        ({"prompt_tokens": 3, "prompt_tokens_details": {"cached_tokens": "x"}, "completion_tokens_details": None}, (3, 0, 0, 0, 0)),
        ({}, None),
        ({"total_tokens": 7}, None),
        ({"prompt_tokens": "3"}, None),
        (None, None),
        ([1], None),
    ],
)  # fmt: skip
def test_usage(value: object, usage: tuple[int, ...] | None) -> None:
    """Totals include cache and reasoning; where the total shows reasoning on top it is added."""
    assert read_usage(value) == usage


@pytest.mark.parametrize("value", [None, [], {}, "x", 7, {"prompt_tokens": "5"}, {"total_tokens": 5},
                                   {"prompt_tokens": -1, "completion_tokens": 1, "total_tokens": 0}])  # fmt: skip
def test_without_counts_there_is_no_usage(value: object) -> None:
    """What is absent is not zero."""
    assert read_usage(value) is None


@pytest.mark.parametrize(
    ("told", "usd"),
    [
        ({"cost": 0.25}, 0.25),
        ({"cost": 0}, 0.0),
        ({"cost": 0.25, "is_byok": True, "cost_details": {"upstream_inference_cost": 0.5}}, 0.75),
        ({"cost": 0.25, "is_byok": False, "cost_details": {"upstream_inference_cost": 0.5}}, 0.25),
        ({"cost": 0.25, "is_byok": True, "cost_details": {"upstream_inference_cost": None}}, 0.25),
        ({"cost": {"input_tokens_cost": 0.1, "total_cost": 0.4}}, 0.4),
        ({"cost_in_usd_ticks": 37_756_000}, 0.0037756),
        ({"cost": -1}, None),
        ({"cost": "0.25"}, None),
        ({"cost": {}}, None),
        ({"cost": {"total": 1}}, None),
        ({}, None),
        (None, None),
    ],
)
def test_cost_is_read_as_each_provider_tells_it(told: object, usd: float | None) -> None:
    """In USD; what is no amount of money is none."""
    assert read_cost(told) == usd


@pytest.mark.parametrize(
    ("timings", "usage"),
    [
        ({"cache_n": 236, "prompt_n": 1, "predicted_n": 35}, Usage(1, 236, 0, 35, 0)),
        ({"prompt_n": 1, "predicted_n": 35}, None),  # how much of the prompt came from the cache is not told
        ({"cache_n": 0, "prompt_n": 5}, None),
        ({"cache_n": -1, "prompt_n": 5, "predicted_n": 1}, None),
        (None, None),
        (7, None),
    ],
)
def test_timings_count_where_all_of_them_are_told(timings: object, usage: Usage | None) -> None:
    """llama.cpp tells what it read anew and what it had kept; older servers only the first."""
    assert read_timings(timings) == usage


@given(JSON | st.dictionaries(st.sampled_from(NAMES), JSON))
def test_nothing_makes_it_raise(value: object) -> None:
    """Whatever stands there, counts are not negative and never more than the totals told."""
    for usage in (read_usage(value), read_timings(value)):
        assert usage is None or min(usage) >= 0
    cost_usd = read_cost(value)
    assert cost_usd is None or cost_usd >= 0


@pytest.mark.parametrize(
    "value", [{"completion_tokens": 5}, {"prompt_tokens": 5, "completion_tokens": "3"}, {"completion_tokens": 5, "total_tokens": 9}]
)
def test_half_a_usage_is_none(value: object) -> None:
    """A count that is missing or no number is not zero, so that nothing is known of the whole."""
    assert read_usage(value) is None
