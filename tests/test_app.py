"""The composition: start, serve, drain and stop."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from sidecar.app import Sidecar
from sidecar.config import Admin, Capture, Content, Pattern, Redact, Route, Settings, Timeouts, Upstream
from sidecar.edge.memory import Memory
from sidecar.edge.telemetry.guarded import Guarded
from sidecar.edge.telemetry.logs import EventLog
from sidecar.edge.telemetry.meter import Meter
from sidecar.errors import ConfigError
from sidecar.exchange import Ending, Record
from sidecar.sealing import seal_malformed
from tests.edge.sockets import serving

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"


def settings_for(url: str = "http://127.0.0.1:9", **more: Any) -> Settings:
    """Return settings with free ports and one upstream for everything."""
    base = Settings(
        listen="127.0.0.1:0", admin=Admin("127.0.0.1:0"), upstreams={"up": Upstream(url)}, routes=(Route("/", "up"),),
        timeouts=Timeouts(shutdown=0.2),
    )  # fmt: skip
    return replace(base, **more)


class Sink:
    """Keeps records; may break."""

    def __init__(self, *, broken: bool = False) -> None:
        self.records: list[Record] = []
        self.broken = broken

    def observe(self, record: Record) -> None:
        self.records.append(record)
        if self.broken:
            raise ZeroDivisionError("a secret")


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer each request with an empty object."""
    while await reader.readuntil(b"\r\n\r\n"):
        writer.write(ANSWER)


async def test_it_carries_measures_and_stops() -> None:
    """A call goes through, is on record, shows in the scrape, and afterwards nothing runs."""
    sink = Sink()
    before = asyncio.all_tasks()
    async with serving(answer) as port:
        sidecar = Sidecar(settings_for(f"http://127.0.0.1:{port}"), {}, sinks=[sink])
        await sidecar.start()
        async with httpx.AsyncClient(trust_env=False) as client:
            assert (await client.get(f"{sidecar.data_url}/v1/models")).json() == {}
            assert (await client.get(f"{sidecar.admin_url}/-/ready")).status_code == 200
            scrape = (await client.get(f"{sidecar.admin_url}/metrics")).text
            told = (await client.get(f"{sidecar.admin_url}/debug/exchanges")).json()
            assert (await client.get(f"{sidecar.admin_url}/api/decisions")).json() == {"decisions": []}
        await sidecar.stop()
        assert [(call["id"], call["ending"]) for call in told["calls"]] == [(sink.records[0].id, "completed")]
        assert told["failed"] == []
        assert [record.ending for record in sink.records] == [Ending.COMPLETED]
        assert len({record.id for record in sink.records}) == 1
        assert len(sink.records[0].id) == 16
        assert 'ending="completed"' in scrape
        assert "llm_sidecar_in_flight_requests 0" in scrape
        limit = Memory().read_limit()
        assert (f"\nllm_sidecar_memory_limit_bytes {limit}\n" in scrape) is (limit is not None)
    await asyncio.sleep(0)
    assert {task for task in asyncio.all_tasks() if not task.done()} <= before


async def test_it_is_not_ready_while_it_drains() -> None:
    """Readiness fails first; the call in progress is told why it ends."""

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    sink = Sink()
    async with serving(hang) as port:
        sidecar = Sidecar(settings_for(f"http://127.0.0.1:{port}"), {}, sinks=[sink])
        await sidecar.start()
        async with httpx.AsyncClient(trust_env=False) as client:
            calling = asyncio.ensure_future(client.get(f"{sidecar.data_url}/v1/models"))
            await asyncio.sleep(0.1)
            stopping = asyncio.ensure_future(sidecar.stop())
            await asyncio.sleep(0.05)
            assert (await client.get(f"{sidecar.admin_url}/-/ready")).status_code == 503
            assert (await client.get(f"{sidecar.admin_url}/-/healthy")).status_code == 200
            serving_check = (await client.get(f"{sidecar.admin_url}/health")).json()["checks"]["serving"]
            assert (serving_check["status"], serving_check["draining"]) == ("unhealthy", True)
            response = await calling
            await stopping
    assert (response.status_code, response.headers["x-sidecar-error"]) == (503, "stopping")
    assert [record.error_id for record in sink.records] == ["stopping"]


