"""A real Alertmanager with the configuration that is shipped, and a stub that stands for all whom it tells.

The programs are those on the path; LLM_SIDECAR_TEST_ALERTMANAGER and LLM_SIDECAR_TEST_AMTOOL name others, of another version.

Time is compressed: `shorten` divides every duration by FACTOR, so that a minute is a second. Windows of queries, `for`,
`keep_firing_for`, Alertmanager's waits and repeats shrink alike; the least number of calls in a window stays what it is. Latencies do
not shrink: a slow answer takes as long as it takes.
"""

import contextlib
import json
import re
import subprocess
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final, NamedTuple

import httpx
import pytest
import yaml

from tests.rig.process import ROOT, find_port
from tests.rig.prometheus import await_ready, find_program

ALERTS: Final = ROOT / "alerts"
FACTOR: Final = 60
WIKI: Final = "https://wiki.example/"
GRAFANA: Final = "https://grafana.example"
_WINDOW_MIN_S: Final = 3.0  # with one sample a second, less is no window
_STOP_S: Final = 15.0
_UNITS_S: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_DURATION: Final = re.compile(r"(\d+)(ms|[smhdw])")
_AGE: Final = re.compile(r"(?<=time\(\) - )(\w+ [<>]=? )(\d+)\b")
_GUARD: Final = re.compile(r"(:rate(\w+)) \* (\d+)\b")
_TOKEN: Final = "a-dead-mans-token"
_PASSWORD: Final = "a-password"

ALERTMANAGER: Final = find_program("LLM_SIDECAR_TEST_ALERTMANAGER", "alertmanager", "prometheus-alertmanager")
AMTOOL: Final = find_program("LLM_SIDECAR_TEST_AMTOOL", "amtool")
needs_alertmanager = pytest.mark.skipif(not (ALERTMANAGER and AMTOOL), reason="Alertmanager is not installed")


def read_s(duration: str) -> float:
    """Return a duration of Prometheus in seconds."""
    return sum(int(number) * _UNITS_S[unit] for number, unit in _DURATION.findall(duration))


def shorten(duration: str, least_s: float = 0.0) -> str:
    """Return a duration divided by FACTOR, but not below `least_s`."""
    return f"{round(1000 * max(read_s(duration) / FACTOR, least_s))}ms"


def shorten_query(expression: str) -> str:
    """Return a query whose ranges, offsets and ages are shortened, and the guards by rates with them: as many calls, a shorter window."""

    def _guard(found: re.Match[str]) -> str:
        assert read_s(found[2]) == int(found[3]), f"{found[0]} is not the number in a window"
        return f"{found[1]} * {max(int(found[3]) / FACTOR, _WINDOW_MIN_S):g}"

    text = re.sub(r"\[[^\]]+\]", lambda range_: _DURATION.sub(lambda one: shorten(one[0], _WINDOW_MIN_S), range_[0]), expression)
    text = re.sub(r"(?<=\boffset )\w+", lambda offset: shorten(offset[0]), text)
    text = _AGE.sub(lambda age: f"{age[1]}{int(age[2]) / FACTOR:g}", text)
    return _GUARD.sub(_guard, text)


def shorten_rules(folder: Path, *names: str) -> list[Path]:
    """Write rule files of `alerts/` with compressed time, and links that are absolute; return where."""
    written = []
    for name in names:
        tree = yaml.safe_load((ALERTS / name).read_text(encoding="utf-8"))
        for group in tree["groups"]:
            group.update({key: shorten(group[key], 1.0) for key in ("interval",) if key in group})
            for rule in group["rules"]:
                rule["expr"] = shorten_query(rule["expr"])
                rule.update({key: shorten(rule[key]) for key in ("for", "keep_firing_for") if key in rule})
                for key, base in (("runbook_url", WIKI), ("dashboard_url", GRAFANA)):
                    if key in rule.get("annotations", {}):
                        rule["annotations"][key] = base + rule["annotations"][key]
        path = folder / name
        path.write_text(yaml.safe_dump(tree), encoding="utf-8")
        written.append(path)
    return written


class Message(NamedTuple):
    """One request to the stub."""

    at_s: float  # Unix time
    path: str
    body: Any
    authorization: str


