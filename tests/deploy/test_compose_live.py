"""The stack of deploy/compose as plain processes of this machine, with the files and commands that its containers get.

Other addresses and folders, and a second in place of each 15 s; a stub of a collector. Grafana, Tempo and the collector do not run here.
"""

import contextlib
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import httpx
import pytest
import yaml

from tests.edge.telemetry.receiver import Receiver, receive
from tests.rig.alertmanager import ALERTMANAGER, AMTOOL, Alertmanager, needs_alertmanager
from tests.rig.compose import COMPOSE, Places, list_mounts, read_stack
from tests.rig.process import ROOT, find_port
from tests.rig.prometheus import PROMETHEUS, PROMTOOL, Prometheus, await_ready, needs_prometheus

STACK: Final = read_stack()
PATIENCE_S: Final = 60.0
STOP_S: Final = 20.0
RUN: Final = {"prometheus", "alertmanager", "llm-sidecar"}  # of what Prometheus scrapes

pytestmark = [needs_prometheus, needs_alertmanager]


class Stack(NamedTuple):
    """What runs."""

    places: Places
    prometheus: Prometheus
    alertmanager: Alertmanager
    collector: Receiver


class Runner:
    """Starts services of the stack as processes."""

    def __init__(self, places: Places, folder: Path, stack: contextlib.ExitStack) -> None:
        self._places = places
        self._folder = folder
        self._stack = stack

    def run(self, name: str, program: list[str], ready: str = "") -> subprocess.Popen[bytes]:
        """Start a service with its command, or the image's; wait until it is ready, by the URL that has `/-/ready`."""
        service = STACK["services"][name]
        words = [self._place(name, word) for word in service.get("command", ["run"])]
        environ = {key: self._places.move(name, value) for key, value in service.get("environment", {}).items()}
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("LLM_SIDECAR", "OTEL_"))}
        log = self._folder / f"{name}.log"
        process = subprocess.Popen(
            [*program, *words], cwd=self._folder / "etc" / name, env={**kept, "PYTHONPATH": str(ROOT), **environ},
            stdout=self._stack.enter_context(log.open("wb")), stderr=subprocess.STDOUT,
        )  # fmt: skip
        self._stack.callback(_stop, process)
        if ready:
            await_ready(ready, process, log)
        return process

    def _place(self, name: str, word: str) -> str:
        """Return a word of a command, with files that it names written to where they are read."""
        for mount in list_mounts(STACK["services"][name]):
            if mount.path and mount.path.is_file() and mount.target in word:
                word = word.replace(mount.target, str(self.write(name, mount.path)))
        return self._places.move(name, word)

    def write(self, name: str, path: Path) -> Path:
        """Write what a service of the stack reads, as one here has to read it."""
        folder = self._folder / "etc" / name
        folder.mkdir(parents=True, exist_ok=True)
        text = self._places.move(name, path.read_text(encoding="utf-8"))
        (folder / path.name).write_text(text.replace("_interval: 15s", "_interval: 1s"), encoding="utf-8")
        return folder / path.name


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _await(condition: Callable[[], Any]) -> Any:
    """Return what a condition gives, as soon as it gives something."""
    deadline_s = time.monotonic() + PATIENCE_S
    while not (found := condition()):
        assert time.monotonic() < deadline_s, "it did not come to pass"
        time.sleep(0.2)
    return found


