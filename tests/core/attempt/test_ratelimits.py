"""What providers tell of their rate limits."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar import catalogue
from sidecar.core.attempt.ratelimits import FIELDS, Level, read_levels


@pytest.mark.parametrize(
    ("lines", "levels"),
    [
        (  # OpenAI, Groq
            [b"x-ratelimit-limit-requests: 500", b"x-ratelimit-remaining-requests: 499", b"X-RateLimit-Remaining-Tokens: 29998"],
            [Level("requests", False, 500), Level("requests", True, 499), Level("tokens", True, 29998)],
        ),
        (  # Anthropic
            [b"anthropic-ratelimit-input-tokens-remaining: 39000", b"anthropic-ratelimit-requests-limit: 50"],
            [Level("input_tokens", True, 39000), Level("requests", False, 50)],
        ),
        ([b"anthropic-priority-output-tokens-remaining: 12000"], [Level("priority_output_tokens", True, 12000)]),
        ([b"X-RateLimit-Limit: 20", b"X-RateLimit-Remaining: 0"], [Level("requests", False, 20), Level("requests", True, 0)]),  # OpenRouter
        (  # Mistral, Cerebras
            [b"x-ratelimit-remaining-req-minute: 5", b"x-ratelimit-remaining-tokens-minute: 7", b"x-ratelimit-limit-tokens-day: 9"],
            [Level("requests_minute", True, 5), Level("tokens_minute", True, 7), Level("tokens_day", False, 9)],
        ),
    ],
)
def test_each_providers_names_are_read(lines: list[bytes], levels: list[Level]) -> None:
    """In any case, in the order in which they came."""
    assert read_levels(lines) == levels


@pytest.mark.parametrize("value", [b"-1", b"", b" ", b"many", b"1e3", b"1.5", b"\xb2", b"9" * 40, b"10, 10;w=1"])
def test_what_is_no_count_tells_nothing(value: bytes) -> None:
    """Azure says -1 where there is no limit: that is not a level."""
    assert read_levels([b"x-ratelimit-remaining-tokens: " + value]) == []


def test_every_kind_is_declared() -> None:
    """The label is a closed one: its values are those of the table, no more and no fewer."""
    assert {field.kind for field in FIELDS.values()} == set(catalogue.RATELIMIT_KINDS)


@given(st.lists(st.binary(max_size=80)))
def test_nothing_makes_it_raise(lines: list[bytes]) -> None:
    """Lines are whatever an upstream sends."""
    read_levels(lines)
