"""What the admin port answers: scrape, health, and a plain page with links."""

import html
from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files
from string import Template

from aiohttp import web

from sidecar import __version__
from sidecar.edge.inbound.admin import Respond
from sidecar.edge.telemetry.exposition import Exposition


def make_pages(
    exposition: Exposition, is_ready: Callable[[], bool], routes: Sequence[tuple[str, str]], data_url: Callable[[], str]
) -> Mapping[str, Respond]:
    """Return the answer of each path. `routes`: prefix and upstream url, without credentials."""
    template = Template(files("sidecar").joinpath("page", "index.html").read_text(encoding="utf-8"))

    async def metrics(request: web.BaseRequest) -> web.Response:
        scrape = await exposition.render(request.headers.get("Accept", ""), request.headers.get("Accept-Encoding", ""))
        headers = {"Content-Type": scrape.content_type, "Vary": "Accept, Accept-Encoding"}
        if scrape.content_encoding is not None:
            headers["Content-Encoding"] = scrape.content_encoding
        return web.Response(body=scrape.body, headers=headers)

    async def healthy(request: web.BaseRequest) -> web.Response:
        return web.Response(text="healthy\n")

    async def ready(request: web.BaseRequest) -> web.Response:
        return web.Response(text="ready\n") if is_ready() else web.Response(status=503, text="not ready\n")

    async def page(request: web.BaseRequest) -> web.Response:
        return web.Response(text=_write_page(template, routes, data_url()), content_type="text/html")

    return {"/": page, "/metrics": metrics, "/-/healthy": healthy, "/-/ready": ready}


def _write_page(template: Template, routes: Sequence[tuple[str, str]], data_url: str) -> str:
    rows = "".join(f"<tr><td><code>{html.escape(data_url + prefix)}</code></td><td>{html.escape(url)}</td></tr>" for prefix, url in routes)
    return template.substitute(version=html.escape(__version__), rows=rows)
