"""Each module of core and edge has a test file of its own, in its place."""

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
    return any(isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef) for inner in node.body)


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
    return [module for module in modules() if module.path.startswith(("sidecar/core/", "sidecar/edge/")) and has_behaviour(module)]


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
