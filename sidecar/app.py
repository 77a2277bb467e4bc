"""The composition root: settings in, a running sidecar out; the order of start, drain and stop."""

import gc
import os
import platform
import random
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

from sidecar import __version__, catalogue
from sidecar.config import Capture, Content, Route, Settings
from sidecar.core.choose.places import read_places
from sidecar.core.identify.router import Router, name_route
from sidecar.core.identify.tenants import Tenancy, list_accounts
from sidecar.core.observe.overhearing import read_listening
from sidecar.core.observe.pricing import PriceTable, read_prices
from sidecar.core.settings.redaction import redact
from sidecar.core.settings.resolution import Loaded
from sidecar.economy import Economy
from sidecar.edge import loop as event_loop
from sidecar.edge.clock import SystemClock
from sidecar.edge.documents import read_document
from sidecar.edge.files import read_keys, read_token
from sidecar.edge.inbound.admin import AdminServer, has_fast_parser
from sidecar.edge.inbound.api import make_budgets, make_changes, make_comparison
from sidecar.edge.inbound.pages import make_pages, make_status_page
from sidecar.edge.inbound.server import DataServer
from sidecar.edge.memory import Memory
from sidecar.edge.outbound.upstreams import Upstreams
from sidecar.edge.signals import watch_stop
from sidecar.edge.tasks import end_all
from sidecar.edge.telemetry.announcements import Announcements
from sidecar.edge.telemetry.complaints import Complaints
from sidecar.edge.telemetry.exposition import Exposition
from sidecar.edge.telemetry.guarded import Guarded
from sidecar.edge.telemetry.logs import EventLog, set_up
from sidecar.edge.telemetry.meter import Meter
from sidecar.edge.telemetry.otlp import read_ratio
from sidecar.edge.telemetry.tracer import Tracer, start_tracing
from sidecar.errands import Errand, ErrandClient
from sidecar.errors import ConfigError, ConfigProblem
from sidecar.exchange import Said
from sidecar.insight import Insight, Sources
from sidecar.pipeline import Pipeline
from sidecar.ports import Sink
from sidecar.switchboard import Switchboard
from sidecar.vitals import Vitals

if TYPE_CHECKING:
    from sidecar.core.observe.contents.contract import Content as Presentable
    from sidecar.edge.telemetry.content_writer import ContentWriter

_TELEMETRY_S: Final = 3.0  # given to the collector at the end
_LOG_S: Final = 1.0  # given to whoever reads the log at the end
_SWITCH_S: Final = 0.0005  # the exporting thread may keep the event loop waiting for this long
_COUNTED_TOGETHER: Final = 32  # records: counted in a row they cost half as much, and 0.2 ms at a time
_GC_OBJECTS: Final = 50_000
_REQUEST_ID_BITS: Final = 64


