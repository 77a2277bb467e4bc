"""The import law: who may know whom."""

import ast
import sys
from collections.abc import Iterator

import pytest

from tests.house.source import Module, functions, imports, modules

VOCABULARY = {
    "sidecar",
    "sidecar.errors",
    "sidecar.exchange",
    "sidecar.decision",
    "sidecar.config",
    "sidecar.catalogue",
    "sidecar.thresholds",
}
# The path itself: the steps and their order.
PATH = {
    "sidecar.attempts",
    "sidecar.batch",
    "sidecar.bundling",
    "sidecar.errands",
    "sidecar.flying",
    "sidecar.journeys",
    "sidecar.larder",
    "sidecar.hedges",
    "sidecar.limiting",
    "sidecar.openings",
    "sidecar.reading",
    "sidecar.refreshing",
    "sidecar.reuse",
    "sidecar.riding",
    "sidecar.trials",
    "sidecar.pipeline",
    "sidecar.progress",
    "sidecar.queueing",
    "sidecar.sealing",
    "sidecar.sessions",
    "sidecar.spending",
    "sidecar.warming",
}
COMPOSITION = {
    "sidecar.cli",
    "sidecar.app",
    "sidecar.process",
    "sidecar.console",
    "sidecar.economy",
    "sidecar.pantry",
    "sidecar.treasury",
    "sidecar.generation",
    "sidecar.insight",
    "sidecar.recording",
    "sidecar.reloading",
    "sidecar.switchboard",
    "sidecar.vitals",
    "sidecar.demo",
    "sidecar.__main__",
}

# For each room: the rooms it may import, itself included.
LAW = {
    "vocabulary": {"vocabulary"},
    "core": {"core", "vocabulary"},
    "ports": {"ports", "core", "vocabulary"},
    "edge": {"edge", "ports", "core", "vocabulary"},
    "path": {"path", "ports", "core", "vocabulary"},
    # Both are pure: a report is reckoned in core and drawn in render.
    "render": {"render", "core", "vocabulary"},
    # The simulated provider keeps its own account: code shared with what it checks would share its mistakes.
    "simulator": {"simulator", "vocabulary"},
    "composition": {"composition", "path", "edge", "ports", "core", "render", "simulator", "vocabulary"},
}
# Nobody imports these but these.
IMPORTERS_OF_COMPOSITION = {
    "sidecar.app": {"sidecar.process", "sidecar.demo"},
    "sidecar.process": {"sidecar.cli", "sidecar.demo"},
    "sidecar.demo": {"sidecar.cli"},
    "sidecar.console": {"sidecar.app"},
    "sidecar.economy": {"sidecar.app", "sidecar.console", "sidecar.vitals"},
    "sidecar.generation": {"sidecar.app", "sidecar.console", "sidecar.reloading"},
    "sidecar.insight": {"sidecar.app", "sidecar.console"},
    "sidecar.pantry": {"sidecar.economy"},
    "sidecar.treasury": {"sidecar.economy"},
    "sidecar.recording": {"sidecar.app"},
    "sidecar.reloading": {"sidecar.app"},
    "sidecar.switchboard": {"sidecar.app", "sidecar.console", "sidecar.vitals"},
    "sidecar.vitals": {"sidecar.app"},
    "sidecar.cli": {"sidecar.__main__"},
    "sidecar.__main__": set(),
}

# What core may use: no clock, no chance, no input or output, no concurrency, no logging.
CORE_STANDARD_LIBRARY = {
    "base64", "binascii", "bisect", "codecs", "collections", "collections.abc", "copy", "dataclasses", "datetime", "difflib", "enum",
    "fnmatch", "hmac",
    "functools", "hashlib", "heapq", "ipaddress", "itertools", "json", "math", "operator", "re", "string", "struct", "types", "typing",
    "unicodedata", "urllib.parse", "zlib",
}  # fmt: skip
CORE_THIRD_PARTY = {"msgspec"}
RENDER_THIRD_PARTY = {"yaml"}  # rule files, manifests


