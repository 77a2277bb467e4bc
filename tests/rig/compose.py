"""The stack of deploy/compose as data: services, what they mount, listen on and call; and a stack that runs without an engine."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple

import jsonschema
import pytest
import yaml

from tests.rig.process import ROOT, find_port

COMPOSE: Final = ROOT / "deploy/compose"
SCHEMA_MODULE: Final = "github.com/compose-spec/compose-go/v2@v2.16.2"
_VARIABLE: Final = re.compile(r"\$\{(\w+):\?\}")
_ADDRESS: Final = re.compile(r"(?:(?<=//)|(?<![\w./-]))([a-z][a-z0-9-]*|\d+\.\d+\.\d+\.\d+):(\d{2,5})\b(?!:)")
_OWN: Final = ("0.0.0.0", "127.0.0.1", "localhost")
# What a program listens on where nothing says otherwise.
_USUAL: Final = {"prometheus": 9090, "alertmanager": 9093, "grafana": 3000}


def read_environment() -> dict[str, str]:
    """Return what .env says."""
    lines = (COMPOSE / ".env").read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def read_stack() -> dict[str, Any]:
    """Return compose.yaml with the values of .env in it. Each variable is demanded (`:?`): none is empty without a word."""
    environment = read_environment()
    text = _VARIABLE.sub(lambda found: environment[found[1]], (COMPOSE / "compose.yaml").read_text(encoding="utf-8"))
    assert "$" not in text, "a variable of another form"
    stack: dict[str, Any] = yaml.safe_load(text)
    return stack


class Mount(NamedTuple):
    """One mount: a file or folder of the repository, or a volume's name."""

    source: str
    target: str
    is_read_only: bool

    @property
    def path(self) -> Path | None:
        """Where it is in the repository; None for a volume."""
        return (COMPOSE / self.source).resolve() if self.source.startswith(".") else None


def list_mounts(service: Mapping[str, Any]) -> list[Mount]:
    """Return what a service mounts."""
    found = []
    for told in service.get("volumes", ()):
        if isinstance(told, str):
            source, target, *mode = told.split(":")
            found.append(Mount(source, target, mode == ["ro"]))
        else:
            found.append(Mount(told["source"], told["target"], told.get("read_only", False)))
    return found


def list_texts(service: Mapping[str, Any]) -> dict[str, str]:
    """Return what a service is told: its command and environment, and each file that it reads, by target."""
    told = {"command": " ".join(service.get("command", ())), "environment": yaml.safe_dump(service.get("environment", {}))}
    files = {mount.target: mount.path for mount in list_mounts(service) if mount.path and mount.path.is_file()}
    return told | {target: path.read_text(encoding="utf-8") for target, path in files.items()}


def list_addresses(text: str) -> list[tuple[str, int]]:
    """Return each `host:port` in a text but for its comments."""
    lines = [line.split(" #")[0] for line in text.splitlines() if not line.lstrip().startswith("#")]
    return [(host, int(port)) for host, port in _ADDRESS.findall("\n".join(lines))]


def list_listening(stack: Mapping[str, Any]) -> dict[str, set[int]]:
    """Return the ports that each service listens on, on all addresses of its container."""
    found = {}
    for name, service in stack["services"].items():
        texts = list_texts(service)
        ports = {port for text in texts.values() for host, port in list_addresses(text) if host == "0.0.0.0"}
        for text in texts.values():
            ports |= {int(port) for port in re.findall(r"(?:http_listen_port|host: 0\.0\.0\.0, port): (\d+)", text)}
        found[name] = ports | {_USUAL[name] for _ in (1,) if name in _USUAL}
    return found


def list_calls(stack: Mapping[str, Any]) -> Iterator[tuple[str, str, str, int]]:
    """Yield (service, where it is said, host, port) for whatever one service calls in another."""
    for name, service in stack["services"].items():
        for where, text in list_texts(service).items():
            yield from ((name, where, host, port) for host, port in list_addresses(text) if host not in _OWN)


def find_schema() -> Path | None:
    """Return the Compose specification's schema, if it is on this machine: in the file that is named, or in Go's module cache."""
    if named := os.environ.get("LLM_SIDECAR_TEST_COMPOSE_SCHEMA"):
        return Path(named)
    if not (go := shutil.which("go")):
        return None
    done = subprocess.run([go, "env", "GOMODCACHE"], capture_output=True, text=True, check=False)
    file = Path(done.stdout.strip()) / SCHEMA_MODULE / "schema/compose-spec.json"
    return file if done.returncode == 0 and file.is_file() else None


SCHEMA: Final = find_schema()
needs_schema = pytest.mark.skipif(SCHEMA is None, reason="the schema of the Compose specification is not there")


@cache
def _load_schema() -> Any:
    assert SCHEMA is not None
    return json.loads(SCHEMA.read_text(encoding="utf-8"))


def find_schema_faults(stack: Mapping[str, Any]) -> list[str]:
    """Return what the Compose specification says against it."""
    errors = jsonschema.Draft202012Validator(_load_schema()).iter_errors(stack)
    return [f"{'.'.join(map(str, error.absolute_path))}: {error.message[:300]}" for error in errors]


class Places:
    """Where the stack's services are on this machine, when they run as plain processes: a free port of loopback for each of theirs."""

    def __init__(self, stack: Mapping[str, Any], folder: Path) -> None:
        self._ports = {(name, port): find_port() for name, ports in list_listening(stack).items() for port in ports}
        published = [(name, port.split(":")) for name, service in stack["services"].items() for port in service.get("ports", ())]
        self._published = {int(outside): (name, int(inside)) for name, (_, outside, inside) in published}
        mounts = {name: list_mounts(service) for name, service in stack["services"].items()}
        self._volumes = {name: [mount for mount in listed if mount.path is None] for name, listed in mounts.items()}
        self._folder = folder

    def find(self, service: str, port: int) -> str:
        """Return the address of a service's port, host:port."""
        return f"127.0.0.1:{self._ports[service, port]}"

    def put(self, service: str, port: int, address: str) -> None:
        """Somebody else, at `host:port`, plays a service."""
        self._ports[service, port] = int(address.rpartition(":")[2])

    def move(self, service: str, text: str) -> str:
        """Return what a service of the stack is told, as one here has to be told it: addresses of loopback, folders of this machine."""

        def _move(found: re.Match[str]) -> str:
            host, port = found[1], int(found[2])
            place = (service if host in _OWN else host, port)
            if host in _OWN and place not in self._ports:
                place = self._published.get(port, place)
            return self.find(*place) if place in self._ports else found[0]

        text = _ADDRESS.sub(_move, text)
        for mount in self._volumes[service]:
            text = re.sub(rf"(?<![\w./-]){re.escape(mount.target)}(?![\w.-])", str(self.volume(mount.source)), text)
        return text

    def volume(self, name: str) -> Path:
        """Return the folder that stands for a volume."""
        return self._folder / "volumes" / name
