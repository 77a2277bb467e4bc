"""Calls that are not made here, each with the reason and what to do instead."""

import ast
import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest

from tests.house.source import Module, comments, modules, uses

CLOCKS = {f"time.{name}" for name in ("time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns")} | {
    f"datetime.{name}" for name in ("datetime.now", "datetime.utcnow", "datetime.today", "date.today")
}
WAITS = {"asyncio.create_task", "asyncio.ensure_future"}
CODE = {"eval", "exec", "compile", "__import__"}
DECODERS = {"pickle", "marshal", "shelve", "dill"}
LOADERS = {"yaml.load", "yaml.unsafe_load", "yaml.full_load"}
# Programs of their own that talk to a person or play a part; they are not on the path.
PROGRAMS = ("sidecar/cli.py", "sidecar/demo.py", "sidecar/simulator/")


class Ban(NamedTuple):
    """A name that is not used, where it may be used, and why."""

    name: str
    is_meant: Callable[[str], bool]
    homes: tuple[str, ...]
    reason: str


BANS = (
    Ban(
        "starting tasks",
        lambda target: target in WAITS or target.endswith(".create_task"),
        ("sidecar/edge/tasks.py", "sidecar/simulator/", "sidecar/demo.py"),
        "the loop keeps only a weak reference, and failures vanish: use edge.tasks",
    ),
    Ban(
        "reading clocks",
        lambda target: target in CLOCKS,
        ("sidecar/edge/clock.py", "sidecar/simulator/", "sidecar/demo.py"),
        "time is an argument; the one clock is edge.clock",
    ),
    Ban(
        "blocking sleeps",
        lambda target: target == "time.sleep",
        ("sidecar/edge/telemetry/tracer.py", "sidecar/edge/past.py"),  # in threads of their own
        "it stops the event loop: await asyncio.sleep, or a deadline",
    ),
    Ban("print", lambda target: target == "print", PROGRAMS, "use the event log: standard output belongs to the verbs"),
    Ban("code from data", lambda target: target in CODE, (), "data is never code"),
    Ban(
        "unsafe decoding",
        lambda target: target.split(".")[0] in DECODERS or target in LOADERS,
        (),
        "it runs what it reads: use msgspec, or edge.documents for YAML",
    ),
    Ban(
        "exit",
        lambda target: target in {"exit", "quit", "os._exit"},
        ("sidecar/edge/signals.py",),  # the second signal: stop now
        "return an exit code to cli.main",
    ),
    Ban("stubs", lambda target: target == "NotImplementedError", (), "what is there works"),
    Ban(
        "other programs",
        lambda target: target.split(".")[0] == "subprocess" or target in {"os.system", "os.popen", "os.fork"},
        (),
        "a sidecar starts no programs",
    ),
)


@pytest.mark.parametrize("ban", BANS, ids=[ban.name for ban in BANS])
def test_nobody_does_what_is_banned(ban: Ban) -> None:
    """A banned name is used only at home."""
    found = [
        f"{module.path}:{use.line} {use.target}: {ban.reason}"
        for module in modules()
        if not module.path.startswith(ban.homes or ("nowhere",))
        for use in uses(module)
        if ban.is_meant(use.target)
    ]
    assert found == []


@pytest.mark.parametrize("ban", BANS, ids=[ban.name for ban in BANS])
def test_homes_are_there(ban: Ban) -> None:
    """An exception for a file that is gone is taken back."""
    assert [home for home in ban.homes if not any(module.path.startswith(home) for module in modules())] == []


def nodes(module: Module, kind: type[ast.AST]) -> Iterator[str]:
    """Yield where a kind of syntax stands."""
    yield from (f"{module.path}:{getattr(node, 'lineno', 0)}" for node in ast.walk(module.tree) if isinstance(node, kind))


def test_nothing_is_checked_by_assert() -> None:
    """`python -O` takes assertions out."""
    assert [place for module in modules() for place in nodes(module, ast.Assert)] == []


def test_no_except_is_bare() -> None:
    """A bare except swallows cancellation."""
    found = [
        f"{module.path}:{node.lineno}"
        for module in modules()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ExceptHandler) and node.type is None
    ]
    assert found == []


def test_nothing_is_left_to_do() -> None:
    """Marks of unfinished work do not get in."""
    marks = re.compile(r"\b(?:TODO|FIXME|XXX|HACK)\b")
    assert [f"{module.path}:{note.line}" for module in modules() for note in comments(module) if marks.search(note.target)] == []


def test_type_checks_are_silenced_by_name() -> None:
    """A silenced check says which one it is."""
    bare = re.compile(r"#\s*(?:type:\s*ignore(?!\[)|noqa(?!:))")
    assert [f"{module.path}:{note.line}" for module in modules() for note in comments(module) if bare.search(note.target)] == []


def test_private_names_stay_at_home() -> None:
    """What begins with an underscore is used only in its own module."""
    found = [
        f"{module.path}:{use.line} {use.target}"
        for module in modules()
        for use in uses(module)
        if use.target.startswith("sidecar.") and any(part.startswith("_") and not part.startswith("__") for part in use.target.split("."))
    ]
    assert found == []
