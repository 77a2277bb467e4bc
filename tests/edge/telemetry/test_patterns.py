"""The operator's own patterns."""

import sys
import time

import pytest

from sidecar.config import Content, Limits, Pattern, Redact
from sidecar.core.observe.redaction import WITHHELD
from sidecar.edge.telemetry.patterns import compile_patterns, make_composer
from sidecar.errors import ConfigError
from sidecar.exchange import Said, Spoken


def said(text: str) -> Said:
    """Return an answer of one text."""
    return Said("openai_chat", b"", b"", b"", (Spoken(0, "text", text),))


def test_patterns_find_what_they_say() -> None:
    """Every match, in any script; groups do not matter."""
    (own,) = compile_patterns((Pattern("project", r"(?i)proj-(\d+)"),), 0.1)
    assert own.name == "project"
    assert list(own.find("PROJ-1, proj-23; проект-4")) == [(0, 6), (8, 15)]


def test_a_pattern_is_stopped_in_time() -> None:
    """One that backtracks for ever ends when its time is over, and what it could not judge is withheld and counted."""
    told: list[str] = []
    redact = Redact(patterns=(Pattern("evil", r"(?:a|aa)+$"),), timeout=0.02)
    composer = make_composer(Content(redact=redact), Limits(), told.append)
    began = time.monotonic()
    composed = composer.compose(said("a" * 80 + "b")).output_messages
    assert time.monotonic() - began < 2
    assert composed == f'[{{"role":"assistant","parts":[{{"type":"text","content":"{WITHHELD}"}}]}}]'
    assert told == ["evil"]
    assert "[REDACTED:evil]" in (composer.compose(said("aaa")).output_messages or "")


def test_the_settings_reach_the_composer() -> None:
    """Built-in forms can be switched off, the bound on bytes holds."""
    composer = make_composer(Content(bytes_max=1024, redact=Redact(builtin=False)), Limits(), lambda name: None)
    composed = composer.compose(said("a@b.example " * 500)).output_messages or ""
    assert "a@b.example" in composed
    assert len(composed) <= 1024


def test_what_cannot_be_used_is_a_problem_with_its_path() -> None:
    """Python's own module may take what this one does not."""
    with pytest.raises(ConfigError) as raised:
        compile_patterns((Pattern("fine", "a+"), Pattern("bad", r"\p{Nonsense}")), 0.1)
    (problem,) = raised.value.problems
    assert problem.path == "content.redact.patterns[1].pattern"


def test_the_package_is_asked_for_only_where_there_are_patterns(monkeypatch: pytest.MonkeyPatch) -> None:
    """And the problem says how to get it."""
    monkeypatch.setitem(sys.modules, "regex", None)
    assert compile_patterns((), 0.1) == ()
    with pytest.raises(ConfigError, match=r"llm-sidecar\[patterns\]"):
        compile_patterns((Pattern("a", "a"),), 0.1)
