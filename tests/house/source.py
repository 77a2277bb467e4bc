"""The package's source as data, for the rules to read."""

import ast
import io
import subprocess
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

import pytest

ROOT: Final = Path(__file__).resolve().parent.parent.parent
PACKAGE: Final = "sidecar"


class Module(NamedTuple):
    """One source file: path from the repository's top, dotted name, text and syntax tree."""

    path: str
    name: str
    text: str
    tree: ast.Module


class Import(NamedTuple):
    """One imported module, as a dotted name, and where."""

    target: str
    line: int


class Use(NamedTuple):
    """One use of something by its full dotted name, aliases resolved, and where."""

    target: str
    line: int


def tracked() -> list[str]:
    """Return the files that are, or would be, under version control."""
    done = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"], capture_output=True, check=False
    )
    if done.returncode != 0:
        pytest.skip("not a git checkout")
    return [path for path in done.stdout.decode().split("\0") if path and (ROOT / path).exists()]


@cache
def modules() -> tuple[Module, ...]:
    """Return every module of the package."""
    found = []
    for file in sorted((ROOT / PACKAGE).rglob("*.py")):
        path = file.relative_to(ROOT)
        parts = path.with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        text = file.read_text(encoding="utf-8")
        found.append(Module(path.as_posix(), name, text, ast.parse(text, path.as_posix())))
    return tuple(found)


def imports(module: Module) -> Iterator[Import]:
    """Yield every import of a module, wherever it stands: inside functions and type checks too."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            yield from (Import(alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(module, node)
            for alias in node.names:
                inner = f"{base}.{alias.name}"
                yield Import(inner if _is_module(inner) else base, node.lineno)


def uses(module: Module) -> Iterator[Use]:
    """Yield every name and attribute a module uses, by its full name where it was imported."""
    names = _imported_names(module)
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Name | ast.Attribute) and (dotted := _spell(node)):
            head, _, rest = dotted.partition(".")
            full = names.get(head, head)
            yield Use(f"{full}.{rest}" if rest else full, node.lineno)


def functions(module: Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Yield every function and method."""
    yield from (node for node in ast.walk(module.tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def comments(module: Module) -> Iterator[Use]:
    """Yield every comment's text and line."""
    for token in tokenize.generate_tokens(io.StringIO(module.text).readline):
        if token.type == tokenize.COMMENT:
            yield Use(token.string, token.start[0])


def _absolute(module: Module, node: ast.ImportFrom) -> str:
    if node.level == 0:
        return node.module or ""
    parts = module.name.split(".")
    is_package = module.path.endswith("__init__.py")
    base = parts[: len(parts) - node.level + is_package]
    return ".".join([*base, *([node.module] if node.module else [])])


def _is_module(name: str) -> bool:
    path = ROOT.joinpath(*name.split("."))
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


def _imported_names(module: Module) -> dict[str, str]:
    found: dict[str, str] = {}
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                head = alias.name.partition(".")[0]
                found[alias.asname or head] = alias.name if alias.asname else head
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(module, node)
            found.update({alias.asname or alias.name: f"{base}.{alias.name}" for alias in node.names})
    return found


def _spell(node: ast.expr) -> str:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        base = _spell(node.value)
        return f"{base}.{node.attr}" if base else f"?.{node.attr}"
    return ""
