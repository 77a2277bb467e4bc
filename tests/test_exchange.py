"""What a call is made of."""

from sidecar.exchange import SERVICE_ERRORS, Ending, Seen, Usage, UsageSource


def test_tokens_are_disjoint_and_their_sums_are_whole() -> None:
    """The input side holds cache reads and writes, the output side holds reasoning, and nothing is counted twice."""
    usage = Usage(input=1, cache_read=20, cache_write=300, output=4000, reasoning=50000)
    assert (usage.input_total, usage.output_total) == (321, 54000)
    assert usage.input_total + usage.output_total == sum(usage)
    assert (Usage().input_total, Usage().output_total) == (0, 0)


def test_a_callers_doing_is_no_error_of_the_service() -> None:
    """Nor is a provider's refusal, nor a refusal for lack of room; all else is."""
    assert {Ending.COMPLETED, Ending.CLIENT_GONE, Ending.CLIENT_FAULT, Ending.REJECTED, Ending.RATE_LIMITED, Ending.REFUSED}.isdisjoint(
        SERVICE_ERRORS
    )
    assert len(SERVICE_ERRORS) == len(Ending) - 6


def test_endings_can_be_looked_up_by_their_value() -> None:
    """Sinks keep tables by ending and by its text alike."""
    for enum in (Ending, UsageSource):
        assert dict.fromkeys(enum, 1) == {member.value: 1 for member in enum}


def test_observations_are_not_shared() -> None:
    """Each answer has lists of its own, and what was not seen is None."""
    first, second = Seen(), Seen()
    first.finish_reasons.append("stop")
    first.choices[0] = None
    assert (second.finish_reasons, second.choices) == ([], {})
    assert (second.usage, second.gaps, second.first_token, second.error_type, second.terminated) == (None, None, None, None, False)
