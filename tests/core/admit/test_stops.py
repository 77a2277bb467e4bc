"""What an operator asks of spending."""

import pytest

from sidecar.core.admit.spending_sums import ALL
from sidecar.core.admit.stops import read_stop

ACCOUNTS = ("default", "a", "other")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"tenant": null, "stopped": true}', (ALL, True)),
        (b'{"stopped": false, "tenant": "a"}', ("a", False)),
    ],
)
def test_what_is_asked_for(body: bytes, expected: tuple[str, bool]) -> None:
    """Null is everybody."""
    assert read_stop(body, ACCOUNTS) == expected


@pytest.mark.parametrize(
    "body",
    [
        b"", b"[]", b"{}", b"null", b'{"stopped": true}', b'{"tenant": "a"}', b'{"tenant": "a", "stopped": 1}', b"\xff" * 9,
        b'{"tenant": "a", "stopped": true, "more": 1}', b'{"tenant": 3, "stopped": true}', b"[" * 5000,
    ],
)  # fmt: skip
def test_what_is_not_understood_stops_nobody(body: bytes) -> None:
    """Nobody is everybody by mistake: a tenant that is not told is none."""
    with pytest.raises(ValueError, match="The body must be"):
        read_stop(body, ACCOUNTS)


@pytest.mark.parametrize("name", ["b", "", "A", "a\\n"])
def test_nobody_unknown_is_stopped(name: str) -> None:
    """Unknown ones share `other`: a stop in their own name would stop nothing. The answer does not repeat it."""
    with pytest.raises(ValueError, match=r"^The tenant must be null, which is everybody, or one of default, a, other\.$"):
        read_stop(b'{"tenant": "%b", "stopped": true}' % name.encode(), ACCOUNTS)