def _answers(url: str) -> bool:
    with contextlib.suppress(httpx.TransportError):
        return httpx.get(url).status_code == 200
    return False


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Run the stack in the order in which Compose starts it."""
    folder = tmp_path_factory.mktemp("stack")
    places = Places(STACK, folder)
    python, ours = [sys.executable], [sys.executable, "-m", "sidecar"]
    with contextlib.ExitStack() as stack:
        collector = stack.enter_context(receive())
        places.put("collector", 4318, collector.url)
        runner = Runner(places, folder, stack)
        for name in STACK["services"]:
            (folder / "etc" / name).mkdir(parents=True)
        for name in STACK["volumes"]:
            places.volume(name).mkdir(parents=True)
        assert runner.run("render", python).wait(PATIENCE_S) == 0
        alertmanager = Alertmanager(f"http://{places.find('alertmanager', 9093)}")
        listen = f"--web.listen-address={alertmanager.address}"
        runner.run("alertmanager", [ALERTMANAGER, listen], alertmanager.url)
        address = places.find("prometheus", 9090)
        # What was told before Alertmanager was found is told again a minute later, unless this says otherwise.
        runner.run("prometheus", [PROMETHEUS, f"--web.listen-address={address}", "--rules.alert.resend-delay=1s"], f"http://{address}")
        for name in ("simulator", "standby"):
            runner.run(name, ours)
            _await(lambda name=name: _answers(f"http://{places.find(name, 4010)}/_sim/connections"))
        config = runner.write("sidecar", COMPOSE / "sidecar.yaml")  # is found where it starts, as in the image
        assert config.name == "sidecar.yaml"
        runner.run("sidecar", ours, f"http://{places.find('sidecar', 9464)}")
        runner.run("app", python)
        yield Stack(places, stack.enter_context(contextlib.closing(Prometheus(f"http://{address}"))), alertmanager, collector)


def test_what_is_scraped_answers(running: Stack) -> None:
    """Prometheus finds each of those that run where its configuration says."""
    _await(lambda: {found["metric"]["job"] for found in running.prometheus.query("up == 1")} >= RUN)


def test_rules_are_judged(running: Stack) -> None:
    """All three files are loaded, and none has a rule that fails."""
    _await(lambda: {rule["health"] for group in running.prometheus.get("rules")["groups"] for rule in group["rules"]} == {"ok"})
    assert len({group["file"] for group in running.prometheus.get("rules")["groups"]}) == 3


def test_the_application_calls_everybody(running: Stack) -> None:
    """Each route of the sidecar has traffic, the tool too, for three tenants; and money is spent."""
    wanted = {"openai", "anthropic", "gemini", "ollama", "openrouter", "tools"}
    _await(lambda: {found["metric"]["route"] for found in running.prometheus.query("llm_sidecar_requests_total > 0")} >= wanted)
    _await(lambda: running.prometheus.query("sum(llm_sidecar_cost_usd_total) > 0"))
    _await(lambda: {found["metric"]["tenant"] for found in running.prometheus.query("llm_sidecar_tenant_requests_total > 0")} >= {"shop"})


def test_exemplars_lead_to_traces(running: Stack) -> None:
    """The trace that a dot on a latency panel names is one that went to the collector."""

    def _find() -> set[str]:
        now_s = time.time()
        found = running.prometheus.get(
            "query_exemplars", query="llm_sidecar_time_to_first_token_seconds_bucket", start=str(now_s - 300), end=str(now_s)
        )
        named = {exemplar["labels"]["trace_id"] for series in found for exemplar in series["exemplars"]}
        return named & {span.trace_id.hex() for span in running.collector.spans}

    assert _await(_find)


def test_spans_lead_to_metrics(running: Stack) -> None:
    """What Grafana takes from a span to ask for metrics is a label that they have, and the query has a result."""
    sources = yaml.safe_load((ROOT / "dashboards/provisioning/datasources.yml").read_text(encoding="utf-8"))["datasources"]
    (told,) = (source["jsonData"]["tracesToMetrics"] for source in sources if source["type"] == "tempo")
    (tag,), (query,) = told["tags"], told["queries"]
    models = _await(lambda: {a.value.string_value for span in running.collector.spans for a in span.attributes if a.key == tag["key"]})
    asked = [query["query"].replace("$$__tags", f'{tag["value"]}="{model}"').replace("[5m]", "[1m]") for model in models]
    assert _await(lambda: [found for text in asked for found in running.prometheus.query(text)])


def test_alerts_arrive_with_links(running: Stack) -> None:
    """What fires is known to Alertmanager; its runbook is a page that Prometheus serves, with a heading of its own."""
    alert = _await(lambda: [found for found in running.alertmanager.list_alerts() if found["labels"]["alertname"] == "LLMWatchdog"])[0]
    page, _, heading = alert["annotations"]["runbook_url"].partition("#")
    answer = httpx.get(page)
    assert answer.status_code == 200 and f'id="{heading}"' in answer.text and "text/html" in answer.headers["content-type"]
    assert alert["annotations"]["dashboard_url"].startswith(f"http://{running.places.find('grafana', 3000)}/d/")
    assert {receiver["name"] for receiver in alert["receivers"]} == {"llm-sidecar-dead-man"}


def test_checks_of_health_say_what_is_so(running: Stack) -> None:
    """The command of each check succeeds while its service runs, and fails where nothing is."""
    programs = {"promtool": PROMTOOL, "amtool": AMTOOL, "python": sys.executable}
    asked = {}
    for name, service in STACK["services"].items():
        command = service.get("healthcheck", {}).get("test", ("", ""))[1:]
        if command[0] in programs:
            words = [running.places.move(name, word) for word in command[1:]]
            nowhere = [re.sub(r"(?<=127\.0\.0\.1:)\d+", str(find_port()), word) for word in words]
            asked[name] = [_succeeds([programs[command[0]], *told]) for told in (words, nowhere)]
    assert asked == {name: [True, False] for name in ("sidecar", "simulator", "standby", "prometheus", "alertmanager")}


def _succeeds(command: list[str]) -> bool:
    return subprocess.run(command, capture_output=True, check=False, timeout=20).returncode == 0
