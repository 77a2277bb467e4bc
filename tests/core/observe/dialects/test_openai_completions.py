"""What counts as output in a completion's chunk."""

import pytest

from sidecar.core.observe.dialects import OPENAI_COMPLETIONS
from sidecar.exchange import Seen


@pytest.mark.parametrize(("text", "has_token"), [('"a"', True), ('" "', True), ('""', False), ("null", False)])
def test_text_is_output(text: str, has_token: bool) -> None:
    """Text that is not empty is output."""
    seen = Seen()
    OPENAI_COMPLETIONS.read_event(f'{{"choices":[{{"index":0,"text":{text}}}]}}'.encode(), seen, 7.0)
    assert (seen.first_token == 7.0) is has_token