@pytest.mark.parametrize("which", ["listen", "admin.listen"])
async def test_a_port_in_use_leaves_nothing_half_started(which: str) -> None:
    """The setting is named, and the other port is free again."""
    async with serving(answer) as taken:
        address = f"127.0.0.1:{taken}"
        settings = settings_for(listen=address) if which == "listen" else settings_for(admin=Admin(address))
        sidecar = Sidecar(settings, {})
        with pytest.raises(ConfigError) as raised:
            await sidecar.start()
        (problem,) = raised.value.problems
        assert problem.path == which
        assert address in problem.found
        if which == "admin.listen":
            with pytest.raises(ConnectionError):
                await asyncio.open_connection("127.0.0.1", int(sidecar.data_url.rpartition(":")[2]))


def test_a_token_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    """Before a port is open that nobody could change anything by; one that can be read is fine."""
    file = tmp_path / "token"
    for text in (None, "", "two\nlines"):
        if text is not None:
            file.write_text(text, encoding="utf-8")
        with pytest.raises(ConfigError) as raised:
            Sidecar(settings_for(admin=Admin("127.0.0.1:0", str(file))), {})
        assert [problem.path for problem in raised.value.problems] == ["admin.token_file"]
        assert str(file) not in str(raised.value)
    file.write_text("secret\n", encoding="utf-8")
    Sidecar(settings_for(admin=Admin("127.0.0.1:0", str(file))), {})


async def test_an_address_of_version_six_is_shown_in_brackets() -> None:
    """So that it can be pasted."""
    sidecar = Sidecar(settings_for(listen="[::1]:0"), {})
    try:
        await sidecar.start()
    except ConfigError:
        pytest.skip("no IPv6 here")
    assert sidecar.data_url.startswith("http://[::1]:")
    await sidecar.stop(grace_s=0)


def test_a_proxy_that_cannot_be_used_is_a_problem() -> None:
    """Told before anything is started."""
    with pytest.raises(ConfigError, match="HTTPS_PROXY"):
        Sidecar(settings_for("https://api.test"), {"HTTPS_PROXY": "socks5://proxy.test"})


def test_a_key_is_read_from_its_file(tmp_path: Path) -> None:
    """And a file that is not there is a problem of the configuration."""
    key = tmp_path / "key"
    key.write_text("sk-1\n")
    Sidecar(settings_for(upstreams={"up": Upstream("http://up.test", api_key_file=str(key))}), {})
    with pytest.raises(ConfigError):
        Sidecar(settings_for(upstreams={"up": Upstream("http://up.test", api_key_file=str(tmp_path / "none"))}), {})


def test_a_broken_sink_harms_nobody(caplog: pytest.LogCaptureFixture) -> None:
    """What it raises is counted and logged by its kind alone, and the next call is shown to it again."""
    settings = settings_for()
    log = EventLog("info")
    meter = Meter(settings.limits, settings.upstreams, version="1", python="3")
    sink = Sink(broken=True)
    guarded = Guarded("traces", sink, meter, log)
    guarded.observe(seal_malformed(0.0, 0))
    guarded.observe(seal_malformed(0.0, 0))
    assert len(sink.records) == 2
    said = [vars(record)["sidecar_fields"] for record in caplog.records]
    assert said == [{"sink": "traces", "reason": "ZeroDivisionError"}] * 2
    assert "secret" not in caplog.text
    assert meter.sink_failures("traces").value == 2


async def test_content_goes_to_its_file(tmp_path: Path) -> None:
    """From the first call on, and all of it before the sidecar has stopped; a file that cannot be written is a problem at once."""
    file = tmp_path / "content.jsonl"
    content = Content(capture=Capture.FILE, file=str(file), redact=Redact(patterns=(Pattern("name", "Bob"),)))
    async with serving(answer) as port:
        sidecar = Sidecar(settings_for(f"http://127.0.0.1:{port}", content=content), {})
        await sidecar.start()
        async with httpx.AsyncClient(trust_env=False) as client:
            await client.get(f"{sidecar.data_url}/v1/models")
            await client.post(f"{sidecar.data_url}/v1/chat/completions", json={"messages": [{"role": "user", "content": "I am Bob"}]})
            scrape = (await client.get(f"{sidecar.admin_url}/metrics")).text
        await sidecar.stop()
    (line,) = file.read_text(encoding="utf-8").splitlines()
    assert "I am [REDACTED:name]" in line
    assert 'llm_sidecar_content_withheld_total{pattern="name"} 0' in scrape
    broken = Sidecar(settings_for(content=replace(content, file=str(tmp_path))), {})
    with pytest.raises(ConfigError, match=r"content\.file"):
        await broken.start()
