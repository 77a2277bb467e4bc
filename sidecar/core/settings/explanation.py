"""The effective configuration as lines of text, each setting with its value and where that came from."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from sidecar.config import Unit
from sidecar.core.settings.environment import name_trace_endpoint
from sidecar.core.settings.kinds import Kind
from sidecar.core.settings.redaction import redact
from sidecar.core.settings.resolution import Loaded, walk
from sidecar.core.settings.tree import spell
from sidecar.core.settings.units import format_duration, format_size
from sidecar.errors import ConfigError, ConfigProblem

_VALUE_COLUMNS: Final = 56


def explain(loaded: Loaded, environ: Mapping[str, str]) -> list[str]:
    """Return one line per setting, `path: value  # origin`; anything secret as dots."""
    lines = [f"# {loaded.source}"]
    for leaf in walk(loaded.settings):
        path = spell(leaf.path)
        lines.append(f"{path}: {_format(leaf.kind, leaf.value)}".ljust(_VALUE_COLUMNS) + f"  # {loaded.origins[path]}")
    return [*lines, f"# traces: {_describe_tracing(loaded, environ)}"]


def describe(error: ConfigError) -> list[str]:
    """Return one line per problem, with the file and line where it stands in one."""
    return [_describe_problem(error.source, problem) for problem in error.problems]


def _describe_problem(source: str, problem: ConfigProblem) -> str:
    where = "" if problem.line is None else f"{source}:{problem.line}: "
    if problem.path == source:
        return f"{where or f'{source}: '}found {problem.found}; allowed: {problem.allowed}"
    return f"{where}{problem}"


def _describe_tracing(loaded: Loaded, environ: Mapping[str, str]) -> str:
    if loaded.settings.tracing.endpoint is not None:
        return "on (tracing.endpoint)"
    variable = name_trace_endpoint(environ)
    return f"on ({variable})" if variable else "off (no endpoint)"


def _format(kind: Kind, value: Any) -> str:
    if value is None:
        return "null"
    if kind.scalar in (Unit.DURATION, Unit.LIFETIME):
        return format_duration(value)
    if kind.scalar is Unit.SIZE:
        return format_size(value)
    if isinstance(value, str):
        return msgspec.json.encode(redact(value)).decode()
    return "true" if value is True else "false" if value is False else str(value)
