"""The image: what its Dockerfile says, and that what its steps make runs as a container would, without an engine.

Where $LLM_SIDECAR_TEST_IMAGE names a root file system that the steps have made (of another Debian, say, or a compiled one), it is
the one that is tested; else one is made of this machine's Debian, without a compiler.
"""

import ast
import json
import os
import re
import signal
import stat
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from sidecar import __version__
from sidecar.config import Admin, Settings
from tests.rig.container import can_contain
from tests.rig.dockerfile import Stage, read_dockerfile
from tests.rig.process import ROOT, find_port, run_simulator

IMAGE: Final = ROOT / "deploy/image"
PREFIX: Final = "/opt/llm-sidecar"
USER: Final = 65532
DATA: Final = "/var/lib/llm-sidecar"
CONFIG: Final = "/etc/llm-sidecar"
FIRST, (BUILDER, RUNTIME) = read_dockerfile(IMAGE / "Dockerfile")
START_S_MAX: Final = 5.0  # the limit is 1 s, which the footprint's bench holds against it; machines that test may be busy


# -- what the Dockerfile says ----------------------------------------------------------------------------------------------


def test_the_base_can_be_pinned() -> None:
    """It is an argument, has no host of a registry in it, and never means whatever is newest; the image itself has nothing below it."""
    arguments = Stage("", "", FIRST).read_pairs("ARG")
    assert BUILDER.base == "${BASE}" and RUNTIME.base == "scratch"
    assert re.fullmatch(r"[a-z]+:[a-z0-9.-]+", arguments["BASE"]) and "latest" not in arguments["BASE"]


def test_every_command_is_a_list() -> None:
    """No shell stands between: signals reach the sidecar, which is the first process; nothing runs in the image itself."""
    for stage in (BUILDER, RUNTIME):
        for name in ("RUN", "ENTRYPOINT", "CMD"):
            assert all(found.is_exec for found in stage.find(name))
    assert RUNTIME.find("RUN") == []
    assert [found.words for found in RUNTIME.find("ENTRYPOINT") + RUNTIME.find("CMD")] == [(f"{PREFIX}/bin/llm-sidecar",), ("run",)]


def test_the_steps_are_those_of_the_script() -> None:
    """What is run without an engine is what the builder runs."""
    assert [found.words for found in BUILDER.find("RUN")] == [
        ("sh", "/steps/steps.sh", "tools"),
        ("sh", "/steps/steps.sh", "root", "/source", "/image"),
    ]
    script = (IMAGE / "steps.sh").read_text(encoding="utf-8")
    for name, default in BUILDER.read_pairs("ARG").items():
        assert f"${{{name}-{default}}}" in script or f"${{{name}:-{default}}}" in script
        assert f"{name}=${{{name}}}" in BUILDER.find("ENV")[0].text


def test_nobody_in_particular_runs_it() -> None:
    """By number, so that Kubernetes can tell that it is not root; stopped by the signal that means it; ports as they are by default."""
    assert [found.text for found in RUNTIME.find("USER")] == [f"{USER}:{USER}"]
    assert [found.text for found in RUNTIME.find("STOPSIGNAL")] == ["SIGTERM"]
    ports = {address.rpartition(":")[2] for address in (Settings().listen, Admin().listen)}
    assert set(RUNTIME.find("EXPOSE")[0].words) == ports
    assert [found.text for found in RUNTIME.find("WORKDIR")] == [CONFIG]


def test_it_says_what_it_is() -> None:
    """Labels of the OCI's image specification; the version is the package's."""
    labels, arguments = RUNTIME.read_pairs("LABEL"), RUNTIME.read_pairs("ARG")
    assert {f"org.opencontainers.image.{name}" for name in ("title", "description", "licenses", "version", "revision", "created")} < set(
        labels
    )
    assert arguments["VERSION"] == __version__
    assert labels["org.opencontainers.image.licenses"] == project()["license"]


