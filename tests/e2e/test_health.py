"""The health of a real process while what it needs goes away and comes back: an upstream, a collector, a Redis."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from tests.edge.telemetry.receiver import receive
from tests.rig.process import RunningSidecar, find_port, run_sidecar, run_simulator
from tests.rig.redis import needs_redis, run_redis

SECRET: Final = "sk-secret-0123456789"
CALL: Final = {"model": "sim-small", "messages": [{"role": "user", "content": "order 7"}], "temperature": 0}
PATIENCE_S: Final = 15.0
OWN_S: Final = 0.005


class Asked:
    """A running sidecar, its callers, and whoever asks how it is."""

    def __init__(self, side: RunningSidecar, client: httpx.Client) -> None:
        self._side = side
        self._client = client

    def call(self, times: int = 1) -> list[int]:
        """Make calls, each another one; return their statuses."""
        headers = {"Authorization": f"Bearer {SECRET}"}
        url = f"{self._side.url}/openai/v1/chat/completions?key={SECRET}"
        return [self._client.post(url, json={**CALL, "seed": time.monotonic_ns()}, headers=headers).status_code for _ in range(times)]

    def ask(self) -> tuple[int, dict[str, Any]]:
        """Return status and report, in which nothing secret is."""
        response = self._client.get(f"{self._side.admin_url}/health")
        assert response.headers["Content-Type"] == "application/json"
        assert SECRET not in response.text and "order 7" not in response.text
        return response.status_code, response.json()

    def is_ready(self) -> bool:
        """Whether it is."""
        return self._client.get(f"{self._side.admin_url}/-/ready").status_code == 200

    def await_report(self, is_it: Callable[[dict[str, Any]], object], *, calling: bool = False) -> tuple[int, dict[str, Any]]:
        """Ask until the report is as it is looked for."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            if calling:
                self.call()
            status, told = self.ask()
            if is_it(told):
                return status, told
            assert time.monotonic() < deadline, told
            time.sleep(0.05)


@contextmanager
def asking(folder: Path, upstream: str, environ: Mapping[str, str] | None = None, **more: Any) -> Iterator[Asked]:
    """Run a sidecar until the block ends."""
    with run_sidecar(folder, upstream, environ, **more) as side, httpx.Client(trust_env=False, timeout=10) as client:
        yield Asked(side, client)


def find_bad(told: dict[str, Any]) -> dict[str, str]:
    """Return the status of each check that found something; how busy the machine is is not the sidecar's doing."""
    return {name: check["status"] for name, check in told["checks"].items() if check["status"] != "healthy" and name != "event_loop"}


def test_an_upstream_that_dies_and_comes_back(tmp_path: Path) -> None:
    """503 while its circuit breaker is open and nobody else is there; readiness does not follow; afterwards all is well."""
    port = find_port()
    breaker = {"consecutive": 3, "open": "1s", "open_max": "1s", "successes": 1}
    with asking(tmp_path, f"http://127.0.0.1:{port}", features={"probes": False}, breaker=breaker) as asked:
        status, told = asked.ask()
        assert (status, find_bad(told)) == (200, {})
        asked.call(4)
        status, told = asked.ask()
        assert (status, told["status"]) == (503, "unhealthy")
        assert find_bad(told) == {"upstreams": "unhealthy", "breakers": "degraded"}
        part = told["checks"]["upstreams"]["parts"]["openai"]
        assert part["status"] == "unhealthy" and "circuit breaker is open" in part["reason"] and part["remedy"]
        assert asked.is_ready()
        with run_simulator(tmp_path, {"speed": 0}, port):
            status, told = asked.await_report(lambda told: not told["checks"]["breakers"]["notClosed"], calling=True)
            assert status == 200 and told["checks"]["breakers"]["status"] == "healthy"


def test_a_collector_that_is_gone(tmp_path: Path) -> None:
    """It degrades; calls go on. One that takes spans does not."""
    environ = {"OTEL_BSP_SCHEDULE_DELAY": "50", "OTEL_EXPORTER_OTLP_TIMEOUT": "0.5"}
    with run_simulator(tmp_path, {"speed": 0}) as provider, receive() as good:
        with asking(tmp_path, provider, {"OTEL_EXPORTER_OTLP_ENDPOINT": good.url, **environ}) as asked:
            assert asked.call(2) == [200, 200]
            _, told = asked.await_report(lambda told: told["checks"]["telemetry"]["lastSuccess"] is not None)
            assert find_bad(told) == {} and told["checks"]["telemetry"]["exported"] > 0
        with asking(tmp_path, provider, {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{find_port()}", **environ}) as asked:
            assert asked.call(2) == [200, 200]
            status, told = asked.await_report(find_bad)
            assert (status, find_bad(told)) == (200, {"telemetry": "degraded"})
            telemetry = told["checks"]["telemetry"]
            assert telemetry["lastSuccess"] is None and telemetry["dropped"] > 0 and telemetry["problem"] == "ConnectionRefusedError"
            assert asked.call() == [200]


@needs_redis
def test_a_redis_that_dies_and_comes_back(tmp_path: Path) -> None:
    """It degrades as soon as a call noticed, with the time since when; it is healthy again as soon as one finds it back."""
    with run_simulator(tmp_path, {"speed": 0}) as provider, run_redis(tmp_path) as redis:
        more: dict[str, Any] = {"redis": {"url": redis.url}, "features": {"cache": True, "probes": False}}
        with asking(tmp_path, provider, **more) as asked:
            asked.await_report(lambda told: told["checks"]["shared_store"]["reason"].startswith("It answered"))
            redis.kill()
            status, told = asked.await_report(find_bad, calling=True)
            assert (status, find_bad(told)) == (200, {"shared_store": "degraded"})
            store = told["checks"]["shared_store"]
            time.sleep(0.1)
            assert asked.ask()[1]["checks"]["shared_store"]["since"] == store["since"] > told["checks"]["memory"]["since"]
            redis.start()
            status, told = asked.await_report(lambda told: not find_bad(told), calling=True)
            assert status == 200


def test_a_report_costs_next_to_nothing(tmp_path: Path) -> None:
    """Beside an answer that says one word, with twenty upstreams."""
    upstreams = {f"up{number}": {"url": "http://127.0.0.1:9", "provider": "openai"} for number in range(20)}
    routes = [{"prefix": f"/{name}/", "upstream": name} for name in upstreams]
    with run_sidecar(tmp_path, "", upstreams=upstreams, routes=routes) as side:
        took: dict[str, float] = {}
        with httpx.Client(base_url=side.admin_url, trust_env=False) as client:
            for path in ("/-/ready", "/health", "/-/ready", "/health"):
                took[path] = min(took.get(path, 9.0), *(client.get(path).elapsed.total_seconds() for _ in range(30)))
        print(f"\n/-/ready {took['/-/ready'] * 1e3:.2f} ms, /health {took['/health'] * 1e3:.2f} ms")
        assert took["/health"] - took["/-/ready"] < OWN_S


@pytest.mark.parametrize("path", ["/health", "/health?verbose=1"])
def test_nobody_is_asked_for_it(tmp_path: Path, path: str) -> None:
    """An upstream hears of calls only."""
    with receive() as upstream, run_sidecar(tmp_path, upstream.url) as side:
        for _ in range(20):
            assert httpx.get(side.admin_url + path, trust_env=False).status_code == 200
        assert upstream.requests == []
