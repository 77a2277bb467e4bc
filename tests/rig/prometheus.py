"""A real Prometheus that scrapes sidecars, as a process of its own.

The programs are those on the path; LLM_SIDECAR_TEST_PROMETHEUS and LLM_SIDECAR_TEST_PROMTOOL name others, of another version.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
import yaml

from tests.rig.process import find_port

_START_S: Final = 20.0
_STOP_S: Final = 15.0
_RELOAD_S: Final = 10.0


def find_program(variable: str, *names: str) -> str:
    """Return the program that an environment variable names, or the first of these that is on the path; empty if there is none."""
    wanted = (os.environ[variable],) if os.environ.get(variable) else names
    return next((found for found in map(shutil.which, wanted) if found), "")


PROMETHEUS: Final = find_program("LLM_SIDECAR_TEST_PROMETHEUS", "prometheus")
PROMTOOL: Final = find_program("LLM_SIDECAR_TEST_PROMTOOL", "promtool")
needs_prometheus = pytest.mark.skipif(not (PROMETHEUS and PROMTOOL), reason="Prometheus is not installed")
needs_promtool = pytest.mark.skipif(not PROMTOOL, reason="promtool is not installed")


class Prometheus:
    """A running server. `url`: where it is."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._client = httpx.Client(base_url=f"{url}/api/v1/")

    def get(self, path: str, **parameters: str) -> Any:
        """Return the data of one API call."""
        response = self._client.get(path, params=parameters)
        assert response.status_code == 200, response.text
        return response.json()["data"]

    def query(self, text: str) -> list[dict[str, Any]]:
        """Return the result of an instant query."""
        found: list[dict[str, Any]] = self.get("query", query=text)["result"]
        return found

    def query_range(self, text: str, start_s: float, end_s: float, step_s: float = 1.0) -> list[dict[str, Any]]:
        """Return the series of a range query; times are Unix seconds."""
        times = {"start": str(start_s), "end": str(end_s), "step": str(step_s)}
        found: list[dict[str, Any]] = self.get("query_range", query=text, **times)["result"]
        return found

    @property
    def target(self) -> dict[str, Any]:
        """What it says about its one target."""
        targets: list[dict[str, Any]] = self.get("targets")["activeTargets"]
        return targets[0]

    def close(self) -> None:
        """Close the connections to it."""
        self._client.close()


class Scraper(Prometheus):
    """One of ours. `config`: the file that `process` reads."""

    def __init__(self, url: str, config: Path, process: subprocess.Popen[bytes]) -> None:
        super().__init__(url)
        self._config = config
        self._process = process

    def stop_scraping(self) -> None:
        """Have it scrape nobody any more. Meant for one that is asked long after its targets are gone: their ports may be anybody's by
        then, a test's silent upstream among them.
        """
        tree = yaml.safe_load(self._config.read_text(encoding="utf-8"))
        self._config.write_text(yaml.safe_dump({**tree, "scrape_configs": []}), encoding="utf-8")
        self._process.send_signal(signal.SIGHUP)
        deadline_s = time.monotonic() + _RELOAD_S
        while self.get("targets")["activeTargets"]:
            assert time.monotonic() < deadline_s, "the targets are still there"
            time.sleep(0.05)


@contextlib.contextmanager
def scraping(folder: Path, address: str, rules: Path | None = None) -> Iterator[Prometheus]:
    """Run a server that scrapes `address` (host:port) and evaluates `rules` each second, until the block ends."""
    with scraping_jobs(folder, {"sidecar": [address]}, [] if rules is None else [rules]) as prometheus:
        yield prometheus


@contextlib.contextmanager
def scraping_jobs(
    folder: Path, jobs: Mapping[str, Sequence[str]], rules: Sequence[Path], labels: Mapping[str, str] | None = None, alertmanager: str = "",
    access: Mapping[str, Any] | None = None,
) -> Iterator[Scraper]:  # fmt: skip
    """Run a server that scrapes the addresses of each job, and evaluates `rules`, each second. `labels`: of all targets.

    What fires is told to `alertmanager` (host:port), if there is one. `access`: what a job has to say besides: scheme, TLS, password.
    """
    assert all(file.is_file() for file in rules), rules  # Prometheus takes a file that is not there for no rules, and says nothing
    config, log = folder / "prometheus.yml", folder / "prometheus.log"
    told = {"labels": dict(labels)} if labels else {}
    tree = {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(file) for file in rules],
        "scrape_configs": [
            {"job_name": job, "static_configs": [{"targets": list(addresses), **told}], **(access or {})} for job, addresses in jobs.items()
        ],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": [alertmanager]}]}] if alertmanager else []},
    }
    config.write_text(yaml.safe_dump(tree), encoding="utf-8")
    url = f"http://127.0.0.1:{find_port()}"
    command = [
        PROMETHEUS, f"--config.file={config}", f"--storage.tsdb.path={folder / 'data'}", "--enable-feature=exemplar-storage",
        f"--web.listen-address={url.removeprefix('http://')}",
    ]  # fmt: skip
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output, cwd=folder) as process:
        try:
            await_ready(url, process, log)
            with contextlib.closing(Scraper(url, config, process)) as prometheus:
                yield prometheus
        finally:
            process.terminate()
            process.wait(_STOP_S)


def await_ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until the server serves."""
    deadline_s = time.monotonic() + _START_S
    while True:
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(f"{url}/-/ready").status_code == 200:
                return
        assert process.poll() is None and time.monotonic() < deadline_s, log.read_text(encoding="utf-8")
        time.sleep(0.05)
