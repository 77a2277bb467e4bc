"""Each module of core, of the edge and of the path has a test file of its own, in its place."""

import ast
from pathlib import Path

from tests.house.excuses import UNTESTED
from tests.house.source import ROOT, Module, modules


def has_behaviour(module: Module) -> bool:
    """Whether a module has functions, or classes with methods: data and Protocols have nothing to run."""
    return any(_behaves(node) for node in module.tree.body)


def _behaves(node: ast.stmt) -> bool:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return True
    if not isinstance(node, ast.ClassDef) or any(isinstance(base, ast.Name) and base.id == "Protocol" for base in node.bases):
        return False
    return any(isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef) and not _is_blank(inner) for inner in node.body)


def _is_blank(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Whether a function is only declared: a docstring, or `...`."""
    return all(isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) for node in function.body)


def expect_path(module: Module) -> str:
    """Return where a module's tests stand: a package's own in its folder, under the folder's name."""
    parts = module.path.removeprefix("sidecar/").removesuffix(".py").split("/")
    name = parts[-2] if parts[-1] == "__init__" else parts[-1]
    return "/".join(["tests", *parts[:-1], f"test_{name}.py"])


def list_test_files(folder: str) -> list[Path]:
    """Return the test files under a folder, but not those of an environment made there."""
    return [file for file in sorted((ROOT / folder).rglob("test_*.py")) if ".venv" not in file.parts]


def mirrored() -> list[Module]:
    """Return the modules that must have tests."""
    return [module for module in modules() if _is_mirrored(module.path) and has_behaviour(module)]


def _is_mirrored(path: str) -> bool:
    """Whether a module is core's, the edge's, or stands on the path, right under the package."""
    return path.startswith(("sidecar/core/", "sidecar/edge/")) or path.count("/") == 1


def test_every_module_has_its_test_file() -> None:
    """What a module does is found out where one looks for it; excuses that are not needed are taken back."""
    missing = {module.path: expect_path(module) for module in mirrored() if not (ROOT / expect_path(module)).is_file()}
    assert {path: expected for path, expected in missing.items() if path not in UNTESTED} == {}
    assert sorted(UNTESTED.keys() - missing.keys()) == []


def test_every_test_has_a_sentence() -> None:
    """Each test says in its docstring what it finds out."""
    silent = []
    for file in list_test_files("tests"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_") and not ast.get_docstring(node):
                silent.append(f"{file.relative_to(ROOT)}:{node.lineno} {node.name}")
    assert silent == []


def test_no_unit_test_sleeps() -> None:
    """Time is an argument: tests of core never wait."""
    found = [str(file.relative_to(ROOT)) for file in list_test_files("tests/core") if "sleep(" in file.read_text(encoding="utf-8")]
    assert found == []
