"""What providers tell of their rate limits in the fields of an answer: of what kind, how much, how much is left.

Names are those that the providers document: OpenAI, Azure and Groq count requests and tokens in one
window, Anthropic counts input and output tokens apart, Mistral and Cerebras name the window. Fields
that are not here, such as the moment of a reset, are passed on and not read.
"""

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from sidecar.core.observe.usage import COUNT_MAX

_OPENAI: Final = ("requests", "tokens", "input-tokens", "output-tokens", "project-tokens")  # x-ratelimit-remaining-KIND
_WINDOWED: Final = tuple(f"{unit}-{window}" for unit in ("requests", "tokens") for window in ("minute", "hour", "day", "month"))
_ANTHROPIC: Final = ("requests", "tokens", "input-tokens", "output-tokens")  # anthropic-ratelimit-KIND-remaining
_PRIORITY: Final = ("input-tokens", "output-tokens")  # anthropic-priority-KIND-remaining
# Spelled otherwise, or without a kind: then requests are counted (OpenRouter, Together, the IETF's draft).
_OTHERS: Final = {
    "x-ratelimit-{}": "requests", "ratelimit-{}": "requests", "x-tokenlimit-{}": "tokens",
    "x-ratelimit-{}-req-minute": "requests_minute", "x-ratelimit-{}-tokens-prompt": "input_tokens",
    "x-ratelimit-{}-tokens-generated": "output_tokens",
}  # fmt: skip


class Field(NamedTuple):
    """What one field tells: what is counted, and whether how many are left or how many there are."""

    kind: str
    is_remaining: bool


class Level(NamedTuple):
    """One reading of a limit."""

    kind: str  # one of catalogue.RATELIMIT_KINDS
    is_remaining: bool  # how many are left; else how many there are
    value: int


def _list_fields() -> Iterator[tuple[bytes, Field]]:
    forms = dict(_OTHERS)
    forms |= {f"x-ratelimit-{{}}-{kind}": kind.replace("-", "_") for kind in (*_OPENAI, *_WINDOWED)}
    forms |= {f"anthropic-ratelimit-{kind}-{{}}": kind.replace("-", "_") for kind in _ANTHROPIC}
    forms |= {f"anthropic-priority-{kind}-{{}}": f"priority_{kind.replace('-', '_')}" for kind in _PRIORITY}
    for form, kind in forms.items():
        yield form.format("remaining").encode("ascii"), Field(kind, True)
        yield form.format("limit").encode("ascii"), Field(kind, False)


FIELDS: Final = dict(_list_fields())  # by name in lower case


def read_levels(lines: Iterable[bytes]) -> list[Level]:
    """Return what the fields among `lines` (`Name: value`) tell. Never raises.

    -1 (Azure, where there is no limit) and all else that is not a count tell nothing.
    """
    levels: list[Level] = []
    for line in lines:
        name, _, value = line.partition(b":")
        field = FIELDS.get(name.lower())
        count = value.strip()
        if field is not None and count.isdigit() and len(count) <= len(str(COUNT_MAX)):
            levels.append(Level(field.kind, field.is_remaining, int(count)))
    return levels
