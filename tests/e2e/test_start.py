"""Start and end of the process: one clear line where it cannot start, nothing lost where it stops."""

import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.rig.process import Program, find_port, run_sidecar, run_simulator, write_config

START_S_MAX = 3.0  # the target is 1 s; a busy machine is given more, and the figure is printed
CHAT = {"model": "sim-small", "messages": [{"role": "user", "content": "hi"}], "stream": True}


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A provider that never waits unless told to."""
    with run_simulator(tmp_path_factory.mktemp("provider"), {"speed": 0}) as url:
        yield url


def fails(folder: Path, arguments: list[str]) -> list[str]:
    """Run a program that cannot start; return its lines."""
    program = Program(arguments, folder)
    assert program.wait() == 1
    return program.output.splitlines()


def is_free(port: int) -> bool:
    """Whether nobody listens."""
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) != 0


@pytest.mark.parametrize("taken", ["data", "admin"])
def test_a_port_in_use_is_one_line(tmp_path: Path, taken: str) -> None:
    """Whichever port is taken, the line names its setting and its address, and the other port is not left open."""
    data_port, admin_port = find_port(), find_port()
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", data_port if taken == "data" else admin_port))
        sock.listen()
        lines = fails(tmp_path, ["run", "--config", str(write_config(tmp_path, "http://127.0.0.1:1", data_port, admin_port))])
    assert len(lines) == 1
    assert ("admin.listen" if taken == "admin" else "listen") in lines[0]
    assert str(admin_port if taken == "admin" else data_port) in lines[0]
    assert is_free(data_port) and is_free(admin_port)


def test_a_bad_configuration_is_one_line_for_each_problem(tmp_path: Path) -> None:
    """Every problem at once, each with its place, what was found and what is allowed; no port is opened."""
    data_port, admin_port = find_port(), find_port()
    config = write_config(tmp_path, "ftp://nowhere", data_port, admin_port, timeouts={"idle": "soon"}, nonsense=1)
    lines = fails(tmp_path, ["run", "--config", str(config)])
    text = "\n".join(lines)
    assert all(word in text for word in ("upstreams.openai.url", "timeouts.idle", "nonsense"))
    assert "Traceback" not in text
    assert is_free(data_port) and is_free(admin_port)


@pytest.mark.parametrize("what", ["missing", "folder", "binary", "not YAML"])
def test_an_unreadable_configuration_is_one_line(tmp_path: Path, what: str) -> None:
    """A file that cannot be read, or is none, is named in one line."""
    path = tmp_path / "given.yaml"
    if what == "folder":
        path.mkdir()
    elif what == "binary":
        path.write_bytes(b"\xff\xfe\x00")
    elif what == "not YAML":
        path.write_text("a: [", encoding="utf-8")
    lines = fails(tmp_path, ["run", "--config", str(path)])
    assert len(lines) == 1
    assert str(path) in lines[0]


def test_a_missing_secret_and_a_bad_price_table_are_one_line_each(tmp_path: Path) -> None:
    """Files that settings name are looked at before anything is opened."""
    data_port, admin_port = find_port(), find_port()
    upstreams = {"openai": {"url": "http://127.0.0.1:1", "api_key_file": str(tmp_path / "no-key")}}
    config = write_config(tmp_path, "", data_port, admin_port, upstreams=upstreams, prices={"file": str(tmp_path / "no-prices")})
    lines = fails(tmp_path, ["run", "--config", str(config)])
    assert len(lines) == 2
    assert "upstreams.openai.api_key_file" in lines[0]
    assert "prices.file" in lines[1]
    assert is_free(data_port)


def test_it_starts_quickly(provider: str, tmp_path: Path) -> None:
    """From the start of the process to the first answered request."""
    took = []
    for _ in range(3):
        data_port, admin_port = find_port(), find_port()
        program = Program(["run", "--config", str(write_config(tmp_path, provider, data_port, admin_port))], tmp_path)
        took.append(program.await_url(f"http://127.0.0.1:{data_port}/openai/v1/models"))
        assert program.stop() == 0
    print(f"\nstart to first answered request: {', '.join(f'{seconds:.2f} s' for seconds in took)}")
    assert min(took) < START_S_MAX


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stream_in_progress_is_finished(provider: str, tmp_path: Path, number: int) -> None:
    """The first signal stops new calls; a stream that is under way is carried to its end, then the exit code is 0."""
    headers = {"x-sim-script": '{"tokens": 20, "gap_ms": 50}', "x-sim-seed": "drain"}
    with run_sidecar(tmp_path, provider) as side, httpx.Client(timeout=20) as client:
        with client.stream("POST", f"{side.url}/openai/v1/chat/completions", json=CHAT, headers=headers) as response:
            lines = response.iter_lines()
            first = next(lines)
            side.program.signal(number)
            time.sleep(0.3)
            with pytest.raises(httpx.ConnectError):
                httpx.get(f"{side.url}/openai/v1/models")
            rest = [line for line in lines if line]
        signalled = time.monotonic()
        assert side.program.wait() == 0
        took = time.monotonic() - signalled
        output = side.program.output
    assert first.startswith("data: ")
    assert rest[-1] == "data: [DONE]"
    assert sum(line.startswith("data: {") for line in rest) >= 20
    assert took < 3
    assert "Traceback" not in output
    assert [word in output for word in ("started", "stopping", "stopped")] == [True] * 3


def test_a_stream_longer_than_the_grace_is_cut_honestly(provider: str, tmp_path: Path) -> None:
    """After timeouts.shutdown what is left is broken off: the caller is told, and never shown a clean end."""
    headers = {"x-sim-script": '{"tokens": 1000, "gap_ms": 50}'}
    with run_sidecar(tmp_path, provider, timeouts={"shutdown": "1s"}) as side, httpx.Client(timeout=20) as client:
        with client.stream("POST", f"{side.url}/openai/v1/chat/completions", json=CHAT, headers=headers) as response:
            pieces = response.iter_raw()
            seen = next(pieces)
            began = time.monotonic()
            side.program.signal(signal.SIGTERM)
            with pytest.raises(httpx.RemoteProtocolError):
                for piece in pieces:
                    seen += piece
        assert side.program.wait() == 0
        took = time.monotonic() - began
    assert b'"code":"stopping"' in seen
    assert b"\ndata: [DONE]" not in seen
    assert 0.9 < took < 4


def test_an_idle_kept_connection_does_not_hold_the_stop(provider: str, tmp_path: Path) -> None:
    """A caller's pool keeps connections open for an hour: they are closed at once."""
    with run_sidecar(tmp_path, provider) as side, httpx.Client() as client:
        assert client.get(f"{side.url}/openai/v1/models").status_code == 200
        began = time.monotonic()
        side.program.signal(signal.SIGTERM)
        assert side.program.wait() == 0
        took = time.monotonic() - began
    print(f"\nidle sidecar with a kept connection: stopped after {took:.2f} s")
    assert took < 2


def test_a_second_signal_ends_it_at_once(provider: str, tmp_path: Path) -> None:
    """Who signals twice does not wait for streams."""
    headers = {"x-sim-script": '{"tokens": 1000, "gap_ms": 50}'}
    with (
        run_sidecar(tmp_path, provider) as side,
        httpx.Client(timeout=20) as client,
        client.stream("POST", f"{side.url}/openai/v1/chat/completions", json=CHAT, headers=headers) as response,
    ):
        pieces = response.iter_raw()
        next(pieces)
        side.program.signal(signal.SIGTERM)
        time.sleep(0.3)
        assert side.program.process.poll() is None
        began = time.monotonic()
        side.program.signal(signal.SIGTERM)
        assert side.program.wait() == 128 + signal.SIGTERM
        took = time.monotonic() - began
    assert took < 0.5
    assert not Path(f"/proc/{side.program.process.pid}").exists()
