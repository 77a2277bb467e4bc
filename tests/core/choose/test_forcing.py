"""What an operator asks to be made of circuit breakers."""

import pytest

from sidecar.config import Force
from sidecar.core.choose.forcing import read_force


@pytest.mark.parametrize("force", list(Force))
def test_each_value_can_be_asked_for(force: Force) -> None:
    """All that the setting allows."""
    assert read_force(b'{"force": "%b"}' % force.value.encode()) is force


@pytest.mark.parametrize(
    "body",
    [b"", b"null", b"{}", b'"open"', b'{"force": null}', b'{"force": "OPEN"}', b'{"force": "sk-secret"}', b'{"force": ["open"]}',
     b'{"force": "open", "for": "5m"}', b'{"force": "open"} x', b"\xff", b'{"force": "\xff"}', b"[" * 20_000],
)  # fmt: skip
def test_all_else_is_told_what_is_allowed(body: bytes) -> None:
    """One sentence with every value, and nothing of what was sent."""
    with pytest.raises(ValueError, match=r'"auto", "open", "closed", "disabled"') as raised:
        read_force(body)
    assert "secret" not in str(raised.value)
