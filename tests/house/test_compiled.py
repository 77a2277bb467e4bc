"""What is compiled by mypyc keeps to what that can do."""

import ast
import tomllib
from collections.abc import Iterator

from tests.house.source import ROOT, modules

WAITS = (ast.Await, ast.AsyncFor, ast.AsyncWith, ast.Yield, ast.YieldFrom)


def list_compiled() -> list[str]:
    """Return the files that are compiled where that is asked for."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    files: list[str] = project["tool"]["hatch"]["build"]["targets"]["wheel"]["hooks"]["mypyc"]["include"]
    return files


def find_waits(tree: ast.Module) -> Iterator[int]:
    """Yield the lines in which something is waited for while an exception may be handled."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Try):
            handled = [*node.finalbody, *(statement for handler in node.handlers for statement in handler.body)]
            yield from (wait.lineno for statement in handled for wait in ast.walk(statement) if isinstance(wait, WAITS))


def test_files_that_are_compiled_are_there_in_order() -> None:
    """Each once; a file that is gone would be compiled no more, and nobody would know."""
    compiled = list_compiled()
    assert len(set(compiled)) == len(compiled) and {module.path for module in modules()}.issuperset(compiled)


def test_nothing_is_waited_for_while_an_exception_is_handled() -> None:
    """A compiled coroutine leaves it behind as the thread's own then: whatever is raised later holds it as its context, and so on."""
    compiled = set(list_compiled())
    assert [f"{module.path}:{line}" for module in modules() if module.path in compiled for line in find_waits(module.tree)] == []


def test_such_waits_are_found() -> None:
    """In handlers and in what comes at the end, nested ones too; not in what is tried."""
    text = """
async def run(work):
    try:
        await work()
    except ValueError:
        await work()
    finally:
        try:
            await work()
        finally:
            pass
"""
    assert sorted(set(find_waits(ast.parse(text)))) == [6, 9]