class Sidecar:
    """One sidecar. Raises ConfigError where settings name files or ports that cannot be used.

    `sinks`: further readers of its records, which must not raise. `source`: where settings came from.
    """

    def __init__(
        self, settings: Settings, environ: Mapping[str, str], log: EventLog | None = None,
        *, sinks: Sequence[Sink] = (), source: str = "a program",
    ) -> None:  # fmt: skip
        self._settings = replace(settings, tracing=replace(settings.tracing, ratio=read_ratio(settings.tracing, environ)))
        self._environ = environ
        self._sinks = tuple(sinks)
        self._log = log or EventLog(settings.log.level)
        self._clock = SystemClock()
        self._random = random.Random(os.urandom(32))
        self._places = read_places(settings.upstreams, read_keys(settings))
        self._token = read_token(settings)
        self._prices = load_prices(settings)
        self._meter = Meter(settings.limits, settings.upstreams, version=__version__, python=platform.python_version())
        for part in (self._meter.resilience, self._meter.reuse, self._meter.accounts):
            part.prepare(settings)
        self._router = Router(settings.routes, settings.pools)
        self._upstreams = Upstreams(
            settings.upstreams, self._places, settings.dns, self._clock, environ, head_bytes_max=settings.limits.head,
            draw=self._random.random,
        )  # fmt: skip
        listening = read_listening(settings)
        self._listening = listening if listening.is_on else None
        self._economy = Economy(
            settings, self._places, self._prices, self._router, self._clock, self._random.random, self._meter, self._log,
            carry=self._carry_errand, name_call=self._draw_id,
        )  # fmt: skip
        self._pipeline: Pipeline | None = None
        self._switchboard = Switchboard(
            settings, self._places, self._prices, self._upstreams, self._upstreams, self._clock, self._random.random,
            self._meter.resilience, Announcements(self._log), self._listening,
            spending=self._economy.spending,
        )  # fmt: skip
        self._vitals = Vitals(
            settings, source, self._places, self._clock, self._switchboard, self._economy, self._meter,
            is_ready=lambda: self._ready, data_url=lambda: self.data_url,
        )  # fmt: skip
        self._insight = Insight(settings, self._clock, self._meter, self._log, self._name_sources())
        self._vitals.describe_journal = self._insight.describe_journal
        self._memory = Memory()
        self._tracer: Tracer | None = None
        self._writer: ContentWriter | None = None
        self._data: DataServer | None = None
        self._admin: AdminServer | None = None
        self._ready = False
        self.data_url = ""
        self.admin_url = ""

    def _name_sources(self) -> Sources:
        routing, economy = self._switchboard.routing, self._economy
        return Sources(
            economy.describe_levels, self._vitals.collect, routing.note_quality, routing.describe, economy.describe_spending,
            self._random.random,
        )  # fmt: skip

    async def start(self) -> None:
        """Open both ports. Nothing is half-started: what was opened is closed again on failure."""
        settings = self._settings
        try:
            prefixes = {name_route(route): route.prefix for route in settings.routes}
            compose = None
            if settings.content.capture is not Capture.OFF:
                compose = self._start_capture(settings.content)
            self._tracer = self._vitals.tracer = start_tracing(
                settings, prefixes, self._environ, self._meter, self._log, __version__, compose
            )
            self._meter.families.create_routes(prefixes)
            metrics = Guarded("metrics", self._meter, self._meter, self._log, together=_COUNTED_TOGETHER)
            self._meter.before_scrape(metrics.flush)
            sinks: list[Sink] = [Complaints(self._log), metrics, *self._insight.sinks, *self._sinks]
            if self._tracer is not None:
                sinks.append(Guarded("traces", self._tracer, self._meter, self._log))
            if self._writer is not None:
                sinks.append(Guarded("content", self._writer, self._meter, self._log))
            attempts, economy = self._switchboard.attempts, self._economy
            self._pipeline = pipeline = Pipeline(
                settings, self._router, self._places, self._prices, Tenancy(settings), attempts, self._clock, self._meter.in_flight,
                self._meter.websockets, sinks, self._random.getrandbits, self._report,
                has_room=None if self._tracer is None else self._tracer.has_room, listening=self._listening, limiting=economy.limiting,
                spending=economy.spending, reuse=economy.make_reuse(attempts, self._report, self._listening),
            )  # fmt: skip
            self._data = DataServer(pipeline.carry, pipeline.refuse_malformed, self._clock, settings.timeouts, self._draw_id)
            self.data_url = await _listen(self._data.start, settings.listen, "listen")
            self._admin = self._make_admin(settings)
            self.admin_url = await _listen(self._admin.start, settings.admin.listen, "admin.listen")
            await economy.start()
            self._vitals.start()
            self._insight.start()
        except BaseException:
            await self.stop(grace_s=0)
            raise
        self._meter.before_scrape(self._count_connections)
        self._meter.before_scrape(self._switchboard.refresh)
        self._meter.before_scrape(lambda: self._meter.show_memory_limit(self._memory.read_limit()))
        self._meter.before_scrape(self._economy.refresh)
        self._switchboard.probes.start()
        self._meter.note_reload(successful=True, at_s=self._clock.wall_ns() / 1e9)
        self._ready = True

    def _make_admin(self, settings: Settings) -> AdminServer:
        shown = [(route.prefix, _show_target(settings, route)) for route in settings.routes]
        pages = make_pages(Exposition(self._meter), lambda: self._ready)
        routing, probes = self._switchboard.routing, self._switchboard.probes
        told = make_comparison(settings, self._places, self._clock, routing.describe, probes.describe)
        changes = {**make_changes(settings.upstreams, self._switchboard.force), **self._insight.changes}
        spending = self._economy.spending
        if spending is not None:
            spent, halts = make_budgets(list_accounts(settings), spending.describe, spending.halt)
            told, changes = {**told, **spent}, {**changes, **halts}
        paths = {**pages, **self._insight.paths, **told}
        return AdminServer({**make_status_page(shown, lambda: self.data_url, paths), **paths}, changes, token=self._token)

    def _start_capture(self, content: Content) -> "Callable[[Said], Presentable] | None":
        """Have content written to its file, or return what makes it presentable for spans."""
        # What is needed for it stays out of the memory of a sidecar that captures nothing.
        from sidecar.edge.telemetry.content_writer import start_content
        from sidecar.edge.telemetry.patterns import make_composer

        withheld = {pattern.name: self._meter.content_withheld(pattern.name) for pattern in content.redact.patterns}
        composer = make_composer(content, self._settings.limits, lambda name: withheld[name].add(1))
        if content.capture is Capture.FILE:
            self._writer = start_content(content, composer, self._meter, self._log)
            return None
        return composer.compose

    async def stop(self, grace_s: float | None = None) -> None:
        """Stop taking calls, let those in progress end within `grace_s` seconds, then end everything."""
        self._ready = False
        await self._economy.quieten()
        if self._data is not None:
            await self._data.stop(self._settings.timeouts.shutdown if grace_s is None else grace_s)
        await self._switchboard.probes.stop()
        await self._economy.stop()
        await self._insight.stop()
        self._upstreams.close()
        if self._tracer is not None:
            await self._tracer.shutdown(_TELEMETRY_S)
        if self._writer is not None:
            await self._writer.shutdown(_TELEMETRY_S)
        if self._admin is not None:
            await self._admin.stop()
        await end_all(1.0)

    async def _carry_errand(self, client: ErrandClient, errand: Errand) -> None:
        if self._pipeline is not None:
            await self._pipeline.carry(client, errand=errand)

    def _draw_id(self) -> str:
        return f"{self._random.getrandbits(_REQUEST_ID_BITS):016x}"

    def _report(self, call_id: str, error: Exception) -> None:
        # Where, and what kind: an exception's text may quote what it choked on.
        trace = error.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        place = "" if trace is None else f"{trace.tb_frame.f_code.co_qualname}:{trace.tb_lineno}"
        self._log.write(catalogue.EXCHANGE_FAILED, request=call_id, reason=type(error).__name__, place=place)

    def _count_connections(self) -> None:
        for upstream, (idle, busy) in self._upstreams.count_connections().items():
            self._meter.upstream_connections(upstream, "idle").set(idle)
            self._meter.upstream_connections(upstream, "active").set(busy)


