"""What a new configuration changes of the one in force, and what of it has to wait for a restart."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, NamedTuple

from sidecar.config import Settings
from sidecar.core.settings.explanation import describe
from sidecar.core.settings.kinds import Kind, members
from sidecar.core.settings.tree import KeyPath, spell
from sidecar.errors import ConfigError, ConfigProblem

# What stands for something that is open, or counted, for as long as the process lives: sockets, a connection with what waits for it,
# files that are being written, series that are bounded together. Everything below a path goes with it.
HELD: Final[tuple[KeyPath, ...]] = (
    ("listen",),
    ("admin", "listen"),
    ("admin", "web_config_file"),
    ("redis",),
    ("journal",),
    ("budgets", "file"),
    ("budgets", "sync"),
    ("content",),
    ("tracing", "endpoint"),
    ("tracing", "protocol"),
    ("tracing", "queue"),
    ("tracing", "cpu_share"),
    ("limits", "labels"),
    ("limits", "series"),
    ("log", "format"),
)


class Changes(NamedTuple):
    """What comes of new settings while old ones are in force. Paths are spelled as operators write them."""

    settings: Settings  # the new ones, but for what has to wait
    changed: tuple[str, ...]  # takes effect at once
    held: tuple[str, ...]  # differs, and waits for a restart


class Outcome(NamedTuple):
    """What came of an attempt to load a configuration anew: in force as a whole, or, with problems, nothing of it."""

    source: str
    changed: tuple[str, ...] = ()
    files: tuple[str, ...] = ()  # settings that are as they were, while the files that they name have other content
    held: tuple[str, ...] = ()
    problems: tuple[ConfigProblem, ...] = ()
    access: tuple[ConfigProblem, ...] = ()  # of the web configuration, which is in force or not by itself


def compare(old: Settings, new: Settings) -> Changes:
    """Return what changes from the `old` settings, which are in force, to the `new` ones.

    A list is one setting, whatever changed within it; of a map each entry counts, one that came or went as a whole.
    """
    fixed = _list_fixed(old)
    effective = new
    for path in fixed:
        effective = _restore(effective, old, path)
    differing = list(_differ(Kind(section=Settings), old, new, ()))
    held = [path for path in differing if any(path[: len(top)] == top for top in fixed)]
    return Changes(effective, _spell(path for path in differing if path not in held), _spell(held))


def has_to_wait(path: str) -> bool:
    """Whether the setting at a path, as `compare` spells it, waits for a restart."""
    return any(path == top or path.startswith(f"{top}.") for top in map(spell, HELD))


def show_outcome(outcome: Outcome) -> dict[str, Any]:
    """Return an outcome as JSON shows it, each problem also in the words of `llm-sidecar check`."""
    if outcome.problems:
        return {
            "error": "The configuration was not loaded: the one before it is in force.",
            "source": outcome.source,
            "problems": _show_problems(outcome.source, outcome.problems),
        }
    shown: dict[str, Any] = {"source": outcome.source, "changed": outcome.changed, "files": outcome.files, "restart": outcome.held}
    if outcome.access:
        shown["error"] = "The web configuration was not loaded: the one before it is in force."
        shown["problems"] = _show_problems("admin.web_config_file", outcome.access)
    return shown


def _show_problems(source: str, problems: Sequence[ConfigProblem]) -> list[dict[str, Any]]:
    told = describe(ConfigError(source, list(problems)))
    return [{**problem._asdict(), "message": text} for problem, text in zip(problems, told, strict=True)]


def _list_fixed(old: Settings) -> Sequence[KeyPath]:
    """Return what is held back. The ledger is open only where there are budgets."""
    return [path for path in HELD if path[0] != "budgets" or old.features.budgets]


def _spell(paths: Any) -> tuple[str, ...]:
    return tuple(spell(path) for path in paths)


def _differ(kind: Kind, old: Any, new: Any, path: KeyPath) -> Iterator[KeyPath]:
    """Yield the paths below `path` at which two values of a kind differ."""
    if old == new:
        return
    if kind.section is not None:
        for name, member in members(kind.section).items():
            yield from _differ(member.kind, getattr(old, name), getattr(new, name), (*path, name))
    elif kind.entries is not None:
        yield from _differ_in_entries(kind.entries, old, new, path)
    else:
        yield path


def _differ_in_entries(entry: Kind, old: Mapping[str, Any], new: Mapping[str, Any], path: KeyPath) -> Iterator[KeyPath]:
    for name in dict.fromkeys((*old, *new)):
        if name in old and name in new:
            yield from _differ(entry, old[name], new[name], (*path, name))
        else:
            yield (*path, name)


def _restore(new: Any, old: Any, path: KeyPath) -> Any:
    """Return `new` with what `old` has at `path`, a way through sections."""
    name, *rest = path
    value = getattr(old, str(name))
    if rest:
        value = _restore(getattr(new, str(name)), value, tuple(rest))
    return replace(new, **{str(name): value})
