"""An OTLP/HTTP receiver that decodes what it gets and counts it.

`POST /v1/traces` as the OTLP specification says; `GET /count` gives the totals as JSON. Run as
a process of its own: `python tests/bench/receiver.py PORT`.
"""

import asyncio
import contextlib
import json
import sys

import uvloop
from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest, ExportTraceServiceResponse

_BODY_BYTES_MAX = 64 * 1024 * 1024


class Receiver:
    """Counts export requests, their bytes and their spans."""

    def __init__(self) -> None:
        self.requests = 0
        self.bytes = 0
        self.spans = 0

    async def answer(self, request: web.Request) -> web.Response:
        """Decode one export request and count its spans."""
        body = await request.read()
        export = ExportTraceServiceRequest.FromString(body)
        self.requests += 1
        self.bytes += len(body)
        self.spans += sum(len(scope.spans) for resource in export.resource_spans for scope in resource.scope_spans)
        return web.Response(body=ExportTraceServiceResponse().SerializeToString(), content_type="application/x-protobuf")

    async def count(self, _: web.Request) -> web.Response:
        """The totals so far."""
        totals = {"requests": self.requests, "bytes": self.bytes, "spans": self.spans}
        return web.Response(text=json.dumps(totals), content_type="application/json")


async def serve(port: int) -> None:
    """Listen on the loopback address until cancelled."""
    receiver = Receiver()
    app = web.Application(client_max_size=_BODY_BYTES_MAX)
    app.router.add_post("/v1/traces", receiver.answer)
    app.router.add_get("/count", receiver.count)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt), asyncio.Runner(loop_factory=uvloop.new_event_loop) as started:
        started.run(serve(int(sys.argv[1])))