def serve(loaded: Loaded) -> int:
    """Run a sidecar until it is told to stop; return the exit code."""
    if not has_fast_parser():
        raise ConfigError("aiohttp", [ConfigProblem("aiohttp", "its C parser is missing", "an installation with compiled extensions")])
    return run(_serve(loaded))


async def _serve(loaded: Loaded) -> int:
    log = set_up(loaded.settings.log, sys.stderr)
    stop = watch_stop()
    sidecar = Sidecar(loaded.settings, os.environ, log, source=loaded.source)
    await sidecar.start()
    log.start()
    try:
        _settle_memory()
        log.write(catalogue.STARTED, data=sidecar.data_url, admin=sidecar.admin_url, version=__version__, config=loaded.source)
        await stop.wait()
        log.write(catalogue.STOPPING)
        await sidecar.stop()
        log.write(catalogue.STOPPED)
    finally:
        await log.stop(_LOG_S)
    return 0


def run(main: Coroutine[Any, Any, int]) -> int:
    """Run `main` on the event loop that a sidecar uses; return what it returns."""
    sys.setswitchinterval(_SWITCH_S)
    return event_loop.run(main)


def load_prices(settings: Settings) -> PriceTable:
    """Return the price table: the configured one, else the one that comes with the package."""
    path = settings.prices.file or str(files("sidecar").joinpath("data", "prices.yaml"))
    return read_prices(read_document(path).tree, path)


async def _listen(start: Callable[[str, int], Coroutine[Any, Any, tuple[str, int]]], address: str, setting: str) -> str:
    host, _, port = address.rpartition(":")
    try:
        bound_host, bound_port = await start(host.strip("[]"), int(port))
    except OSError as error:
        reason = f"{address!r}, which cannot be listened on ({error.strerror or error})"
        raise ConfigError("start", [ConfigProblem(setting, reason, "a free address of this machine")]) from None
    shown = f"[{bound_host}]" if ":" in bound_host else bound_host
    return f"http://{shown}:{bound_port}"


def _show_target(settings: Settings, route: Route) -> str:
    upstreams = (route.upstream or "",) if route.pool is None else settings.pools[route.pool].upstreams
    return ", ".join(redact(settings.upstreams[name].url) for name in upstreams)


def _settle_memory() -> None:
    # What start-up made lives for ever: keep the collector from looking at it again and again. A call's own
    # objects make no cycles; they only come and go by the thousand, which the default of 700 takes for garbage.
    gc.collect()
    gc.freeze()
    gc.set_threshold(_GC_OBJECTS, 20, 20)
