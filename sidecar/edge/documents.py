"""YAML files as plain trees with line numbers: safe, bounded, and without the surprises of YAML 1.1.

Built from parser events instead of a loader: `on`, `1:30` and `2024-05-01` stay text as in YAML 1.2's core schema,
no tag makes an object, a key given twice is a fault, and aliases cannot expand without bound.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import yaml

from sidecar.core.settings.tree import Document, Fault, KeyPath
from sidecar.errors import ConfigError, ConfigProblem

FILE_BYTES_MAX: Final = 1024 * 1024
_NODES_MAX: Final = 100_000  # with every alias counted as large as what it stands for
_DEPTH_MAX: Final = 32

_INT: Final = re.compile(r"[-+]?[0-9]{1,20}")
_FLOAT: Final = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]{1,3})?")
_SPELT: Final = {"null": None, "true": True, "false": False}
_WORDS: Final = {"": None, "~": None} | {word: value for spelt, value in _SPELT.items() for word in (spelt, spelt.title(), spelt.upper())}
# What a plain value is anyway; of all others some would make objects.
_HARMLESS_TAGS: Final = (None, "tag:yaml.org,2002:str", "tag:yaml.org,2002:seq", "tag:yaml.org,2002:map")
_MERGE_KEY: Final = "<<"

# libyaml's parser where PyYAML was built with it: ten times as fast.
_Loader: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Unreadable(ValueError):
    """The text as a whole cannot be taken."""

    def __init__(self, found: str, allowed: str, line: int | None = None) -> None:
        super().__init__(found)
        self.found, self.allowed, self.line = found, allowed, line


def read_document(path: str) -> Document:
    """Read a YAML file whose outermost part is a mapping. Raises ConfigError where it cannot be read or is not YAML."""
    try:
        builder = _Builder(_read_text(path))
        tree = builder.build()
        if not isinstance(tree, dict | None):
            raise _Unreadable("a single value or a list", "a mapping at the outermost level", 1)
    except _Unreadable as error:
        raise ConfigError(path, [ConfigProblem(path, error.found, error.allowed, error.line)]) from None
    return Document(path, tree or {}, builder.lines, tuple(builder.faults))


def parse_value(text: str) -> Any:
    """Return the value that YAML text stands for. Raises ValueError with a sentence that quotes none of the text."""
    builder = _Builder(text)
    value = builder.build()
    if builder.faults:
        raise ValueError(builder.faults[0].found)
    return value


def _read_text(path: str) -> str:
    try:
        with Path(path).open("rb") as file:
            data = file.read(FILE_BYTES_MAX + 1)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = error.strerror if isinstance(error, OSError) else "not a path"
        raise _Unreadable(f"no readable file ({reason})", "a YAML file") from None
    if len(data) > FILE_BYTES_MAX:
        raise _Unreadable("a file that is too large", f"at most {FILE_BYTES_MAX} bytes")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _Unreadable("bytes that are not UTF-8", "text in UTF-8", data.count(b"\n", 0, error.start) + 1) from None


class _Builder:
    """Builds one tree from one text. `lines` and `faults` fill up as it goes."""

    def __init__(self, text: str) -> None:
        self.lines: dict[KeyPath, int] = {}
        self.faults: list[Fault] = []
        self._events: Iterator[Any] = iter(yaml.parse(text, Loader=_Loader))
        self._anchors: dict[str, tuple[Any, int]] = {}
        self._nodes = 0

    def build(self) -> Any:
        """Return the tree; None for an empty text. Raises _Unreadable."""
        try:
            next(self._events)  # the stream's start
            if isinstance(next(self._events), yaml.StreamEndEvent):
                return None
            tree = self._build_node(next(self._events), ())
            next(self._events)  # the document's end
            end = next(self._events)
        except yaml.YAMLError as error:
            raise _name_syntax_error(error) from None
        if not isinstance(end, yaml.StreamEndEvent):
            raise _Unreadable("a second document", "one document", end.start_mark.line + 1)
        return tree

    def _build_node(self, event: Any, path: KeyPath) -> Any:
        line = event.start_mark.line + 1
        self.lines.setdefault(path, line)
        before = self._nodes
        if isinstance(event, yaml.AliasEvent):
            return self._follow(event.anchor, line)
        self._count(1, line)
        if len(path) > _DEPTH_MAX:
            raise _Unreadable("parts nested too deeply", f"at most {_DEPTH_MAX} levels", line)
        if event.tag not in _HARMLESS_TAGS:
            self.faults.append(Fault(path, "a YAML tag", "plain values"))
        value: Any
        if isinstance(event, yaml.ScalarEvent):
            value = _resolve(event.value) if event.implicit[0] else event.value
        elif isinstance(event, yaml.SequenceStartEvent):
            value = self._build_list(path)
        else:
            value = self._build_mapping(path)
        if event.anchor:
            self._anchors[event.anchor] = (value, self._nodes - before)
        return value

    def _count(self, nodes: int, line: int) -> None:
        self._nodes += nodes
        if self._nodes > _NODES_MAX:
            raise _Unreadable("too many values, aliases counted in full", f"at most {_NODES_MAX}", line)

    def _follow(self, anchor: Any, line: int) -> Any:
        # An anchor is known only once its node is complete: an alias within its own node finds nothing.
        if anchor not in self._anchors:
            raise _Unreadable("an alias of an anchor that is not there yet", "aliases of earlier, complete parts", line)
        value, nodes = self._anchors[anchor]
        self._count(nodes, line)
        return value

    def _build_list(self, path: KeyPath) -> list[Any]:
        found: list[Any] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            found.append(self._build_node(event, (*path, len(found))))
        return found

    def _build_mapping(self, path: KeyPath) -> dict[Any, Any]:
        found: dict[Any, Any] = {}
        inherited: list[Any] = []
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            line = event.start_mark.line + 1
            key = self._build_node(event, (*path, ""))
            inner = (*path, key) if isinstance(key, str) else path
            if isinstance(key, dict | list):
                self.faults.append(Fault(path, "a key that is a mapping or a list", "single values as keys"))
                key = None
            elif key in found:
                self.faults.append(Fault(inner, f"the same key on lines {self.lines[inner]} and {line}", "each key once"))
            self.lines[inner] = line if inner != path else self.lines[path]
            value = self._build_node(next(self._events), inner)
            if key == _MERGE_KEY and event.implicit[0]:
                inherited += value if isinstance(value, list) else [value]
            else:
                found[key] = value
        return self._inherit(found, inherited, path)

    def _inherit(self, found: dict[Any, Any], inherited: list[Any], path: KeyPath) -> dict[Any, Any]:
        """Add what merge keys (`<<`) bring: own keys go over them, earlier ones over later."""
        for part in inherited:
            if not isinstance(part, dict):
                self.faults.append(Fault((*path, _MERGE_KEY), "a merge of something else", "a mapping, or a list of mappings"))
                continue
            for key, value in part.items():
                found.setdefault(key, value)
        return found


def _resolve(text: str) -> Any:
    """Return the value of a plain scalar by YAML 1.2's core schema, decimal numbers only."""
    if text in _WORDS:
        return _WORDS[text]
    if _INT.fullmatch(text):
        return int(text)
    return float(text) if _FLOAT.fullmatch(text) else text


def _name_syntax_error(error: yaml.YAMLError) -> _Unreadable:
    """The parser's own words for it, which quote single characters at most, and the line."""
    mark = getattr(error, "problem_mark", None)
    reason = getattr(error, "problem", None) or "a character that YAML does not allow"
    return _Unreadable(f"text that is not YAML: {reason}", "a YAML file", None if mark is None else mark.line + 1)
