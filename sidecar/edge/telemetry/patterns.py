"""The operator's own patterns, with a limit to the time that one may take on one text.

The standard library's `re` cannot be interrupted, and holds the interpreter while it searches. The
`regex` package can, and does not. It is needed only where patterns are configured.
"""

from collections.abc import Callable, Iterator
from typing import Any

from sidecar.config import Content, Limits, Pattern
from sidecar.core.observe.contents.capture import Composer
from sidecar.core.observe.findings import Span
from sidecar.core.observe.redaction import Own, Redactor
from sidecar.errors import ConfigError, ConfigProblem

_PATH = "content.redact.patterns"


def make_composer(content: Content, limits: Limits, note_withheld: Callable[[str], None]) -> Composer:
    """Return what composes captured content by the settings. Raises ConfigError.

    `note_withheld`: called, from the thread that composes, with the name of a pattern that ran out of time.
    """
    redact = content.redact
    redactor = Redactor(compile_patterns(redact.patterns, redact.timeout), builtin=redact.builtin, note_withheld=note_withheld)
    return Composer(redactor, bytes_max=content.bytes_max, decoded_bytes_max=limits.observed)


def compile_patterns(patterns: tuple[Pattern, ...], timeout_s: float) -> tuple[Own, ...]:
    """Return the patterns ready for use; each may take `timeout_s` seconds on one text. Raises ConfigError."""
    if not patterns:
        return ()
    try:
        import regex  # type: ignore[import-untyped]
    except ImportError:
        allowed = "an installation with it: llm-sidecar[patterns]"
        raise ConfigError("start", [ConfigProblem(_PATH, "patterns, but the package `regex` is not installed", allowed)]) from None
    found: list[Own] = []
    problems: list[ConfigProblem] = []
    for index, pattern in enumerate(patterns):
        try:
            found.append(Own(pattern.name, _make_finder(regex.compile(pattern.pattern), timeout_s)))
        except regex.error as error:
            problems.append(
                ConfigProblem(f"{_PATH}[{index}].pattern", f"a pattern that cannot be used ({error.msg})", "a regular expression")
            )
    if problems:
        raise ConfigError("start", problems)
    return tuple(found)


def _make_finder(compiled: Any, timeout_s: float) -> Callable[[str], Iterator[Span]]:
    def find(text: str) -> Iterator[Span]:
        # The limit is on the search as a whole, so the matches are taken before any is used.
        return iter([match.span() for match in compiled.finditer(text, timeout=timeout_s, concurrent=True)])

    return find
