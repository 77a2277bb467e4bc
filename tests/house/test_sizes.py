"""Sizes: functions of at most 50 lines, files of at most 300. What grows past it is split by noun."""

import ast
from collections.abc import Iterator

from tests.house.excuses import LONG_FILES, LONG_FUNCTIONS
from tests.house.source import Module, modules

FUNCTION_LINES_MAX = 50
FILE_LINES_MAX = 300
FORBIDDEN_NAMES = {"utils", "util", "helpers", "helper", "common", "manager", "managers", "base", "misc"}


def sizes_of_functions(module: Module) -> Iterator[tuple[str, int]]:
    """Yield `path:qualified name` and lines of every function, docstring included."""

    def walk(node: ast.AST, names: tuple[str, ...]) -> Iterator[tuple[str, int]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
                yield f"{module.path}:{'.'.join([*names, child.name])}", (child.end_lineno or 0) - child.lineno + 1
            inner = (*names, child.name) if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) else names
            yield from walk(child, inner)

    return walk(module.tree, ())


def test_functions_are_short() -> None:
    """No function is longer than 50 lines, and no excuse is kept that is not needed."""
    long = {name: lines for module in modules() for name, lines in sizes_of_functions(module) if lines > FUNCTION_LINES_MAX}
    assert {name: lines for name, lines in long.items() if name not in LONG_FUNCTIONS} == {}
    assert sorted(LONG_FUNCTIONS.keys() - long.keys()) == []


def test_files_are_short() -> None:
    """No file is longer than 300 lines, and no excuse is kept that is not needed."""
    long = {module.path: lines for module in modules() if (lines := len(module.text.splitlines())) > FILE_LINES_MAX}
    assert {path: lines for path, lines in long.items() if path not in LONG_FILES} == {}
    assert sorted(LONG_FILES.keys() - long.keys()) == []


def test_modules_are_nouns_of_their_own() -> None:
    """A module named after nothing in particular collects anything."""
    assert [module.path for module in modules() if module.name.split(".")[-1] in FORBIDDEN_NAMES] == []


def test_every_module_says_what_it_is() -> None:
    """Each file begins with a docstring."""
    assert [module.path for module in modules() if module.text.strip() and not ast.get_docstring(module.tree)] == []
