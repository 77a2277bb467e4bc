"""Which traces are kept."""

import pytest

from sidecar.core.observe.sampling import keeps
from sidecar.exchange import Ending

ORDINARY = {Ending.COMPLETED, Ending.CLIENT_GONE}


@pytest.mark.parametrize("ending", Ending)
def test_failures_are_always_kept(ending: Ending) -> None:
    """Every ending but a completed call and a caller that left is kept, sampled or not."""
    assert keeps(ending, 0.1, slow_s=10.0, sampled=False) == (ending not in ORDINARY)


@pytest.mark.parametrize("ending", sorted(ORDINARY))
def test_ordinary_calls_follow_the_sample(ending: Ending) -> None:
    """What neither failed nor was slow is kept if the trace was sampled."""
    assert keeps(ending, 0.1, slow_s=10.0, sampled=True)
    assert not keeps(ending, 10.0, slow_s=10.0, sampled=False)


def test_slow_calls_are_always_kept() -> None:
    """A call slower than the limit is kept whatever the sample says."""
    assert keeps(Ending.COMPLETED, 10.1, slow_s=10.0, sampled=False)
