"""What a caller may ask of the sidecar."""

import pytest

from sidecar.core.identify.wishes import read_timeout
from sidecar.errors import BAD_REQUEST, ClientFault


@pytest.mark.parametrize(("text", "seconds"), [("5", 5.0), ("0.25", 0.25), ("1e3", 1000.0), (" 2 ", 2.0)])
def test_a_timeout_is_read_in_seconds(text: str, seconds: float) -> None:
    """Any positive number counts."""
    assert read_timeout({"x-sidecar-timeout": text}) == seconds


def test_without_a_wish_there_is_none() -> None:
    """Other fields of ours are not taken for it."""
    assert read_timeout({"x-sidecar-tenant": "5"}) is None


@pytest.mark.parametrize("text", ["", "0", "-1", "nan", "inf", "-inf", "5s", "five", "1,5", "0x5", "1e999"])
def test_anything_else_is_the_callers_mistake(text: str) -> None:
    """A wish that cannot be kept is told, never guessed at."""
    with pytest.raises(ClientFault) as raised:
        read_timeout({"x-sidecar-timeout": text})
    assert raised.value.kind is BAD_REQUEST