def room_of(name: str) -> str:
    """Return the room a module belongs to."""
    if name in VOCABULARY or name.startswith(("sidecar.catalogue.", "sidecar.config.", "sidecar.errors.", "sidecar.exchange.")):
        return "vocabulary"
    if name in PATH:
        return "path"
    if name in COMPOSITION:
        return "composition"
    return name.split(".")[1]


def breaches(module: Module) -> Iterator[str]:
    """Yield each import of a module that the law does not allow."""
    room = room_of(module.name)
    for target, line in imports(module):
        if target.split(".")[0] != "sidecar":
            continue
        where = f"{module.path}:{line} imports {target}"
        if room_of(target) not in LAW.get(room, ()):
            yield f"{where}: {room} may import only {', '.join(sorted(LAW.get(room, ())))}"
        elif target in IMPORTERS_OF_COMPOSITION and module.name not in IMPORTERS_OF_COMPOSITION[target]:
            yield f"{where}: only {IMPORTERS_OF_COMPOSITION[target] or 'nobody'} may"


def test_every_module_belongs_to_a_room() -> None:
    """A new folder or top-level module is added to the law on purpose."""
    assert [module.path for module in modules() if room_of(module.name) not in LAW] == []


def test_modules_import_only_what_the_law_allows() -> None:
    """Deciding and doing stay apart; only the composition knows all."""
    assert [breach for module in modules() for breach in breaches(module)] == []


def test_core_uses_only_pure_libraries() -> None:
    """Nothing in core can read a clock, draw a number, open a file or wait."""
    found = [
        f"{module.path}:{line} imports {target}"
        for module in modules()
        if room_of(module.name) == "core"
        for target, line in imports(module)
        if target.split(".")[0] != "sidecar" and target not in CORE_STANDARD_LIBRARY and target.split(".")[0] not in CORE_THIRD_PARTY
    ]
    assert found == []


def test_core_has_no_coroutines() -> None:
    """A function without await cannot be interrupted: that is the only lock there is."""
    found = [
        f"{module.path}:{function.lineno} {function.name}"
        for module in modules()
        if room_of(module.name) in ("core", "vocabulary")
        for function in functions(module)
        if isinstance(function, ast.AsyncFunctionDef)
    ]
    assert found == []


def test_vocabulary_uses_only_pure_libraries() -> None:
    """What everybody imports brings nothing along."""
    found = [
        f"{module.path}:{line} imports {target}"
        for module in modules()
        if room_of(module.name) == "vocabulary"
        for target, line in imports(module)
        if target.split(".")[0] != "sidecar" and target not in CORE_STANDARD_LIBRARY and target.split(".")[0] not in CORE_THIRD_PARTY
    ]
    assert found == []


@pytest.mark.parametrize(
    ("library", "home", "files_max"),
    [
        ("prometheus_client", "sidecar/edge/telemetry/", 1),
        ("opentelemetry", "sidecar/edge/telemetry/", None),
        ("httptools", "sidecar/edge/", 2),
        ("uvloop", "sidecar/edge/", 1),
        ("redis", "sidecar/edge/shared/", 1),
        ("cryptography", "sidecar/edge/shared/", 1),
    ],
)
def test_foreign_libraries_have_one_home(library: str, home: str, files_max: int | None) -> None:
    """A library can be replaced where it is used, and it is used in one place. The simulator has its own."""
    users = sorted(
        {
            module.path
            for module in modules()
            for target, _ in imports(module)
            if target.split(".")[0] == library and not module.path.startswith("sidecar/simulator/")
        }
    )
    assert [path for path in users if not path.startswith(home)] == []
    assert files_max is None or len(users) <= files_max, users


def test_core_and_path_use_no_foreign_library_unknown_here() -> None:
    """The path itself needs nothing but the standard library and what its structs are made with."""
    found = [
        f"{module.path}:{line} imports {target}"
        for module in modules()
        if room_of(module.name) in ("path", "ports", "render")
        for target, line in imports(module)
        if target.split(".")[0] not in sys.stdlib_module_names | {"sidecar"} | CORE_THIRD_PARTY
        and not (room_of(module.name) == "render" and target in RENDER_THIRD_PARTY)
    ]
    assert found == []