def test_nothing_is_fetched_and_nothing_is_secret() -> None:
    """No ADD, no address, no argument that looks like a credential, and no cached one either."""
    assert BUILDER.find("ADD") + RUNTIME.find("ADD") == []
    text = (IMAGE / "Dockerfile").read_text(encoding="utf-8")
    assert "://" not in text and "--mount=type=secret" not in text
    names = {name for stage in (BUILDER, RUNTIME) for kind in ("ARG", "ENV") for name in stage.read_pairs(kind)}
    assert not [name for name in names if re.search(r"TOKEN|SECRET|PASSWORD|KEY|CREDENTIAL", name)]


def test_the_builder_gets_what_the_package_is_made_of() -> None:
    """All that the wheel is built of, and nothing that .dockerignore holds back."""
    sources = {word for found in BUILDER.find("COPY") for word in found.words[:-1]}
    assert all((ROOT / source).exists() for source in sources)
    ignore = (IMAGE / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    assert {line.removeprefix("!") for line in ignore if line.startswith("!")} == sources
    assert "*" in ignore
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["hatch"]["build"]["targets"]["wheel"]
    needed = {*wheel["packages"], *wheel["force-include"], "pyproject.toml", project()["readme"], *project()["license-files"]}
    assert needed <= sources


# -- which versions --------------------------------------------------------------------------------------------------------


def project() -> dict[str, Any]:
    """Return what pyproject.toml says of the project."""
    found: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return found


def read_pins() -> dict[str, str]:
    """Return the version of each Python package."""
    lines = (IMAGE / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pairs = (line.split("==") for line in lines if line and not line.startswith("#"))
    return {canonicalize_name(name): version for name, version in pairs}


def read_table() -> dict[str, tuple[str, str]]:
    """Return version and origin of each package that the README lists."""
    rows = re.findall(
        r"^\| ([a-z0-9.+-]+) \| ([^ |]+) \| (Debian|Python) \|", (IMAGE / "README.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    return {name: (version, origin) for name, version, origin in rows}


def test_pins_satisfy_what_the_project_needs() -> None:
    """Each of its dependencies, and of the extras that the image has, is pinned to a version that it allows."""
    extras = BUILDER.read_pairs("ARG")["EXTRAS"].split(",")
    pins = read_pins()
    for line in (*project()["dependencies"], *(need for extra in extras for need in project()["optional-dependencies"][extra])):
        need = Requirement(line)
        assert need.specifier.contains(pins[canonicalize_name(need.name)]), line


def test_the_readme_lists_the_pins() -> None:
    """With their versions."""
    listed = {name: version for name, (version, origin) in read_table().items() if origin == "Python"}
    assert listed == {**read_pins(), "llm-sidecar": __version__}


# -- what the steps make ---------------------------------------------------------------------------------------------------


def find_debian_python() -> str | None:
    """Return Debian's own Python, if it is new enough."""
    python = Path("/usr/bin/python3")
    if not (python.exists() and Path("/usr/bin/dpkg-query").exists()):
        return None
    done = subprocess.run([python, "-c", "import sys, venv; sys.exit(sys.version_info < (3, 11))"], capture_output=True, check=False)
    return str(python) if done.returncode == 0 else None


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The root file system."""
    if not can_contain():
        pytest.skip("mounts can be made by root only")
    if made := os.environ.get("LLM_SIDECAR_TEST_IMAGE"):
        return Path(made)
    python = find_debian_python()
    if python is None:
        pytest.skip("this is no Debian with a Python of at least 3.11")
    root = tmp_path_factory.mktemp("image") / "root"
    environ = {**os.environ, "COMPILED": "false", "PYTHON": python, "PIP": f"{sys.executable} -m pip"}
    done = subprocess.run(["sh", IMAGE / "steps.sh", "root", ROOT, root], env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return root


class Container:
    """The image's program, run as an engine runs it."""

    def __init__(self, root: Path, folder: Path, arguments: list[str] | None = None, *, mounts: Mapping[str, str], **environ: str) -> None:
        (entry,), (command,), (folder_inside,) = (RUNTIME.find(name) for name in ("ENTRYPOINT", "CMD", "WORKDIR"))
        told = {
            "argv": [*entry.words, *(arguments or command.words)], "environment": {**RUNTIME.read_pairs("ENV"), **environ},
            "user": USER, "folder": folder_inside.text, "mounts": mounts,
        }  # fmt: skip
        self.log = folder / f"{find_port()}.log"
        with self.log.open("wb") as output:
            contain = [sys.executable, "-m", "tests.rig.container", str(root), json.dumps(told)]
            self.process = subprocess.Popen(contain, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, cwd=ROOT)

    @property
    def output(self) -> str:
        """What it wrote."""
        return self.log.read_text(encoding="utf-8")

    def await_ready(self, url: str) -> None:
        """Wait until it says that it is."""
        until = time.monotonic() + START_S_MAX
        with httpx.Client(trust_env=False) as client:
            while time.monotonic() < until and self.process.poll() is None:
                try:
                    if client.get(f"{url}/-/ready").status_code == 200:
                        return
                except httpx.TransportError:
                    time.sleep(0.01)
        raise AssertionError(f"not ready: {self.output}")

    def stop(self) -> int:
        """End it; return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(10)
        finally:
            self.process.kill()


def list_tree(root: Path) -> dict[str, tuple[int, int, int]]:
    """Return mode, size and time of change of everything."""
    found = ((path, path.lstat()) for path in root.rglob("*"))
    return {str(path): (about.st_mode, about.st_size, about.st_mtime_ns) for path, about in found}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A volume of the sidecar's own, where nobody else can look."""
    folder = tmp_path_factory.mktemp("data")
    os.chown(folder, USER, USER)
    return folder


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Whom it calls."""
    with run_simulator(tmp_path_factory.mktemp("provider"), {"speed": 0}) as url:
        yield url


@pytest.fixture(scope="module")
def running(image: Path, data: Path, provider: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Container, str, str]]:
    """A sidecar with its configuration in a mounted folder, journal and cache on; with the URLs of both ports."""
    folder, config, data_port, admin_port = tmp_path_factory.mktemp("run"), tmp_path_factory.mktemp("config"), find_port(), find_port()
    settings = {
        "listen": f"127.0.0.1:{data_port}", "admin": {"listen": f"127.0.0.1:{admin_port}"}, "features": {"cache": True},
        "upstreams": {"openai": {"url": provider, "provider": "openai"}}, "journal": {"directory": DATA},
    }  # fmt: skip
    (config / "sidecar.yaml").write_text(json.dumps(settings), encoding="utf-8")
    config.chmod(0o755)
    container = Container(image, folder, mounts={CONFIG: f"{config}:ro", DATA: str(data)})
    try:
        container.await_ready(f"http://127.0.0.1:{admin_port}")
        yield container, f"http://127.0.0.1:{data_port}", f"http://127.0.0.1:{admin_port}"
    finally:
        container.stop()


def read_status(pid: int) -> dict[str, str]:
    """Return what proc(5) says of a process."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def list_written(pid: int) -> set[str]:
    """Return the files that a process has open and may write to."""
    found = set()
    for entry in Path(f"/proc/{pid}/fdinfo").iterdir():
        try:
            target = str((entry.parent.parent / "fd" / entry.name).readlink())
            flags = re.search(r"^flags:\s*(\d+)", entry.read_text(encoding="ascii"), re.MULTILINE)
        except FileNotFoundError:  # it was closed meanwhile
            continue
        if target.startswith("/") and flags and int(flags[1], 8) & (os.O_WRONLY | os.O_RDWR):
            found.add(target)
    return found


def test_it_serves_as_nobody_and_writes_only_where_it_may(running: tuple[Container, str, str], image: Path, data: Path) -> None:
    """A call is answered and counted; the process has no rights, no home and no folder for temporary files; the journal is written."""
    container, url, admin_url = running
    before = list_tree(image)
    chat = {"model": "sim-small", "messages": [{"role": "user", "content": "hi"}], "temperature": 0}
    for _ in range(2):
        assert httpx.post(f"{url}/openai/v1/chat/completions", json=chat).status_code == 200
    assert re.search(r'llm_sidecar_cache_hits_total\{level="hot"\} 1\b', httpx.get(f"{admin_url}/metrics").text)
    status = read_status(container.process.pid)
    assert status["Uid"].split() == status["Gid"].split() == [str(USER)] * 4
    assert (status["Groups"], status["NoNewPrivs"], int(status["CapEff"], 16), int(status["CapPrm"], 16)) == ("", "1", 0, 0)
    assert Path(f"/proc/{container.process.pid}/root").readlink() == image
    written = list_written(container.process.pid) - {str(container.log), "/dev/null"}
    assert f"{image}{DATA}/journal.lock" in written
    assert [path for path in written if not path.startswith(f"{image}{DATA}/")] == []
    assert container.stop() == 0, container.output
    assert any(path.name.startswith("hourly_") for path in data.iterdir())
    assert list_tree(image) == before
    assert '"level":"error"' not in container.output and '"level":"warning"' not in container.output


def test_the_configuration_is_found_where_it_is_mounted(running: tuple[Container, str, str]) -> None:
    """Nothing names it: the sidecar starts in its folder."""
    assert '"config":"sidecar.yaml"' in running[0].output


def test_it_starts_without_any_configuration(image: Path, tmp_path: Path) -> None:
    """As it does anywhere else; the environment alone may change it."""
    admin = f"127.0.0.1:{find_port()}"
    container = Container(image, tmp_path, mounts={}, LLM_SIDECAR_LISTEN=f"127.0.0.1:{find_port()}", LLM_SIDECAR_ADMIN_LISTEN=admin)
    try:
        container.await_ready(f"http://{admin}")
        assert "llm-sidecar" in httpx.get(f"http://{admin}/").text
    finally:
        assert container.stop() == 0
    assert "built-in defaults" in container.output


def test_what_only_some_need_is_there(image: Path, tmp_path: Path) -> None:
    """Traces over gRPC, a shared Redis, a webhook, content with patterns of one's own: loaded, and alive where the others are not."""
    admin, hook = f"127.0.0.1:{find_port()}", tmp_path / "mounted" / "hook"
    hook.parent.mkdir()
    hook.write_text("http://127.0.0.1:9/\n", encoding="utf-8")
    tmp_path.chmod(0o755)
    environ = {
        "LLM_SIDECAR_LISTEN": f"127.0.0.1:{find_port()}", "LLM_SIDECAR_ADMIN_LISTEN": admin,
        "LLM_SIDECAR__TRACING__PROTOCOL": "grpc", "LLM_SIDECAR__TRACING__ENDPOINT": "http://127.0.0.1:9",
        "LLM_SIDECAR__REDIS__URL": "redis://127.0.0.1:9", "LLM_SIDECAR__ALERTS__WEBHOOK_FILE": f"{CONFIG}/hook",
        "LLM_SIDECAR__CONTENT__CAPTURE": "spans", "LLM_SIDECAR__CONTENT__REDACT__PATTERNS": "[{name: staff, pattern: 'E-[0-9]+'}]",
    }  # fmt: skip
    container = Container(image, tmp_path, mounts={CONFIG: f"{hook.parent}:ro"}, **environ)
    try:
        container.await_ready(f"http://{admin}")
        loaded = Path(f"/proc/{container.process.pid}/maps")
        until = time.monotonic() + START_S_MAX
        while "cygrpc" not in loaded.read_text(encoding="utf-8") and time.monotonic() < until:
            time.sleep(0.05)
        assert all(name in loaded.read_text(encoding="utf-8") for name in ("cygrpc", "_regex", "_http_parser"))
        assert httpx.get(f"http://{admin}/-/ready").status_code == 200
    finally:
        assert container.stop() == 0, container.output
    assert "exporter stopped" not in container.output


def test_verbs_work(image: Path, tmp_path: Path) -> None:
    """Those that say something, in a root that cannot be written to."""
    for arguments, expected in (
        (["--version"], f"llm-sidecar {__version__}"),
        (["catalogue"], "llm_sidecar_requests_total"),
        (["explain"], "127.0.0.1:4000"),
    ):
        container = Container(image, tmp_path, arguments, mounts={})
        assert container.process.wait(20) == 0 and expected in container.output


def test_every_library_is_there(image: Path, tmp_path: Path) -> None:
    """Each extension of Python's finds what it is linked with, and so do those of packages; authorities are known."""
    script = (
        "import bz2, ctypes, decimal, hashlib, lzma, mmap, ssl, uuid, zlib, zoneinfo\n"
        "import cryptography.hazmat.primitives.ciphers.aead, grpc, httptools, msgspec, redis, regex, uvloop, yaml._yaml, aiohttp.web\n"
        "import opentelemetry.exporter.otlp.proto.grpc.trace_exporter, sidecar.app\n"
        "import pathlib\n"
        "authorities = list(pathlib.Path(ssl.get_default_verify_paths().capath).glob('*.0'))\n"
        "print(len(authorities), bool(ctypes.CDLL(None).malloc_trim), sidecar.app.__doc__)"
    )
    (tmp_path / "script.py").write_text(script, encoding="utf-8")
    tmp_path.chmod(0o755)
    told = {
        "argv": [f"{PREFIX}/bin/python", f"{CONFIG}/script.py"], "environment": RUNTIME.read_pairs("ENV"), "user": USER, "folder": "/",
        "mounts": {CONFIG: f"{tmp_path}:ro"},
    }  # fmt: skip
    command = [sys.executable, "-m", "tests.rig.container", str(image), json.dumps(told)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    authorities, can_trim, docstring = done.stdout.split()
    assert int(authorities) > 100 and can_trim == "True" and docstring == "None"


def test_nothing_else_is_in_it(image: Path) -> None:
    """No shell, no pip, no compiler, nothing that gives rights or that others may write to; bytecode for every module."""
    programs = {path.name for folder in ("usr/bin", "usr/sbin") for path in (image / folder).iterdir()}
    assert {name for name in programs if not name.startswith("python3.")} == set()
    assert {path.name for path in (image / PREFIX[1:] / "bin").iterdir()} == {"llm-sidecar", "python"}
    assert not [
        path for name in ("pip", "setuptools", "wheel", "hatchling", "mypy") for path in image.glob(f"opt/*/lib/*/site-packages/{name}")
    ]
    for path in image.rglob("*"):
        about = path.lstat()
        if not stat.S_ISLNK(about.st_mode):
            assert not about.st_mode & (stat.S_ISUID | stat.S_ISGID | stat.S_IWOTH | stat.S_IWGRP), path
            assert about.st_uid == (USER if str(path).endswith(DATA) else 0), path
    package = next(image.glob("opt/*/lib/*/site-packages/sidecar"))
    for module in package.rglob("*.py"):
        assert list((module.parent / "__pycache__").glob(f"{module.stem}.*.opt-2.pyc")), module
        ast.parse(module.read_text(encoding="utf-8"))


def test_the_readme_lists_what_is_in_it(image: Path) -> None:
    """By name, Python's with their versions; another release than the README's may have others, and need more for its Python."""
    done = subprocess.run([sys.executable, IMAGE / "contents.py", image], capture_output=True, text=True, check=True)
    found = {row[0]: (row[1], row[2]) for row in re.findall(r"^\| (\S+) \| (\S+) \| (Debian|Python) \|", done.stdout, re.MULTILINE)}
    listed = read_table()
    assert all(found[name] == about for name, about in listed.items() if about[1] == "Python")
    base = Stage("", "", FIRST).read_pairs("ARG")["BASE"]
    release = re.search(r"^VERSION_CODENAME=(\w+)", (image / "etc/os-release").read_text(encoding="utf-8"), re.MULTILINE)
    if release and release[1] in base:
        assert set(found) == set(listed)
