"""The peers: how each proxy under measurement is started, in front of the same upstream."""

import atexit
import functools
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, NamedTuple

_HERE = Path(__file__).resolve().parent
_REPOSITORY = _HERE.parent.parent
_CONNECTIONS_MAX = 4096


class Site(NamedTuple):
    """Where a peer is put: its ports, its surroundings, a directory of its own."""

    directory: Path
    port: int
    admin_port: int
    upstream_port: int
    receiver_port: int


class Recipe(NamedTuple):
    """How to start one peer, and where it takes calls."""

    argv: tuple[str, ...]
    prefix: str = ""
    environment: Mapping[str, str] | None = None


class NotInstalled(Exception):
    """The peer's program is not on this machine."""


def _program(name: str) -> str:
    """Path of a program: beside this interpreter, on the PATH, or where distributions put daemons."""
    places = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", ""), "/usr/sbin"])
    found = shutil.which(name, path=places)
    if found is None:
        raise NotInstalled(f"{name} is not installed")
    return found


def _direct(site: Site) -> Recipe:
    """No proxy: another instance of the upstream in the proxy's place, on the proxy's core."""
    return Recipe((sys.executable, str(_HERE / "upstream.py"), str(site.port)))


def _aiohttp(site: Site) -> Recipe:
    return Recipe((sys.executable, str(_HERE / "plain_proxy.py"), str(site.port), str(site.upstream_port)))


_ENVOY = """\
static_resources:
  listeners:
    - name: calls
      address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}
      filter_chains:
        - filters:
            - name: envoy.filters.network.http_connection_manager
              typed_config:
                "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
                stat_prefix: calls
                codec_type: HTTP1
                route_config:
                  virtual_hosts:
                    - name: all
                      domains: ["*"]
                      routes: [{{match: {{prefix: /}}, route: {{cluster: upstream, timeout: 0s}}}}]
                http_filters:
                  - name: envoy.filters.http.router
                    typed_config: {{"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}
  clusters:
    - name: upstream
      type: STATIC
      circuit_breakers:
        thresholds: [{{max_connections: {most}, max_pending_requests: {most}, max_requests: {most}}}]
      load_assignment:
        cluster_name: upstream
        endpoints:
          - lb_endpoints:
              - endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {upstream_port}}}}}}}
"""


def _envoy(site: Site) -> Recipe:
    """Envoy with nothing but its router filter, one worker."""
    file = site.directory / "envoy.yaml"
    file.write_text(_ENVOY.format(port=site.port, upstream_port=site.upstream_port, most=_CONNECTIONS_MAX))
    return Recipe((_program("envoy"), "-c", str(file), "--concurrency", "1", "--disable-hot-restart", "-l", "error"))


_NGINX = """\
daemon off; master_process off; worker_processes 1; pid {directory}/nginx.pid; error_log stderr error;
events {{ worker_connections {most_both}; }}
http {{
  access_log off;
  client_body_temp_path {directory}/body; proxy_temp_path {directory}/proxy; fastcgi_temp_path {directory}/fastcgi;
  uwsgi_temp_path {directory}/uwsgi; scgi_temp_path {directory}/scgi;
  upstream provider {{ server 127.0.0.1:{upstream_port}; keepalive {most}; keepalive_requests 1000000000; }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    keepalive_requests 1000000000;
    location / {{ proxy_pass http://provider; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off; }}
  }}
}}
"""


def _nginx(site: Site) -> Recipe:
    """nginx as a bare reverse proxy: one process, no access log, streams passed on at once."""
    file = site.directory / "nginx.conf"
    most, both = _CONNECTIONS_MAX, 2 * _CONNECTIONS_MAX  # its limit counts both sides
    file.write_text(_NGINX.format(directory=site.directory, port=site.port, upstream_port=site.upstream_port, most=most, most_both=both))
    return Recipe((_program("nginx"), "-p", str(site.directory), "-e", "stderr", "-c", str(file)))


_SIDECAR = """\
listen: 127.0.0.1:{port}
admin: {{listen: "127.0.0.1:{admin_port}"}}
upstreams:
  openai: {{url: "http://127.0.0.1:{upstream_port}", provider: openai, {limits}}}
"""


def clean_environment() -> dict[str, str]:
    """The environment without what would configure the sidecar from outside."""
    foreign = ("OTEL_", "LLM_SIDECAR", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
    return {name: value for name, value in os.environ.items() if not name.upper().startswith(foreign)}


def find_sidecar(site: Site, limits: str) -> Recipe:
    """The sidecar with metrics but no trace exporter, `limits` being settings of its upstream."""
    file = site.directory / "sidecar.yaml"
    file.write_text(_SIDECAR.format(port=site.port, admin_port=site.admin_port, upstream_port=site.upstream_port, limits=limits))
    path = os.pathsep.join(filter(None, (str(_REPOSITORY), os.environ.get("PYTHONPATH"))))
    environment = clean_environment() | {"PYTHONPATH": path}
    return Recipe((sys.executable, "-m", "sidecar", "run", "--config", str(file)), "/openai", environment)


def _untraced(site: Site) -> Recipe:
    return find_sidecar(site, f"connections: {_CONNECTIONS_MAX}")


def _sidecar(site: Site) -> Recipe:
    """The sidecar with everything on: metrics, and traces to a real OTLP receiver, as many as `tracing.cpu_share` allows."""
    recipe = _untraced(site)
    with (site.directory / "sidecar.yaml").open("a") as file:
        file.write(f'tracing: {{endpoint: "http://127.0.0.1:{site.receiver_port}"}}\n')
    return recipe


@functools.cache
def _compile() -> str:
    """A folder with the package whose hot path is compiled; made once, of a copy of the source, and removed at the end."""
    folder = Path(tempfile.mkdtemp(prefix="bench-compiled-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    for name in ("sidecar", "dashboards", "alerts"):
        shutil.copytree(_REPOSITORY / name, folder / "source" / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(_REPOSITORY / name, folder / "source")
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder / "site"), str(folder / "source")],
        env={**os.environ, "HATCH_BUILD_HOOK_ENABLE_MYPYC": "true"}, check=True,
    )  # fmt: skip
    return str(folder / "site")


def _compiled(site: Site) -> Recipe:
    """The sidecar with everything on and its hot path compiled."""
    return _sidecar(site)._replace(environment=clean_environment() | {"PYTHONPATH": _compile()})


RECIPES: Final[Mapping[str, Callable[[Site], Recipe]]] = {
    "direct": _direct,
    "envoy": _envoy,
    "nginx": _nginx,
    "aiohttp": _aiohttp,
    "sidecar": _sidecar,
    "sidecar-compiled": _compiled,
    "sidecar-untraced": _untraced,
}
DEFAULT: Final = ("direct", "envoy", "nginx", "aiohttp", "sidecar")
