"""What the admin port answers: scrape, health, and a plain page with links."""

import html
from collections.abc import Callable, Mapping, Sequence

from aiohttp import web

from sidecar import __version__
from sidecar.edge.inbound.admin import Respond
from sidecar.edge.telemetry.exposition import Exposition


def make_pages(
    exposition: Exposition, is_ready: Callable[[], bool], routes: Sequence[tuple[str, str]], data_url: Callable[[], str]
) -> Mapping[str, Respond]:
    """Return the answer of each path. `routes`: prefix and upstream url, without credentials."""

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
        return web.Response(text=_write_page(routes, data_url()), content_type="text/html")

    return {"/": page, "/metrics": metrics, "/-/healthy": healthy, "/-/ready": ready}


def _write_page(routes: Sequence[tuple[str, str]], data_url: str) -> str:
    rows = "".join(f"<tr><td><code>{html.escape(data_url + prefix)}</code></td><td>{html.escape(url)}</td></tr>" for prefix, url in routes)
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>llm-sidecar</title>
<style>
:root {{ color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif }}
body {{ max-width: 50rem; margin: 2rem auto; padding: 0 1rem }}
table {{ border-collapse: collapse; width: 100% }}
th, td {{ text-align: left; padding: .3rem .8rem .3rem 0; border-bottom: 1px solid #8884; overflow-wrap: anywhere }}
</style></head>
<body><main>
<h1>llm-sidecar <small>{html.escape(__version__)}</small></h1>
<p><a href="/metrics">Metrics</a> · <a href="/-/healthy">Liveness</a> · <a href="/-/ready">Readiness</a></p>
<h2>Routes</h2>
<table><thead><tr><th scope="col">Calls to</th><th scope="col">go to</th></tr></thead><tbody>{rows}</tbody></table>
</main></body></html>
"""