class Stub:
    """Takes whatever it is sent: webhooks at /webhook/RECEIVER, Slack's at /slack/RECEIVER, PagerDuty's events at /pagerduty."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.messages: list[Message] = []

    def sent(self, path: str) -> list[Message]:
        """Return what came to one path."""
        return [message for message in list(self.messages) if message.path == path]

    def notices(self, status: str = "firing") -> list[tuple[str, float, dict[str, Any]]]:
        """Return receiver, time and alert for each alert of each webhook in which the alert had this status."""
        return [
            (message.path.removeprefix("/webhook/"), message.at_s, alert)
            for message in list(self.messages)
            if message.path.startswith("/webhook/")
            for alert in message.body["alerts"]
            if alert["status"] == status
        ]


@contextlib.contextmanager
def run_stub() -> Iterator[Stub]:
    """Serve on loopback until the block ends."""
    stub = Stub("")

    class _Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            at_s = time.time()
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            stub.messages.append(Message(at_s, self.path, body, self.headers.get("authorization", "")))
            answer = b"ok"
            self.send_response(202 if self.path == "/pagerduty" else 200)  # what each service answers
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    stub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield stub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def adapt_config(folder: Path, stub: Stub, mail: str = "") -> Path:
    """Write the shipped configuration with compressed time and the stub in place of everybody, and its secrets.

    Tree, inhibitions and templates stay. Each receiver also tells a webhook of its own. Mail goes to a server at `mail` (host:port),
    without TLS; if there is none, it is left out.
    """
    tree = yaml.safe_load((ALERTS / "alertmanager.yml").read_text(encoding="utf-8"))
    tree["templates"] = [str(ALERTS / name) for name in tree["templates"]]
    _shorten_route(tree["route"])
    tree["global"] |= {"smtp_smarthost": mail or "127.0.0.1:25", "smtp_require_tls": False, "smtp_auth_password_file": str(folder / "smtp")}
    # A newline at the end does no harm, but for the password (0.25).
    for key, text in (("pagerduty", "a-routing-key\n"), ("dead_man", f"{_TOKEN}\n"), ("smtp", _PASSWORD)):
        (folder / key).write_text(text, encoding="utf-8")
    for receiver in tree["receivers"]:
        name = receiver["name"]
        if not mail:
            receiver.pop("email_configs", None)
        for slack in receiver.get("slack_configs", ()):
            (folder / f"slack-{name}").write_text(f"{stub.url}/slack/{name}\n", encoding="utf-8")
            slack["api_url_file"] = str(folder / f"slack-{name}")
        for page in receiver.get("pagerduty_configs", ()):
            page |= {"url": f"{stub.url}/pagerduty", "routing_key_file": str(folder / "pagerduty")}
        for hook in receiver.get("webhook_configs", ()):
            hook["url"] = f"{stub.url}/own/{name}"
            hook["http_config"]["authorization"]["credentials_file"] = str(folder / "dead_man")
        receiver.setdefault("webhook_configs", []).append({"url": f"{stub.url}/webhook/{name}"})
    path = folder / "alertmanager.yml"
    path.write_text(yaml.safe_dump(tree), encoding="utf-8")
    return path


def _shorten_route(route: dict[str, Any]) -> None:
    for key in ("group_wait", "group_interval", "repeat_interval"):
        if key in route:
            route[key] = shorten(route[key])
    for inner in route.get("routes", ()):
        _shorten_route(inner)


class Alertmanager:
    """A running server."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.address = url.removeprefix("http://")

    def tell(self, alerts: list[dict[str, Any]]) -> None:
        """Post alerts, as Prometheus does."""
        response = httpx.post(f"{self.url}/api/v2/alerts", json=alerts)
        assert response.status_code == 200, response.text

    def list_alerts(self) -> list[dict[str, Any]]:
        """Return what it knows, silenced and inhibited alerts with the others."""
        found: list[dict[str, Any]] = httpx.get(f"{self.url}/api/v2/alerts").json()
        return found


@contextlib.contextmanager
def alerting(folder: Path, stub: Stub, mail: str = "") -> Iterator[Alertmanager]:
    """Run a server with the shipped configuration, as `adapt_config` leaves it, until the block ends."""
    log, url = folder / "alertmanager.log", f"http://127.0.0.1:{find_port()}"
    command = [
        ALERTMANAGER, f"--config.file={adapt_config(folder, stub, mail)}", f"--storage.path={folder / 'alertmanager-data'}",
        f"--web.listen-address={url.removeprefix('http://')}", "--cluster.listen-address=",
    ]  # fmt: skip
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output, cwd=folder) as process:
        try:
            await_ready(url, process, log)
            yield Alertmanager(url)
        finally:
            process.terminate()
            process.wait(_STOP_S)
