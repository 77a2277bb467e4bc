"""Types of settings, read from annotations."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from sidecar.config import Ask, Duration, Settings, Size, Unit, Upstream
from sidecar.core.settings.kinds import Kind, members


@dataclass(frozen=True)
class Inner:
    number: int


@dataclass(frozen=True)
class Sample:
    needed: str
    maybe: str | None = None
    wait: Duration = 1.0
    room: Size = 1
    ask: Ask = Ask.AUTO
    inner: Inner = Inner(1)
    named: Mapping[str, Inner] = field(default_factory=dict)
    listed: tuple[Inner, ...] = ()


def test_each_annotation_becomes_its_kind() -> None:
    """Units, optional values, enumerations, sections, maps and lists are told apart."""
    kinds = {name: member.kind for name, member in members(Sample).items()}
    assert kinds == {
        "needed": Kind(scalar=str),
        "maybe": Kind(scalar=str, is_optional=True),
        "wait": Kind(scalar=Unit.DURATION),
        "room": Kind(scalar=Unit.SIZE),
        "ask": Kind(scalar=Ask),
        "inner": Kind(section=Inner),
        "named": Kind(entries=Kind(section=Inner)),
        "listed": Kind(items=Kind(section=Inner)),
    }


def test_only_fields_without_default_are_required() -> None:
    """A default or a factory makes a field optional to write."""
    assert [name for name, member in members(Sample).items() if member.is_required] == ["needed"]


def test_an_annotation_that_settings_do_not_use_is_refused() -> None:
    """A type that could not be decoded fails when it is declared, not when somebody sets it."""

    @dataclass(frozen=True)
    class Odd:
        odd: set[int]

    with pytest.raises(TypeError, match="set"):
        members(Odd)


def test_every_setting_has_a_kind() -> None:
    """The whole of the settings can be decoded."""
    seen: list[type] = [Settings]
    for section in seen:
        for member in members(section).values():
            inner = member.kind.entries or member.kind.items or member.kind
            if inner.section is not None:
                seen.append(inner.section)
    assert Upstream in seen
    assert len(seen) > 10
