"""What a caller may ask of the sidecar."""

import pytest

from sidecar.core.identify.wishes import NO_WISHES, Urgency, Wishes, read_timeout, read_wishes
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


def test_who_wishes_nothing_costs_nothing() -> None:
    """The very same object, so that whoever chooses can tell by one comparison."""
    assert read_wishes({}) is NO_WISHES
    assert read_wishes({"x-sidecar-tenant": "a", "x-sidecar-timeout": "5"}) is NO_WISHES


def test_all_wishes_are_read() -> None:
    """Each header goes to its own place, and spaces do not matter."""
    own = {
        "x-sidecar-max-response-time": "2.5", "x-sidecar-min-quality": "0.8", "x-sidecar-min-reliability": "1",
        "x-sidecar-prefer": "near, far", "x-sidecar-exclude": " dear ", "x-sidecar-urgency": " High ",
    }  # fmt: skip
    assert read_wishes(own) == Wishes(2.5, 0.8, 1.0, frozenset({"near", "far"}), frozenset({"dear"}), Urgency.HIGH)


def test_one_wish_leaves_the_others_open() -> None:
    """What was not asked for is not asked for."""
    assert read_wishes({"x-sidecar-min-quality": "0"}) == NO_WISHES._replace(min_quality=0.0)


def test_the_more_urgent_is_the_greater() -> None:
    """A queue sorts by it."""
    assert Urgency.LOW < Urgency.MEDIUM < Urgency.HIGH


@pytest.mark.parametrize(
    ("name", "text", "allowed"),
    [
        ("max-response-time", "0", "a positive number of seconds"),
        ("max-response-time", "soon", "a positive number of seconds"),
        ("min-quality", "1.01", "a number from 0 to 1"),
        ("min-quality", "nan", "a number from 0 to 1"),
        ("min-reliability", "-0.1", "a number from 0 to 1"),
        ("min-reliability", "99%", "a number from 0 to 1"),
        ("prefer", "", "names of upstreams, separated by commas"),
        ("exclude", "a,,b", "names of upstreams, separated by commas"),
        ("urgency", "", "one of low, medium, high"),
        ("urgency", "urgent", "one of low, medium, high"),
    ],
)
def test_a_malformed_wish_is_told_what_is_allowed(name: str, text: str, allowed: str) -> None:
    """The caller learns which header, and what it may say; nothing of what it said is repeated."""
    with pytest.raises(ClientFault) as raised:
        read_wishes({f"x-sidecar-{name}": text})
    assert raised.value.kind is BAD_REQUEST
    assert raised.value.detail.startswith(f"x-sidecar-{name}: ")
    assert raised.value.detail.endswith(allowed)
