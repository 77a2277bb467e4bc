"""What a sidecar costs that nobody calls: memory, CPU, and the time from its start to its first answer, each beside its limit.

    python tests/bench/footprint.py [--idle SECONDS] [--starts N] [--journal DIR] [-- COMMAND...]

Tracing goes to a receiver that answers, the cache is on, the journal is written, the page is served, and Prometheus' scrape comes
every 15 seconds. Settings come by the environment alone, so that COMMAND may be a sidecar anywhere: of another Python, or of a root of
its own (`-- chroot FOLDER /opt/llm-sidecar/bin/llm-sidecar run`, with `--journal` a folder in it). It has to become the sidecar
itself: what is measured is its process. Exit code 1: a figure is beyond its limit.
"""

import argparse
import http.client
import os
import platform
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from measure import cpu_ns
from peers import Recipe, Site, clean_environment
from processes import NotStarted
from rounds import Peer, start_peer
from surroundings import Surroundings
from targets import IDLE

_SCRAPE_EVERY_S: Final = 15.0
_SETTLE_S: Final = 2.0  # after the first answer, before CPU time is counted
_IDLE_S: Final = 60.0
_TOLD: Final = {"VmRSS": "resident", "RssAnon": "its own", "RssFile": "of files, shared with others that map them", "VmHWM": "at most"}
_REPOSITORY: Final = Path(__file__).resolve().parent.parent.parent


def find_everything(site: Site, command: tuple[str, ...], journal: str) -> Recipe:
    """A sidecar with tracing, cache, journal and page, and one upstream, by the environment alone."""
    settings = {
        "LLM_SIDECAR_LISTEN": f"127.0.0.1:{site.port}",
        "LLM_SIDECAR_ADMIN_LISTEN": f"127.0.0.1:{site.admin_port}",
        "LLM_SIDECAR__UPSTREAMS": f"{{openai: {{url: 'http://127.0.0.1:{site.upstream_port}', provider: openai}}}}",
        "LLM_SIDECAR__TRACING__ENDPOINT": f"http://127.0.0.1:{site.receiver_port}",
        "LLM_SIDECAR__JOURNAL__DIRECTORY": journal,
        "LLM_SIDECAR__FEATURES__CACHE": "true",
    }
    if command:
        return Recipe(command, "/openai", clean_environment() | settings)
    path = os.pathsep.join(filter(None, (str(_REPOSITORY), os.environ.get("PYTHONPATH"))))
    return Recipe((sys.executable, "-m", "sidecar", "run"), "/openai", clean_environment() | settings | {"PYTHONPATH": path})


def read_memory(pid: int) -> dict[str, int]:
    """Memory of a process in bytes, and its threads (proc(5), /proc/PID/status)."""
    found = {}
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == "Threads" or name in _TOLD:
            number, _, unit = value.strip().partition(" ")
            found[name] = int(number) * (1024 if unit == "kB" else 1)
    return found


def watch(peer: Peer, idle_s: float) -> dict[str, int]:
    """Leave it alone until `idle_s` after its start, scrapes excepted; note what it took."""
    time.sleep(_SETTLE_S)
    begun, used_ns, left_s = time.perf_counter(), cpu_ns(peer.pid), idle_s - _SETTLE_S
    while left_s > 0:
        _scrape(peer.site.admin_port)
        time.sleep(min(_SCRAPE_EVERY_S, left_s))
        left_s = idle_s - _SETTLE_S - (time.perf_counter() - begun)
    memory = read_memory(peer.pid)
    peer.once["idle_rss_bytes"] = memory["VmRSS"]
    peer.once["idle_share"] = (cpu_ns(peer.pid) - used_ns) / 1e9 / (time.perf_counter() - begun)
    return memory


def _scrape(port: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/metrics", headers={"Accept-Encoding": "gzip"})
        connection.getresponse().read()
    finally:
        connection.close()


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="footprint.py", description="Measure a sidecar that nobody calls.")
    parser.add_argument("--idle", type=float, default=_IDLE_S, metavar="SECONDS", help=f"from its start to the reading [{_IDLE_S:g}]")
    parser.add_argument("--starts", type=int, default=5, metavar="N", help="how often it is started, for the median [5]")
    parser.add_argument("--journal", metavar="DIR", help="as the sidecar sees it [a temporary folder]")
    parser.add_argument("command", nargs="*", help="what to start [this Python, this source]")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Measure, print the three figures with their limits; 1 where one is beyond."""
    arguments = _arguments(argv)
    with ExitStack() as stack:
        journal = arguments.journal or stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-journal-"))
        around = Surroundings(stack)
        try:
            peer = start_peer(
                "sidecar", around, arguments.starts, find=lambda site: find_everything(site, tuple(arguments.command), journal)
            )
        except NotStarted as reason:
            print(reason, file=sys.stderr)
            return 1
        stack.enter_context(peer.process)
        memory = watch(peer, arguments.idle)
    figures = {target: target.measure(peer, peer, None) for target in IDLE}
    told = ", ".join(f"{memory[name] / 1e6:.1f} MB {what}" for name, what in _TOLD.items())
    print(f"{os.cpu_count()} cores, Linux {platform.release()}; {arguments.idle:.0f} s after the start; {arguments.starts} starts\n")
    print("| what | limit | measured | reached |\n|---|---|---|---|")
    print(*(target.row(figure) for target, figure in figures.items()), sep="\n")
    print(f"\n{told}; {memory['Threads']} threads; starts: {', '.join(f'{start_s:.2f}' for start_s in sorted(peer.starts_s))} s")
    return 0 if all(figure is not None and target.is_met(figure) for target, figure in figures.items()) else 1


if __name__ == "__main__":
    sys.exit(main())
