"""`POST /-/reload`."""

import json

import httpx

from sidecar.core.settings.changes import Outcome
from sidecar.edge.inbound.admin import AdminServer
from sidecar.edge.inbound.reload import PATH, make_reload
from sidecar.errors import ConfigProblem


async def test_it_waits_and_tells_what_came_of_it() -> None:
    """200 with what changed, 500 with the problems; only for who may change something, and not by reading."""
    outcomes = [Outcome("a.yaml", problems=(ConfigProblem("listen", "'x'", "host:port", 3),)), Outcome("a.yaml", ("routes",))]

    async def ask() -> Outcome:
        return outcomes.pop()

    server = AdminServer({}, make_reload(ask))
    host, port = await server.start("127.0.0.1", 0)
    async with httpx.AsyncClient(base_url=f"http://{host}:{port}", trust_env=False) as client:
        foreign = await client.post(PATH, json={}, headers={"Origin": "http://evil.test"})
        read = await client.get(PATH)
        good = await client.post(PATH, headers={"Content-Type": "application/json"})
        bad = await client.put(PATH, json={})
    await server.stop()
    assert (foreign.status_code, read.status_code, good.status_code, bad.status_code) == (403, 405, 200, 500)
    assert json.loads(good.content) == {"source": "a.yaml", "changed": ["routes"], "files": [], "restart": []}
    assert [problem["message"] for problem in bad.json()["problems"]] == ["a.yaml:3: listen: found 'x'; allowed: host:port"]


async def test_the_web_configuration_is_told_of_too() -> None:
    """It may be refused where the rest is in force: whoever asked learns both."""

    async def ask() -> Outcome:
        return Outcome("a.yaml", ("routes",), access=(ConfigProblem("tls_server_config.key_file", "another key", "the certificate's"),))

    server = AdminServer({}, make_reload(ask))
    host, port = await server.start("127.0.0.1", 0)
    async with httpx.AsyncClient(base_url=f"http://{host}:{port}", trust_env=False) as client:
        answer = await client.post(PATH, json={})
    await server.stop()
    told = answer.json()
    assert (answer.status_code, told["changed"]) == (500, ["routes"])
    assert [problem["path"] for problem in told["problems"]] == ["tls_server_config.key_file"] and "web configuration" in told["error"]
