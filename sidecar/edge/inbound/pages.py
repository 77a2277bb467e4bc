"""What the admin port answers: scrape, health, and the status page with what it is made of."""

import gzip
import hashlib
import html
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib.resources import files
from string import Template
from typing import Final

from sidecar import __version__
from sidecar.edge.inbound import web
from sidecar.edge.inbound.admin import Respond
from sidecar.edge.telemetry.exposition import Exposition

_KINDS: Final[Mapping[str, str]] = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
_ASSETS: Final = (
    "page.css",
    "main.js",
    "chart.js",
    "panels.js",
    "sections.js",
    "failures.js",
    "alerts.js",
    "format.js",
    "markup.js",
    "icon.svg",
)
# Kept by the browser, and asked for every time: what has changed is seen at once, what has not is not sent again.
_KEPT: Final = "private, no-cache"
# What there may be to read beside the page, and what it is called. Only what is there is linked.
_LINKS: Final[Mapping[str, str]] = {
    "/metrics": "Metrics", "/health": "Health report", "/-/healthy": "Liveness", "/-/ready": "Readiness", "/api/performance": "Performance",
    "/api/alerts": "Alerts", "/api/trends": "Trends", "/api/upstreams": "Upstreams", "/api/decisions": "Decisions",
    "/api/budgets": "Budgets", "/api/events": "Events", "/debug/exchanges": "Last calls", "/debug/metrics": "Process",
}  # fmt: skip


def make_pages(exposition: Exposition, is_ready: Callable[[], bool]) -> Mapping[str, Respond]:
    """Return the answer of each path that programs ask for."""

    async def metrics(request: web.Request) -> web.Response:
        scrape = await exposition.render(request.headers.get("Accept", ""), request.headers.get("Accept-Encoding", ""))
        headers = {"Content-Type": scrape.content_type, "Vary": "Accept, Accept-Encoding"}
        if scrape.content_encoding is not None:
            headers["Content-Encoding"] = scrape.content_encoding
        return web.Response(body=scrape.body, headers=headers)

    async def healthy(request: web.Request) -> web.Response:
        return web.Response(text="healthy\n")

    async def ready(request: web.Request) -> web.Response:
        return web.Response(text="ready\n") if is_ready() else web.Response(status=503, text="not ready\n")

    return {"/metrics": metrics, "/-/healthy": healthy, "/-/ready": ready}


def make_status_page(routes: Sequence[tuple[str, str]], data_url: Callable[[], str], paths: Mapping[str, object]) -> Mapping[str, Respond]:
    """Return the answer of each path of the status page.

    `routes`: prefix and upstream url, without credentials. `paths`: what else the admin port answers; it is linked where it is known.
    """
    template = _load_template()
    links = "".join(f'<li><a href="{path}">{name}</a></li>' for path, name in _LINKS.items() if path in paths)

    async def page(request: web.Request) -> web.Response:
        url = data_url()
        rows = "".join(f"<tr><td><code>{html.escape(url + prefix)}</code></td><td>{html.escape(to)}</td></tr>" for prefix, to in routes)
        text = template.substitute(version=html.escape(__version__), links=links, rows=rows, data_url=html.escape(url))
        return web.Response(text=text, content_type="text/html")

    return {"/": page, **_load_assets()}


@cache
def _load_template() -> Template:
    return Template(files("sidecar").joinpath("page", "index.html").read_text(encoding="utf-8"))


@cache
def _load_assets() -> Mapping[str, Respond]:
    folder = files("sidecar").joinpath("page")
    return {f"/page/{name}": _make_asset(folder.joinpath(name).read_bytes(), name) for name in _ASSETS}


def _make_asset(body: bytes, name: str) -> Respond:
    kind = f"{_KINDS[name.rpartition('.')[2]]}; charset=utf-8"
    tag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
    packed = gzip.compress(body, mtime=0)

    async def asset(request: web.Request) -> web.Response:
        takes_gzip = "gzip" in request.headers.get("Accept-Encoding", "")
        headers = {"Cache-Control": _KEPT, "ETag": f'{tag[:-1]}-gzip"' if takes_gzip else tag, "Vary": "Accept-Encoding"}
        if headers["ETag"] in request.headers.get("If-None-Match", ""):
            return web.Response(status=304, headers=headers)
        if takes_gzip:
            headers["Content-Encoding"] = "gzip"
        return web.Response(body=packed if takes_gzip else body, headers={**headers, "Content-Type": kind})

    return asset
