"""What is said in calls, and what becomes of it."""

from dataclasses import dataclass
from enum import StrEnum

from sidecar.config.units import Duration, Size


class Capture(StrEnum):
    """Where the content of calls goes: prompts, answers, tool calls."""

    OFF = "off"
    SPANS = "spans"
    FILE = "file"


@dataclass(frozen=True, slots=True)
class Pattern:
    """One thing to take out of content: a regular expression, as Python writes them."""

    name: str  # stands in the text's place, as [REDACTED:name]
    pattern: str


@dataclass(frozen=True, slots=True)
class Redact:
    builtin: bool = True  # keys, tokens, e-mail addresses, card, account and phone numbers
    patterns: tuple[Pattern, ...] = ()
    timeout: Duration = 0.1  # of one pattern on one text; beyond it the whole text is withheld


@dataclass(frozen=True, slots=True)
class Content:
    """What is said in calls is recorded only where this asks for it, and then redacted and bounded."""

    capture: Capture = Capture.OFF
    file: str | None = None  # JSON lines, one object per call
    file_bytes_max: Size = 64 * 1024 * 1024  # beyond it the file is renamed to FILE.1, and a new one begun
    bytes_max: Size = 64 * 1024  # each of instructions, input, tools and output
    queue: Size = 16 * 1024 * 1024  # of calls whose content waits to be redacted
    cpu_share: float = 0.05  # of one core, spent on redacting and writing at most
    redact: Redact = Redact()
